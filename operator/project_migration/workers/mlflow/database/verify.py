"""Worker ``mlflow.database.verify``: both databases read anew; what should be there against what is.

Params ``source`` and ``target`` as for ``mlflow.database.survey``; with ``forServer``, what the target's server has to
give is noted for ``mlflow.api.ask``. Reads what ``arrange`` left. Compared are the rows
of every table that is moved, by count and content; besides, on the target: rows without parents, latest metrics against
the metrics, and whether the next experiment gets a number that is free.

Counts: ``rows``, ``tables``, ``missing``, ``different``, ``extra``, ``orphans``, ``latest`` (latest metrics that are
not the latest, more than on the source), ``entries`` of the list ``manifests/<step>-<unit>-target.tsv.gz``, which it
leaves for ``mlflow.database.check``, and ``users``, ``roles`` and ``rights`` where they move. Compared are tables, both
sides by rows and content, and users. Lists ``missing``, ``different`` and ``extra`` name rows. The digest is over the
content of all tables as they are on the target.
"""

from __future__ import annotations

from collections.abc import Mapping

from project_migration.model.records import Compared, Progress, Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.mlflow.database import for_server, latest, opening, plan, state
from project_migration.workers.mlflow.database.arrangement import Arrangement
from project_migration.workers.mlflow.database.program import folder, main
from project_migration.workers.mlflow.database.proved import Entries, digest_of
from project_migration.workers.mlflow.database.proving import Proof, Prover, Sides
from project_migration.workers.mlflow.database.selection import Selection
from project_migration.workers.mlflow.database.sides import SOURCE, TARGET, side_of
from project_migration.workers.mlflow.database.store import Store
from project_migration.workers.mlflow.users import bringing


def work(job: Job) -> Record:
    sides = side_of(job, SOURCE), side_of(job, TARGET)
    arrangement = Arrangement.read(job.workspace)
    scratch = folder(job)
    read = 0
    total = 2 * sum(arrangement.summary.counts.values())

    def told(rows: int) -> None:
        nonlocal read
        read += rows
        job.tell(Progress(0, 0, read, max(read, total)))

    entries = Entries(scratch / "entries.db")
    try:
        with opening.reading(sides[0].place, scratch) as source, opening.reading(sides[1].place, scratch) as target:
            prover = Prover(source, target, scratch, told, job.lists.add, entries)
            tables = plan.plans(source, target, arrangement)
            for one in tables:
                prover.table(one)
            if job.request.params.get("forServer"):
                for_server.note(job.workspace, source, target, tables)
            besides = _besides(source, target, arrangement)
        listed = entries.write(job.workspace / "manifests" / f"{job.stem}-target.tsv.gz")
        people = _people(job, sides, arrangement)
    finally:
        entries.close()
        arrangement.close()
    return _judge(job, prover.proof, besides, listed, people)


def _besides(source: Store, target: Store, arrangement: Arrangement) -> Mapping[str, int]:
    lost = sum(found.rows for found in state.orphans(target)) if arrangement.summary.empty else 0
    stale = latest.stale(target, arrangement) - latest.stale(source, arrangement)
    return {"orphans": lost, "latest": max(stale, 0), "numberTaken": int(not target.number_is_ahead())}


def _people(job: Job, sides: bringing.Sides, arrangement: Arrangement) -> bringing.Comparison:
    """Users, roles and rights, where they move."""
    if not bringing.are_named(sides):
        return bringing.Comparison({})
    conflict = Selection.from_params(job.request.params).on_conflict
    with bringing.opened(job, sides, arrangement, conflict, job.workspace) as users:
        return users.compare()


def _judge(job: Job, proof: Proof, besides: Mapping[str, int], listed: int, people: bringing.Comparison) -> Record:
    tables = proof.tables
    counts = {
        "rows": sum(sides.found.rows for sides in tables.values()),
        "tables": len(tables),
        "entries": listed,
        "missing": proof.missing,
        "different": proof.different,
        "extra": proof.extra,
        **besides,
        **people.counts,
    }
    faults = [f"{counts[name]} row(s) {name}: {job.lists.say(name)}" for name in _ROWS if counts[name]]
    faults += [f"{counts[name]} {what}" for name, what in _BESIDES.items() if counts[name]]
    faults += people.faults
    return job.record(
        reason=reasons.VERIFY_FAILED if faults else "",
        message="; ".join(faults),
        counts=counts,
        digest=digest_of({name: (sides.found.rows, sides.found.total) for name, sides in tables.items()}),
        compared=(
            *(_compared(name, sides) for name, sides in sorted(tables.items()) if sides != Sides()),
            *people.compared,
        ),
    )


def _compared(name: str, sides: Sides) -> Compared:
    ours, theirs = sides.expected, sides.found
    return Compared(name, ours.rows, theirs.rows, ours.short, theirs.short)


_ROWS = ("missing", "different", "extra")
_BESIDES = {
    "orphans": "row(s) whose parent does not exist",
    "latest": "latest metric(s) that are not the latest",
    "numberTaken": "sequence that would give an experiment a number that is taken",
}


if __name__ == "__main__":
    main("verify", __doc__ or "", work)
