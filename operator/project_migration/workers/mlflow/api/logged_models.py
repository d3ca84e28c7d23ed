"""Logged models: with the run that made them, or by themselves; their metrics come with those of runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from project_migration.workers.mlflow.api import experiments, marks, rewriting
from project_migration.workers.mlflow.api.client import A, Json
from project_migration.workers.mlflow.api.entities import (
    LoggedModel,
    Metric,
    ModelMetric,
    ModelOutput,
    Owner,
    Place,
    Point,
    Run,
    written,
)
from project_migration.workers.mlflow.api.failures import ObjectFailed
from project_migration.workers.mlflow.api.ids import Kind, Mapped
from project_migration.workers.mlflow.api.server import Feature
from project_migration.workers.mlflow.api.work import Shelves, Work

FINAL = ("LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED")


class Stray(NamedTuple):
    """A metric of a model that another run than its own logged."""

    model: str
    metric: ModelMetric


def look(work: Work) -> None:
    """What the source has, by run, and what earlier migrations brought to the target's experiments."""
    for sources in work.ids.sources(Kind.EXPERIMENT):
        for model in work.reader.logged_models(sources):
            shelve(work, model)
        mapped = (work.ids.get(Kind.EXPERIMENT, one) for one in sources)
        look_there(work, [one.target for one in mapped if one and one.state == experiments.THERE])


def shelve(work: Work, model: LoggedModel) -> None:
    work.shelf.put(Shelves.LOGGED_MODEL, model.run, model, part=model.id)
    work.shelf.put(Shelves.FACTS, "logged models", True)
    for metric in model.metrics:
        if metric.run and metric.run != model.run:
            part = f"{model.id} {metric.key} {metric.metric}"
            work.shelf.put(Shelves.STRAY, metric.run, Stray(model.id, metric), part=part)


def look_there(work: Work, targets: list[str]) -> None:
    for model in work.server.logged_models(targets) if targets else ():
        source = model.tags.get(marks.MODEL_ID, model.id)
        mapped = Mapped(model.id, "", model.place.uri, model.tags.get(marks.DIGEST, ""))
        work.ids.put(Kind.LOGGED_MODEL, source, mapped)


def copy_rest(work: Work) -> None:
    """Those that no run made, or one that does not move, or one that had moved before they were looked up."""
    for run, model in work.shelf.items(Shelves.LOGGED_MODEL):
        target = work.ids.target(Kind.RUN, run)
        if not target or not work.ids.target(Kind.LOGGED_MODEL, model.id):
            work.account.expect(items=1)
            work.pool.submit(_copy, work, model, target)
    work.pool.drain()


def _copy(work: Work, model: LoggedModel, run: str) -> None:
    with work.account.one(model.title):
        ensure(work, model, run)


def ensure(work: Work, model: LoggedModel, run: str) -> Mapped:
    """The model on the target, with its files and its status. Raises :class:`ObjectFailed`."""
    work.lacks(Feature.LOGGED_MODELS)
    there = work.ids.get(Kind.LOGGED_MODEL, model.id)
    if there is not None and (there.done == model.status or there.target == model.id):
        work.ids.put(Kind.LOGGED_MODEL, model.id, there._replace(source_uri=model.place.uri))
        work.account.count("loggedModelsThere")
        return there
    resumed = there is not None
    if there is None:
        there = _made(work, model, run)
    there = there._replace(source_uri=model.place.uri)
    work.ids.put(Kind.LOGGED_MODEL, model.id, there)
    whole = _files(work, model, there, resume=resumed)
    if model.status in FINAL:
        body = {"model_id": there.target, "status": model.status}
        work.client.call("PATCH", f"{A}/logged-models/{there.target}", body=body)
    if not whole:
        raise ObjectFailed("not all of its files moved")
    seal = {"model_id": there.target, "tags": [{"key": marks.DIGEST, "value": model.status}]}
    work.client.call("PATCH", f"{A}/logged-models/{there.target}/tags", body=seal)
    work.account.count("loggedModels")
    return there


