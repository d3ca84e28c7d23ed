"""What became of what: the map from source to target, on disk, so that any number of objects fits.

It lies in the workspace as ``mlflow/map.sqlite`` and is a record for people and for later steps. Nothing rests on it
alone: what was made carries its origin as tags, and is found by those when the map is gone.
"""

from __future__ import annotations

import pickle
import sqlite3
import threading
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

#: Seconds after which what was put is on the disk, at the latest with the next one that comes.
COMMIT_INTERVAL = 0.5


class Kind(StrEnum):
    EXPERIMENT = "experiment"
    RUN = "run"
    LOGGED_MODEL = "logged model"
    MODEL = "model"
    VERSION = "version"
    TRACE = "trace"
    EVALUATION_DATASET = "evaluation dataset"
    SCORER = "scorer"


class Mapped(NamedTuple):
    target: str
    #: Artifact locations, where the kind has one.
    source_uri: str = ""
    target_uri: str = ""
    #: Of what the target holds: the digest of the source's object; empty while it is not whole.
    done: str = ""
    active: bool = True
    #: The target's status and end of a run, as text.
    state: str = ""


_SCHEMA = """
CREATE TABLE IF NOT EXISTS map (
    kind TEXT, source TEXT, target TEXT, source_uri TEXT, target_uri TEXT, done TEXT, active INTEGER, state TEXT,
    PRIMARY KEY (kind, source)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS map_target ON map (kind, target);
CREATE TABLE IF NOT EXISTS shelf (kind TEXT, key TEXT, part TEXT, content BLOB, PRIMARY KEY (kind, key, part))
    WITHOUT ROWID;
"""


class _Base:
    def __init__(self, path: Path, *, keep: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._base.execute(f"PRAGMA journal_mode = {'WAL' if keep else 'OFF'}")
        self._base.execute(f"PRAGMA synchronous = {'NORMAL' if keep else 'OFF'}")
        self._base.executescript(_SCHEMA)
        self._base.execute("BEGIN")
        self._committed = time.monotonic()

    def close(self) -> None:
        with self._lock:
            self._base.execute("COMMIT")
            self._base.close()

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        with self._lock:
            self._base.execute(statement, values)
            if time.monotonic() - self._committed >= COMMIT_INTERVAL:
                self.flush()

    def flush(self) -> None:
        with self._lock:
            self._base.execute("COMMIT")
            self._base.execute("BEGIN")
            self._committed = time.monotonic()

    def _rows(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._base.execute(statement, values).fetchall()


_COLUMNS = "target, source_uri, target_uri, done, active, state"


class IdMap(_Base):
    """Source to target, by kind."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, keep=True)

    def put(self, kind: Kind, source: str, mapped: Mapped) -> None:
        self._write(
            f"INSERT OR REPLACE INTO map (kind, source, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (kind, source, *mapped),
        )

    def get(self, kind: Kind, source: str) -> Mapped | None:
        rows = self._rows(f"SELECT {_COLUMNS} FROM map WHERE kind = ? AND source = ?", (kind, source))  # noqa: S608
        return Mapped(*rows[0])._replace(active=bool(rows[0][4])) if rows else None

    def target(self, kind: Kind, source: str) -> str:
        """The target's id, or an empty text."""
        found = self.get(kind, source) if source else None
        return found.target if found else ""

    def forget(self) -> None:
        """What an earlier attempt knew: the target is asked anew."""
        self._write("DELETE FROM map", ())
        self.flush()

    def sources(self, kind: Kind, size: int = 50) -> Iterator[list[str]]:
        """All source ids of a kind, so many at a time."""
        last = ""
        while True:
            query = "SELECT source FROM map WHERE kind = ? AND source > ? ORDER BY source LIMIT ?"
            found = [row[0] for row in self._rows(query, (kind, last, size))]
            if not found:
                return
            yield found
            last = found[-1]

    def count(self, kind: Kind) -> int:
        return int(self._rows("SELECT count(*) FROM map WHERE kind = ?", (kind,))[0][0])


class Shelf(_Base):
    """Values by kind and key, and by part where a key has several; gone with its scratch directory."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, keep=False)

    def put(self, kind: str, key: str, content: Any, part: str = "") -> None:
        self._write("INSERT OR REPLACE INTO shelf VALUES (?, ?, ?, ?)", (kind, key, part, pickle.dumps(content)))

    def get(self, kind: str, key: str, part: str = "") -> Any:
        rows = self._rows("SELECT content FROM shelf WHERE kind = ? AND key = ? AND part = ?", (kind, key, part))
        return pickle.loads(rows[0][0]) if rows else None  # noqa: S301 - our own scratch file

    def parts(self, kind: str, key: str) -> Iterator[Any]:
        for row in self._rows("SELECT content FROM shelf WHERE kind = ? AND key = ? ORDER BY part", (kind, key)):
            yield pickle.loads(row[0])  # noqa: S301 - our own scratch file

    def pop(self, kind: str, key: str) -> list[Any]:
        with self._lock:
            found = list(self.parts(kind, key))
            self._write("DELETE FROM shelf WHERE kind = ? AND key = ?", (kind, key))
        return found

    def items(self, kind: str, size: int = 200) -> Iterator[tuple[str, Any]]:
        """All of a kind, in the order of key and part; what is put meanwhile may or may not be among them."""
        key, part = "", ""
        query = (
            "SELECT key, part, content FROM shelf WHERE kind = ? AND (key, part) > (?, ?) ORDER BY key, part LIMIT ?"
        )
        while True:
            rows = self._rows(query, (kind, key, part, size))
            for row in rows:
                yield row[0], pickle.loads(row[2])  # noqa: S301 - our own scratch file
            if not rows:
                return
            key, part = rows[-1][0], rows[-1][1]
