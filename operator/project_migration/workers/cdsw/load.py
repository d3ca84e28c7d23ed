"""Worker ``cdsw.load``: the database of the CDSW in the place of the workspace's, in one transaction.

Params: ``source`` (an archive, or a live database), ``target.database``, and those of ``cdsw.save``, whose work is done
first: what has to survive is kept. The schemas ``public``
and ``feature_flags``, and any other that the dump makes, are dropped; ``public`` is made again with its extensions; the
dump is loaded and compared with what was sent; the tables of quotas are emptied; owner and privileges of ``public`` are
as before. Whatever fails, and wherever the helper is killed, the target is as it was. A second run finds the work done.

Rows of credentials (``kerberos``, ``ssh_keys``, ``access_keys``) that a dump holds are not loaded.
Counts: ``tables``, ``rows``, ``credentialsLeft``, ``quotasRemoved``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg

from project_migration.model.records import Progress, Record
from project_migration.workers import reasons
from project_migration.workers.cdsw import digests, dumping, failures, note, save, tables, workspace
from project_migration.workers.cdsw.dump import Head
from project_migration.workers.cdsw.loading import Loader, load_failed
from project_migration.workers.cdsw.note import Kept, Note, State
from project_migration.workers.cdsw.program import main
from project_migration.workers.cdsw.request import SOURCE, TARGET, side_of
from project_migration.workers.harness import Job
from project_migration.workers.postgres import journal
from project_migration.workers.postgres.session import Connection, literal, major, quoted, rows, run

#: What still uses the database is told after so long, and not waited for.
_LOCK_TIMEOUT = "30s"
_LOCK_NOT_AVAILABLE = "55P03"

_OTHERS = """
SELECT coalesce(nullif(application_name, ''), usename, 'unknown') || coalesce(' from ' || client_addr, '')
  FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database() AND backend_type = 'client backend'
   AND pid <> pg_catalog.pg_backend_pid() LIMIT 5
"""


def work(job: Job) -> Record:
    source = side_of(job, SOURCE)
    save.work(job)
    with journal.writer(side_of(job, TARGET).endpoint(job)) as session:
        found = note.required(session, job.request.migration_uid, State.SAVED, State.LOADED, State.ADAPTED)
        if found.state is not State.SAVED:
            return job.record(counts=found.counts, message="it was loaded before")
        try:
            with session.transaction(), closing(dumping.pieces_of(job, source, major(session))) as pieces:
                run(session, f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
                _make_room(session)
                counts = _load(job, session, pieces, found)
        except psycopg.Error as error:
            if error.sqlstate == _LOCK_NOT_AVAILABLE:
                raise _busy(session) from error
            raise load_failed("the end of it", error) from error
    return job.record(counts=counts)


def _make_room(session: Connection) -> None:
    for schema in (tables.PUBLIC, tables.FEATURE_FLAGS):
        run(session, f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE")
    run(session, f"CREATE SCHEMA {quoted(tables.PUBLIC)}")
    for name, version in note.kept(session, Kept.EXTENSION):
        words = f"SCHEMA {quoted(tables.PUBLIC)} VERSION {literal(version)}"
        run(session, f"CREATE EXTENSION IF NOT EXISTS {quoted(name)} WITH {words} CASCADE")


def _load(job: Job, session: Connection, pieces: Iterator[bytes], found: Note) -> dict[str, int]:
    head, loader = Head(), Loader(session)

    def tick() -> None:
        done = sum(head.rows.values())
        job.tell(Progress(0, 0, done, done))

    loader.load(pieces, head, tick)
    missing = workspace.missing_tables(session)
    if missing:
        raise failures.Refused(failures.NOT_A_WORKSPACE, f"the dump holds no table {', '.join(missing)}")
    there = digests.of_all(session)
    _compare(there, head, loader)
    digests.write(session, there)
    removed = 0
    for table in tables.QUOTAS:
        if workspace.has(session, table):
            removed += session.execute(f"DELETE FROM {workspace.public(table)}".encode()).rowcount  # noqa: S608
    statements = dict(note.kept(session, Kept.SCHEMA_STATE))[tables.PUBLIC]
    journal.restore_schemas(session, (tables.PUBLIC,), statements)
    counts = {
        "tables": len(there),
        "rows": sum(one.rows for one in there),
        "credentialsLeft": sum(loader.left_out.values()),
        "quotasRemoved": removed,
    }
    note.reach(session, State.LOADED, counts, {**found.facts})
    return counts


def _compare(there: tuple[digests.Held, ...], head: Head, loader: Loader) -> None:
    """A trigger or a rule may swallow rows without an error."""
    counted = {one.title: one.rows for one in there}
    for title, count in head.rows.items():
        expected = 0 if title in loader.left_out else count
        if counted.get(title, expected) != expected:  # a partition's rows are counted with its parent
            what = f"{title} holds {counted[title]} rows, and {expected} were sent"
            raise failures.Refused(failures.LOAD_FAILED, f"the target took nothing of the dump: {what}")


def _busy(session: Connection) -> failures.Refused:
    if session.closed:
        return failures.Refused(reasons.TARGET_BUSY, "the target database is in use", True)
    session.rollback()
    names = ", ".join(row[0] for row in rows(session, _OTHERS)) or "a session that has ended since"
    return failures.Refused(reasons.TARGET_BUSY, f"the target database is in use by {names}", True)


if __name__ == "__main__":
    main("load", __doc__ or "", work)
