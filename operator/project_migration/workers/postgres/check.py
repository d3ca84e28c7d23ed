"""Worker ``postgres.check``: the target database alone, read anew and compared with what an earlier proof wrote down.

Params as for ``postgres.verify`` without the source; ``against``: the list that it left (a path below the workspace),
and its digest. What is in the target only is counted (``extra``) and no fault: its users work there.
"""

from __future__ import annotations

from contextlib import ExitStack

import psycopg

from project_migration.model.records import Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job, WrongRequest
from project_migration.workers.params import Params
from project_migration.workers.postgres import failures, proved, reading, requirements, schema_facts
from project_migration.workers.postgres.contents import Found, Meter, Side, read
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.program import main
from project_migration.workers.postgres.selection import Selection, left_out
from project_migration.workers.postgres.session import snapshot
from project_migration.workers.postgres.verify import totals


def work(job: Job) -> Record:
    given = Params(job.request.params).proved("against")
    if given is None:
        raise WrongRequest("params.against is missing")
    before = proved.read(job.workspace / given.manifest, given.digest)
    if before is None:
        message = (
            f"{given.manifest} is not in the workspace as the proof left it, and nothing else says what was proved"
        )
        raise failures.Refused(reasons.PROOF_MISSING, message)
    manner, listed = before
    found = read_target(job, manner)
    return _judge(job, listed, proved.told(found), totals(found))


def read_target(job: Job, manner: proved.Manner) -> Found:
    """Everything in the target that a proof is about, at one moment."""
    params, meter = job.request.params, Meter()
    selection, choices = Selection.from_params(params), requirements.Choices.from_params(params)
    with ExitStack() as stack:
        endpoint = Endpoint.from_job(job, "target")
        leader, moment = stack.enter_context(snapshot(endpoint))
        side = Side(endpoint, moment, leader, any_encoding=manner.any_encoding)
        try:
            left = left_out(leader, selection)
            tick = lambda: job.tell(meter.progress)  # noqa: E731
            read(side, selection, left, workers=reading.workers(params), meter=meter, tick=tick)
            for kind, identity, detail in schema_facts.facts(leader, choices, same_major=manner.same_major):
                side.found[kind, identity] = detail
        except psycopg.Error as error:
            raise failures.of_error("postgres", error) from error
        return side.found


def _judge(job: Job, before: Found, now: Found, counts: dict[str, int]) -> Record:
    missing = sorted(before.keys() - now.keys())
    different = sorted(key for key in before.keys() & now.keys() if before[key] != now[key])
    extra = sorted(now.keys() - before.keys())
    for kind, keys in (("missing", missing), ("different", different), ("extra", extra)):
        for key in keys:
            job.lists.add(
                kind, " ".join(key), _cause(before.get(key, ""), now.get(key, "")) if kind == "different" else ""
            )
    same = len(before) - len(missing) - len(different)
    counts |= {"verified": same, "missing": len(missing), "different": len(different), "extra": len(extra)}
    parts = [f"{counts[kind]} {kind}: {job.lists.say(kind)}" for kind in ("missing", "different") if counts[kind]]
    more = [f"{len(extra)} more in the target"] if extra else []
    message = "; ".join([*parts, *more, f"{same} of {len(before)} facts as they were proved"])[:1500]
    digest = proved.digest_of(now)
    return job.record(reason=reasons.VERIFY_FAILED if parts else "", message=message, counts=counts, digest=digest)


def _cause(before: str, now: str) -> str:
    figures = not before.startswith("sha256:")
    return f"proved: {before} / now: {now}" if figures else "its definition"


if __name__ == "__main__":
    main("check", __doc__ or "", (), work)
