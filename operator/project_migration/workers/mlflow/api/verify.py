"""Worker ``mlflow.api.verify``: both sides read anew and compared; nothing that the copy noted is believed.

Params as for ``mlflow.api.copy``. Objects are matched by their names and by the tags that say where they came from, and
compared part by part: histories of metrics, params, tags, status, times, inputs and outputs, versions with stages and
aliases, traces with spans and assessments, records, and the files of every run and logged model by path and size, a
sample of them by SHA-256. Counts: by kind how many are alike, ``missing``, ``different``, ``files``, ``filesRead``.
Facts: ``kinds``: ``{kind: [on the source, found on the target, alike]}``; compared are the same kinds, and files by
path, size and what was read of them. The digest is over all that was found alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from project_migration.model.records import Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.mlflow.api import facts, marks, registry, rewriting, verify_files
from project_migration.workers.mlflow.api.account import Account
from project_migration.workers.mlflow.api.choices import Choices, OnConflict
from project_migration.workers.mlflow.api.comparison import Comparison, Told
from project_migration.workers.mlflow.api.entities import (
    Experiment,
    LoggedModel,
    RegisteredModel,
    Run,
    Version,
)
from project_migration.workers.mlflow.api.facts import Fact
from project_migration.workers.mlflow.api.failures import ObjectFailed
from project_migration.workers.mlflow.api.ids import IdMap, Kind, Mapped, Shelf
from project_migration.workers.mlflow.api.pool import Pool
from project_migration.workers.mlflow.api.program import main
from project_migration.workers.mlflow.api.sides import Side, opened, refuse_two_archives, workers
from project_migration.workers.mlflow.selection import WithRuns
from project_migration.workers.pace import Pace
from project_migration.workers.roots import scratch


def work(job: Job) -> Record:
    choices = Choices.from_job(job)
    refuse_two_archives(job)
    account = Account(job, Pace(choices.bandwidth))
    with (
        opened(job, "source") as source,
        opened(job, "target") as target,
        scratch(job) as directory,
        _comparison(job, choices, source, target, account, directory) as comparison,
    ):
        for side in (source, target):
            if side.archive is not None:
                side.archive.on_broken = account.broken
        _compare_all(comparison)
    return _judge(job, comparison)


@contextmanager
def _comparison(
    job: Job, choices: Choices, source: Side, target: Side, account: Account, directory: Any
) -> Iterator[Comparison]:
    ids, shelf = IdMap(directory / "ids.sqlite"), Shelf(directory / "shelf.sqlite")
    pool = Pool(workers(job.request.params))
    try:
        yield Comparison(choices, source, target, ids, shelf, account, pool)
    finally:
        pool.close()
        ids.close()
        shelf.close()


def _compare_all(one: Comparison) -> None:
    _experiments(one)
    _map_runs(one)
    _map_logged_models(one)
    _runs(one)
    _logged_models(one)
    _models(one)
    _traces(one)
    _evaluation(one)
    one.pool.drain()


def _experiments(one: Comparison) -> None:
    for experiment in one.target.reader.experiments():
        one.shelf.put("target experiment", experiment.name, experiment)
    skip = one.choices.on_conflict is not OnConflict.UPDATE

    def expected() -> Iterator[Told]:
        for experiment in one.source.reader.experiments():
            one.shelf.put("source experiment", experiment.id, experiment)
            if not _takes(one, experiment):
                continue
            name = experiment.name if one.archive else one.choices.renames.experiment(experiment.name)
            found = one.shelf.get("target experiment", name)
            fact = facts.experiment(experiment)
            if found is not None:
                mapped = Mapped(found.id, experiment.location, found.location)
                one.ids.put(Kind.EXPERIMENT, experiment.id, mapped)
                if skip and marks.EXPERIMENT_ID not in found.tags and not one.archive:
                    fact = {}  # it was there before, and stays as it was
            yield name, f"experiment {experiment.name}", fact

    listed = one.shelf.items("target experiment")
    found = ((name, name, facts.experiment(experiment)) for name, experiment in listed)
    one.compare("experiments", expected(), found)


def _takes(one: Comparison, experiment: Experiment) -> bool:
    return one.choices.selection.experiments.takes(experiment.id, experiment.name, active=experiment.active)


def _map_runs(one: Comparison) -> None:
    for targets in _targets(one):
        for run in one.target.reader.runs(targets, deleted=True):
            source = run.tags.get(marks.RUN_ID, run.id)
            one.ids.put(Kind.RUN, source, Mapped(run.id, "", run.place.uri))
    for sources in one.ids.sources(Kind.EXPERIMENT):
        for run in one.source.reader.runs(sources, deleted=one.choices.deleted):
            there = one.ids.get(Kind.RUN, run.id)
            if there is not None:
                one.ids.put(Kind.RUN, run.id, there._replace(source_uri=run.place.uri))


def _map_logged_models(one: Comparison) -> None:
    for targets in _targets(one):
        for model in one.target.reader.logged_models(targets):
            source = model.tags.get(marks.MODEL_ID, model.id)
            one.ids.put(Kind.LOGGED_MODEL, source, Mapped(model.id, "", model.place.uri))


def _targets(one: Comparison) -> Iterator[list[str]]:
    for sources in one.ids.sources(Kind.EXPERIMENT):
        yield [one.ids.target(Kind.EXPERIMENT, source) for source in sources]


def _runs(one: Comparison) -> None:
    def expected() -> Iterator[Told]:
        for sources in one.ids.sources(Kind.EXPERIMENT):
            yield from _told_runs(one, one.source.reader.runs(sources, deleted=one.choices.deleted))

    def found() -> Iterator[Told]:
        for targets in _targets(one):
            yield from _found_runs(one, one.target.reader.runs(targets, deleted=True))

    one.compare("runs", expected(), found())


def _told_runs(one: Comparison, runs: Iterator[Run]) -> Iterator[Told]:
    def noted() -> Iterator[Run]:
        for run in runs:
            one.shelf.put("place", run.id, run.place)
            yield run

    for run, fact in facts.runs(one.source.reader, noted(), one.ids):
        yield run.id, run.title, fact


def _found_runs(one: Comparison, runs: Iterator[Run | None]) -> Iterator[Told]:
    for run, fact in facts.runs(one.target.reader, (run for run in runs if run is not None), None):
        source = run.tags.get(marks.RUN_ID, run.id)
        yield source, run.title, fact
        here = one.shelf.get("place", source)
        if here is not None:
            verify_files.compare(one, here, run.place, f"run {source}")


def _logged_models(one: Comparison) -> None:
    def expected() -> Iterator[Told]:
        for sources in one.ids.sources(Kind.EXPERIMENT):
            for model in _placed(one, one.source.reader.logged_models(sources)):
                known = one.ids.get(Kind.LOGGED_MODEL, model.id)
                if known is not None:
                    one.ids.put(Kind.LOGGED_MODEL, model.id, known._replace(source_uri=model.place.uri))
                yield model.id, model.title, facts.logged_model(model, one.ids)

    def found() -> Iterator[Told]:
        for targets in _targets(one):
            yield from _found_models(one, one.target.reader.logged_models(targets))

    one.compare("logged models", expected(), found())


def _placed(one: Comparison, models: Iterable[LoggedModel]) -> Iterator[LoggedModel]:
    for model in models:
        one.shelf.put("place", model.id, model.place)
        yield model


def _found_models(one: Comparison, models: Iterable[LoggedModel | None]) -> Iterator[Told]:
    for model in models:
        if model is None:
            continue
        source = model.tags.get(marks.MODEL_ID, model.id)
        yield source, model.title, facts.logged_model(model, None)
        here = one.shelf.get("place", source)
        if here is not None:
            verify_files.compare(one, here, model.place, _title(model, source))


def _title(model: LoggedModel, source: str) -> str:
    return f"logged model {source} ({model.name})"


def _models(one: Comparison) -> None:
    names = one.choices.selection.models.names
    for model in one.source.reader.registered_models():
        if names.takes(model.name):
            one.shelf.put("source model", model.name, model)
    for version in one.source.reader.versions():
        if one.shelf.get("source model", version.model) is not None:
            one.shelf.put("source versions", version.model, version, part=f"{version.number:012}")
    for version in one.target.reader.versions():
        came_from = marks.identity(version) if one.archive else version.tags.get(marks.VERSION, "")
        one.shelf.put("target version", f"{version.model} {came_from}", version)
    _of_versions(one)
    found = (
        (key, version.title, facts.version(version, None, {})) for key, version in one.shelf.items("target version")
    )
    one.compare("model versions", _versions(one), found)
    _registered(one)


def _of_versions(one: Comparison) -> None:
    """Runs and logged models that came only because a version needs them, where their experiments are on the target."""
    runs: dict[str, Run] = {}
    models: dict[str, LoggedModel] = {}
    for _, versions in _chosen(one):
        for version in versions:
            identity = rewriting.logged_model_of(version.source)
            if identity and not one.ids.target(Kind.LOGGED_MODEL, identity):
                model = one.source.reader.logged_model(identity)
                if model is not None:
                    models[identity] = model
            if version.run and not one.ids.target(Kind.RUN, version.run):
                run = one.source.reader.run(version.run)
                if run is not None:
                    runs[run.id] = run
    if one.choices.selection.models.with_runs is WithRuns.NONE:
        return
    for run in runs.values():
        _find_run(one, run)
    for model in models.values():
        _find_model(one, model)
    found_runs = (one.target.reader.run(one.ids.target(Kind.RUN, identity)) for identity in list(runs))
    one.compare("runs of versions", _told_runs(one, iter(runs.values())), _found_runs(one, found_runs))
    found_models = (one.target.reader.logged_model(one.ids.target(Kind.LOGGED_MODEL, identity)) for identity in models)
    told = ((model.id, model.title, facts.logged_model(model, one.ids)) for model in _placed(one, models.values()))
    one.compare("logged models of versions", told, _found_models(one, found_models))


def _find_run(one: Comparison, run: Run) -> None:
    if one.archive:
        one.ids.put(Kind.RUN, run.id, Mapped(run.id, run.place.uri, run.place.uri))
        return
    target = _experiment_there(one, run.experiment)
    if not target or one.target.server is None:
        return
    text = f"tags.`{marks.RUN_ID}` = '{run.id}'"
    for found in one.target.server.runs([target], deleted=True, filter_text=text):
        one.ids.put(Kind.RUN, run.id, Mapped(found.id, run.place.uri, found.place.uri))


def _find_model(one: Comparison, model: LoggedModel) -> None:
    target = _experiment_there(one, model.experiment)
    for found in one.target.reader.logged_models([target]) if target else ():
        if found.tags.get(marks.MODEL_ID, found.id) == model.id:
            one.ids.put(Kind.LOGGED_MODEL, model.id, Mapped(found.id, model.place.uri, found.place.uri))


def _experiment_there(one: Comparison, identity: str) -> str:
    """The target's id for an experiment of the source that was not selected, or an empty text."""
    experiment = one.shelf.get("source experiment", identity)
    if experiment is None:
        return ""
    name = experiment.name if one.archive else one.choices.renames.experiment(experiment.name)
    found = one.shelf.get("target experiment", name)
    return str(found.id) if found else ""


