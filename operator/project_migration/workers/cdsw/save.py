"""Worker ``cdsw.save``: what of the workspace has to survive the load, kept in the target database itself.

Params: ``target.database``, ``administrator``, ``users``, ``featureFlags`` (Source: those of the CDSW replace them;
Target: they are kept). Kept are the rows of ``site_config``, the newest default engine image, the administrator (with
users to be mapped, all of them), owner, comment and privileges of the schema ``public``, its extensions, and the
feature flags where they are to stay. Nothing of it is in the record. Once the database is loaded, what was saved before
stays as it is. Counts: ``siteConfig``, ``engineImages``, ``users``, ``flags``, ``extensions``.
"""

from __future__ import annotations

import psycopg

from project_migration.model.records import Record
from project_migration.workers.cdsw import failures, note, tables, workspace
from project_migration.workers.cdsw.choice import chosen_administrator, newest_image
from project_migration.workers.cdsw.note import Kept, State
from project_migration.workers.cdsw.program import main
from project_migration.workers.cdsw.request import TARGET, Flags, UserMode, administrator, flags, side_of, user_mode
from project_migration.workers.harness import Job
from project_migration.workers.postgres import failures as of_postgres
from project_migration.workers.postgres import journal
from project_migration.workers.postgres.session import Connection, quoted, rows

_EXTENSIONS = """
SELECT e.extname, e.extversion FROM pg_catalog.pg_extension AS e
  JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace WHERE n.nspname = 'public' ORDER BY e.oid
"""


def work(job: Job) -> Record:
    name, mode, whose = administrator(job), user_mode(job), flags(job)
    uid = job.request.migration_uid
    with journal.writer(side_of(job, TARGET).endpoint(job)) as session:
        found = note.ours(session, uid)
        if found is not None and found.state in (State.LOADED, State.ADAPTED):
            return job.record(counts=found.facts["saved"], message="it was saved before the load")
        missing = workspace.missing_tables(session)
        if missing:
            message = f"the target database has no table {', '.join(missing)}: it is no workspace"
            raise failures.Refused(failures.NOT_A_WORKSPACE, message)
        try:
            with session.transaction():
                note.begin(session, uid)
                counts = _save(session, name, mode, whose)
                note.reach(session, State.SAVED, counts, {"saved": counts})
        except psycopg.Error as error:
            raise of_postgres.of_error("target", error) from error
    return job.record(counts=counts)


def _save(session: Connection, name: str, mode: UserMode, whose: Flags) -> dict[str, int]:
    number = chosen_administrator(session, name)
    image = newest_image(session)
    users = workspace.public(tables.USERS)
    counts = {
        "siteConfig": note.keep_rows(session, Kept.SITE_CONFIG, workspace.public(tables.SITE_CONFIG)),
        "engineImages": 0,
        "users": note.keep_rows(session, Kept.ADMINISTRATOR, users, "t.id = %s", number),
        "flags": 0,
        "extensions": 0,
    }
    if image is not None:
        place = workspace.public(tables.ENGINE_IMAGES)
        counts["engineImages"] = note.keep_rows(session, Kept.ENGINE_IMAGE, place, "t.id = %s", image)
    if mode is not UserMode.ADMINISTRATOR_OWNS_ALL:
        counts["users"] += note.keep_rows(session, Kept.USER, users, "t.id <> %s", number)
    if whose is Flags.TARGET:
        for schema, table in workspace.all_tables(session):
            if schema == tables.FEATURE_FLAGS:
                counts["flags"] += note.keep_rows(session, Kept.FLAG, quoted(schema, table))
    for extension, version in rows(session, _EXTENSIONS):
        note.keep(session, Kept.EXTENSION, extension, version)
        counts["extensions"] += 1
    statements = journal.schema_statements(session, (tables.PUBLIC,))
    note.keep(session, Kept.SCHEMA_STATE, tables.PUBLIC, list(statements))
    return counts


if __name__ == "__main__":
    main("save", __doc__ or "", work)
