"""What a tracking server has to give once it is back: written by the proof of its database, read by who asks it.

``mlflow/proved.db`` in the workspace, a SQLite file, so that memory does not grow with the number of runs.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from project_migration.workers.harness import WrongRequest

FILE = Path("mlflow") / "proved.db"

_TABLES = """
CREATE TABLE runs (id TEXT PRIMARY KEY, experiment TEXT, points INTEGER, found INTEGER DEFAULT 0) WITHOUT ROWID;
CREATE INDEX runs_experiment ON runs (experiment);
CREATE TABLE versions (model TEXT, number INTEGER, found INTEGER DEFAULT 0, PRIMARY KEY (model, number)) WITHOUT ROWID;
"""


class ProvedRun(NamedTuple):
    id: str
    experiment: str
    points: int
    """Of all its metrics."""


class ProvedVersion(NamedTuple):
    model: str
    number: int


class Proved:
    """Safe to use from several threads at once."""

    def __init__(self, workspace: Path, *, fresh: bool = False) -> None:
        """Raises ``WrongRequest`` when there is none, or not a whole one."""
        path = workspace / FILE
        if fresh:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        self._lock = threading.Lock()
        try:
            self._base = sqlite3.connect(
                f"file:{path}?mode={'rwc' if fresh else 'rw'}", uri=True, isolation_level=None, check_same_thread=False
            )
            # a lost file is made anew, so the disk need not be waited for
            self._base.executescript("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; BEGIN;")
            if fresh:
                for statement in _TABLES.split(";\n"):
                    self._base.execute(statement)
            else:  # another attempt may have begun
                self._base.execute("UPDATE runs SET found = 0")
                self._base.execute("UPDATE versions SET found = 0")
        except sqlite3.Error as error:
            raise WrongRequest(f"{FILE} in the workspace cannot be read: {error}") from error

    def close(self) -> None:
        with self._lock:
            self._base.execute("COMMIT")
            self._base.close()

    def add_runs(self, runs: Iterable[ProvedRun]) -> None:
        with self._lock:
            self._base.executemany("INSERT OR REPLACE INTO runs (id, experiment, points) VALUES (?, ?, ?)", runs)

    def add_versions(self, versions: Iterable[ProvedVersion]) -> None:
        with self._lock:
            self._base.executemany("INSERT OR REPLACE INTO versions (model, number) VALUES (?, ?)", versions)

    def experiments(self, size: int) -> Iterator[list[str]]:
        """Ids of those that have runs, so many at a time."""
        last = ""
        while True:
            statement = "SELECT DISTINCT experiment FROM runs WHERE experiment > ? ORDER BY experiment LIMIT ?"
            found = [row[0] for row in self._rows(statement, last, size)]
            if not found:
                return
            yield found
            last = found[-1]

    def find_runs(self, ids: Sequence[str]) -> dict[str, ProvedRun]:
        """Those of the runs that were proved; noted as found."""
        marks = ", ".join("?" * len(ids))
        rows = self._rows(f"SELECT id, experiment, points FROM runs WHERE id IN ({marks})", *ids)  # noqa: S608
        self._rows(f"UPDATE runs SET found = 1 WHERE id IN ({marks})", *ids)  # noqa: S608
        return {row[0]: ProvedRun(*row) for row in rows}

    def find_version(self, model: str, number: int) -> None:
        self._rows("UPDATE versions SET found = 1 WHERE model = ? AND number = ?", model, number)

    def holds_run(self, identity: str) -> bool:
        return bool(self._rows("SELECT 1 FROM runs WHERE id = ?", identity))

    def counts(self, table: str) -> tuple[int, int]:
        """How many were proved, and how many of them were found. ``table``: ``runs`` or ``versions``."""
        [(proved, found)] = self._rows(f"SELECT count(*), coalesce(sum(found), 0) FROM {table}")  # noqa: S608
        return int(proved), int(found)

    def lacking(self) -> Iterator[str]:
        """What was not found, as people call it."""
        with self._lock:
            yield from (f"run {row[0]}" for row in self._base.execute("SELECT id FROM runs WHERE NOT found"))
            versions = self._base.execute("SELECT model, number FROM versions WHERE NOT found")
            yield from (f"model {model} version {number}" for model, number in versions)

    def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._base.execute(statement, values).fetchall()
