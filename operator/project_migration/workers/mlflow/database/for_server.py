"""Notes for whoever asks the target's server later which runs, histories and versions it has to give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from project_migration.workers.mlflow.database.arrangement import Action
from project_migration.workers.mlflow.database.changes import DEFAULT_WORKSPACE
from project_migration.workers.mlflow.database.plan import TablePlan
from project_migration.workers.mlflow.database.store import KEYS_AT_ONCE, Chunk, Store, batches
from project_migration.workers.mlflow.proved import Proved, ProvedRun, ProvedVersion

#: Of a version that was deleted: its row stays, and the server gives it to nobody (entities/model_registry).
DELETED = "Deleted_Internal"


def note(workspace: Path, source: Store, target: Store, plans: Sequence[TablePlan]) -> None:
    """What was chosen, as the target has it. An address shows one workspace: what lies in others is left out."""
    with closing(Proved(workspace, fresh=True)) as proved:
        for plan in plans:
            if plan.name == "runs":
                elsewhere = _of_other_workspaces(target)
                for ids in batches(_chosen_runs(plan, source), KEYS_AT_ONCE):
                    proved.add_runs(run for run in _runs(target, ids) if run.experiment not in elsewhere)
            elif plan.name == "model_versions":
                for chunk in _rows(plan, source):
                    proved.add_versions(_versions(plan, chunk))


def _of_other_workspaces(target: Store) -> set[str]:
    if target.schema.tables["experiments"].column("workspace") is None:
        return set()
    found = target.rows("SELECT experiment_id FROM experiments WHERE workspace <> ?", DEFAULT_WORKSPACE)
    return {str(row[0]) for row in found}


def _chosen_runs(plan: TablePlan, source: Store) -> Iterator[str]:
    place = plan.columns.index("run_uuid")
    for chunk in _rows(plan, source):
        yield from (row[place] for row in chunk)


def _rows(plan: TablePlan, source: Store) -> Iterator[Chunk]:
    """Also of objects that the target had already."""
    for where in plan.slices(tuple(Action)):
        if plan.row_wise:
            yield from ([row for row, _ in chunk] for chunk in plan.read_with_action(source, where))
        else:
            yield from plan.read(source, where)


def _runs(target: Store, ids: Sequence[str]) -> Iterator[ProvedRun]:
    marks = ", ".join("?" * len(ids))
    counted = f"SELECT run_uuid, count(*) FROM metrics WHERE run_uuid IN ({marks}) GROUP BY run_uuid"  # noqa: S608
    points = {row[0]: row[1] for row in target.rows(counted, *ids)}
    found = f"SELECT run_uuid, experiment_id FROM runs WHERE run_uuid IN ({marks})"  # noqa: S608
    for identity, experiment in target.rows(found, *ids):
        yield ProvedRun(identity, str(experiment), int(points.get(identity, 0)))


def _versions(plan: TablePlan, chunk: Chunk) -> Iterator[ProvedVersion]:
    for row in chunk:
        named = dict(zip(plan.columns, row, strict=True))
        here = (named.get("workspace") or DEFAULT_WORKSPACE) == DEFAULT_WORKSPACE
        if here and named["current_stage"] != DELETED:
            yield ProvedVersion(named["name"], int(named["version"]))
