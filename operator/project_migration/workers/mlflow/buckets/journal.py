"""Which objects a migration set out to write into a bucket, in the workspace: what a way back takes away.

A key is written down, and on the disk, before its object is put. So a helper that is killed leaves nothing in the
bucket that is not in here; what is in here and was never put is not found there, which is no failure.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

PLACE = Path("mlflow") / "objects.db"

_TABLE = "CREATE TABLE IF NOT EXISTS written (path TEXT PRIMARY KEY, replaced INTEGER NOT NULL) WITHOUT ROWID"


class Journal:
    """For one thread."""

    def __init__(self, workspace: Path) -> None:
        path = workspace / PLACE
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute(_TABLE)

    @staticmethod
    def exists(workspace: Path) -> bool:
        return (workspace / PLACE).exists()

    def write(self, paths: Iterable[tuple[str, bool]]) -> None:
        """Each with whether it replaces another's object. Returns when it is on the disk."""
        self._database.execute("BEGIN")
        # what was somebody else's at first stays so
        self._database.executemany(
            "INSERT OR IGNORE INTO written VALUES (?, ?)", ((path, int(replaced)) for path, replaced in paths)
        )
        self._database.execute("COMMIT")

    def entries(self) -> Iterator[tuple[str, bool]]:
        after = ""
        while page := self._database.execute(
            "SELECT path, replaced FROM written WHERE path > ? ORDER BY path LIMIT 1000", (after,)
        ).fetchall():
            yield from ((path, bool(replaced)) for path, replaced in page)
            after = page[-1][0]

    def forget(self) -> None:
        """All was taken back: what is put under one of these keys from now on is looked at anew."""
        self._database.execute("DELETE FROM written")

    def close(self) -> None:
        self._database.close()
