"""Worker ``postgres.verify``: both databases read anew, each at one moment, and compared.

Params as for ``postgres.copy``, whose filters and choices decide what has to be alike. Compared are the rows of every
table and filled materialised view (count and digest), the positions of sequences, large objects, and the schema with
owners, privileges and comments. Counts: ``tables``, ``rows``, ``sequences``, ``largeObjects``, ``objects``,
``missing``, ``different``, ``extra``. What was read of each side is left as a list in the workspace (:mod:`proved`);
the digest is that of the target's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import psycopg

from project_migration.model.records import Record, proved_manifest
from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.postgres import catalog, failures, proved, reading, requirements, schema_facts
from project_migration.workers.postgres.contents import Meter, Side, read
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.program import main
from project_migration.workers.postgres.selection import LeftOut, Selection, left_out
from project_migration.workers.postgres.session import Connection, rows, snapshot


def work(job: Job) -> Record:
    params = job.request.params
    selection, choices = Selection.from_params(params), requirements.Choices.from_params(params)
    with ExitStack() as stack:
        sides = [_side(stack, Endpoint.from_job(job, name)) for name in ("source", "target")]
        encodings = {catalog.identity(side.leader).encoding for side in sides}
        for side in sides:
            side.any_encoding = len(encodings) > 1
        try:
            left = left_out(sides[0].leader, selection)
            _read_rows(job, sides, selection, left)
            manner = _read_rest(sides, choices, left)
        except psycopg.Error as error:
            raise failures.of_error("postgres", error) from error
    digest = _write_down(job, sides, manner)
    return _judge(job, sides[0].found, sides[1].found, digest)


def _side(stack: ExitStack, endpoint: Endpoint) -> Side:
    leader, moment = stack.enter_context(snapshot(endpoint))
    return Side(endpoint, moment, leader)


def _read_rows(job: Job, sides: list[Side], selection: Selection, left: LeftOut) -> None:
    meter = Meter()
    workers = reading.workers(job.request.params)
    for side in sides:
        read(side, selection, left, workers=workers, meter=meter, tick=lambda: job.tell(meter.progress))


def _read_rest(sides: list[Side], choices: requirements.Choices, left: LeftOut) -> proved.Manner:
    same = schema_facts.same_version(sides[0].leader, sides[1].leader)
    for side in sides:
        for kind, identity, detail in schema_facts.facts(side.leader, choices, same_major=same):
            side.found[kind, identity] = detail
    _forget_left_out(sides, left, choices)
    return proved.Manner(sides[1].any_encoding, same)


def _write_down(job: Job, sides: list[Side], manner: proved.Manner) -> str:
    """Returns the digest of the target."""
    digest = ""
    for side in sides:
        listed = proved.told(side.found)
        path = proved_manifest(job.request.step, job.request.unit, side.endpoint.side)
        proved.write(job.workspace / path, manner, listed)
        digest = proved.digest_of(listed)
    return digest


def _forget_left_out(sides: list[Side], left: LeftOut, choices: requirements.Choices) -> None:
    """What a document leaves out is not missing; what has to do with it on the source is told by the catalogue."""
    source, target = sides
    missing = requirements.missing_roles(source.leader, target.leader) if choices.needs_roles else ()
    if missing and choices.missing_roles == requirements.LEAVE_OUT:
        for side in sides:
            for key in [key for key, detail in side.found.items() if _of_roles(key, detail, missing)]:
                side.found.pop(key)
        named = [key for key in source.found if key[0] == "owner"]
        lost = {key for key in named if source.found[key] in missing}
        for key in lost:
            source.found.pop(key)
            target.found.pop(key, None)
    if left.relations or left.schemas:
        away = dependents(source.leader, left)
        # a publication's tables are one fact
        for side in sides:
            for key in [key for key in side.found if key[0] == "publication"]:
                side.found.pop(key)
        for key in [key for key in source.found if _touches(key, away)]:
            source.found.pop(key)


def _of_roles(key: tuple[str, str], _: str, missing: Iterable[str]) -> bool:
    return key[0] in ("privilege", "default privilege") and any(role in key[1] for role in missing)


def _touches(key: tuple[str, str], away: frozenset[str]) -> bool:
    return any(name in key[1] for name in away)


def dependents(session: Connection, left: LeftOut) -> frozenset[str]:
    """Identities of what stays behind, as they stand in facts, and of the foreign keys that point to it."""
    query = """
        SELECT i.identity FROM unnest(%s::oid[]) AS w (oid),
               LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_class'::pg_catalog.regclass, w.oid, 0) AS i
        UNION ALL
        SELECT i.identity FROM pg_catalog.pg_constraint AS k,
               LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, 0) AS i
         WHERE k.confrelid = ANY(%s::oid[])"""
    oids = sorted(left.oids)
    return frozenset(row[0] for row in rows(session, query, oids, oids))


def _judge(
    job: Job, source: Mapping[tuple[str, str], str], target: Mapping[tuple[str, str], str], digest: str
) -> Record:
    kinds: Mapping[str, Callable[[tuple[str, str]], bool]] = {
        "missing": lambda key: key not in target,
        "extra": lambda key: key not in source and not _of_the_place(key),
        "different": lambda key: key in source and key in target and source[key] != target[key],
    }
    counts = dict.fromkeys(kinds, 0)
    for key in sorted({*source, *target}):
        for kind, holds in kinds.items():
            if holds(key):
                counts[kind] += 1
                job.lists.add(kind, " ".join(key), _cause(source.get(key), target.get(key)))
    counts |= totals(target)
    wrong = counts["missing"] + counts["different"] + counts["extra"]
    if not wrong:
        return job.record(counts=counts, digest=digest)
    first = next(kind for kind in ("missing", "different", "extra") if counts[kind])
    message = f"{wrong} object(s) differ between source and target; {first}: {job.lists.say(first)}"
    return job.record(reason=reasons.VERIFY_FAILED, message=message[:1500], counts=counts, digest=digest)


def _of_the_place(key: tuple[str, str]) -> bool:
    """A schema or an extension that the target had before: what lies in it is told by itself."""
    return key[0] in ("schema", "extension") or key[1].startswith("schema ")


def _cause(source: str | None, target: str | None) -> str:
    def short(text: str | None) -> str:
        return "nothing" if text is None else " ".join(text.split())[:300]

    return f"source: {short(source)} / target: {short(target)}"


def totals(found: Mapping[tuple[str, str], str]) -> dict[str, int]:
    held: dict[str, Any] = {kind: [d for (k, _), d in found.items() if k == kind] for kind, _ in found}
    return {
        "tables": len(held.get("rows", ())),
        "rows": sum(int(detail.split(" ", 1)[0]) for detail in held.get("rows", ())),
        "sequences": len(held.get("position of", ())),
        "largeObjects": len(held.get("large object", ())),
        "objects": len(found),
    }


if __name__ == "__main__":
    main("verify", __doc__ or "", (), work)
