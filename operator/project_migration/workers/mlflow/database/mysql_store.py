"""MySQL and MariaDB through PyMySQL: InnoDB tables, one transaction a side."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pymysql
import pymysql.cursors
from pymysql.constants import CLIENT, CR

from project_migration.workers import reasons
from project_migration.workers.mlflow.database.failures import Refused, mysql_number, of_driver
from project_migration.workers.mlflow.database.schema import Column, Schema, Table, form_of, length_of
from project_migration.workers.mlflow.database.store import Chunk, Row, Server, Store, Where, at_once
from project_migration.workers.mlflow.database.tables import VERSION_TABLE
from project_migration.workers.postgres.endpoint import CONNECT_SECONDS, Endpoint
from project_migration.workers.postgres.failures import TLS_FAILED, UNREACHABLE

_COLUMNS = """
SELECT table_name, column_name, column_type, extra LIKE '%GENERATED%' AND extra NOT LIKE '%DEFAULT_GENERATED%'
  FROM information_schema.columns WHERE table_schema = database() ORDER BY table_name, ordinal_position
"""
_KEYS = """
SELECT table_name, column_name FROM information_schema.key_column_usage
 WHERE table_schema = database() AND constraint_name = 'PRIMARY' ORDER BY table_name, ordinal_position
"""
#: Zero is a number of an experiment, and text that does not fit is an error (manual, "Server SQL Modes").
_MODES = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO"

#: What sslmode says of a session that must not go without it; the words are libpq's.
_WITH_TLS = frozenset({"require", "verify-ca", "verify-full"})

#: A server gives up a client that has not read for so many seconds; the other side may be slow.
_PATIENCE = 3600


class MysqlStore(Store):
    server = Server.MYSQL

    def __init__(self, endpoint: Endpoint, connection: Any) -> None:
        super().__init__(endpoint.side, endpoint.name)
        self.connection = connection
        self._closing.callback(connection.close)

    @property
    def version(self) -> str:
        return str(self.rows("SELECT version()")[0][0])

    def _read_schema(self) -> Schema:
        columns: dict[str, list[Column]] = {}
        for table, name, declared, generated in self.rows(_COLUMNS):
            form = form_of(declared, single_floats=True)
            columns.setdefault(table, []).append(Column(name, form, length_of(declared), bool(generated)))
        keys: dict[str, list[str]] = {}
        for table, name in self.rows(_KEYS):
            keys.setdefault(table, []).append(name)
        tables = {name: Table(name, tuple(found), tuple(keys.get(name, ()))) for name, found in columns.items()}
        found = self.rows(f"SELECT version_num FROM {VERSION_TABLE}") if VERSION_TABLE in tables else []  # noqa: S608
        return Schema(tables, str(found[0][0]) if len(found) == 1 else "")

    def quote(self, name: str) -> str:
        return f"`{name.replace('`', '``')}`"

    def rows(self, statement: str, *values: Any) -> list[Row]:
        with self.connection.cursor() as cursor:
            cursor.execute(_own(statement, values), values or None)
            return list(cursor.fetchall())

    def run(self, statement: str, *values: Any) -> int:
        with self.connection.cursor() as cursor:
            return int(cursor.execute(_own(statement, values), values or None))

    def stream(
        self, table: Table, columns: Sequence[str], where: Where | None = None, condition: str = ""
    ) -> Iterator[Chunk]:
        values = tuple(where.values) if where else ()
        size = at_once(table)
        with self.connection.cursor(pymysql.cursors.SSCursor) as cursor:
            cursor.execute(_own(self.select(table, columns, where, condition), values), values or None)
            while chunk := cursor.fetchmany(size):
                yield list(chunk)

    def insert(self, table: Table, columns: Sequence[str], chunks: Iterable[Chunk]) -> int:
        marks = ", ".join(["%s"] * len(columns))
        # PyMySQL makes one statement of many rows when the words are these
        names = self.listed(columns).replace("%", "%%")
        statement = f"INSERT INTO {self.place(table.name)} ({names}) VALUES ({marks})"  # noqa: S608
        count = 0
        with self.connection.cursor() as cursor:
            for chunk in chunks:
                cursor.executemany(statement, chunk)
                count += len(chunk)
        return count

    def begin(self) -> None:
        self.run("START TRANSACTION")

    def trust_keys(self) -> None:
        self.run("SET SESSION foreign_key_checks = 0")

    def commit(self) -> None:
        self.connection.commit()

    def rollback(self) -> None:
        if self.connection.open:
            self.connection.rollback()


def _own(statement: str, values: tuple[Any, ...]) -> str:
    return statement.replace("%", "%%").replace("?", "%s") if values else statement


def open_for_reading(endpoint: Endpoint) -> MysqlStore:
    store = MysqlStore(endpoint, _connect(endpoint))
    store.run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    store.run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    return store


def open_for_writing(endpoint: Endpoint) -> MysqlStore:
    """With a lock of the server's (manual, "Locking Functions"), which is gone with the session."""
    store = MysqlStore(endpoint, _connect(endpoint))
    held = store.rows("SELECT get_lock(concat('project_migration/', md5(database())), 0)")[0][0]
    if held != 1:
        store.close()
        raise Refused(reasons.TARGET_BUSY, "another copy writes to the target database now", passing=True)
    return store


def _connect(endpoint: Endpoint) -> Any:
    try:
        connection = _connected(endpoint)
    except (pymysql.Error, OSError, RuntimeError) as error:
        refused = of_driver(endpoint.side, error) or Refused(UNREACHABLE, f"{endpoint.side}: {error}", True)
        message = endpoint.scrub(refused.message)
        raise Refused(refused.reason, message, refused.passing) from None
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_mode = %s, time_zone = '+00:00'", (_MODES,))
        cursor.execute(f"SET SESSION net_write_timeout = {_PATIENCE}, wait_timeout = {_PATIENCE}")
        cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        cipher = (cursor.fetchone() or ("", ""))[1]
    if endpoint.sslmode in _WITH_TLS and not cipher:
        connection.close()
        raise Refused(TLS_FAILED, f"{endpoint.side}: the server does not offer TLS, which sslmode asks for")
    return connection


def _connected(endpoint: Endpoint) -> Any:
    context = _tls(endpoint)
    try:
        return _open(endpoint, context)
    except pymysql.Error as error:
        if context is None or endpoint.sslmode in _WITH_TLS or mysql_number(error) != CR.CR_SSL_CONNECTION_ERROR:
            raise
        # PyMySQL takes TLS that is asked for as TLS that is needed; "prefer" does without where there is none
        return _open(endpoint, None)


def _open(endpoint: Endpoint, context: ssl.SSLContext | None) -> Any:
    return pymysql.connect(
        host=endpoint.host,
        port=endpoint.port,
        user=endpoint.user,
        password=endpoint.password.encode(),  # of a text PyMySQL would make Latin-1
        database=endpoint.database,
        charset="utf8mb4",
        connect_timeout=CONNECT_SECONDS,
        autocommit=True,
        local_infile=False,
        client_flag=CLIENT.FOUND_ROWS,
        program_name=endpoint.application,
        ssl=context,
        read_default_file=None,
    )


def _tls(endpoint: Endpoint) -> ssl.SSLContext | None:
    if endpoint.sslmode in {"disable", "allow"}:
        return None
    context = ssl.create_default_context(cafile=endpoint.ca_file or None)
    if endpoint.sslmode in {"prefer", "require"}:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif endpoint.sslmode == "verify-ca":
        context.check_hostname = False
    return context
