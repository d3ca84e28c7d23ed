"""What can only be done when everything else is there: links between runs and models, and deletions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from project_migration.workers.mlflow.api import experiments, logged_models, marks, rewriting
from project_migration.workers.mlflow.api.client import A
from project_migration.workers.mlflow.api.entities import ModelOutput, Point
from project_migration.workers.mlflow.api.ids import Kind
from project_migration.workers.mlflow.api.logged_models import Stray
from project_migration.workers.mlflow.api.runs import BATCH_METRICS, Later
from project_migration.workers.mlflow.api.work import Shelves, Work


def links(work: Work) -> None:
    for run, _ in work.shelf.items(Shelves.STRAY):
        strays = work.shelf.pop(Shelves.STRAY, run)
        if strays:
            work.pool.submit(_stray, work, run, strays)
    for _, later in work.shelf.items(Shelves.LATER):
        work.pool.submit(_later, work, later)
    work.pool.drain()


def _later(work: Work, later: Later) -> None:
    title = f"run {later.source}"
    with work.account.one(title):
        tags = rewriting.run_tags(later.tags, work.ids)
        parent = later.tags.get(rewriting.PARENT_RUN, "")
        if parent and rewriting.PARENT_RUN not in tags:
            tags[marks.PARENT] = parent
            work.account.name("notPreserved", title, f"its parent run {parent} did not move")
        whole = _models(work, later, title)
        if whole and later.seal:
            tags[marks.DIGEST] = later.seal
        if tags:
            work.client.post(f"{A}/runs/log-batch", {"run_id": later.target, "tags": experiments.items(tags)})


def _models(work: Work, later: Later, title: str) -> bool:
    whole = True
    inputs: list[dict[str, Any]] = []
    for source in later.inputs:
        target = work.ids.target(Kind.LOGGED_MODEL, source)
        if target:
            inputs.append({"model_id": target})
        else:
            work.account.name("notPreserved", title, f"its input, the logged model {source}, did not move")
    if inputs:
        work.client.post(f"{A}/runs/log-inputs", {"run_id": later.target, "models": inputs})
    outputs: list[ModelOutput] = []
    for output in later.outputs:
        target = work.ids.target(Kind.LOGGED_MODEL, output.model)
        if target:
            outputs.append(ModelOutput(target, output.step))
        else:
            work.account.name("notPreserved", title, f"its output, the logged model {output.model}, did not move")
    logged_models.link(work, later.target, outputs)
    return whole


def _stray(work: Work, run: str, strays: list[Stray]) -> None:
    target = work.ids.target(Kind.RUN, run)
    with work.account.one(f"metrics of logged models by run {run}"):
        if not target:
            for stray in strays:
                what = f"logged model {stray.model}: metric {stray.metric.key}"
                work.account.name("notPreserved", what, f"run {run}, which logged it, did not move")
            return
        points = _points(work, strays)
        while metrics := list(islice(points, BATCH_METRICS)):
            work.client.post(f"{A}/runs/log-batch", {"run_id": target, "metrics": metrics})


def _points(work: Work, strays: list[Stray]) -> Iterator[dict[str, Any]]:
    for stray in strays:
        model = work.ids.target(Kind.LOGGED_MODEL, stray.model)
        if model:
            body = logged_models.point_body(Point(stray.metric.key, stray.metric.metric))
            yield body | logged_models.of_model(model, stray.metric)


def deletions(work: Work) -> None:
    """Last, since nothing can be written to what is deleted."""
    for target, source in work.shelf.items(Shelves.DELETE_RUN):
        work.pool.submit(_delete, work, f"run {source}", "runs", {"run_id": target})
    work.pool.drain()
    for target, name in work.shelf.items(Shelves.DELETE_EXPERIMENT):
        experiment = work.server.client.get(f"{A}/experiments/get", {"experiment_id": target})["experiment"]
        if experiment.get("lifecycle_stage") == "active":
            work.pool.submit(_delete, work, f"experiment {name}", "experiments", {"experiment_id": target})
    work.pool.drain()


def _delete(work: Work, what: str, kind: str, body: dict[str, str]) -> None:
    with work.account.one(what):
        work.client.post(f"{A}/{kind}/delete", body)
        work.account.count("deleted")
