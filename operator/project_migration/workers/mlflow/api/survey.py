"""Worker ``mlflow.api.survey``: what both sides say, read only; everything that stands in the way at once.

Params as for ``mlflow.api.copy``. The record succeeds when the look was taken, whatever it saw. Counts: what is
selected by kind, ``bytes`` (of files, reckoned from a sample), ``problems``, ``targetEmpty``. Facts::

    source: {reachable, reason, message, version, experiments, runs, loggedModels, models, versions, prompts,
             promptVersions, traces, evaluationDatasets, scorers, leftOut: {webhooks: 2}, artifacts: [scheme]}
    target: {reachable, reason, message, version, experiments, empty, artifacts: [scheme], lacks: [feature],
             arrived}
    problems: {found: [{reason, message, passing}], count}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from project_migration.model.records import Progress, Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.mlflow.api import failures, marks, registry
from project_migration.workers.mlflow.api.artifacts import scheme, store_of
from project_migration.workers.mlflow.api.choices import Choices, OnConflict
from project_migration.workers.mlflow.api.endpoint import archive_of
from project_migration.workers.mlflow.api.entities import Experiment, RegisteredModel, Run
from project_migration.workers.mlflow.api.failures import Answer, ObjectFailed
from project_migration.workers.mlflow.api.ids import Shelf
from project_migration.workers.mlflow.api.program import main
from project_migration.workers.mlflow.api.server import EXPERIMENTS_AT_ONCE, Feature, Server, groups
from project_migration.workers.mlflow.api.sides import Side, opened, refuse_two_archives
from project_migration.workers.mlflow.archive import writer
from project_migration.workers.reasons import Refusal
from project_migration.workers.roots import scratch

PROBLEMS_LIMIT = 12

#: Runs whose files are listed for a guess at all of them.
SAMPLE_RUNS = 20

#: What a server may hold that this way does not move: paths and the names of their lists.
LEFT_OUT = {
    "webhooks": ("api/2.0/mlflow/webhooks", "webhooks"),
    "gatewayEndpoints": ("api/3.0/mlflow/gateway/endpoints/list", "endpoints"),
}


def work(job: Job) -> Record:
    choices = Choices.from_job(job)
    refuse_two_archives(job)
    with ExitStack() as stack:
        survey = Survey(job, choices, Shelf(stack.enter_context(scratch(job)) / "shelf.sqlite"))
        survey.look(stack)
    counts = dict(survey.counts) | {"problems": len(survey.problems), "targetEmpty": int(survey.target["empty"])}
    found = [
        {"reason": one.reason, "message": one.message[:200], "passing": one.passing}
        for one in survey.problems[:PROBLEMS_LIMIT]
    ]
    facts = {
        "source": survey.source,
        "target": survey.target,
        "problems": {"found": found, "count": len(survey.problems)},
    }
    job.tell(Progress(0, counts.get("bytes", 0), 0, sum(survey.counts[kind] for kind in ("runs", "versions"))))
    return job.record(counts=counts, facts=facts)


class Survey:
    def __init__(self, job: Job, choices: Choices, shelf: Shelf) -> None:
        self._job, self._choices, self._shelf = job, choices, shelf
        self.source: dict[str, Any] = {"reachable": False}
        self.target: dict[str, Any] = {"reachable": False, "empty": False}
        self.problems: list[Refusal] = []
        self.counts: Counter[str] = Counter()

    def look(self, stack: ExitStack) -> None:
        source = self._opened(stack, "source", self.source)
        if source is not None:
            self._selected(source)
        if archive_of(self._job, "target"):
            self._archive()
            return
        target = self._opened(stack, "target", self.target)
        if target is not None and target.server is not None:
            self._target(target, target.server)
            if source is not None:
                self._lacking(target.server)
                self._clashes(source, target.server)
                self._one_place(source, target)

    def _opened(self, stack: ExitStack, name: str, facts: dict[str, Any]) -> Side | None:
        try:
            side = stack.enter_context(opened(self._job, name))
        except Refusal as refusal:
            facts |= {"reason": refusal.reason, "message": refusal.message[:300]}
            self.problems.append(refusal)
            return None
        facts["reachable"] = True
        if side.server is not None:
            facts["version"] = side.server.release.text
        if side.archive is not None:
            side.archive.on_broken = self._broken
        return side

    def _broken(self, what: str, cause: str) -> None:
        if not self.counts["broken"]:
            message = f"the archive cannot give {what}: {cause}"
            self.problems.append(Refusal(failures.ARCHIVE_UNREADABLE, message))
        self.counts["broken"] += 1
        self._job.lists.add("unreadable", what, cause)

    def _selected(self, source: Side) -> None:
        chosen: list[str] = []
        try:
            for experiment in source.reader.experiments():
                if self._takes(experiment):
                    chosen.append(experiment.id)
                    self._shelf.put("experiment", experiment.id, experiment)
            self._count(source, chosen)
            self._registered(source)
        except (Refusal, ObjectFailed) as failure:
            self.problems.append(_refusal(failure))
        self.source |= {key: value for key, value in self.counts.items() if key != "broken"}
        if not chosen and not self.counts["models"] and not self.counts["prompts"] and not self.problems:
            message = "the selection matches no experiment and no model"
            self.problems.append(Refusal(failures.NOTHING_SELECTED, message))

    def _takes(self, experiment: Experiment) -> bool:
        return self._choices.selection.experiments.takes(experiment.id, experiment.name, active=experiment.active)

    def _count(self, source: Side, chosen: list[str]) -> None:
        schemes: set[str] = set()
        sample: list[Run] = []
        self.counts["experiments"] = len(chosen)
        for ids in groups(chosen, EXPERIMENTS_AT_ONCE):
            for run in source.reader.runs(ids, deleted=self._choices.deleted):
                self.counts["runs"] += 1
                schemes.add(scheme(run.place.uri))
                if len(sample) < SAMPLE_RUNS:
                    sample.append(run)
            self.counts["loggedModels"] += sum(1 for _ in source.reader.logged_models(ids))
            self.counts["traces"] += sum(1 for _ in _traces(source, ids))
            self.counts["scorers"] += sum(1 for _ in source.reader.scorers(ids))
        self.source["artifacts"] = sorted(schemes)
        if not self._choices.selection.metadata_only:
            self._reckon(source, sample)
        if source.server is not None:
            self.source["leftOut"] = {
                name: count for name, where in LEFT_OUT.items() if (count := source.server.count(*where))
            }

    def _reckon(self, source: Side, sample: list[Run]) -> None:
        size = 0
        for run in sample:
            try:
                size += sum(file.size or 0 for file in source.store(run.place).files(run.place))
            except Answer as answer:
                if not answer.missing:
                    self.problems.append(
                        Refusal(failures.ARTIFACTS_UNREACHABLE, f"source: files of {run.title}: {answer}")
                    )
                    return
            except (ObjectFailed, OSError) as failure:
                message = f"source: files of {run.title} cannot be listed: {failure}"
                self.problems.append(Refusal(failures.ARTIFACTS_UNREACHABLE, message))
                return
        self.counts["bytes"] = size * self.counts["runs"] // max(1, len(sample))

    def _registered(self, source: Side) -> None:
        models: dict[str, RegisteredModel] = {}
        for model in source.reader.registered_models():
            if self._choices.selection.models.names.takes(model.name):
                models[model.name] = model
        for version in source.reader.versions():
            if version.model in models:
                self._shelf.put("version", version.model, version, part=f"{version.number:012}")
        for name, model in models.items():
            versions = list(self._shelf.parts("version", name))
            chosen = registry.selected(self._choices.selection.models, model, versions)
            if chosen or self._choices.selection.models.every_version:
                self.counts["prompts" if model.prompt else "models"] += 1
                self.counts["promptVersions" if model.prompt else "versions"] += len(chosen)
                self._shelf.put("model", name, model)
        for _ in source.reader.evaluation_datasets():
            self.counts["evaluationDatasets"] += 1

    def _archive(self) -> None:
        try:
            writer.claimable(archive_of(self._job, "target"), self._choices.migration)
        except Refusal as refusal:
            self.problems.append(refusal)
            return
        self.target |= {"reachable": True, "empty": True}

    def _target(self, side: Side, server: Server) -> None:
        experiments = list(server.experiments())
        key = marks.arrived_key(self._job.request.namespace, self._job.request.migration_name)
        foreign = [one for one in experiments if one.tags.get(marks.MIGRATION) != self._choices.migration]
        empty = all(one.id == "0" for one in foreign) and next(_runs(server, foreign), None) is None
        models = next((model for model in server.registered_models() if not self._ours(model)), None)
        default = next((one.location for one in experiments if one.id == "0"), "")
        self.target |= {
            "experiments": len(experiments),
            "arrived": next((one.tags[key] for one in experiments if key in one.tags), ""),
            "empty": empty and models is None,
            "artifacts": [scheme(default)] if default else [],
        }
        if default and not self._choices.selection.metadata_only:
            try:
                store_of(side.client, side.mounted, default, write=True)
            except ObjectFailed as failure:
                self.problems.append(Refusal(failures.ARTIFACTS_UNREACHABLE, f"target: {failure}"))

    def _ours(self, model: RegisteredModel) -> bool:
        return model.tags.get(marks.MIGRATION) == self._choices.migration

    def _lacking(self, target: Server) -> None:
        """What is selected and the target's release does not know."""
        needed = {
            Feature.LOGGED_MODELS: "loggedModels",
            Feature.TRACES: "traces",
            Feature.PROMPTS: "prompts",
            Feature.EVALUATION_DATASETS: "evaluationDatasets",
            Feature.SCORERS: "scorers",
        }
        lacks = [feature for feature in needed if not target.has(feature)]
        self.target["lacks"] = [feature.title for feature in lacks]
        for feature in lacks:
            count = self.counts[needed[feature]]
            if count:
                floor = ".".join(str(part) for part in feature.floor)
                message = f"the target is MLflow {target.release.text}; {count} {feature.title} need {floor}"
                self.problems.append(Refusal(failures.TARGET_OLDER, message))

    def _clashes(self, source: Side, target: Server) -> None:
        there = {one.name: one for one in target.experiments()}
        fail = self._choices.on_conflict is OnConflict.FAIL
        for _, experiment in self._shelf.items("experiment"):
            name = self._choices.renames.experiment(experiment.name)
            found = there.get(name)
            if found is None or marks.EXPERIMENT_ID in found.tags:
                continue
            if not found.active:
                self._clash(f"a deleted experiment of the target holds the name {name}")
            elif fail and not (found.id == "0" and next(_runs(target, [found]), None) is None):
                self._clash(f"the target has an experiment named {name}")
        self._model_clashes(target, fail=fail)
        self._twice(source)

    def _model_clashes(self, target: Server, *, fail: bool) -> None:
        for found in target.registered_models():
            for name, model in self._shelf.items("model"):
                if self._choices.renames.model(name) != found.name:
                    continue
                if model.prompt is not found.prompt or (fail and marks.MIGRATION not in found.tags):
                    self._clash(f"the target has a {'prompt' if found.prompt else 'model'} named {found.name}")

    def _twice(self, source: Side) -> None:
        """A rename that gives a name which another selected experiment keeps."""
        renamed = {new: old for old, new in self._choices.renames.experiments.items()}
        for _, experiment in self._shelf.items("experiment"):
            old = renamed.get(experiment.name)
            if old not in (None, experiment.name) and experiment.name not in self._choices.renames.experiments:
                self._clash(f"{source.name}: {old} would become {experiment.name}, which moves under that name too")

    def _clash(self, message: str) -> None:
        self.problems.append(Refusal(failures.NAME_CLASH, message))

    def _one_place(self, source: Side, target: Side) -> None:
        """Two addresses of one server: an experiment with the same id, name, location and time is the same one."""
        if source.server is None:
            return
        there = {(one.id, one.name, one.location, one.created) for one in _experiments(target)}
        here = [(one.id, one.name, one.location, one.created) for _, one in self._shelf.items("experiment")]
        same_address = source.client.endpoint.url == target.client.endpoint.url
        same_workspace = source.client.endpoint.workspace == target.client.endpoint.workspace
        if same_workspace and (same_address or any(one in there for one in here if one[3])):
            self.problems.append(Refusal(reasons.PATHS_OVERLAP, "source and target are the same server"))


def _experiments(side: Side) -> Iterator[Experiment]:
    return side.reader.experiments()


def _runs(server: Server, experiments: list[Experiment]) -> Iterator[Run]:
    return server.runs([one.id for one in experiments], deleted=True)


def _traces(source: Side, ids: Any) -> Iterator[Any]:
    return source.server.traces(ids, spans=False) if source.server is not None else source.reader.traces(ids)


def _refusal(failure: Refusal | ObjectFailed) -> Refusal:
    if isinstance(failure, Refusal):
        return failure
    denied = isinstance(failure, Answer) and failure.status == 403
    return Refusal(reasons.PERMISSION_DENIED if denied else reasons.SOURCE_UNREADABLE, f"source: {failure}")


if __name__ == "__main__":
    main("survey", __doc__ or "", (), work)
