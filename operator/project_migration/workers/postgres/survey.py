"""Worker ``postgres.survey``: what both servers say, read only; everything that stands in the way at once.

The record succeeds when the look was taken, whatever it saw. Facts::

    source: {reachable, reason, message, major, version, superuser, standby, encoding, collate, provider, bytes, tables,
             rows, sequences, largeObjects, views, materializedViews, foreignTables, partitionedTables, unloggedTables,
             publications, subscriptions, eventTriggers, securedTables, tablespaces, connections, extensions,
             largest: [[name, bytes]], settings}
    target: {the same, empty, objects, mark: {state, ours}, arrived, missingRoles, missingExtensions}
    problems: {found: [{reason, message, passing}], count}
    tools: {needed, found: {"18": directory}}, here; another helper may have another image, so it is no problem yet

Counts: ``targetMajor`` among them, the target's major version, once both servers answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any

from project_migration.model.records import Progress, Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.postgres import catalog, clearing, journal, reading, requirements, tools
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.program import main
from project_migration.workers.postgres.selection import Selection, left_out
from project_migration.workers.postgres.session import Connection, connect, major, rows, value

PROBLEMS_LIMIT = 12
LARGEST = 5

_COUNTS = f"""
SELECT count(*) FILTER (WHERE c.relkind = 'v'), count(*) FILTER (WHERE c.relkind = 'm'),
       count(*) FILTER (WHERE c.relkind = 'f'), count(*) FILTER (WHERE c.relkind = 'p'),
       count(*) FILTER (WHERE c.relkind = 'r' AND c.relpersistence = 'u'),
       count(*) FILTER (WHERE c.relrowsecurity), count(DISTINCT c.reltablespace) FILTER (WHERE c.reltablespace <> 0),
       count(*) FILTER (WHERE c.relkind = 'S')
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE NOT {catalog.SYSTEM}
"""  # noqa: S608 - our own words
_COUNT_NAMES = (
    "views",
    "materializedViews",
    "foreignTables",
    "partitionedTables",
    "unloggedTables",
    "securedTables",
    "tablespaces",
    "sequences",
)
_OTHERS = """
SELECT (SELECT count(*) FROM pg_catalog.pg_publication), (SELECT count(*) FROM pg_catalog.pg_event_trigger),
       (SELECT count(*) FROM pg_catalog.pg_subscription AS s JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid
         WHERE d.datname = current_database()),
       (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database()
           AND backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid()
           AND application_name NOT LIKE 'project_migration/%')
"""
_SETTINGS = """
SELECT unnest(s.setconfig) FROM pg_catalog.pg_db_role_setting AS s JOIN pg_catalog.pg_database AS d
    ON d.oid = s.setdatabase WHERE d.datname = current_database() AND s.setrole = 0 ORDER BY 1