def _name(one: Comparison, model: str) -> str:
    return model if one.archive else one.choices.renames.model(model)


def _chosen(one: Comparison) -> Iterator[tuple[RegisteredModel, list[Version]]]:
    for name, model in one.shelf.items("source model"):
        versions = list(one.shelf.parts("source versions", name))
        yield model, registry.selected(one.choices.selection.models, model, versions)


def _versions(one: Comparison) -> Iterator[Told]:
    rename = {} if one.archive else one.choices.renames.models
    for model, versions in _chosen(one):
        for version in versions:
            key = f"{_name(one, model.name)} {marks.identity(version)}"
            found = one.shelf.get("target version", key)
            if found is not None:
                one.ids.put(Kind.VERSION, f"{model.name}/{version.number}", Mapped(f"{found.model}/{found.number}"))
            yield key, version.title, _fact(one, version, rename)


def _fact(one: Comparison, version: Version, rename: Mapping[str, str]) -> Fact:
    if one.archive:
        return facts.version(version, None, rename)
    try:
        return facts.version(version, one.ids, rename)
    except ObjectFailed as failure:
        return {f"({failure})": True}


def _registered(one: Comparison) -> None:
    there = {model.name: model for model in one.target.reader.registered_models()}
    skip = one.choices.on_conflict is not OnConflict.UPDATE

    def expected() -> Iterator[Told]:
        for model, chosen in _chosen(one):
            if not chosen and not one.choices.selection.models.every_version:
                continue
            target = _name(one, model.name)
            numbers = {str(v.number): _number(one, v) for v in chosen}
            fact = facts.registered_model(model, one.ids, numbers)
            if one.archive and model.prompt:
                fact = {"prompt": True}  # the layout has nothing else of it
            elif skip and target in there and not one.archive and marks.MIGRATION not in there[target].tags:
                fact = {"prompt": model.prompt}
            yield target, model.title, fact

    found = ((name, model.title, facts.registered_model(model, None, None)) for name, model in there.items())
    one.compare("models", expected(), found)


