"""Worker ``postgres.dumped.survey``: a dump and the server it shall go to, read only; all that stands in the way.

Params as for ``postgres.survey`` without ``source``; the root ``source`` is the dump. Facts and counts as there, as far
as a dump tells them: it has no row counts, and ``bytes`` are those of its files.
"""

from __future__ import annotations

from collections.abc import Iterator

from project_migration.model.records import Progress, Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.postgres import catalog, failures, requirements, tools
from project_migration.workers.postgres.dumped.archive import Dumped, look, place_of, refuse_inserts
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.program import main
from project_migration.workers.postgres.session import Connection, major, opened
from project_migration.workers.postgres.survey import in_the_way, target_facts, told


def work(job: Job) -> Record:
    problems: list[reasons.Refusal] = []
    facts: dict[str, dict[str, object]] = {"source": {"reachable": False}, "target": {"reachable": False}}
    dumped: Dumped | None = None
    target = Endpoint.from_job(job, "target")
    try:
        dumped = _dump(job, target)
        facts["source"] = {"reachable": True, "major": dumped.major, "encoding": dumped.encoding}
        facts["source"] |= {"tables": len(dumped.tables), "extensions": list(dumped.extensions)[:20]}
    except reasons.Refusal as refused:
        problems.append(refused)
    counts = {"rows": 0, "tables": len(dumped.tables) if dumped else 0, "bytes": dumped.bytes if dumped else 0}
    try:
        with opened(target) as session:
            held = target_facts(session, job)
            facts["target"] = {"reachable": True, "major": major(session), **held}
            facts["tools"] = {"needed": major(session), "found": {str(k): v for k, v in tools.found().items()}}
            counts["targetMajor"] = major(session)
            problems += in_the_way(held, job)
            problems += _between(dumped, session, requirements.Choices.from_params(job.request.params))
    except reasons.Refusal as refused:
        problems.append(refused)
    facts["problems"] = told(problems)
    job.tell(Progress(0, counts["bytes"], 0, counts["tables"]))
    counts |= {"problems": len(problems), "targetEmpty": int(bool(facts["target"].get("empty", False)))}
    return job.record(counts=counts, facts=facts)


def _dump(job: Job, target: Endpoint) -> Dumped:
    """Read with the newest tools that are here: the copy uses those of the target's version."""
    place_of(job)
    known = tools.found()
    if not known:
        raise failures.Refused(failures.TOOLS_MISSING, "source: no client tools of PostgreSQL to read the dump with")
    client = tools.find(max(known))
    dumped = look(job, client, target, requirements.Choices.from_params(job.request.params))
    refuse_inserts(client, target, dumped)
    return dumped


def _between(dumped: Dumped | None, target: Connection, choices: requirements.Choices) -> Iterator[failures.Refused]:
    yield from requirements.may_write(target)
    if dumped is None:
        return
    yield from requirements.versions(dumped.major, target)
    theirs = catalog.identity(target).encoding
    if theirs not in (dumped.encoding, "UTF8"):
        message = f"the dump's encoding is {dumped.encoding}, the target's {theirs}"
        yield failures.Refused(requirements.ENCODING_DIFFERS, message)
    yield from requirements.extensions_there(requirements.lacks_extensions(target, dumped.extensions))
    if choices.needs_roles:
        yield from requirements.roles_there(target, dumped.roles, choices)


if __name__ == "__main__":
    main("dumped.survey", __doc__ or "", ("source",), work)
