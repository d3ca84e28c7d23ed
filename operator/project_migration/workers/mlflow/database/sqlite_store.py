"""SQLite: a file that is never written to by reading it, and one transaction for what is written.

A file may be read where nothing else has it open: it is opened read-only, and where SQLite would have to write to do so
(a log of the WAL mode that holds pages, a journal of a program that died) a copy of the files is opened instead, whose
log SQLite may then work in (sqlite.org/wal.html, "Read-Only Databases"; sqlite.org/uri.html, ``immutable``).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote as quote_uri

from project_migration.workers import reasons
from project_migration.workers.mlflow.database.failures import NOT_MLFLOW, Refused
from project_migration.workers.mlflow.database.schema import Column, Schema, Table, form_of
from project_migration.workers.mlflow.database.sides import FilePlace
from project_migration.workers.mlflow.database.store import Aside, Chunk, Row, Server, Store, Where, at_once
from project_migration.workers.mlflow.database.tables import VERSION_TABLE

HEADER = b"SQLite format 3\0"
BUSY_SECONDS = 5.0
CACHE_KIB = 65536
#: What PRAGMA table_xinfo says of generated columns (sqlite.org/pragma.html).
GENERATED = (2, 3)


class SqliteStore(Store):
    server = Server.SQLITE

    def __init__(self, place: FilePlace, connection: sqlite3.Connection, uri: str) -> None:
        super().__init__(place.side, place.name)
        self.connection = connection
        self.uri = uri
        """For another connection that wants to read the same."""
        self._closing.callback(connection.close)

    @property
    def version(self) -> str:
        return sqlite3.sqlite_version

    def _read_schema(self) -> Schema:
        names = [row[0] for row in self.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        tables = {name: self._table(name) for name in names if not name.startswith("sqlite_")}
        found = self.rows(f"SELECT version_num FROM {VERSION_TABLE}") if VERSION_TABLE in tables else []  # noqa: S608
        return Schema(tables, str(found[0][0]) if len(found) == 1 else "")

    def _table(self, name: str) -> Table:
        found = self.rows(f"PRAGMA table_xinfo({self.quote(name)})")
        columns = tuple(Column(row[1], form_of(row[2]), None, row[6] in GENERATED) for row in found)
        key = tuple(row[1] for row in sorted(found, key=lambda row: row[5]) if row[5])
        return Table(name, columns, key)

    def rows(self, statement: str, *values: Any) -> list[Row]:
        return self.connection.execute(statement, values).fetchall()

    def run(self, statement: str, *values: Any) -> int:
        return self.connection.execute(statement, values).rowcount

    def stream(
        self, table: Table, columns: Sequence[str], where: Where | None = None, condition: str = ""
    ) -> Iterator[Chunk]:
        statement = self.select(table, columns, where, condition)
        cursor = self.connection.execute(statement, tuple(where.values) if where else ())
        size = at_once(table)
        while chunk := cursor.fetchmany(size):
            yield chunk

    def insert(self, table: Table, columns: Sequence[str], chunks: Iterable[Chunk]) -> int:
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {self.place(table.name)} ({self.listed(columns)}) VALUES ({marks})"  # noqa: S608
        count = 0
        for chunk in chunks:
            self.connection.executemany(statement, chunk)
            count += len(chunk)
        return count

    def set_aside(self, table: Table) -> Aside:
        """Indexes that no constraint needs; made over all rows they are sorted once."""
        statement = "SELECT name, sql FROM main.sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL"
        found = self.rows(f"{statement} ORDER BY name", table.name)
        for name, _ in found:
            self.run(f"DROP INDEX main.{self.quote(name)}")
        return Aside(tuple(sql for _, sql in found))

    def begin(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self.connection.execute("COMMIT")

    def rollback(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")


def open_for_reading(place: FilePlace, scratch: Path) -> SqliteStore:
    """``scratch``: a directory of ours, for copies; they are gone when the store is closed."""
    _look_at(place)
    folder: str | None = None
    if _reading_would_write(place.path):
        scratch.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=f"{place.side}-", dir=scratch)
        try:
            uri = _uri(_copy(place.path, folder), "mode=rw")
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    else:
        uri = _uri(place.path, "mode=ro&immutable=1" if _keeps_log(place.path) else "mode=ro")
    store = SqliteStore(place, _connect(uri), uri)
    if folder is not None:
        store._closing.callback(shutil.rmtree, folder, ignore_errors=True)
    try:
        store.connection.execute("PRAGMA query_only = 1")
        store.connection.execute("BEGIN")
        store.rows("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error:
        store.close()
        raise
    return store


def open_for_writing(place: FilePlace) -> SqliteStore:
    _look_at(place)
    if not os.access(place.path, os.W_OK):
        raise Refused(reasons.TARGET_READ_ONLY, f"{place.side}: {place.file} cannot be written to by the helper")
    uri = _uri(place.path, "mode=rw")
    connection = _connect(uri)
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    return SqliteStore(place, connection, uri)


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS, cached_statements=256)


def _uri(path: str, options: str) -> str:
    return f"file:{quote_uri(os.path.abspath(path))}?{options}"


def _look_at(place: FilePlace) -> None:
    """A regular file that is a database; a symbolic link on the way would lead out of what was mounted."""
    reason = reasons.SOURCE_NOT_FOUND if place.side == "source" else NOT_MLFLOW
    path = place.root
    for part in place.file.split("/"):
        path = os.path.join(path, part)
        with suppress(FileNotFoundError):
            if stat.S_ISLNK(os.lstat(path).st_mode):
                raise Refused(reasons.PATH_IS_A_LINK, f"{place.side}: {place.file} is reached through a symbolic link")
    if not os.path.isfile(place.path):
        how = "" if place.side == "source" else ": start the new server once, or run `mlflow db upgrade sqlite:///…`"
        raise Refused(reason, f"{place.side}: there is no file {place.file}{how}")
    with open(place.path, "rb") as stream:
        if stream.read(len(HEADER)) not in {HEADER, b""}:
            raise Refused(NOT_MLFLOW, f"{place.side}: {place.file} is not a SQLite database")


def _reading_would_write(path: str) -> bool:
    return any(_size(path + ending) > 0 for ending in ("-wal", "-journal"))


def _keeps_log(path: str) -> bool:
    """The file is in WAL mode, by its header (sqlite.org/fileformat.html, "File format version numbers")."""
    with open(path, "rb") as stream:
        return stream.read(20)[18:20] == b"\2\2"


def _copy(path: str, folder: str) -> str:
    copy = os.path.join(folder, "database")
    for ending in ("", "-wal", "-journal"):
        if _size(path + ending) > 0:
            shutil.copyfile(path + ending, copy + ending)
    return copy


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
