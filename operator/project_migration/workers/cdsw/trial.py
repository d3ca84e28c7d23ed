"""The tables of a dump in a database of their own on the target's server: what the catalogue says of them is certain.

No rows come there. The database is named after the migration, so that one that a killed helper left is found, and
dropped.
"""

from __future__ import annotations

import time
from types import TracebackType

import psycopg

from project_migration.workers.cdsw import failures, tables, workspace
from project_migration.workers.cdsw.dump import Statement
from project_migration.workers.cdsw.loading import Loader, load_failed
from project_migration.workers.cdsw.request import Side, Unlisted
from project_migration.workers.harness import Job
from project_migration.workers.postgres import failures as of_postgres
from project_migration.workers.postgres.session import Connection, connect, major, quoted, rows, run, value
from project_migration.workers.reasons import Refusal

_NAMED = 5
_DROP_SECONDS = 20.0

_MAY_CREATE = """
SELECT (rolcreatedb OR rolsuper) AND NOT pg_catalog.pg_is_in_recovery() FROM pg_catalog.pg_roles
 WHERE rolname = current_user
"""


class Trial:
    """Use as a context manager around the reading of the dump."""

    def __init__(self, job: Job, target: Side, session: Connection) -> None:
        self._job, self._target, self._outer = job, target, session
        self._name = f"project_migration_trial_{job.request.migration_uid[:36]}"[:63]
        self._session: Connection | None = None
        self._loader: Loader | None = None
        self._failed: Refusal | None = None
        self.was_made = False
        self.major = major(session)

    def __enter__(self) -> Trial:
        if not value(self._outer, _MAY_CREATE):
            return self
        self._drop()
        try:
            run(self._outer, f"CREATE DATABASE {quoted(self._name)} TEMPLATE template0")
            data = {**(self._target.database or {}), "database": self._name}
            endpoint = Side(self._target.side, database=data).endpoint(self._job)
            self._session = connect(endpoint, autocommit=False)
            run(self._session, f"DROP SCHEMA IF EXISTS {quoted(tables.PUBLIC)} CASCADE")
            run(self._session, f"CREATE SCHEMA {quoted(tables.PUBLIC)}")
            self._loader = Loader(self._session, with_rows=False)
            self.was_made = True
        except psycopg.Error:  # no room, no template: the load will say so itself
            self._close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
        self._drop()

    def _drop(self) -> None:
        if self._outer.closed or not value(
            self._outer, "SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", self._name
        ):
            return
        ending = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = %s"
        deadline = time.monotonic() + _DROP_SECONDS
        while True:
            rows(self._outer, ending, self._name)
            try:
                run(self._outer, f"DROP DATABASE IF EXISTS {quoted(self._name)}")
                return
            except psycopg.errors.ObjectInUse:  # a session takes a moment to end
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def take(self, statement: Statement) -> None:
        """Raises ``Refused`` for what no dump may hold; what the server refuses is kept for :meth:`problems`."""
        if self._loader is None or self._failed is not None:
            return
        where = " ".join(statement.words)[:80]
        try:
            self._loader.take(statement)
        except psycopg.Error as error:
            self._failed = _of(where, error)

    def problems(self, held: dict[str, int], unlisted: Unlisted) -> list[Refusal]:
        """``held``: rows by ``schema.table``."""
        if self._loader is None or self._session is None:
            return []
        try:
            if self._failed is None:
                self._loader.flush()
        except psycopg.Error as error:
            self._failed = _of("its last statements", error)
        if self._failed is not None:
            return [self._failed]
        missing = workspace.missing_tables(self._session)
        if missing:
            message = f"the dump holds no table {', '.join(missing)}: it is not of a CDSW"
            return [Refusal(failures.NOT_A_WORKSPACE, message)]
        return [*self._users(self._session, held, unlisted), *self._tables(self._session, held, unlisted)]

    def _users(self, session: Connection, held: dict[str, int], unlisted: Unlisted) -> list[Refusal]:
        """Columns that refer to users and that nobody said anything about, of tables with rows."""
        known = {(table, column) for table, column in (*tables.OWNED, *unlisted.handed_over)}
        emptied = {*tables.SITE_BOUND, *tables.QUOTAS, tables.INVITATIONS, *unlisted.emptied}
        found = []
        for place in workspace.user_references(session, workspace.references(session)):
            ours = place.schema == tables.PUBLIC
            settled = ours and (
                (place.table, place.column) in known
                or place.table in emptied
                or place.table in (tables.USERS, tables.SITE_CONFIG)
            )
            if not settled and held.get(f"{place.schema}.{place.table}"):
                found.append(f"{place.title} ({held[f'{place.schema}.{place.table}']} rows)")
        if not found:
            return []
        message = f"columns that the guide does not know may refer to users who go: {_named(found)}"
        return [Refusal(failures.USERS_REFERRED_TO, message)]

    def _tables(self, session: Connection, held: dict[str, int], unlisted: Unlisted) -> list[Refusal]:
        emptied = {*tables.SITE_BOUND, tables.INVITATIONS, *unlisted.emptied}
        outside = workspace.outside_references(workspace.references(session), emptied)
        found = [f"{one.at.title} to {one.table}" for one in outside if held.get(f"{one.at.schema}.{one.at.table}")]
        if not found:
            return []
        return [
            Refusal(failures.TABLES_REFERRED_TO, f"tables that stay refer to tables that are emptied: {_named(found)}")
        ]


def _of(where: str, error: psycopg.Error) -> Refusal:
    text = error.diag.message_primary or ""
    if error.sqlstate == "42704" and text.startswith("role "):
        return Refusal(of_postgres.ROLE_MISSING, f"the target: {text}")
    if error.sqlstate == "0A000" and "extension" in text:
        return Refusal(of_postgres.EXTENSION_MISSING, f"the target: {text}")
    return load_failed(where, error)


def _named(found: list[str]) -> str:
    return ", ".join(found[:_NAMED]) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
