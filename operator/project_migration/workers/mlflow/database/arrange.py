"""Worker ``mlflow.database.arrange``: decides what is moved and what it is called there; writes to no database.

Params as for ``mlflow.database.survey``. Leaves ``mlflow/arrangement.json`` and ``arrangement.db`` in the workspace,
and ``mlflow/moves.json`` for the copy of the artifacts: ``{"version": 1, "moves": [{"from": "1", "to": "7"}],
"only": [...]}``, directories below the artifact roots; without ``only`` all of them are wanted. Any conflict fails it.

Counts: ``rows``, of each kind of object (where not everything goes), ``renumbered``, ``renamed``, ``outside``,
``leftOut`` (rows of tables that stay behind), ``orphans``, ``deletedLeftOut``. The digest is the arrangement's.
"""

from __future__ import annotations

from project_migration.model.records import Record
from project_migration.workers.harness import Job
from project_migration.workers.mlflow.database import compatibility, note, opening
from project_migration.workers.mlflow.database.arrangement import Arrangement, Lists, write
from project_migration.workers.mlflow.database.arranging import Arranged, Arranger
from project_migration.workers.mlflow.database.program import folder, main
from project_migration.workers.mlflow.database.selection import Selection
from project_migration.workers.mlflow.database.sides import SOURCE, TARGET, side_of
from project_migration.workers.mlflow.database.store import Store
from project_migration.workers.mlflow.database.tables import LEFT_OUT
from project_migration.workers.reasons import Refusal


def work(job: Job) -> Record:
    selection = Selection.from_params(job.request.params)
    sides = side_of(job, SOURCE), side_of(job, TARGET)
    scratch = folder(job)
    request = job.request
    with opening.reading(sides[0].place, scratch) as source, opening.reading(sides[1].place, scratch) as target:
        for problem in compatibility.problems(source, target):
            raise problem
        done = _done(job, target)
        if done is not None:
            return done
        lists = Lists(scratch / "arrangement.db", fresh=True)
        try:
            arranger = Arranger(source, target, selection, sides, request.migration_uid, request.migration_name)
            arranged = arranger.arrange(lists)
            lists.finish()
        finally:
            lists.close()
    tell_lists(job, arranged)
    if arranged.problems:
        raise _all_of(arranged.problems)
    summary = arranged.arrangement.summary
    write(job.workspace, summary, {**arranged.moves, "outside": arranged.outside.count})
    return job.record(counts=_counts(arranged), digest=summary.digest)


def _done(job: Job, target: Store) -> Record | None:
    """A merge that this migration has completed is not arranged anew: its own rows would now stand in its way."""
    found = note.read(target)
    if found is None or found.migration != job.request.migration_uid or found.empty:
        return None
    try:
        arrangement = Arrangement.read(job.workspace)
    except ValueError:
        return None
    try:
        if arrangement.summary.digest != found.arrangement:
            return None
        return job.record(counts={"done": 1}, digest=found.arrangement)
    finally:
        arrangement.close()


def _all_of(problems: list[Refusal]) -> Refusal:
    """One refusal that says all; each kind of problem was told by the survey already."""
    first = problems[0]
    said = "; ".join(problem.message for problem in problems[:5])
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    return Refusal(first.reason, said + more, first.passing)


def tell_lists(job: Job, arranged: Arranged) -> None:
    """Names of what does not come along, and of locations that stay as they are."""
    for name, cause in arranged.found.skipped:
        job.lists.add("skipped", name, cause)
    for name, rows in arranged.left_out.items():
        job.lists.add("skipped", f"{rows} row(s) of {name}", LEFT_OUT.get(name, "it belongs to the server as a whole"))
    for kind, number in sorted(arranged.found.deleted.items()):
        if number:
            job.lists.add("skipped", f"{number} {kind}(s)", "deleted; set lifecycle to All to bring them")
    for orphans in arranged.orphans:
        job.lists.add("skipped", orphans.told, "no server shows them")
    for uri in arranged.outside.names:
        job.lists.add("outside", uri)


def _counts(arranged: Arranged) -> dict[str, int]:
    summary = arranged.arrangement.summary
    return {
        "rows": sum(summary.counts.values()),
        **{kind: number for kind, number in arranged.kinds.items() if number},
        "renumbered": len(summary.experiments),
        "renamed": len(summary.experiment_names) + len(summary.models),
        "outside": arranged.outside.count,
        "leftOut": sum(arranged.left_out.values()),
        "orphans": sum(found.rows for found in arranged.orphans),
        "deletedLeftOut": sum(arranged.found.deleted.values()),
    }


if __name__ == "__main__":
    main("arrange", __doc__ or "", work)
