"""Worker ``mlflow.database.survey``: what both databases say, read only; all that stands in the way at once.

Params: ``source`` and ``target`` ``{backend, artifacts, auth}``, ``select``, ``rename``, ``onConflict``. The record
succeeds when the look was taken, whatever it saw. Facts::

    source: {reachable, reason, message, server, version, revision, releases, experiments, rows, bytes, orphans,
             encrypted: {secrets, webhooks}, workspaces, leftOut: {table: rows}, outside, deletedLeftOut}
    target: {reachable, server, version, revision, releases, empty, ours, experiments, mark, arrived}
    selected: {whole, objects: {kind: number}, renumbered}
    users: {users, roles, rights}, where ``auth`` is given on both sides
    problems: {found: [{reason, message, passing}], count}

Counts: ``problems``, ``targetEmpty``, ``rows``, ``bytes`` (a guess), ``targetMajor`` (of a PostgreSQL target, whose
dump needs tools of that version), and of each kind of object. The list ``outside`` in the workspace names artifact
locations below no known root, ``skipped`` what stays behind though it was asked for.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from project_migration.model.records import Progress, Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.mlflow.database import arrived, compatibility, fitting, note, opening, state
from project_migration.workers.mlflow.database.arrange import tell_lists
from project_migration.workers.mlflow.database.arrangement import Lists
from project_migration.workers.mlflow.database.arranging import Arranged, Arranger
from project_migration.workers.mlflow.database.failures import of_driver
from project_migration.workers.mlflow.database.program import folder, main
from project_migration.workers.mlflow.database.revisions import releases
from project_migration.workers.mlflow.database.selection import Selection
from project_migration.workers.mlflow.database.sides import SOURCE, TARGET, Side, side_of
from project_migration.workers.mlflow.database.store import Server, Store
from project_migration.workers.mlflow.users import bringing

PROBLEMS_LIMIT = 12

#: Bytes a row with its indexes, for a guess at the size; measured on databases of 3.17.
BYTES_A_ROW = 250

Facts = dict[str, dict[str, Any]]


def work(job: Job) -> Record:
    selection = Selection.from_params(job.request.params)
    facts: Facts = {}
    problems: list[reasons.Refusal] = []
    arranged: Arranged | None = None
    with ExitStack() as stack:
        sides: dict[str, Side] = {}
        stores: dict[str, Store] = {}
        for name in (SOURCE, TARGET):
            try:
                sides[name] = side_of(job, name)
                stores[name] = stack.enter_context(opening.reading(sides[name].place, folder(job)))
                facts[name] = {"reachable": True, **_look(stores[name])}
                if name == TARGET:
                    facts[name]["arrived"] = _arrived(stores[name])
            except Exception as error:
                refused = error if isinstance(error, reasons.Refusal) else of_driver(name, error)
                if refused is None:
                    raise
                facts[name] = {"reachable": False, "reason": refused.reason, "message": refused.message[:200]}
                stores.pop(name, None)
                problems.append(refused)
        if len(stores) == 2:
            source, target = stores[SOURCE], stores[TARGET]
            problems += _between(sides[SOURCE], sides[TARGET], source, target)
            if not problems:
                facts[TARGET].update(_target(target, job))
                scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder(job))))
                arranged = _arrange(job, stack, scratch, (sides[SOURCE], sides[TARGET]), source, target, selection)
                problems += arranged.problems
                problems += fitting.problems(source, target, arranged.arrangement.changes)
                facts[SOURCE].update(_source(source, arranged))
                facts["selected"] = dict(_selected(arranged))
                tell_lists(job, arranged)
                if bringing.are_named((sides[SOURCE], sides[TARGET])):
                    facts["users"], faults = _users(job, (sides[SOURCE], sides[TARGET]), arranged, scratch, selection)
                    problems += faults
    return _record(job, facts, problems, arranged)


def _look(store: Store) -> Mapping[str, Any]:
    schema = store.schema
    experiments = store.count("experiments") if "experiments" in schema.tables else 0
    return {
        "server": str(store.server),
        "version": store.version,
        "revision": schema.revision,
        "releases": releases(schema.revision),
        "experiments": experiments,
    }


def _arrived(target: Store) -> str:
    """Told whatever stands in the way: a document that was carried out is not to be done again."""
    return "" if note.read(target) else " ".join(arrived.read(target))


def _between(ours: Side, theirs: Side, source: Store, target: Store) -> list[reasons.Refusal]:
    if compatibility.same_place(ours.place, theirs.place):
        return [reasons.Refusal(reasons.PATHS_OVERLAP, "source and target are the same database")]
    return list(compatibility.problems(source, target))


def _target(target: Store, job: Job) -> Mapping[str, Any]:
    found = note.read(target)
    ours = found is not None and found.migration == job.request.migration_uid
    return {"empty": state.is_new(target), "ours": ours, "mark": {"ours": ours, "empty": found.empty} if found else {}}


def _arrange(
    job: Job,
    stack: ExitStack,
    scratch: Path,
    sides: tuple[Side, Side],
    source: Store,
    target: Store,
    selection: Selection,
) -> Arranged:
    lists = Lists(scratch / "arrangement.db", fresh=True)
    stack.callback(lists.close)
    request = job.request
    return Arranger(source, target, selection, sides, request.migration_uid, request.migration_name).arrange(lists)


def _users(
    job: Job, sides: bringing.Sides, arranged: Arranged, scratch: Path, selection: Selection
) -> tuple[dict[str, Any], list[reasons.Refusal]]:
    try:
        with bringing.opened(job, sides, arranged.arrangement, selection.on_conflict, scratch) as users:
            return dict(users.counts), users.problems
    except Exception as error:
        refused = error if isinstance(error, reasons.Refusal) else of_driver("auth", error)
        if refused is None:
            raise
        return {}, [refused]


def _source(source: Store, arranged: Arranged) -> Mapping[str, Any]:
    rows = sum(arranged.arrangement.summary.counts.values())
    return {
        "rows": rows,
        "bytes": rows * BYTES_A_ROW,
        "orphans": [found.told for found in arranged.orphans],
        "encrypted": {name: _encrypted(source, name) for name in ("secrets", "webhooks")},
        "workspaces": source.count("workspaces") if "workspaces" in source.schema.tables else 0,
        "leftOut": dict(arranged.left_out),
        "outside": arranged.outside.count,
        "deletedLeftOut": sum(arranged.found.deleted.values()),
    }


def _encrypted(source: Store, table: str) -> int:
    """Rows that only a server with the source's own key can read."""
    if table not in source.schema.tables:
        return 0
    condition = " WHERE secret IS NOT NULL" if table == "webhooks" else ""
    return int(source.rows(f"SELECT count(*) FROM {source.place(table)}{condition}")[0][0])  # noqa: S608


