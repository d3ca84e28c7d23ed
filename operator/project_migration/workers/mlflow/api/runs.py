"""Runs: made with their start, filled in batches, closed with their status and end.

For a run that is new to the target this takes a creation, a batch or two, and an update, besides its files. All that is
known beforehand comes with the creation; what names the run itself, and the digest that says it is whole, with the last
batch. Nothing of it does harm when it is sent twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from project_migration.workers.mlflow.api import experiments, marks, rewriting
from project_migration.workers.mlflow.api.client import A, Json
from project_migration.workers.mlflow.api.entities import Metric, ModelOutput, Owner, Place, Point, Run
from project_migration.workers.mlflow.api.failures import ObjectFailed
from project_migration.workers.mlflow.api.ids import Kind, Mapped, Shelf
from project_migration.workers.mlflow.api.logged_models import ModelsOfRun, have_models
from project_migration.workers.mlflow.api.server import Feature
from project_migration.workers.mlflow.api.sides import Side
from project_migration.workers.mlflow.api.work import Shelves, Work

#: Limits of one log-batch (``mlflow/utils/validation.py``).
BATCH_METRICS, BATCH_PARAMS, BATCH_TAGS, BATCH_ALL = 1000, 100, 100, 1000
#: Longer ones the server cuts without a word, or refuses.
PARAM_LENGTH, TAG_LENGTH = 6000, 8000

GROUP = 100

Histories = Mapping[tuple[str, str], list[Metric]]

#: Tags that hold ids, which the target gives: they are set once those are known.
_WITH_IDS = (rewriting.PARENT_RUN, rewriting.ROOT_RUN, rewriting.MODEL_HISTORY, "mlflow.sourceRun")


class Later(NamedTuple):
    """What of a run waits until everything has a target that will have one."""

    source: str
    target: str
    tags: Mapping[str, str]
    inputs: tuple[str, ...]
    outputs: tuple[ModelOutput, ...]
    seal: str
    """The digest that makes the run whole, or an empty text where something failed."""


def copy_all(work: Work) -> None:
    for ids in work.ids.sources(Kind.EXPERIMENT):
        copy_some(work, work.reader.runs(ids, deleted=work.choices.deleted))
    work.pool.drain()


def copy_some(work: Work, runs: Iterator[Run]) -> None:
    """In groups, whose histories are read together while earlier ones are written."""
    while group := list(islice(runs, GROUP)):
        work.account.expect(items=len(group))
        todo = [run for run in group if not _there(work, run)]
        histories = work.reader.histories(todo)
        for run in todo:
            work.pool.submit(_copy, work, run, _of(histories, run))


def _of(histories: Histories, run: Run) -> Histories:
    return {(run.id, key): histories[run.id, key] for key in run.latest if (run.id, key) in histories}


def _there(work: Work, run: Run) -> bool:
    """Whether the target has the run as it is now; only its end may still be set, or it be deleted."""
    there = work.ids.get(Kind.RUN, run.id)
    if there is None or not there.done or (run.active and not run.over):
        return False
    if there.done not in (digest(run), "same") or not have_models(work, run):
        return False
    with work.account.one(run.title):
        work.ids.put(Kind.RUN, run.id, there._replace(source_uri=run.place.uri))
        if there.done != "same" and there.state != experiments.state(run) and there.active:
            _close(work, run, there.target)
        if run.active and not there.active:
            work.client.post(f"{A}/runs/restore", {"run_id": there.target})
        elif not run.active and there.active:
            work.shelf.put(Shelves.DELETE_RUN, there.target, run.id)
        work.account.count("runsThere")
    return True


def digest(run: Run) -> str:
    """Over what a page of runs tells; a history that grew shows in its latest value."""
    content = (
        [run.name, run.user, run.status, run.start, run.end],
        sorted([key, repr(metric.value), metric.timestamp, metric.step] for key, metric in run.latest.items()),
        sorted(run.params.items()),
        sorted(marks.without(run.tags).items()),
        [[one.dataset, sorted(one.tags.items())] for one in run.datasets],
        sorted(run.outputs),
    )
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _copy(work: Work, run: Run, histories: Histories) -> None:
    with work.account.one(run.title):
        RunCopy(work, run, histories).copy()


class RunCopy:
    """One run on its way."""

    def __init__(self, work: Work, run: Run, histories: Histories) -> None:
        self.work = work
        self.run = run
        self._histories = histories
        self._whole = True
        self._resumed = False
        self._target = ""

    def copy(self) -> None:
        experiments.reopen(self.work, self.work.ids.target(Kind.EXPERIMENT, self.run.experiment))
        there = self._there_or_made()
        self._target = there.target
        models = ModelsOfRun(self.work, self.run, there.target)
        models.copy()
        self._whole &= models.whole
        if not self.work.choices.selection.metadata_only:
            self._files(there)
        self._datasets()
        models.link()
        self._whole &= not self._later(models)
        self._content(models)
        _close(self.work, self.run, self._target)
        if not self.run.active:
            self.work.shelf.put(Shelves.DELETE_RUN, self._target, self.run.id)
        self.work.account.count("runsResumed" if self._resumed else "runs")

    def _there_or_made(self) -> Mapped:
        work, run = self.work, self.run
        there = work.ids.get(Kind.RUN, run.id)
        if there is not None:
            self._resumed = True
            if not there.active:
                work.client.post(f"{A}/runs/restore", {"run_id": there.target})
            there = there._replace(source_uri=run.place.uri, active=True)
        else:
            there = self._made()
        work.ids.put(Kind.RUN, run.id, there)
        return there

    def _made(self) -> Mapped:
        work, run = self.work, self.run
        experiment = work.ids.target(Kind.EXPERIMENT, run.experiment)
        if not experiment:
            raise ObjectFailed(f"its experiment {run.experiment} has no target")
        if not run.name:
            work.account.name("notPreserved", run.title, "it has no name; the target gives it one")
        body = {
            "experiment_id": experiment,
            "user_id": run.user,
            "run_name": run.name,
            "start_time": run.start or 0,
            "tags": experiments.items(self._first_tags()),
        }

        def find() -> Json | None:
            text = f"tags.`{marks.RUN_ID}` = '{run.id}'"
            found = next(work.server.runs([experiment], deleted=True, filter_text=text), None)
            if found is None:
                return None
            return {"run": {"info": {"run_id": found.id, "artifact_uri": found.place.uri}}}

        info = work.client.post(f"{A}/runs/create", body, find)["run"]["info"]
        identity = info.get("run_id") or info["run_uuid"]
        return Mapped(identity, run.place.uri, info.get("artifact_uri", ""), active=True)

    def _first_tags(self) -> dict[str, str]:
        run = self.run
        tags = {key: value for key, value in marks.without(run.tags).items() if key not in _WITH_IDS}
        if tags.get(rewriting.RUN_NAME, run.name) != run.name:
            self.work.account.name("notPreserved", run.title, "its tag mlflow.runName differs from its name")
            del tags[rewriting.RUN_NAME]
        return tags | marks.of_run(run, self.work.migration, fields=self.work.choices.selection.source_tags)

    def _files(self, there: Mapped) -> None:
        if not has_files_of(self.work.source, self.work.shelf, self.run.place):
            return
        target = Place(Owner.RUN, there.target, there.target_uri)
        way = self.work.way(self.run.place, target)
        self._whole &= self.work.transfer.all_files(way, self.run.title, resume=self._resumed)

    def _content(self, models: ModelsOfRun) -> None:
        tags = rewriting.run_tags({k: v for k, v in self.run.tags.items() if k in _WITH_IDS}, self.work.ids)
        if self._resumed:
            tags |= self._first_tags()
        params = self._fitting(self.run.params, "param", PARAM_LENGTH)
        for batch in batches(self._points(models), params, tags, self._seal):
            self.work.client.post(f"{A}/runs/log-batch", {"run_id": self._target, **batch})

    def _seal(self) -> dict[str, str]:
        """The tag that says the run is whole, asked for when all else was sent."""
        return {marks.DIGEST: digest(self.run)} if self._whole else {}

    def _fitting(self, found: Mapping[str, str], kind: str, limit: int) -> dict[str, str]:
        for key, value in found.items():
            if len(value) > limit:
                self.work.account.name("failed", f"{self.run.title}: {kind} {key}", f"longer than {limit} characters")
                self._whole = False
        return dict(found)

    def _points(self, models: ModelsOfRun) -> Iterator[dict[str, Any]]:
        for point in self._history():
            if point.metric.timestamp < 0:
                self.work.account.name("failed", f"{self.run.title}: metric {point.key}", "a time before 1970")
                self._whole = False
                continue
            self.work.account.count("metrics")
            yield from models.points(point)

    def _history(self) -> Iterator[Point]:
        for key in self.run.latest:
            held = self._histories.get((self.run.id, key))
            pages: Iterator[Sequence[Metric]]
            pages = iter([held]) if held is not None else self.work.reader.history(self.run.id, key)
            for page in pages:
                for metric in page:
                    yield Point(key, metric)

    def _datasets(self) -> None:
        if self.run.datasets:
            self.work.lacks(Feature.DATASET_INPUTS)
            found = [{"dataset": one.dataset, "tags": experiments.items(one.tags)} for one in self.run.datasets]
            self.work.client.post(f"{A}/runs/log-inputs", {"run_id": self._target, "datasets": found})

    def _later(self, models: ModelsOfRun) -> bool:
        """Whether something of the run has to wait for others; it is noted then."""
        parent = self.run.tags.get(rewriting.PARENT_RUN, "")
        waits = bool(parent) and not self.work.ids.target(Kind.RUN, parent)
        used = self._used()
        if not (waits or used or models.unlinked):
            return False
        tags = {key: value for key, value in self.run.tags.items() if key in _WITH_IDS}
        seal = digest(self.run) if self._whole else ""
        later = Later(self.run.id, self._target, tags, used, models.unlinked, seal)
        self.work.shelf.put(Shelves.LATER, self.run.id, later)
        return True

    def _used(self) -> tuple[str, ...]:
        """Logged models that the run took as input; only a look at each single run tells, where there are any."""
        if self.run.inputs is not None or not self.work.shelf.get(Shelves.FACTS, "logged models"):
            return self.run.inputs or ()
        found = self.work.reader.run(self.run.id)
        return (found.inputs or ()) if found else ()


def _close(work: Work, run: Run, target: str) -> None:
    if experiments.state(run) == "RUNNING":
        return
    body: dict[str, Any] = {"run_id": target, "status": run.status}
    if run.end is not None:
        body["end_time"] = run.end
    work.client.post(f"{A}/runs/update", body)


def has_files_of(side: Side, shelf: Shelf, place: Place) -> bool:
    """Whether anything lies where a run's artifacts would: one list of the experiment's folder tells it for all."""
    folder, _, rest = place.uri.rpartition(f"/{place.id}/")
    proxy = side.proxy(folder) if rest else None
    if proxy is None:
        return True
    key = f"{side.name} {folder}"
    names = shelf.get(Shelves.FOLDERS, key)
    if names is None:
        try:
            names = sorted(proxy.children(folder))
        except ObjectFailed:
            return True
        shelf.put(Shelves.FOLDERS, key, names)
    return place.id in names


def batches(
    points: Iterator[dict[str, Any]],
    params: Mapping[str, str],
    tags: Mapping[str, str],
    last: Callable[[], Mapping[str, str]],
) -> Iterator[dict[str, list[Any]]]:
    """What one call after another holds, within the limits of each kind and of all together.

    The tags of ``last`` come with the last one, for which each batch keeps a place; a server sets tags after the rest.
    """
    left_params, left_tags = experiments.items(params), experiments.items(tags)
    held: dict[str, list[Any]] = {"metrics": [], "params": [], "tags": []}
    while True:
        some_params, left_params = left_params[:BATCH_PARAMS], left_params[BATCH_PARAMS:]
        some_tags, left_tags = left_tags[: BATCH_TAGS - 1], left_tags[BATCH_TAGS - 1 :]
        room = BATCH_ALL - 1 - len(some_params) - len(some_tags)
        metrics = list(islice(points, room))
        if not (metrics or some_params or some_tags):
            break
        if any(held.values()):
            yield held
        held = {"metrics": metrics, "params": some_params, "tags": some_tags}
    held["tags"] = held["tags"] + experiments.items(last())
    if any(held.values()):
        yield held
