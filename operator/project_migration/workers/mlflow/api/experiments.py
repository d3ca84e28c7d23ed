"""Experiments: which of the source move, what each is on the target, and what of it is there already."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from project_migration.workers.mlflow.api import marks
from project_migration.workers.mlflow.api.choices import OnConflict
from project_migration.workers.mlflow.api.client import A, Json
from project_migration.workers.mlflow.api.entities import Experiment, Run
from project_migration.workers.mlflow.api.failures import ObjectFailed
from project_migration.workers.mlflow.api.ids import Kind, Mapped
from project_migration.workers.mlflow.api.work import Shelves, Work

_reopening = threading.Lock()

#: States of an experiment in the map.
NEW, THERE = "new", "there"


def prepare(work: Work) -> None:
    """Every selected experiment has a target afterwards, or is named as failed."""
    for experiment in work.reader.experiments():
        work.shelf.put(Shelves.EXPERIMENT, experiment.id, experiment)
        if work.choices.selection.experiments.takes(experiment.id, experiment.name, active=experiment.active):
            work.account.expect(items=1)
            work.pool.submit(ensure, work, experiment)
    work.pool.drain()


def ensure(work: Work, experiment: Experiment) -> None:
    with work.account.one(f"experiment {experiment.name}"):
        _ensure(work, experiment)


def _ensure(work: Work, experiment: Experiment) -> None:
    name = work.choices.renames.experiment(experiment.name)
    there: Experiment | None = work.shelf.get(Shelves.EXPERIMENT_THERE, name)
    if there is None:
        identity, location = _created(work, experiment, name)
        work.ids.put(Kind.EXPERIMENT, experiment.id, Mapped(identity, experiment.location, location, state=NEW))
        work.account.count("experiments")
    else:
        _adopt(work, experiment, there)
        work.ids.put(Kind.EXPERIMENT, experiment.id, Mapped(there.id, experiment.location, there.location, state=THERE))
        work.account.count("experimentsThere")
        identity = there.id
    if not experiment.active:
        work.shelf.put(Shelves.DELETE_EXPERIMENT, identity, name)


def _created(work: Work, experiment: Experiment, name: str) -> tuple[str, str]:
    fields = work.choices.selection.source_tags
    tags = marks.without(experiment.tags) | marks.of_experiment(experiment, work.migration, fields=fields)
    found: list[Experiment] = []

    def find() -> Json | None:
        there = work.server.experiment_named(name)
        if there is None or there.tags.get(marks.EXPERIMENT_ID) != experiment.id:
            return None
        found.append(there)
        return {"experiment_id": there.id}

    body = {"name": name, "tags": items(tags)}
    identity = str(work.client.post(f"{A}/experiments/create", body, find)["experiment_id"])
    return identity, found[0].location if found else ""


def _adopt(work: Work, experiment: Experiment, there: Experiment) -> None:
    """An experiment of that name is there: it is used, brought back first if it was ours and is deleted."""
    ours = marks.EXPERIMENT_ID in there.tags
    if not there.active:
        if not ours:
            raise ObjectFailed("the target has a deleted experiment of that name, which holds the name")
        work.shelf.put(Shelves.CLOSED, there.id, True)
        if experiment.active:
            reopen(work, there.id)
    if work.choices.on_conflict is not OnConflict.UPDATE or not there.active:
        return
    for key, value in marks.without(experiment.tags).items():
        if there.tags.get(key) != value:
            body = {"experiment_id": there.id, "key": key, "value": value}
            work.client.post(f"{A}/experiments/set-experiment-tag", body)


def reopen(work: Work, identity: str) -> None:
    """Nothing can be written in a deleted experiment. It is deleted again in the end, if it is to be."""
    with _reopening:
        if work.shelf.pop(Shelves.CLOSED, identity):
            work.client.post(f"{A}/experiments/restore", {"experiment_id": identity})
            runs_of(work, [identity])


def is_selected(work: Work, identity: str) -> bool:
    """Whether an experiment moves with all that is in it; others come only for a run that a version needs."""
    found: Experiment | None = work.shelf.get(Shelves.EXPERIMENT, identity)
    chosen = work.choices.selection.experiments
    return found is not None and chosen.takes(found.id, found.name, active=found.active)


def selected(work: Work) -> Iterator[list[str]]:
    """Ids of those that have a target, so many at a time."""
    for sources in work.ids.sources(Kind.EXPERIMENT):
        found = [one for one in sources if is_selected(work, one)]
        if found:
            yield found


def look(work: Work) -> None:
    """What the target has under each name, before anything is made."""
    for experiment in work.server.experiments():
        work.shelf.put(Shelves.EXPERIMENT_THERE, experiment.name, experiment)


def runs_there(work: Work) -> None:
    """Runs of earlier migrations, found by their tags in the experiments that were there."""
    for sources in work.ids.sources(Kind.EXPERIMENT):
        mapped = (work.ids.get(Kind.EXPERIMENT, one) for one in sources)
        there = [one.target for one in mapped if one and one.state == THERE]
        if there:
            runs_of(work, there)


def runs_of(work: Work, targets: list[str]) -> None:
    for run in work.server.runs(targets, deleted=True):
        note(work, run)


def note(work: Work, run: Run) -> None:
    """A run of the target, in the map under the source's id. One with the source's own id is the very run."""
    source = run.tags.get(marks.RUN_ID, run.id)
    digest = run.tags.get(marks.DIGEST, "") if source != run.id else "same"
    mapped = Mapped(run.id, "", run.place.uri, digest, run.active, state(run))
    work.ids.put(Kind.RUN, source, mapped)


def state(run: Run) -> str:
    return f"{run.status} {run.end or ''}".strip()


def items(tags: Any) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
