"""Sessions on a server, all with the same settings, so that both sides speak of the same value in the same words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from project_migration.workers.postgres import failures
from project_migration.workers.postgres.endpoint import Endpoint

Connection = psycopg.Connection[TupleRow]

#: Settings of every session; those that a server does not have are passed over. They are pg_dump's own, and:
#: a server that notices within seconds that its client is gone, text forms that no locale changes, and
#: ``row_security`` off, which turns rows that a policy would hide into an error.
SETTINGS = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "transaction_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "client_connection_check_interval": "5s",
    "search_path": "",
    "row_security": "off",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "xmloption": "content",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "synchronize_seqscans": "off",
    "client_min_messages": "error",
    "check_function_bodies": "off",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": "read committed",
    "quote_all_identifiers": "off",
}

_SET = (
    "SELECT set_config(wanted.name, wanted.value, false) FROM unnest(%s::text[], %s::text[]) AS wanted (name, value)"
    " JOIN pg_catalog.pg_settings AS known ON lower(known.name) = wanted.name"
)


def forget_environment() -> None:
    """libpq takes what it is not told from PG* variables; a request says everything."""
    for name in [name for name in os.environ if name.startswith("PG") and name != "PG_BIN"]:
        del os.environ[name]


def connect(endpoint: Endpoint, *, encoding: str = "", autocommit: bool = True) -> Connection:
    """Raises ``Refused`` with the reason. ``encoding``: of the client, where it matters; else UTF8."""
    try:
        session = psycopg.connect(**endpoint.conninfo, client_encoding=encoding or "UTF8", autocommit=True)
    except psycopg.Error as error:
        refused = failures.at_connect(endpoint.side, error)
        message = endpoint.scrub(refused.message)
        raise failures.Refused(refused.reason, message, refused.passing) from None
    session.prepare_threshold = None
    session.execute(_SET, (list(SETTINGS), list(SETTINGS.values())))
    session.autocommit = autocommit
    return session


@contextmanager
def opened(endpoint: Endpoint, *, encoding: str = "") -> Iterator[Connection]:
    session = connect(endpoint, encoding=encoding)
    try:
        yield session
    finally:
        session.close()


@contextmanager
def snapshot(endpoint: Endpoint, *, encoding: str = "") -> Iterator[tuple[Connection, str]]:
    """A session whose transaction sees one moment, and the name under which others see the same moment."""
    with opened(endpoint, encoding=encoding) as session:
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield session, str(value(session, "SELECT pg_catalog.pg_export_snapshot()"))


def join_snapshot(session: Connection, name: str) -> None:
    session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    run(session, f"SET TRANSACTION SNAPSHOT {literal(name)}")


def run(session: Connection, statement: str) -> None:
    """A statement put together by our own code, every name in it quoted."""
    session.execute(trusted(statement))


def rows(session: Connection, statement: str, *values: Any) -> list[Any]:
    return session.execute(trusted(statement), values or None).fetchall()


def value(session: Connection, statement: str, *values: Any) -> Any:
    found = session.execute(trusted(statement), values or None).fetchone()
    return found[0] if found else None


def trusted(statement: str) -> LiteralString:
    """psycopg wants literals; what comes here is built from them and from quoted names."""
    return statement


def quoted(*names: str) -> str:
    return sql.Identifier(*names).as_string(None)


def literal(text: str) -> str:
    """For statements that take no parameters. Backslashes need the E form, whatever the server's settings."""
    doubled = text.replace("'", "''")
    return f" E'{doubled.replace(chr(92), chr(92) * 2)}'" if "\\" in text else f"'{doubled}'"


def major(session: Connection) -> int:
    return session.info.server_version // 10000
