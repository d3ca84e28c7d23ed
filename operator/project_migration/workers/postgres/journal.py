"""One writer at a time in a target database, and a note in it that says whose unfinished work lies there.

A copy cannot be one transaction: it has several sessions. So it writes into a database that was proved empty, and
before its first object it commits a schema of its own, ``_project_migration``, that names the migration and what
the database held (empty schemas with their privileges, extensions). Whoever finds that note with work unfinished and
belongs to the same migration makes the database empty again, back to that state, and begins anew; a failure does
so at once. The database keeps its own owner, settings, privileges and connections, which a database loaded aside and
renamed would lose, and the only right that is needed is CREATE.

When all is proved the note gives way to a comment on the empty schema: which document was carried out here. The same
one, applied again, is known by it. It goes with the first write of whoever comes next, and is never dumped or copied.

Locks are advisory and belong to sessions: they are gone with the worker, even after ``kill -9``. The writer's is
exclusive. Each of its sessions holds the crew's lock as well, shared; a later writer takes that one exclusively, and
ends the sessions that a dead worker left behind, before it looks at anything.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg.pq import TransactionStatus
from psycopg.sql import SQL, Identifier, Literal

from project_migration.workers import reasons
from project_migration.workers.postgres import clearing, failures
from project_migration.workers.postgres.endpoint import WRITING_TOOL, Endpoint
from project_migration.workers.postgres.session import Connection, connect, quoted, rows, run, value

SCHEMA = "_project_migration"
WORKING, COMPLETE = "working", "complete"

#: The two numbers of an advisory lock: ours, and which of ours.
LOCK_CLASS, WRITER, CREW = 0x504D6967, 1, 2
CREW_SECONDS = 30.0

_ARRIVED = """
SELECT pg_catalog.obj_description(n.oid, 'pg_namespace') FROM pg_catalog.pg_namespace AS n
 WHERE n.nspname = '_project_migration'
"""

_TABLE = f"""
CREATE TABLE {SCHEMA}.journal (
    migration text NOT NULL, request text NOT NULL, state text NOT NULL, began timestamptz NOT NULL DEFAULT now(),
    schemas text[] NOT NULL, extensions text[] NOT NULL, restore text[] NOT NULL, counts text NOT NULL DEFAULT '{{}}')
"""

#: Statements that bring back owner, comment and privileges of a schema that was there.
_SCHEMA_STATE = """
SELECT pg_catalog.format('ALTER SCHEMA %%I OWNER TO %%I', n.nspname, pg_catalog.pg_get_userbyid(n.nspowner)),
       pg_catalog.format('COMMENT ON SCHEMA %%I IS %%L', n.nspname,
                         pg_catalog.obj_description(n.oid, 'pg_namespace')),
       ARRAY(SELECT pg_catalog.format('GRANT %%s ON SCHEMA %%I TO %%s%%s', a.privilege_type, n.nspname,
                    CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE
                         pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END,
                    CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
               FROM pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) AS a)
  FROM pg_catalog.pg_namespace AS n WHERE n.nspname = ANY(%s)
"""
_GRANTEES = """
SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE
                pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END
  FROM pg_catalog.pg_namespace AS n,
       LATERAL pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) AS a
 WHERE n.nspname = %s
"""

#: pg_restore holds no lock of ours; it is known by what it calls itself.
_LEFT_TOOLS = """
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
 WHERE datname = pg_catalog.current_database() AND application_name = %s AND pid <> pg_catalog.pg_backend_pid()
"""

_LEFT_BEHIND = """
SELECT pg_catalog.pg_terminate_backend(l.pid) FROM pg_catalog.pg_locks AS l
 WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %s AND l.objid = %s
   AND l.pid <> pg_catalog.pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
"""


@dataclass(frozen=True, slots=True)
class Entry:
    migration: str
    request: str
    state: str
    schemas: tuple[str, ...]
    extensions: tuple[str, ...]
    restore: tuple[str, ...]
    counts: Mapping[str, int]


@contextmanager
def writer(endpoint: Endpoint) -> Iterator[Connection]:
    """The one session that may write, and the sessions of a dead worker ended. Raises ``Refused`` (TargetBusy)."""
    session = connect(endpoint)
    try:
        if not value(session, "SELECT pg_catalog.pg_try_advisory_lock(%s, %s)", LOCK_CLASS, WRITER):
            raise failures.Refused(reasons.TARGET_BUSY, "another copy writes to the target database now", passing=True)
        deadline = time.monotonic() + CREW_SECONDS
        while not value(session, "SELECT pg_catalog.pg_try_advisory_lock(%s, %s)", LOCK_CLASS, CREW):
            rows(session, _LEFT_BEHIND, LOCK_CLASS, CREW)
            if time.monotonic() > deadline:
                message = "sessions of an earlier worker do not end in the target database"
                raise failures.Refused(reasons.TARGET_BUSY, message, passing=True)
            time.sleep(0.1)
        while rows(session, _LEFT_TOOLS, WRITING_TOOL) and time.monotonic() < deadline:
            time.sleep(0.1)
        rows(session, "SELECT pg_catalog.pg_advisory_unlock(%s, %s)", LOCK_CLASS, CREW)
        yield session
    finally:
        session.close()


@contextmanager
def writer_again(endpoint: Endpoint, session: Connection) -> Iterator[Connection]:
    """The writer's session as it is, or a new one with the lock when the server closed it."""
    if session.closed or session.broken:
        with writer(endpoint) as another:
            yield another
        return
    if session.info.transaction_status is not TransactionStatus.IDLE:
        session.rollback()
    yield session


