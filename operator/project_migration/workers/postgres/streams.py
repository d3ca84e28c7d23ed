"""One table's rows from server to server, without a step of Python for each row.

psql reads: in C it takes the rows out of the protocol's messages, one a row, and writes them to a pipe. Here they are
read from the pipe in large pieces and sent on as large messages, so that the receiving server has few to look at. Both
ends are libpq: TLS and every way to log in work. A table is emptied and loaded in one transaction, which lets the
target write rows as frozen (manual, COPY, "FREEZE"): no second pass sets hint bits or freezes them later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from psycopg import Copy

from project_migration.workers import reasons
from project_migration.workers.postgres import failures, tools
from project_migration.workers.postgres.catalog import Table
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.session import SETTINGS, Connection, literal, trusted
from project_migration.workers.postgres.tools import Running, Tools

#: Below this a psql of its own costs more than a call for each row.
SMALL = 4 << 20

Count = Callable[[int], None]


class Limit:
    """At most so many bytes a second over all threads; 0 is no limit."""

    def __init__(self, bytes_a_second: int) -> None:
        self._rate = bytes_a_second
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self, size: int) -> None:
        if not self._rate:
            return
        with self._lock:
            now = time.monotonic()
            self._free_at = max(now, self._free_at) + size / self._rate
            pause = self._free_at - now
        time.sleep(max(0.0, pause))


class Reader:
    """Reads tables of the source as they were at one snapshot."""

    def __init__(self, running: Running, client: Tools, source: Endpoint, snapshot: str, encoding: str) -> None:
        self._running = running
        self._client = client
        self._source = source
        self._snapshot = snapshot
        self._encoding = encoding

    def pieces(self, table: Table, session: Connection, binary: bool) -> Iterator[bytes]:
        statement = copy_out(table, binary)
        if table.size >= SMALL:
            yield from self._through_psql(table, statement)
            return
        with session.cursor().copy(trusted(statement)) as copy:
            yield from (bytes(piece) for piece in copy)

    def _through_psql(self, table: Table, statement: str) -> Iterator[bytes]:
        argv = (self._client["psql"], "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "-vON_ERROR_STOP=1")
        script = self._script(statement).encode(_python_name(self._encoding))
        return tools.pieces(self._running, self._source, argv, table.title, script=script, encoding=self._encoding)

    def _script(self, statement: str) -> str:
        known = {name: text for name, text in SETTINGS.items() if not name.endswith("_timeout")}
        lines = [f"SET {name} = {literal(text)};" for name, text in known.items()]
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
        settings = "".join(f"{line}\n" for line in lines)
        return f"{settings}{begin}\nSET TRANSACTION SNAPSHOT {literal(self._snapshot)};\n{statement};\n"


def _python_name(encoding: str) -> str:
    """Names in a script are ASCII or of this encoding; what Python does not know is sent as UTF-8 (SQL_ASCII)."""
    try:
        "".encode(encoding)
    except LookupError:
        return "utf-8"
    return encoding


def copy_out(table: Table, binary: bool) -> str:
    form = " (FORMAT binary)" if binary else ""
    if table.condition:
        columns = table.column_list.strip(" ()") or "*"
        return f"COPY (SELECT {columns} FROM ONLY {table.quoted} {table.condition}) TO STDOUT{form}"  # noqa: S608
    return f"COPY {table.quoted}{table.column_list} TO STDOUT{form}"


def copy_in(table: Table, binary: bool, frozen: bool) -> str:
    options = [*(("FORMAT binary",) if binary else ()), *(("FREEZE",) if frozen else ())]
    words = f" ({', '.join(options)})" if options else ""
    return f"COPY {table.quoted}{table.column_list} FROM STDIN{words}"


def load(
    reader: Reader, source: Connection, target: Connection, table: Table, binary: bool, limit: Limit, count: Count
) -> int:
    """Returns how many rows the target took. Raises ``Refused``, and the table is as it was."""
    frozen = not table.of_extension
    with target.transaction():
        if frozen:
            target.execute(trusted(f"TRUNCATE ONLY {table.quoted}"))
        with _copying(target, copy_in(table, binary, frozen)) as (copy, rows):
            for piece in reader.pieces(table, source, binary):
                limit.take(len(piece))
                copy.write(piece)
                count(len(piece))
    if rows[0] < 0:
        raise failures.Refused(reasons.COPY_INCOMPLETE, f"{table.title}: the target did not say how many rows it took")
    return rows[0]


@contextmanager
def _copying(target: Connection, statement: str) -> Iterator[tuple[Copy, list[int]]]:
    cursor = target.cursor()
    rows = [-1]
    with cursor.copy(trusted(statement)) as copy:
        yield copy, rows
    rows[0] = cursor.rowcount