def _selected(arranged: Arranged) -> Mapping[str, Any]:
    summary = arranged.arrangement.summary
    objects = {kind: number for kind, number in arranged.kinds.items() if number}
    return {"whole": summary.whole, "objects": objects, "renumbered": len(summary.experiments)}


def _record(job: Job, facts: Facts, problems: list[reasons.Refusal], arranged: Arranged | None) -> Record:
    facts["problems"] = {"found": [_told(problem) for problem in problems[:PROBLEMS_LIMIT]], "count": len(problems)}
    source = facts[SOURCE]
    job.tell(Progress(0, source.get("bytes", 0), 0, source.get("rows", 0)))
    target = facts[TARGET]
    counts = {"problems": len(problems), "targetEmpty": int(target.get("empty", False) or _all_ours(target))}
    counts |= {name: int(source.get(name, 0)) for name in ("rows", "bytes", "outside", "deletedLeftOut")}
    if target.get("server") == str(Server.POSTGRES):
        counts["targetMajor"] = int(re.match(r"\d*", target["version"])[0] or 0)  # type: ignore[index]
    if arranged is not None:
        counts["leftOut"] = sum(arranged.left_out.values())
        counts["orphans"] = sum(found.rows for found in arranged.orphans)
    return job.record(counts=counts, facts=facts)


def _all_ours(target: Mapping[str, Any]) -> bool:
    return bool(target.get("ours") and target.get("mark", {}).get("empty"))


def _told(problem: reasons.Refusal) -> dict[str, Any]:
    return {"reason": problem.reason, "message": problem.message[:300], "passing": problem.passing}


if __name__ == "__main__":
    main("survey", __doc__ or "", work)