def _made(work: Work, model: LoggedModel, run: str) -> Mapped:
    experiment = work.ids.target(Kind.EXPERIMENT, model.experiment)
    experiments.reopen(work, experiment)
    tags = rewriting.logged_model_tags(marks.without(model.tags), work.ids)
    body: dict[str, Any] = {
        "experiment_id": experiment,
        "name": model.name,
        "model_type": model.type,
        "params": experiments.items(model.params),
        "tags": experiments.items(tags | marks.of_logged_model(model, work.migration)),
    }
    if run:
        body["source_run_id"] = run

    def find() -> Json | None:
        for found in work.server.logged_models([experiment]):
            if found.tags.get(marks.MODEL_ID) == model.id:
                return {"model": {"info": {"model_id": found.id, "artifact_uri": found.place.uri}}}
        return None

    info = work.client.post(f"{A}/logged-models", body, find)["model"]["info"]
    return Mapped(info["model_id"], model.place.uri, info.get("artifact_uri", ""))


def _files(work: Work, model: LoggedModel, there: Mapped, *, resume: bool) -> bool:
    if work.choices.selection.metadata_only:
        return True
    way = work.way(model.place, Place(Owner.LOGGED_MODEL, there.target, there.target_uri))
    return work.transfer.all_files(way, model.title, resume=resume)


def have_models(work: Work, run: Run) -> bool:
    """Whether every logged model of a run is on the target as it is on the source."""
    for model in work.shelf.parts(Shelves.LOGGED_MODEL, run.id):
        there = work.ids.get(Kind.LOGGED_MODEL, model.id)
        if there is None or (there.done != model.status and there.target != model.id):
            return False
    return True


class ModelsOfRun:
    """The logged models that one run made, and how its metrics and outputs refer to them."""

    def __init__(self, work: Work, run: Run, target: str) -> None:
        self._work, self._run, self._target = work, run, target
        self._metrics: dict[tuple[str, Metric], list[tuple[str, ModelMetric]]] = {}
        self.whole = True
        #: Outputs whose model has no target yet.
        self.unlinked: tuple[ModelOutput, ...] = ()

    def copy(self) -> None:
        for model in self._work.shelf.parts(Shelves.LOGGED_MODEL, self._run.id):
            moved = False
            self._work.account.expect(items=1)
            with self._work.account.one(model.title):
                there = ensure(self._work, model, self._target)
                moved = True
                for metric in model.metrics:
                    if metric.run in ("", self._run.id):
                        self._metrics.setdefault((metric.key, metric.metric), []).append((there.target, metric))
            self.whole &= moved

    def points(self, point: Point) -> Iterator[dict[str, Any]]:
        """A point of the run as a log-batch takes it, once for each of its models that it belongs to."""
        found = self._metrics.get((point.key, _stored(point.metric)))
        body = point_body(point)
        if not found:
            yield body
        for model, metric in found or ():
            yield body | of_model(model, metric)

    def link(self) -> None:
        """Outputs whose models are there. Sending one twice is an error, so what is there is looked at first."""
        if not self._run.outputs:
            return
        known = {one: self._work.ids.target(Kind.LOGGED_MODEL, one.model) for one in self._run.outputs}
        self.unlinked = tuple(one for one, target in known.items() if not target)
        link(self._work, self._target, [ModelOutput(t, one.step) for one, t in known.items() if t])


def link(work: Work, run: str, outputs: list[ModelOutput]) -> None:
    if not outputs:
        return

    def left() -> list[dict[str, Any]]:
        there = work.server.run(run)
        present = set(there.outputs) if there else set()
        return [{"model_id": one.model, "step": one.step} for one in outputs if one not in present]

    models = left()
    if models:
        work.client.post(f"{A}/runs/outputs", {"run_id": run, "models": models}, lambda: None if left() else {})


def point_body(point: Point) -> dict[str, Any]:
    metric = point.metric
    return {"key": point.key, "value": written(metric.value), "timestamp": metric.timestamp, "step": metric.step}


def of_model(model: str, metric: ModelMetric) -> dict[str, Any]:
    found = {"model_id": model, "dataset_name": metric.dataset_name, "dataset_digest": metric.dataset_digest}
    return {name: value for name, value in found.items() if value}


def _stored(metric: Metric) -> Metric:
    """As a model's own table holds it, where a NaN is 0 without a flag."""
    return metric._replace(value=0.0) if metric.value != metric.value else metric
