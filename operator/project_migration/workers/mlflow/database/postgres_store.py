"""PostgreSQL: rows come through a cursor of the server and go in by COPY, all in one transaction a side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Any

from psycopg.types.string import TextLoader

from project_migration.workers.mlflow.database import postgres_bulk
from project_migration.workers.mlflow.database.schema import Column, Form, Schema, Table, form_of, length_of
from project_migration.workers.mlflow.database.store import Aside, Chunk, Row, Server, Store, Where, at_once
from project_migration.workers.mlflow.database.tables import USERS_VERSION_TABLE, VERSION_TABLE
from project_migration.workers.postgres import journal
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.session import Connection, connect, quoted, run, trusted

_COLUMNS = """
SELECT c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attgenerated <> '',
       coalesce(pg_catalog.array_position(i.indkey::int2[], a.attnum), -1)
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
  LEFT JOIN pg_catalog.pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
 WHERE c.relnamespace = pg_catalog.to_regnamespace(?) AND c.relkind IN ('r', 'p')
   AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum
"""
#: Where a user who names no schema would find MLflow's tables: as the server's own settings say.
_SCHEMA = """
SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = pg_catalog.to_regclass(?)
"""
_names = count()


class PostgresStore(Store):
    server = Server.POSTGRES

    def __init__(self, endpoint: Endpoint, session: Connection) -> None:
        super().__init__(endpoint.side, endpoint.name)
        self.session = session
        for kind in ("json", "jsonb"):
            session.adapters.register_loader(kind, TextLoader)
        self.namespace = self._find_namespace()

    def _find_namespace(self) -> str:
        kept = self.rows("SHOW search_path")[0][0]
        run(self.session, "RESET search_path")
        try:
            names = (VERSION_TABLE, "experiments", USERS_VERSION_TABLE)
            found = next((rows for name in names if (rows := self.rows(_SCHEMA, name))), None)
        finally:
            self.rows("SELECT pg_catalog.set_config('search_path', ?, false)", kept)
        return str(found[0][0]) if found else "public"

    @property
    def version(self) -> str:
        return str(self.rows("SHOW server_version")[0][0])

    def _read_schema(self) -> Schema:
        columns: dict[str, list[Column]] = {}
        keys: dict[str, list[tuple[int, str]]] = {}
        for table, name, declared, generated, place in self.rows(_COLUMNS, self.namespace):
            columns.setdefault(table, []).append(Column(name, form_of(declared), length_of(declared), generated))
            if place >= 0:
                keys.setdefault(table, []).append((place, name))
        tables = {
            name: Table(name, tuple(found), tuple(key for _, key in sorted(keys.get(name, ()))))
            for name, found in columns.items()
        }
        # relations of other schemas do not count, and a version table without a row is none
        found = self.rows(f"SELECT version_num FROM {self.place(VERSION_TABLE)}") if VERSION_TABLE in tables else []  # noqa: S608
        return Schema(tables, str(found[0][0]) if len(found) == 1 else "")

    def quote(self, name: str) -> str:
        return quoted(name)

    def place(self, table: str) -> str:
        return f"{self.namespace}.{quoted(table)}"

    def rows(self, statement: str, *values: Any) -> list[Row]:
        return self.session.execute(_own(statement), values or None).fetchall()

    def run(self, statement: str, *values: Any) -> int:
        return self.session.execute(_own(statement), values or None).rowcount

    def stream(
        self, table: Table, columns: Sequence[str], where: Where | None = None, condition: str = ""
    ) -> Iterator[Chunk]:
        size = at_once(table)
        with self.session.cursor(name=f"rows_{next(_names)}") as cursor:
            cursor.itersize = size
            cursor.execute(_own(self.select(table, columns, where, condition)), tuple(where.values) if where else None)
            while chunk := cursor.fetchmany(size):
                yield chunk

    def insert(self, table: Table, columns: Sequence[str], chunks: Iterable[Chunk]) -> int:
        truths = [n for n, name in enumerate(columns) if (c := table.column(name)) and c.form is Form.BOOLEAN]
        number = 0
        with self.session.cursor() as cursor, cursor.copy(trusted(self.copy_in(table, columns))) as copy:
            for chunk in chunks:
                for row in chunk:
                    copy.write_row(_with_truths(row, truths) if truths else row)
                number += len(chunk)
        return number

    def copy_in(self, table: Table, columns: Sequence[str]) -> str:
        return f"COPY {self.place(table.name)} ({self.listed(columns)}) FROM STDIN"

    def copy_out(self, table: Table, columns: Sequence[str], where: Where | None, condition: str) -> str:
        """Of a table or a part of it; the values of ``where`` are put in with ``?`` still to come."""
        return f"COPY ({self.select(table, columns, where, condition)}) TO STDOUT"

    def begin(self) -> None:
        run(self.session, "BEGIN")

    def commit(self) -> None:
        run(self.session, "SET LOCAL synchronous_commit TO on")
        run(self.session, "COMMIT")

    def rollback(self) -> None:
        if not self.session.closed and not self.session.broken:
            run(self.session, "ROLLBACK")

    def advance(self, experiments: Table) -> None:
        for (sequence,) in self._sequence():
            place, key = self.place(experiments.name), self.quote("experiment_id")
            highest = self.rows(f"SELECT coalesce(max({key}), 1) FROM {place}")[0][0]  # noqa: S608 - quoted names
            position = self.rows(f"SELECT last_value FROM {sequence}")[0][0]  # noqa: S608 - the server's own word
            self.rows("SELECT pg_catalog.setval(?, ?)", sequence, max(highest, position, 1))

    def set_aside(self, table: Table) -> Aside:
        return postgres_bulk.set_aside(self, table.name)

    def number_is_ahead(self) -> bool:
        for (sequence,) in self._sequence():
            position, called = self.rows(f"SELECT last_value, is_called FROM {sequence}")[0]  # noqa: S608
            highest = self.rows(f"SELECT coalesce(max(experiment_id), 0) FROM {self.place('experiments')}")[0][0]  # noqa: S608
            if position + (1 if called else 0) <= highest:
                return False
        return True

    def _sequence(self) -> list[Row]:
        statement = "SELECT pg_catalog.pg_get_serial_sequence(?, 'experiment_id')"
        return [row for row in self.rows(statement, self.place("experiments")) if row[0]]


def _own(statement: str) -> Any:
    return trusted(statement.replace("%", "%%").replace("?", "%s") if "?" in statement else statement)


def _with_truths(row: Row, places: Sequence[int]) -> Row:
    """SQLite and MySQL keep truth as a number, which COPY does not take for it."""
    values = list(row)
    for place in places:
        if values[place] is not None:
            values[place] = bool(values[place])
    return tuple(values)


def open_for_reading(endpoint: Endpoint) -> PostgresStore:
    session = connect(endpoint)
    try:
        store = PostgresStore(endpoint, session)
        run(session, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    except BaseException:
        session.close()
        raise
    store._closing.callback(session.close)
    return store


def open_for_writing(endpoint: Endpoint) -> PostgresStore:
    """With the lock that every writer of ours takes in a database: see ``postgres/journal.py``."""
    held = journal.writer(endpoint)
    session = held.__enter__()
    try:
        store = PostgresStore(endpoint, session)
    except BaseException:
        session.close()
        raise
    store._closing.push(held.__exit__)
    return store