def join_crew(session: Connection) -> None:
    rows(session, "SELECT pg_catalog.pg_advisory_lock_shared(%s, %s)", LOCK_CLASS, CREW)


def read(session: Connection) -> Entry | None:
    if value(session, "SELECT pg_catalog.to_regclass(%s)", f"{SCHEMA}.journal") is None:
        return None
    query = f"SELECT migration, request, state, schemas, extensions, restore, counts FROM {SCHEMA}.journal"  # noqa: S608
    found = rows(session, query)
    if not found:
        return None
    migration, request, state, schemas, extensions, restore, counts = found[0]
    return Entry(migration, request, state, tuple(schemas), tuple(extensions), tuple(restore), json.loads(counts))


def begin(session: Connection, migration: str, request: str, *, replace: bool) -> Entry:
    """Proves the database empty, or makes it so where that is ours to do, and leaves the note.

    Raises ``Refused`` (TargetNotEmpty) and has changed nothing then. An entry that is complete is this very
    request's own: there is nothing left to do.
    """
    entry = read(session)
    if entry and entry.migration == migration:
        if entry.state == COMPLETE and entry.request == request:
            return entry
        take_back(session, entry)
    elif entry and not replace:
        raise failures.Refused(reasons.TARGET_NOT_EMPTY, f"the target holds {entry.state} work of another migration")
    found = clearing.user_objects(session)
    if found and not replace:
        more = ", …" if len(found) > 5 else ""
        raise failures.Refused(reasons.TARGET_NOT_EMPTY, f"the target holds {', '.join(found[:5])}{more}")
    if found or entry:
        run(session, f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        extensions = [row[0] for row in rows(session, "SELECT extname FROM pg_catalog.pg_extension")]
        clearing.clear(session, (), extensions)
    return _note(session, migration, request)


def _note(session: Connection, migration: str, request: str) -> Entry:
    schemas = clearing.schemas(session)
    extensions = tuple(row[0] for row in rows(session, "SELECT extname FROM pg_catalog.pg_extension"))
    restore = schema_statements(session, (*schemas, "public"))
    with session.transaction():
        if read_arrived(session):
            run(session, f"DROP SCHEMA {SCHEMA}")
        run(session, f"CREATE SCHEMA {SCHEMA}")
        run(session, _TABLE)
        statement = f"INSERT INTO {SCHEMA}.journal VALUES (%s, %s, %s, default, %s, %s, %s)"  # noqa: S608
        rows_of = (migration, request, WORKING, list(schemas), list(extensions), list(restore))
        session.execute(statement.encode(), rows_of)
    return Entry(migration, request, WORKING, schemas, extensions, restore, {})


def schema_statements(session: Connection, schemas: tuple[str, ...]) -> tuple[str, ...]:
    """Statements that bring back owner, comment and privileges of schemas."""
    found: list[str] = []
    for owner, comment, grants in rows(session, _SCHEMA_STATE, list(schemas)):
        found += [owner, comment, *grants]
    return tuple(found)


def take_back(session: Connection, entry: Entry) -> None:
    """The database as it was when the note was written, and the note gone."""
    clearing.clear(session, entry.schemas, entry.extensions)
    with session.transaction():
        restore_schemas(session, (*entry.schemas, "public"), entry.restore)
        run(session, f"DROP SCHEMA {SCHEMA} CASCADE")


def restore_schemas(session: Connection, schemas: Sequence[str], statements: Sequence[str]) -> None:
    """Owner, comment and privileges as :func:`schema_statements` told them, where they are others now."""
    if sorted(schema_statements(session, tuple(schemas))) == sorted(statements):
        return
    for schema in schemas:
        for (grantee,) in rows(session, _GRANTEES, schema):
            run(session, f"REVOKE ALL ON SCHEMA {quoted(schema)} FROM {grantee}")
    for statement in statements:
        run(session, statement)


def complete(session: Connection, counts: Mapping[str, int]) -> None:
    """From here on the work is whole. This commit waits for the disk, and with it all before."""
    with session.transaction():
        session.execute("SET LOCAL synchronous_commit TO on")
        statement = f"UPDATE {SCHEMA}.journal SET state = %s, counts = %s"  # noqa: S608 - our own words
        session.execute(statement.encode(), (COMPLETE, json.dumps(dict(counts))))


def remove(session: Connection) -> None:
    run(session, f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def settle(session: Connection, document: Sequence[str], migration: str) -> None:
    """The note gives way to the word of which document was carried out here, in one transaction."""
    with session.transaction():
        remove(session)
        if document:
            run(session, f"CREATE SCHEMA {SCHEMA}")
            told = json.dumps({"document": list(document), "migration": migration})
            session.execute(SQL("COMMENT ON SCHEMA {} IS {}").format(Identifier(SCHEMA), Literal(told)))


def read_arrived(session: Connection) -> tuple[str, ...]:
    """The digests of the document that was carried out here; none where that is not known, or not so now."""
    if read(session) is not None:
        return ()
    try:
        found = json.loads(value(session, _ARRIVED) or "{}").get("document", ())
        return tuple(str(digest) for digest in found)
    except (ValueError, TypeError, AttributeError):
        return ()