def _number(one: Comparison, version: Version) -> str:
    if one.archive:
        return str(version.number)
    return one.ids.target(Kind.VERSION, f"{version.model}/{version.number}").rpartition("/")[2]


def _traces(one: Comparison) -> None:
    def expected() -> Iterator[Told]:
        for sources in one.ids.sources(Kind.EXPERIMENT):
            for trace in one.source.reader.traces(sources):
                yield trace.id, trace.title, facts.trace(trace, one.ids)

    def found() -> Iterator[Told]:
        for targets in _targets(one):
            for trace in one.target.reader.traces(targets):
                yield trace.id, trace.title, facts.trace(trace, None)

    one.compare("traces", expected(), found())


def _evaluation(one: Comparison) -> None:
    source, target = one.source.reader, one.target.reader

    def moved(experiments: tuple[str, ...]) -> bool:
        if not experiments:
            return one.choices.selection.experiments.everything
        return any(one.ids.target(Kind.EXPERIMENT, experiment) for experiment in experiments)

    expected = (
        (dataset.id, dataset.title, facts.evaluation_dataset(source, dataset, one.ids))
        for dataset in source.evaluation_datasets()
        if moved(dataset.experiments)
    )
    found = (
        (dataset.tags.get(marks.DATASET_ID, dataset.id), dataset.title, facts.evaluation_dataset(target, dataset, None))
        for dataset in target.evaluation_datasets()
    )
    one.compare("evaluation datasets", expected, found)
    if not one.archive:  # the layout has no scorers
        one.compare("scorers", _scorers(one, source.scorers, mapped=True), _scorers(one, target.scorers, mapped=False))


