"""A database that is open: the little that the rest needs of it, the same for every server.

Statements are written with ``?`` for values and with names already quoted by :meth:`Store.quote`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, TypeVar

from project_migration.workers.mlflow.database.schema import Form, Schema, Table
from project_migration.workers.mlflow.database.tables import WIDE

Row = tuple[Any, ...]
Chunk = list[Row]
Thing = TypeVar("Thing")

#: Rows that are in memory at a time.
NARROW_ROWS, WIDE_ROWS = 5000, 100

#: Keys that one statement asks for.
KEYS_AT_ONCE = 500


class Server(StrEnum):
    POSTGRES = "postgres"
    MYSQL = "mysql"
    SQLITE = "sqlite"


@dataclass(frozen=True, slots=True)
class Where:
    """Rows whose ``column`` is one of ``values``."""

    column: str
    values: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Aside:
    """Statements that make again what was set aside: indexes, and then what needs the rows of other tables."""

    indexes: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


class Store(ABC):
    """Not for several threads; while :meth:`stream` is read nothing else may be asked of the same store."""

    server: Server

    def __init__(self, side: str, name: str) -> None:
        self.side = side
        self.name = name
        self._closing = ExitStack()
        self._schema: Schema | None = None

    @property
    def schema(self) -> Schema:
        if self._schema is None:
            self._schema = self._read_schema()
        return self._schema

    @abstractmethod
    def _read_schema(self) -> Schema: ...

    @property
    @abstractmethod
    def version(self) -> str:
        """Of the server, for people."""

    @abstractmethod
    def rows(self, statement: str, *values: Any) -> list[Row]:
        """Every row of a short answer."""

    @abstractmethod
    def run(self, statement: str, *values: Any) -> int:
        """Runs a statement and says how many rows it touched."""

    @abstractmethod
    def stream(
        self, table: Table, columns: Sequence[str], where: Where | None = None, condition: str = ""
    ) -> Iterator[Chunk]:
        """Rows in no order, a few at a time."""

    @abstractmethod
    def insert(self, table: Table, columns: Sequence[str], chunks: Iterable[Chunk]) -> int:
        """Adds rows and says how many."""

    @abstractmethod
    def begin(self) -> None: ...

    @abstractmethod
    def commit(self) -> None:
        """Returns when all of it is on the disk of the server."""

    @abstractmethod
    def rollback(self) -> None: ...

    def quote(self, name: str) -> str:
        doubled = name.replace('"', '""')
        return f'"{doubled}"'

    def place(self, table: str) -> str:
        """A table's name as it stands in statements."""
        return self.quote(table)

    def advance(self, experiments: Table) -> None:  # noqa: B027 - where there is something to do
        """Lets the server's next experiment come after those that were inserted. SQLite and InnoDB see to it."""

    def set_aside(self, table: Table) -> Aside:  # noqa: ARG002 - for those that can
        """Drops, before many rows come into an empty table, what is cheaper made after them."""
        return Aside()

    def trust_keys(self) -> None:  # noqa: B027 - where there is something to do
        """Rows come with all that they refer to: it need not be looked up for each."""

    def number_is_ahead(self) -> bool:
        """Whether the next experiment that the server makes gets a number that is free."""
        return True

    def closing(self, thing: AbstractContextManager[Thing]) -> Thing:
        """Has it left when the store is closed."""
        return self._closing.enter_context(thing)

    def close(self) -> None:
        self._closing.close()

    # -- what is the same everywhere ----------------------------------------------------------------------------

    def listed(self, names: Iterable[str]) -> str:
        return ", ".join(self.quote(name) for name in names)

    def select(self, table: Table, columns: Sequence[str], where: Where | None, condition: str) -> str:
        parts = [self._selected(table, name) for name in columns]
        limits = []
        if where is not None:
            limits.append(f"{self.quote(where.column)} IN ({', '.join('?' * len(where.values))})")
        if condition:
            limits.append(condition)
        tail = f" WHERE {' AND '.join(limits)}" if limits else ""
        return f"SELECT {', '.join(parts)} FROM {self.place(table.name)}{tail}"  # noqa: S608 - quoted names

    def _selected(self, table: Table, name: str) -> str:
        column = table.column(name)
        # a server prints a number of 32 bits with six digits, which are not all of it
        exact = column is not None and column.form is Form.SINGLE
        return f"({self.quote(name)} + 0e0)" if exact else self.quote(name)

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM {self.place(table)}")[0][0])  # noqa: S608

    def holds_rows(self, table: str) -> bool:
        return bool(self.rows(f"SELECT 1 FROM {self.place(table)} LIMIT 1"))  # noqa: S608

    def there(self, table: str, column: str, values: Sequence[Any]) -> set[Any]:
        """Which of ``values`` stand in a column."""
        found: set[Any] = set()
        for some in batches(values, KEYS_AT_ONCE):
            marks = ", ".join("?" * len(some))
            place, name = self.place(table), self.quote(column)
            found |= {row[0] for row in self.rows(f"SELECT {name} FROM {place} WHERE {name} IN ({marks})", *some)}  # noqa: S608
        return found

    def delete(self, table: str, column: str, values: Sequence[Any]) -> int:
        deleted = 0
        for some in batches(values, KEYS_AT_ONCE):
            marks = ", ".join("?" * len(some))
            deleted += self.run(f"DELETE FROM {self.place(table)} WHERE {self.quote(column)} IN ({marks})", *some)  # noqa: S608
        return deleted

    def existing(self, table: Table, columns: Sequence[str], keys: Sequence[Row]) -> dict[Row, Row]:
        """The rows of a table by their whole key, of those asked for; :data:`KEYS_AT_ONCE` keys at most."""
        if not keys:
            return {}
        one = "(" + " AND ".join(f"{self.quote(name)} = ?" for name in table.key) + ")"
        parts = ", ".join(self._selected(table, name) for name in columns)
        asked = " OR ".join([one] * len(keys))
        statement = f"SELECT {parts} FROM {self.place(table.name)} WHERE {asked}"  # noqa: S608
        places = [list(columns).index(name) for name in table.key]
        values = [value for key in keys for value in key]
        return {tuple(row[place] for place in places): row for row in self.rows(statement, *values)}


def at_once(table: Table) -> int:
    return WIDE_ROWS if table.name in WIDE else NARROW_ROWS


def batches(things: Iterable[Thing], size: int) -> Iterator[list[Thing]]:
    iterator = iter(things)
    while some := list(islice(iterator, size)):
        yield some
