"""What is moved and what it is called there: written by ``arrange``, read by ``copy`` and ``verify``.

``mlflow/arrangement.json`` in the workspace says it in short, ``mlflow/arrangement.db`` (SQLite) holds one row an
object that is chosen, so that memory does not grow with their number. Where everything goes into an empty database,
objects are not listed: ``whole``.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from project_migration.workers.harness import WrongRequest, write_durably
from project_migration.workers.mlflow.database.changes import Changes
from project_migration.workers.mlflow.database.tables import Kind
from project_migration.workers.mlflow.database.uris import Rewriter, Root

VERSION = 1
FOLDER = "mlflow"

_TABLES = """
CREATE TABLE chosen (kind TEXT NOT NULL, id NOT NULL, action TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE TABLE versions (workspace TEXT, name TEXT, version INTEGER, new INTEGER, PRIMARY KEY (workspace, name, version));
CREATE TABLE datasets (old TEXT PRIMARY KEY, new TEXT);
"""


class Action(StrEnum):
    ADD = "add"
    REPLACE = "replace"
    """It is there, and becomes what the source has."""
    PRESENT = "present"
    """It is there and stays; for an experiment or a model: what it lacks is added."""


WRITTEN = (Action.ADD, Action.REPLACE)


@dataclass(frozen=True, slots=True)
class Summary:
    """All but the lists of objects."""

    revision: str
    whole: bool
    empty: bool
    """The target held nothing, or only what an earlier attempt of this migration had brought."""
    everything: bool
    on_conflict: str
    target_state: Mapping[str, int]
    """Rows by table as the target was."""
    experiments: Mapping[str, int] = field(default_factory=dict)
    experiment_names: Mapping[str, str] = field(default_factory=dict)
    models: tuple[tuple[str, str, str], ...] = ()
    """Workspace, name and new name."""
    roots: tuple[tuple[str, str], ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    digest: str = ""

    def to_json(self) -> str:
        return json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Summary:
        data = json.loads(text)
        if data.pop("version", None) != VERSION:
            raise ValueError(f"not an arrangement of version {VERSION}")
        data["models"] = tuple(tuple(entry) for entry in data["models"])
        data["roots"] = tuple(tuple(entry) for entry in data["roots"])
        return cls(**data)


class Lists:
    """The objects that are chosen. Ids are the source's; those of models and versions are JSON lists."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self.path = path
        if fresh:
            for ending in ("", "-journal", "-wal"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
        self._database = sqlite3.connect(
            f"file:{path}?mode={'rwc' if fresh else 'ro'}", uri=True, isolation_level=None, check_same_thread=False
        )
        if fresh:
            # a lost file is made anew, so the disk need not be waited for
            self._database.executescript("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF;" + _TABLES)
            self._database.execute("BEGIN")

    def add(self, kind: Kind, ids: Iterable[Any], action: Action = Action.ADD) -> None:
        """What was added before stays as it was."""
        rows = ((str(kind), one, str(action)) for one in ids)
        self._database.executemany("INSERT OR IGNORE INTO chosen VALUES (?, ?, ?)", rows)

    def add_versions(self, rows: Iterable[tuple[str, str, int, int]]) -> None:
        self._database.executemany("INSERT OR REPLACE INTO versions VALUES (?, ?, ?, ?)", rows)

    def add_datasets(self, rows: Iterable[tuple[str, str]]) -> None:
        self._database.executemany("INSERT OR REPLACE INTO datasets VALUES (?, ?)", rows)

    def action(self, kind: Kind, one: Any) -> Action | None:
        found = self._database.execute("SELECT action FROM chosen WHERE kind = ? AND id = ?", (str(kind), one))
        row = found.fetchone()
        return Action(row[0]) if row else None

    def ids(self, kind: Kind, actions: Iterable[Action] = WRITTEN) -> Iterator[Any]:
        wanted = {str(action) for action in actions}
        after: Any = None
        while True:
            # pages, so that no cursor is open while the lists grow
            tail = "AND id > ?" if after is not None else ""
            values = (str(kind),) if after is None else (str(kind), after)
            statement = f"SELECT id, action FROM chosen WHERE kind = ? {tail} ORDER BY id LIMIT 2000"  # noqa: S608
            page = self._database.execute(statement, values).fetchall()
            if not page:
                return
            yield from (one for one, action in page if action in wanted)
            after = page[-1][0]

    def count(self, kind: Kind, actions: Iterable[Action] = WRITTEN) -> int:
        marks = [str(action) for action in actions]
        statement = f"SELECT count(*) FROM chosen WHERE kind = ? AND action IN ({', '.join('?' * len(marks))})"  # noqa: S608
        return int(self._database.execute(statement, (str(kind), *marks)).fetchone()[0])

    def changed_versions(self) -> dict[tuple[str, str, int], int]:
        found = self._database.execute("SELECT workspace, name, version, new FROM versions")
        return {(workspace, name, version): new for workspace, name, version, new in found}

    def changed_datasets(self) -> dict[str, str]:
        return dict(self._database.execute("SELECT old, new FROM datasets"))

    def digest(self) -> str:
        """Over all of it, in order."""
        found = hashlib.sha256()
        for statement in (
            "SELECT * FROM chosen ORDER BY kind, id",
            "SELECT * FROM versions ORDER BY 1, 2, 3",
            "SELECT * FROM datasets ORDER BY 1",
        ):
            for row in self._database.execute(statement):
                found.update(repr(row).encode())
        return found.hexdigest()

    def finish(self) -> None:
        self._database.execute("COMMIT")

    def close(self) -> None:
        self._database.close()


@dataclass
class Arrangement:
    summary: Summary
    lists: Lists
    changes: Changes

    @classmethod
    def read(cls, workspace: Path) -> Arrangement:
        """Raises ``WrongRequest`` when ``arrange`` has not left one."""
        folder = workspace / FOLDER
        try:
            summary = Summary.from_json((folder / "arrangement.json").read_text(encoding="utf-8"))
            lists = Lists(folder / "arrangement.db")
            return cls(summary, lists, changes_of(summary, lists))
        except (OSError, ValueError, TypeError, sqlite3.Error) as error:
            raise WrongRequest(f"the workspace holds no whole arrangement: {error}") from error

    def has(self, kind: Kind, one: Any) -> bool:
        """Whether an object will be on the target."""
        return self.summary.whole or self.lists.action(kind, one) is not None

    def close(self) -> None:
        self.lists.close()


def changes_of(summary: Summary, lists: Lists) -> Changes:
    experiments = {int(old): new for old, new in summary.experiments.items()}
    return Changes(
        experiments=experiments,
        experiment_names={int(old): new for old, new in summary.experiment_names.items()},
        models={(workspace, name): new for workspace, name, new in summary.models},
        versions=lists.changed_versions(),
        datasets=lists.changed_datasets(),
        uris=Rewriter(tuple(Root(source, target) for source, target in summary.roots), experiments),
    )


def model_id(workspace: str, name: str) -> str:
    """How a registered model is written down in :class:`Lists`."""
    return json.dumps([workspace, name], ensure_ascii=False)


def version_id(workspace: str, name: str, version: int) -> str:
    return json.dumps([workspace, name, version], ensure_ascii=False)


def write(workspace: Path, summary: Summary, moves: Mapping[str, Any]) -> None:
    folder = workspace / FOLDER
    write_durably(folder / "moves.json", json.dumps({"version": VERSION, **moves}, indent=1, sort_keys=True))
    write_durably(folder / "arrangement.json", summary.to_json())