"""


def work(job: Job) -> Record:
    selection = Selection.from_params(job.request.params)
    choices = requirements.Choices.from_params(job.request.params)
    facts: dict[str, dict[str, Any]] = {}
    problems: list[reasons.Refusal] = []
    with ExitStack() as stack:
        sessions: dict[str, Connection] = {}
        for side in ("source", "target"):
            try:
                session = connect(Endpoint.from_job(job, side))
            except reasons.Refusal as refused:
                facts[side] = {"reachable": False, "reason": refused.reason, "message": refused.message}
                problems.append(refused)
                continue
            stack.callback(session.close)
            sessions[side] = session
            facts[side] = {"reachable": True, **_look(session, selection)}
        if "target" in sessions:
            facts["target"] |= target_facts(sessions["target"], job)
            problems += in_the_way(facts["target"], job)
        if len(sessions) == 2:
            source, target = sessions["source"], sessions["target"]
            problems += requirements.problems(source, target, choices)
            facts["target"] |= _lacking(source, target)
            facts["tools"] = {"needed": major(target), "found": {str(k): v for k, v in tools.found().items()}}
            facts["source"] |= _selected(source, selection, job)
    facts["problems"] = told(problems)
    source_facts = facts["source"]
    job.tell(Progress(0, source_facts.get("bytes", 0), 0, source_facts.get("tables", 0)))
    counts = {name: source_facts.get(name, 0) for name in ("tables", "rows", "bytes", "sequences", "largeObjects")}
    if "tools" in facts:
        counts["targetMajor"] = facts["tools"]["needed"]
    counts |= {"problems": len(problems), "targetEmpty": int(facts["target"].get("empty", False))}
    return job.record(counts=counts, facts=facts)


def _look(session: Connection, selection: Selection) -> dict[str, Any]:
    tables = [table for table in catalog.tables(session) if selection.takes_rows(table.schema, table.name)]
    who = catalog.identity(session)
    publications, triggers, subscriptions, others = rows(session, _OTHERS)[0]
    return {
        "major": major(session),
        "version": str(value(session, "SHOW server_version")),
        "superuser": value(session, "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"),
        "readsAll": value(session, "SELECT pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')")
        if major(session) >= 14
        else False,
        "standby": value(session, "SELECT pg_catalog.pg_is_in_recovery()"),
        "encoding": who.encoding,
        "collate": who.collate,
        "provider": who.provider,
        "collationVersion": who.collation_version,
        "bytes": sum(table.size for table in tables),
        "databaseBytes": value(session, "SELECT pg_catalog.pg_database_size(current_database())"),
        "tables": len(tables),
        "rows": sum(table.estimated_rows for table in tables),
        "largeObjects": catalog.large_objects(session),
        **dict(zip(_COUNT_NAMES, rows(session, _COUNTS)[0], strict=True)),
        "publications": publications,
        "eventTriggers": triggers,
        "subscriptions": subscriptions,
        "connections": others,
        "extensions": [f"{e.name} {e.version}" for e in requirements.extensions(session)][:20],
        "largest": [[table.title[:80], table.size] for table in tables[:LARGEST]],
        "settings": [row[0].partition("=")[0] for row in rows(session, _SETTINGS)][:10],
    }


def target_facts(session: Connection, job: Job) -> dict[str, Any]:
    """What the target holds, and whose it is."""
    objects = clearing.user_objects(session, limit=6)
    try:
        entry = journal.read(session)
    except Exception:  # a schema of that name that is not ours to read
        entry = None
    mark = {"state": entry.state, "ours": entry.migration == job.request.migration_uid} if entry else {}
    arrived = "" if entry else " ".join(_arrived(session))
    return {"empty": not objects, "objects": [name[:80] for name in objects[:5]], "mark": mark, "arrived": arrived}


def _arrived(session: Connection) -> tuple[str, ...]:
    try:
        return journal.read_arrived(session)
    except Exception:  # as above
        return ()


def in_the_way(facts: Mapping[str, Any], job: Job) -> list[reasons.Refusal]:
    """What the target holds and nobody may take away, by :func:`target_facts`."""
    ours = bool(facts["mark"].get("ours"))
    if facts["empty"] or ours or reading.flag(job.request.params, "replace"):
        return []
    return [reasons.Refusal(reasons.TARGET_NOT_EMPTY, f"the target holds {', '.join(facts['objects'])}")]


def _lacking(source: Connection, target: Connection) -> dict[str, Any]:
    return {
        "missingRoles": list(requirements.missing_roles(source, target))[:20],
        "missingExtensions": list(requirements.missing_extensions(source, target))[:20],
        "collationDifference": requirements.collation_difference(catalog.identity(source), catalog.identity(target)),
    }


def _selected(source: Connection, selection: Selection, job: Job) -> dict[str, Any]:
    """Views that stay behind only because of what they read are named: nothing is left out in silence."""
    left = left_out(source, selection)
    for view in left.views:
        job.lists.add("skipped", view, "a view on a table that is left out")
    return {"leftOutViews": len(left.views), "leftOutTables": len(left.relations) - len(left.views)}


def told(problems: Sequence[reasons.Refusal]) -> dict[str, Any]:
    """Problems as facts of a record, up to a bound."""
    found = (
        {"reason": problem.reason, "message": problem.message[:200], "passing": problem.passing} for problem in problems
    )
    return {"found": list(islice(found, PROBLEMS_LIMIT)), "count": len(problems)}


if __name__ == "__main__":
    main("survey", __doc__ or "", (), work)
