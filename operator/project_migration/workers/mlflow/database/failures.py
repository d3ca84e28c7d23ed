"""What a driver says, as one of the reasons that a record may hold."""

from __future__ import annotations

import sqlite3
from typing import Any

import psycopg

from project_migration.workers import reasons
from project_migration.workers.postgres import failures as of_postgres

NOT_MLFLOW = "NotMlflow"
TARGET_NOT_INITIALISED = "TargetNotInitialised"
SCHEMA_MISMATCH = "SchemaMismatch"
NAME_CLASH = "NameClash"
NOTHING_SELECTED = "NothingSelected"
VALUE_DOES_NOT_FIT = "ValueDoesNotFit"
ARTIFACTS_UNSUPPORTED = "ArtifactsUnsupported"
NOT_SUPPORTED_YET = "NotSupportedYet"


Refused = reasons.Refusal

#: Result codes of SQLite (sqlite.org/rescode.html) and what they mean here.
_SQLITE = {
    sqlite3.SQLITE_FULL: (reasons.NO_SPACE_LEFT, False),
    sqlite3.SQLITE_IOERR: (reasons.IO_ERROR, True),
    sqlite3.SQLITE_READONLY: (reasons.TARGET_READ_ONLY, False),
    sqlite3.SQLITE_BUSY: (reasons.TARGET_BUSY, True),
    sqlite3.SQLITE_LOCKED: (reasons.TARGET_BUSY, True),
    sqlite3.SQLITE_PERM: (reasons.PERMISSION_DENIED, False),
    sqlite3.SQLITE_CANTOPEN: (reasons.PERMISSION_DENIED, False),
    sqlite3.SQLITE_NOTADB: (NOT_MLFLOW, False),
    sqlite3.SQLITE_CORRUPT: (reasons.IO_ERROR, False),
}

#: Error numbers of MySQL and MariaDB ("Server Error Message Reference", "Client Error Message Reference").
_MYSQL = {
    1044: (reasons.PERMISSION_DENIED, False),
    1045: (of_postgres.AUTHENTICATION_FAILED, False),
    1698: (of_postgres.AUTHENTICATION_FAILED, False),
    1049: (of_postgres.DATABASE_NOT_FOUND, False),
    1142: (reasons.PERMISSION_DENIED, False),
    1143: (reasons.PERMISSION_DENIED, False),
    1227: (reasons.PERMISSION_DENIED, False),
    1290: (reasons.TARGET_READ_ONLY, False),
    1836: (reasons.TARGET_READ_ONLY, False),
    1021: (reasons.NO_SPACE_LEFT, False),
    1114: (reasons.NO_SPACE_LEFT, False),
    1205: (reasons.TARGET_BUSY, True),
    1213: (reasons.TARGET_BUSY, True),
    1406: (VALUE_DOES_NOT_FIT, False),
    1366: (VALUE_DOES_NOT_FIT, False),
    1062: (VALUE_DOES_NOT_FIT, False),
    2002: (of_postgres.UNREACHABLE, True),
    2003: (of_postgres.UNREACHABLE, True),
    2006: (of_postgres.UNREACHABLE, True),
    2013: (of_postgres.UNREACHABLE, True),
    2026: (of_postgres.TLS_FAILED, False),
}


def of_driver(where: str, error: Exception) -> reasons.Refusal | None:
    """The reason for what one of the three drivers raised; None for anything else. ``where`` names the object."""
    if isinstance(error, psycopg.Error):
        return _postgres(where, error)
    if isinstance(error, sqlite3.Error):
        return _sqlite(where, error)
    number = mysql_number(error)
    return None if number is None else _mysql(where, number, error)


def _postgres(where: str, error: psycopg.Error) -> reasons.Refusal:
    if (error.sqlstate and error.sqlstate[:2] in {"22", "23"}) or (isinstance(error, psycopg.DataError)):
        return Refused(VALUE_DOES_NOT_FIT, f"{where}: {of_postgres.last_line(str(error))}")
    return of_postgres.of_error(where, error)


def _sqlite(where: str, error: sqlite3.Error) -> reasons.Refusal:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, sqlite3.IntegrityError):
        return Refused(VALUE_DOES_NOT_FIT, f"{where}: {error}")
    reason, passing = _SQLITE.get(code, (reasons.COPY_INCOMPLETE, False))
    return Refused(reason, f"{where}: {error}", passing)


def _mysql(where: str, number: int, error: Exception) -> reasons.Refusal:
    reason, passing = _MYSQL.get(number, (reasons.COPY_INCOMPLETE, False))
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    return Refused(reason, f"{where}: {text[:600]}", passing)


def mysql_number(error: Any) -> int | None:
    """The error number when it is PyMySQL's; that driver is loaded only where a server is MySQL."""
    if not type(error).__module__.startswith("pymysql"):
        return None
    first = error.args[0] if error.args else 0
    return first if isinstance(first, int) else 0
