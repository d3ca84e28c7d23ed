"""Users, roles and rights of both sides by their names, on disk, and what was done about them.

``mlflow/users.db`` in the workspace. It holds no password, and no hash of one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

PLACE = Path("mlflow") / "users.db"

_TABLES = """
CREATE TABLE IF NOT EXISTS did (what TEXT, key TEXT, old TEXT, PRIMARY KEY (what, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fresh (answer INTEGER);
"""
_OF_A_SIDE = """
DROP TABLE IF EXISTS {side}_users;
DROP TABLE IF EXISTS {side}_roles;
DROP TABLE IF EXISTS {side}_members;
DROP TABLE IF EXISTS {side}_rights;
CREATE TABLE {side}_users (name TEXT PRIMARY KEY, admin INTEGER) WITHOUT ROWID;
CREATE TABLE {side}_roles (workspace TEXT, name TEXT, description TEXT, PRIMARY KEY (workspace, name)) WITHOUT ROWID;
CREATE TABLE {side}_members (workspace TEXT, role TEXT, user TEXT, PRIMARY KEY (workspace, role, user)) WITHOUT ROWID;
CREATE TABLE {side}_rights (holder TEXT, workspace TEXT, name TEXT, kind TEXT, pattern TEXT, permission TEXT,
                            PRIMARY KEY (holder, workspace, name, kind, pattern)) WITHOUT ROWID;
"""
_COLUMNS = {"users": 2, "roles": 3, "members": 3, "rights": 6}
_KEYS = {
    "users": ("name",),
    "roles": ("workspace", "name"),
    "members": ("workspace", "role", "user"),
    "rights": ("holder", "workspace", "name", "kind", "pattern"),
}
PAGE = 500


class Kind(StrEnum):
    """What a ledger lists."""

    USERS = "users"
    ROLES = "roles"
    MEMBERS = "members"
    RIGHTS = "rights"


#: How many of an entry's columns name it.
WIDTHS = {Kind(name): len(key) for name, key in _KEYS.items()}


class SideName(StrEnum):
    WANTED = "wanted"
    THERE = "there"


class Holder(StrEnum):
    """Who has a right: a user by herself, or a role."""

    USER = "user"
    ROLE = "role"


class Right(NamedTuple):
    holder: str
    workspace: str
    name: str
    """Of the user or role."""
    kind: str
    """The type of object, as the app calls it."""
    pattern: str
    permission: str

    @property
    def told(self) -> str:
        return f"{self.permission} of {self.holder} {self.name} on {self.kind} {self.pattern}"


Entry = tuple[object, ...]


class Ledger:
    def __init__(self, workspace: Path) -> None:
        path = workspace / PLACE
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(_TABLES)

    @staticmethod
    def exists(workspace: Path) -> bool:
        return (workspace / PLACE).exists()

    def begin(self, side: SideName) -> None:
        """Empties a side."""
        self._database.executescript(_OF_A_SIDE.format(side=side))

    def add(self, side: SideName, kind: Kind, entries: Iterable[Sequence[object]]) -> None:
        """What was added before stays."""
        marks = ", ".join("?" * _COLUMNS[kind])
        self._database.execute("BEGIN")
        self._database.executemany(f"INSERT OR IGNORE INTO {side}_{kind} VALUES ({marks})", entries)  # noqa: S608
        self._database.execute("COMMIT")

    def drop(self, side: SideName, kind: Kind, condition: str) -> int:
        """``condition`` is SQL, our own words; how many went."""
        return self._database.execute(f"DELETE FROM {side}_{kind} WHERE {condition}").rowcount  # noqa: S608

    def leave_role(self, workspace: str, role: str) -> None:
        """Takes a role, its members and its rights out of what is wanted."""
        for table, column in (("wanted_roles", "name"), ("wanted_members", "role")):
            self._database.execute(f"DELETE FROM {table} WHERE workspace = ? AND {column} = ?", (workspace, role))  # noqa: S608
        condition = "holder = 'role' AND workspace = ? AND name = ?"
        self._database.execute(f"DELETE FROM wanted_rights WHERE {condition}", (workspace, role))  # noqa: S608

    def entries(self, side: SideName, kind: Kind, condition: str = "") -> Iterator[Entry]:
        yield from self._pages(f"{side}_{kind} AS mine", _KEYS[kind], "mine.*", condition)

    def lacking(self, kind: Kind) -> Iterator[Entry]:
        """What is wanted and not there."""
        yield from self.entries(SideName.WANTED, kind, f"NOT EXISTS ({_there(kind)})")

    def shared(self, kind: Kind) -> Iterator[Entry]:
        """What is wanted and there, by its name."""
        yield from self.entries(SideName.WANTED, kind, f"EXISTS ({_there(kind)})")

    def differing(self) -> Iterator[tuple[Right, str]]:
        """Rights that are there with another permission, and that one."""
        joined = " AND ".join(f"other.{name} = mine.{name}" for name in _KEYS[Kind.RIGHTS])
        tables = f"wanted_rights AS mine JOIN there_rights AS other ON {joined}"
        different = "other.permission <> mine.permission"
        for entry in self._pages(tables, _KEYS[Kind.RIGHTS], "mine.*, other.permission", different):
            yield Right(*(str(value) for value in entry[:6])), str(entry[6])

    def _pages(self, tables: str, key: tuple[str, ...], columns: str, condition: str) -> Iterator[Entry]:
        # by pages, so that no cursor is open while something is written
        names = ", ".join(f"mine.{name}" for name in key)
        after: tuple[object, ...] | None = None
        while True:
            limits = [condition] if condition else []
            if after is not None:
                limits.append(f"({names}) > ({', '.join('?' * len(key))})")
            where = f" WHERE {' AND '.join(limits)}" if limits else ""
            statement = f"SELECT {columns} FROM {tables}{where} ORDER BY {names} LIMIT {PAGE}"  # noqa: S608
            page = self._database.execute(statement, after or ()).fetchall()
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1][: len(key)]

    def count(self, side: SideName, kind: Kind) -> int:
        return int(self._database.execute(f"SELECT count(*) FROM {side}_{kind}").fetchone()[0])  # noqa: S608

    # -- what was done ------------------------------------------------------------------------------------------

    def fresh(self, answer: bool) -> bool:
        """Whether the target knew nobody but administrators before us: as it was answered first."""
        if self._database.execute("SELECT 1 FROM fresh").fetchone() is None:
            self._database.execute("INSERT INTO fresh VALUES (?)", (int(answer),))
        return bool(self._database.execute("SELECT answer FROM fresh").fetchone()[0])

    def note(self, kind: Kind, key: Sequence[object], old: str = "") -> None:
        """On the disk when it returns. What it was at first stays."""
        self._database.execute("INSERT OR IGNORE INTO did VALUES (?, ?, ?)", (str(kind), json.dumps(list(key)), old))

    def done(self, kind: Kind) -> list[tuple[list[str], str]]:
        """Keys with what was there before; empty where it was added."""
        found = self._database.execute("SELECT key, old FROM did WHERE what = ?", (str(kind),)).fetchall()
        return [(json.loads(key), old) for key, old in found]

    def forget_lost(self) -> None:
        """What was added and is there no more, a restore took back: whoever adds it next is somebody else."""
        for kind in Kind:
            equal = " AND ".join(f"{name} = ?" for name in _KEYS[kind])
            for key, old in self.done(kind):
                there = self._database.execute(f"SELECT 1 FROM there_{kind} WHERE {equal}", key).fetchone()  # noqa: S608
                if there is None and not old:
                    self._database.execute("DELETE FROM did WHERE what = ? AND key = ?", (str(kind), json.dumps(key)))
        self._database.execute("DELETE FROM fresh WHERE NOT EXISTS (SELECT 1 FROM did)")

    def forget(self) -> None:
        self._database.executescript("DELETE FROM did; DELETE FROM fresh;")

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is noted meanwhile is on the disk at its end."""
        self._database.execute("BEGIN")
        yield
        self._database.execute("COMMIT")

    def close(self) -> None:
        self._database.close()


def _there(kind: Kind) -> str:
    equal = " AND ".join(f"there_{kind}.{name} = mine.{name}" for name in _KEYS[kind])
    return f"SELECT 1 FROM there_{kind} WHERE {equal}"  # noqa: S608 - our own words