def _scorers(one: Comparison, listed: Callable[..., Any], *, mapped: bool) -> Iterator[Told]:
    for sources in one.ids.sources(Kind.EXPERIMENT):
        ids = sources if mapped else [one.ids.target(Kind.EXPERIMENT, source) for source in sources]
        for scorer in listed(ids):
            experiment = one.ids.target(Kind.EXPERIMENT, scorer.experiment) if mapped else scorer.experiment
            yield f"{experiment}/{scorer.name}", scorer.title, facts.scorer(scorer)


def _judge(job: Job, one: Comparison) -> Record:
    counts = dict(one.account.counts)
    wrong = sum(counts.get(kind, 0) for kind in ("missing", "different", "unreadable", "failed"))
    kinds = {kind: [tally.source, tally.target, tally.alike] for kind, tally in one.tallies.items()}
    counts |= {_camel(kind): tally.alike for kind, tally in one.tallies.items()}
    digest = "sha256:" + hashlib.sha256(str(one.total).encode()).hexdigest()
    compared = [tally.compared(kind) for kind, tally in (*one.tallies.items(), ("files", one.files)) if tally.source]
    if not wrong:
        return job.record(counts=counts, digest=digest, facts={"kinds": kinds}, compared=compared)
    first = next(kind for kind in ("missing", "different", "unreadable", "failed") if counts.get(kind))
    message = f"{wrong} object(s) differ between source and target; {first}: {job.lists.say(first)}"
    return job.record(
        reason=reasons.VERIFY_FAILED,
        message=message[:1500],
        counts=counts,
        digest=digest,
        facts={"kinds": kinds},
        compared=compared,
    )


def _camel(words: str) -> str:
    first, *rest = words.split()
    return first + "".join(word.capitalize() for word in rest)


if __name__ == "__main__":
    main("verify", __doc__ or "", (), work)
