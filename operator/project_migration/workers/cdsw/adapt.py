"""Worker ``cdsw.adapt``: what was loaded becomes the workspace's, in one transaction, after its schema Job has run.

Params: ``target.database``, ``users``; ``unlisted``: what a person decided of tables that the guide does not know
(``{"handOver": ["table.column"], "empty": ["table"]}``). In this order: sequences above their columns; the workspace's
engine image and users; owners; addresses of projects; ``site_config``; feature flags; jobs paused and applications
stopped; tables bound to the old installation emptied; users removed once nothing refers to them; the password of the
role as the Secret has it. A second run finds the work done and tells the same.

Lists: ``pausedJobs`` and ``stoppedApplications`` that were active, ``renamed`` projects, ``usersLeft``.
Counts: ``users``, ``mapped``, ``usersLeft``, ``handedOver``, ``renamed``, ``pausedJobs``, ``stoppedApplications``,
``emptied`` (rows), ``siteConfig``, ``flags``, ``sequences``.
"""

from __future__ import annotations

from typing import Any

import psycopg

from project_migration.model.records import Record
from project_migration.workers.cdsw import failures, note, ownership_of_rows, people, returning, tables, workspace
from project_migration.workers.cdsw.note import State
from project_migration.workers.cdsw.program import main
from project_migration.workers.cdsw.request import TARGET, Unlisted, UserMode, side_of, user_mode
from project_migration.workers.harness import Job
from project_migration.workers.postgres import failures as of_postgres
from project_migration.workers.postgres import journal
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.session import Connection, literal, quoted, rows, run, trusted, value
from project_migration.workers.reasons import Refusal

_INTEGRITY = "23"


def work(job: Job) -> Record:
    mode, unlisted = user_mode(job), Unlisted.of(job)
    endpoint = side_of(job, TARGET).endpoint(job)
    with journal.writer(endpoint) as session:
        found = note.required(session, job.request.migration_uid, State.LOADED, State.ADAPTED)
        if found.state is State.LOADED:
            try:
                with session.transaction():
                    _adapt(session, endpoint, found, mode, unlisted)
            except psycopg.Error as error:
                raise _failed(error) from error
        found = note.required(session, job.request.migration_uid, State.ADAPTED)
        for kind, name, cause in note.told(session):
            job.lists.add(kind, name, cause)
        facts = {"adapted": {"administrator": found.facts["administrator"], "emptied": found.facts["emptied"]}}
        return job.record(counts=found.counts, facts=facts)


def _adapt(session: Connection, endpoint: Endpoint, found: note.Note, mode: UserMode, unlisted: Unlisted) -> None:
    missing = workspace.missing_tables(session)
    if missing:
        message = f"the database has no table {', '.join(missing)} after its schema Job"
        raise failures.Refused(failures.NOT_A_WORKSPACE, message)
    counts = {"sequences": raise_sequences(session)}
    image = returning.bring_image(session)
    people.match(session, mode)
    who = people.settle(session)
    counts["handedOver"] = ownership_of_rows.hand_over(session, who, mode, unlisted)
    counts["siteConfig"] = returning.bring_settings(session, image, who.kept, who.administrator)
    counts["flags"] = returning.bring_flags(session)
    counts["pausedJobs"] = pause_jobs(session)
    counts["stoppedApplications"] = stop_applications(session)
    emptied = ownership_of_rows.empty_site_tables(session, unlisted)
    counts["emptied"] = sum(emptied.values())
    counts["usersLeft"] = ownership_of_rows.remove_users(session, who)
    counts["mapped"] = who.mapped
    counts["renamed"] = sum(kind == "renamed" for kind, _, _ in note.told(session))
    counts["users"] = int(value(session, f"SELECT count(*) FROM {workspace.public(tables.USERS)}"))  # noqa: S608
    restore_password(session, endpoint)
    facts: dict[str, Any] = {
        **found.facts,
        "mode": str(mode),
        "loaded": dict(found.counts),
        "administrator": who.administrator,
        "image": image,
        "emptied": {name: count for name, count in emptied.items() if count},
        "emptiedTables": sorted({*emptied}),
    }
    note.reach(session, State.ADAPTED, counts, facts)


def raise_sequences(session: Connection) -> int:
    """A sequence behind its column would give a number that exists; returns how many were raised."""
    raised = 0
    for one in workspace.sequences(session):
        highest = value(session, f"SELECT max({one.of.quoted}) FROM {one.of.of_table}")  # noqa: S608 - quoted names
        last, called = rows(session, f"SELECT last_value, is_called FROM {quoted(one.schema, one.name)}")[0]  # noqa: S608
        following = last + 1 if called else last
        if highest is not None and highest >= following:
            rows(session, "SELECT pg_catalog.setval(%s, %s, true)", quoted(one.schema, one.name), highest)
            raised += 1
    return raised


def pause_jobs(session: Connection) -> int:
    """Returns how many were not paused."""
    if not workspace.has_column(session, tables.JOBS, "paused"):
        return 0
    return _switch(session, tables.JOBS, "paused", "true", "pausedJobs", "job")


def stop_applications(session: Connection) -> int:
    """Returns how many were not stopped."""
    if not workspace.has_column(session, tables.APPLICATIONS, "status"):
        return 0
    return _switch(
        session, tables.APPLICATIONS, "status", literal(tables.STOPPED), "stoppedApplications", "application"
    )


def _switch(session: Connection, table: str, column: str, to: str, kind: str, what: str) -> int:
    place, of = workspace.public(table), quoted(column)
    name = "coalesce(' ' || t.name, '')" if workspace.has_column(session, table, "name") else "''"
    state = f"'it was ' || coalesce(t.{of}::text, 'in no state')"
    told = (
        f"INSERT INTO {journal.SCHEMA}.cdsw_told (kind, name, cause) SELECT %s, %s || ' ' || t.id || {name}, {state}"  # noqa: S608
        f" FROM {place} AS t WHERE t.{of} IS DISTINCT FROM {to} ORDER BY t.id"
    )
    count = session.execute(trusted(told), (kind, what)).rowcount
    run(session, f"UPDATE {place} SET {of} = {to} WHERE {of} IS DISTINCT FROM {to}")  # noqa: S608
    return count


def restore_password(session: Connection, endpoint: Endpoint) -> None:
    """Hashed here, as the server is set to hash: it is in no statement, and in no log of the server's."""
    way = str(value(session, "SHOW password_encryption"))
    method = "scram-sha-256" if way.startswith("scram") else "md5"
    hashed = session.pgconn.encrypt_password(endpoint.password.encode(), endpoint.user.encode(), method.encode())
    run(session, f"ALTER ROLE CURRENT_USER PASSWORD {literal(hashed.decode())}")


def _failed(error: psycopg.Error) -> Refusal:
    if (error.sqlstate or "").startswith(_INTEGRITY):
        # the detail would name values of rows; the constraint says enough
        table, constraint = error.diag.table_name or "a table", error.diag.constraint_name or "a constraint"
        message = f"the loaded database cannot be adapted: {table} breaks {constraint}"
        return failures.Refused(failures.LOAD_FAILED, message)
    return of_postgres.of_error("target", error)


if __name__ == "__main__":
    main("adapt", __doc__ or "", work)
