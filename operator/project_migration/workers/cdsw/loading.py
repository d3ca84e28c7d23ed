"""Feeds a dump to a server, in a transaction that somebody else began and ends."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import psycopg
from psycopg import Copy

from project_migration.workers.cdsw import failures, tables
from project_migration.workers.cdsw.dump import CopyBegins, CopyEnds, Head, Rows, Statement, events
from project_migration.workers.postgres.failures import last_line
from project_migration.workers.postgres.journal import SCHEMA
from project_migration.workers.postgres.session import Connection, quoted, rows, value

#: Statements that are sent together, in bytes.
TOGETHER = 64 << 10

_TRANSACTIONS = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE"})
_OTHER_DATABASES = frozenset({"DATABASE", "TABLESPACE", "SYSTEM"})
_SET = re.compile(rb"SET (?:SESSION )?([A-Za-z_.]+) (?:=|TO) ", re.IGNORECASE)
_SCHEMA = re.compile(
    rb'CREATE SCHEMA (?:IF NOT EXISTS )?(?:"((?:[^"]|"")+)"|([A-Za-z_\x80-\xff][\w$\x80-\xff]*))', re.IGNORECASE
)

_COPY_CONTEXT = re.compile(r"COPY [^,]+, line \d+(?:, column [^:]+)?")


class Loader:
    """``with_rows`` false: only what the tables are."""

    def __init__(self, session: Connection, *, with_rows: bool = True) -> None:
        self._session = session
        self._with_rows = with_rows
        self._known = {row[0].lower().encode() for row in rows(session, "SELECT name FROM pg_catalog.pg_settings")}
        self._transaction = value(session, "SELECT pg_catalog.txid_current()")
        self._together = bytearray()
        self._in_block = False
        self.left_out: dict[str, int] = {}
        """Rows of credentials that the dump holds, by table."""

    def load(self, pieces: Iterable[bytes], head: Head, tick: Callable[[], None] = lambda: None) -> None:
        """Raises ``Refused``: DumpUnusable, or LoadFailed with the server's words."""
        with ExitStack() as stack:
            copy: Copy | None = None
            where = ""
            try:
                for event in events(pieces, head):
                    tick()
                    match event:
                        case Statement():
                            where = " ".join(event.words)[:80]
                            self.take(event)
                        case CopyBegins(table=table):
                            where = f"rows of {table.title}"
                            copy = self._begin_copy(event, stack)
                        case Rows(data=data) if copy is not None:
                            copy.write(data)
                        case CopyEnds() if copy is not None:
                            stack.close()
                            copy = None
                        case CopyEnds(table=table, rows=count) if table.name in tables.SENSITIVE and count:
                            self.left_out[table.title] = count
                self.flush()
            except psycopg.Error as error:
                raise load_failed(where, error) from error
        self._check_transaction()

    def take(self, statement: Statement) -> None:
        text = self._judged(statement)
        if text:
            self._together += text + b"\n"
            if len(self._together) >= TOGETHER:
                self.flush()

    def flush(self) -> None:
        if self._together:
            text = bytes(self._together)
            self._together.clear()
            self._session.execute(text)

    def _begin_copy(self, event: CopyBegins, stack: ExitStack) -> Copy | None:
        self.flush()
        if not self._with_rows or (event.table.schema == tables.PUBLIC and event.table.name in tables.SENSITIVE):
            return None
        cursor = stack.enter_context(self._session.cursor())
        return stack.enter_context(cursor.copy(event.text))

    def _judged(self, statement: Statement) -> bytes:
        """The statement, with what has to come before it; nothing where it is passed over. Raises ``Refused``."""
        words = statement.words
        if words == ("BEGIN;",) or (words == ("COMMIT;",) and self._in_block):
            self._in_block = words == ("BEGIN;",)  # pg_dump puts both around large objects: one transaction has it all
            return b""
        if words[:3] == ("COMMENT", "ON", "EXTENSION"):  # only an extension's owner may, and it has its own
            return b""
        if words and words[0].rstrip(";") in _TRANSACTIONS:
            raise failures.unusable(f"it ends transactions itself ({' '.join(words)[:40]})")
        if len(words) > 1 and words[0] in ("CREATE", "ALTER", "DROP") and words[1] in _OTHER_DATABASES:
            raise failures.unusable(
                f"it changes the server, not the database ({' '.join(words)[:40]}): dump without -C"
            )
        setting = _SET.match(statement.text)
        if setting and setting[1].lower() not in self._known:  # written by a newer pg_dump
            return b""
        return self._schema(statement) if words[:2] == ("CREATE", "SCHEMA") else statement.text

    def _schema(self, statement: Statement) -> bytes:
        match = _SCHEMA.match(statement.text)
        if match is None:
            raise failures.unusable(f"it holds {statement.text[:60].decode(errors='replace')!r}")
        name = (match[1] or match[2]).decode("utf-8", "surrogateescape").replace('""', '"')
        if name == SCHEMA:
            raise failures.unusable(
                f"it holds the schema {SCHEMA}, which says whose work a database holds: drop it there"
            )
        if name == tables.PUBLIC:
            return b""
        return f"DROP SCHEMA IF EXISTS {quoted(name)} CASCADE;\n".encode() + statement.text

    def _check_transaction(self) -> None:
        """A function that the dump calls cannot end a transaction; should anything have, nothing may go on."""
        now = value(self._session, "SELECT pg_catalog.txid_current()")
        if now != self._transaction:
            raise failures.unusable("it ended the transaction that it was loaded in")


def load_failed(where: str, error: psycopg.Error) -> failures.Refused:
    detail = error.diag.message_primary or last_line(str(error)) or type(error).__name__
    # where in the rows, without the row itself: it may hold what nobody should find in a record
    place = _COPY_CONTEXT.match(error.diag.context or "")
    context = f" ({place.group()})" if place else ""
    passing = (error.sqlstate or "08")[:2] in {"08", "40", "55", "57"}
    message = f"the target took nothing of the dump: {where}: {detail}{context}"
    return failures.Refused(failures.LOAD_FAILED, message, passing)
