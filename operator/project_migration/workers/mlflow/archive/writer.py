"""Writes what is selected as mlflow-export-import's newest sources write it, so that they import it.

Some things are done for that package's sake, each without loss to our own reader. It gives up a whole experiment when
a run's parent is not among its runs, when a logged model names no run, or when a trace has no spans; and since a method
that it calls is gone from MLflow's newer releases, on any trace at all. So such parents are kept under another tag, and
such models and all traces have their folders but are not in the experiment's lists; traces are in the list that its own
tool for traces reads. Releases up to 1.2.0 look for a run right below its experiment: there a link leads to it. Prompts
are taken in the order of their folders' names, so versions are written with leading zeros.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.mlflow.api import failures, marks, registry, rewriting, runs
from project_migration.workers.mlflow.api.account import Account
from project_migration.workers.mlflow.api.choices import Choices
from project_migration.workers.mlflow.api.endpoint import archive_of
from project_migration.workers.mlflow.api.entities import (
    Experiment,
    File,
    Metric,
    Place,
    RegisteredModel,
    Run,
    Trace,
    Version,
)
from project_migration.workers.mlflow.api.ids import IdMap, Kind, Mapped, Shelf
from project_migration.workers.mlflow.api.pool import Pool
from project_migration.workers.mlflow.api.sides import Side, workers
from project_migration.workers.mlflow.api.transfer import Transfer, Way
from project_migration.workers.mlflow.archive import contents, files, layout
from project_migration.workers.mlflow.archive.reader import SPANS_PATH, Archive
from project_migration.workers.mlflow.archive.spans import to_file
from project_migration.workers.mlflow.selection import MissingArtifacts, WithRuns

#: Says whose archive it is, and that it may be written again.
NOTE = "project-migration.json"


def directory(job: Job) -> str:
    """Of the target, or an empty text where it is a server."""
    return archive_of(job, "target")


def write(job: Job, choices: Choices, source: Side, account: Account, scratch: Path) -> None:
    """Raises ``Refused`` for a directory that holds something else."""
    root = directory(job)
    os.makedirs(root, exist_ok=True)
    claim(root, choices.migration)
    ids, shelf = IdMap(job.workspace / "mlflow" / "map.sqlite"), Shelf(scratch / "shelf.sqlite")
    pool = Pool(workers(job.request.params))
    try:
        ids.forget()
        Writer(root, choices, source, account, ids, shelf, pool).write()
    finally:
        pool.close()
        ids.close()
        shelf.close()


def claim(root: str, migration: str) -> None:
    """Raises ``Refused`` for a directory that holds something else."""
    claimable(root, migration)
    with files.written(root, NOTE) as stream:
        json.dump({"migration": migration}, stream)


def claimable(root: str, migration: str) -> None:
    path = os.path.join(root, NOTE)
    held = os.listdir(root) if os.path.isdir(root) else []
    if held and NOTE not in held:
        raise failures.Refused(reasons.TARGET_NOT_EMPTY, f"the archive's directory holds {sorted(held)[0]!r}")
    if NOTE in held and json.loads(Path(path).read_text(encoding="utf-8")).get("migration") != migration:
        raise failures.Refused(reasons.TARGET_NOT_EMPTY, "the archive's directory holds another migration's archive")


class Writer:
    def __init__(
        self, root: str, choices: Choices, source: Side, account: Account, ids: IdMap, shelf: Shelf, pool: Pool
    ) -> None:
        self._root, self._choices, self._source, self._account = root, choices, source, account
        self._ids, self._shelf, self._pool = ids, shelf, pool
        self._store = Archive(root)
        allow_missing = choices.selection.missing_artifacts is MissingArtifacts.ALLOW
        # no id of the archive differs from the source's, so nothing is rewritten on the way
        self._transfer = Transfer(account, rewriting.Nothing(), allow_missing=allow_missing)

    def write(self) -> None:
        listed = [entry for experiment in self._experiments() for entry in self._experiment(experiment)]
        self._pool.drain()
        self._file("experiments/experiments.json", "export_experiments.py", {"experiments": listed}, {"status": {}})
        models = list(self._models())
        self._file("models/models.json", "export_models.py", {"models": models})
        self._evaluation_datasets()
        if not listed and not models:
            raise failures.Refused(failures.NOTHING_SELECTED, "the selection matches no experiment and no model")
        self._file(
            "manifest.json", "export_all.py", {}, {"status": {"models": len(models), "experiments": len(listed)}}
        )

    def _file(self, path: str, script: str, content: Any, info: dict[str, Any] | None = None) -> None:
        files.write(self._root, path, files.system(script, self._source.reader.title), content, info)

    def _experiments(self) -> Iterator[Experiment]:
        """The selected ones, and those in which runs and logged models of the chosen versions are."""
        reader, wanted = self._source.reader, self._of_versions()
        for experiment in reader.experiments():
            if self._choices.selection.experiments.takes(experiment.id, experiment.name, active=experiment.active):
                self._shelf.put("selected", experiment.id, True)
                yield experiment
            elif experiment.id in wanted:
                self._shelf.put("only", experiment.id, wanted[experiment.id])
                yield experiment

    def _of_versions(self) -> dict[str, list[str]]:
        """Ids of runs and logged models by experiment, as the chosen versions name them; without any, all runs move."""
        with_runs = self._choices.selection.models.with_runs
        found: dict[str, list[str]] = {}
        for _, versions in self._chosen() if with_runs is not WithRuns.NONE else ():
            for version in versions:
                run = self._source.reader.run(version.run) if version.run else None
                if run is not None:
                    found.setdefault(run.experiment, []).extend([run.id] if with_runs is WithRuns.VERSIONS else [])
                identity = rewriting.logged_model_of(version.source)
                model = self._source.reader.logged_model(identity) if identity else None
                if model is not None and with_runs is WithRuns.VERSIONS:
                    found.setdefault(model.experiment, []).append(model.id)
        return found

    def _takes(self, experiment: Experiment, *ids: str) -> bool:
        """Whether an object with one of these ids moves."""
        only = self._shelf.get("only", experiment.id)
        return not only or any(one in only for one in ids)

    def _chosen(self) -> Iterator[tuple[RegisteredModel, list[Version]]]:
        if not self._shelf.get("read", "models"):
            self._shelf.put("read", "models", True)
            for model in self._source.reader.registered_models():
                if self._choices.selection.models.names.takes(model.name):
                    self._shelf.put("model", model.name, model)
            for version in self._source.reader.versions():
                self._shelf.put("version", version.model, version, part=f"{version.number:012}")
        for name, model in self._shelf.items("model"):
            versions = registry.selected(
                self._choices.selection.models, model, list(self._shelf.parts("version", name))
            )
            if versions or self._choices.selection.models.every_version:
                yield model, versions

    def _experiment(self, experiment: Experiment) -> Iterator[dict[str, Any]]:
        self._account.expect(items=1)
        with self._account.one(f"experiment {experiment.name}"):
            folder = f"experiments/{experiment.id}"
            self._ids.put(Kind.EXPERIMENT, experiment.id, Mapped(experiment.id))
            models = list(self._logged_models(experiment, folder))
            run_ids = self._runs(experiment, folder)
            if self._shelf.get("selected", experiment.id):
                self._traces(experiment, folder)
            info = {
                "num_total_runs": len(run_ids),
                "num_ok_runs": len(run_ids),
                "num_failed_runs": 0,
                "failed_runs": [],
            }
            name = self._choices.renames.experiment(experiment.name)
            content = {
                "experiment": {**contents.experiment(experiment), "name": name},
                "runs": run_ids,
                "logged_models": models,
                "traces": [],
            }
            self._file(f"{folder}/experiment.json", "export_experiment.py", content, info)
            self._account.count("experiments")
            yield {"id": experiment.id, "name": name, "ok_runs": len(run_ids), "failed_runs": 0, "duration": 0}

    def _runs(self, experiment: Experiment, folder: str) -> list[str]:
        known: set[str] = set()
        group: list[Run] = []
        for run in self._source.reader.runs([experiment.id], deleted=self._choices.deleted):
            if not self._takes(experiment, run.id):
                continue
            known.add(run.id)
            group.append(run)
            if len(group) == runs.GROUP:
                self._group(group, folder)
                group = []
        self._group(group, folder)
        self._pool.drain()
        self._parents(known, folder)
        return sorted(one for one in known if os.path.isfile(os.path.join(self._root, folder, "runs", one, "run.json")))

    def _group(self, group: list[Run], folder: str) -> None:
        self._account.expect(items=len(group))
        histories = self._source.reader.histories(group)
        for run in group:
            held = {key: histories[run.id, key] for key in run.latest if (run.id, key) in histories}
            self._pool.submit(self._run, run, held, folder)

    def _run(self, run: Run, held: dict[str, list[Metric]], folder: str) -> None:
        with self._account.one(run.title):
            where = f"{folder}/runs/{run.id}"
            way = self._way(run.place, f"{where}")
            has_files = runs.has_files_of(self._source, self._shelf, run.place)
            if has_files and not self._choices.selection.metadata_only:
                self._transfer.all_files(way, run.title, resume=True)
            parent = run.tags.get(rewriting.PARENT_RUN)
            if parent:
                self._shelf.put("parent", folder, (run.id, parent), part=run.id)
            with files.written(self._root, f"{where}/run.json") as stream:
                for piece in self._run_pieces(run, held):
                    stream.write(piece)
            files.link(self._root, f"{folder}/{run.id}", f"runs/{run.id}")
            self._ids.put(Kind.RUN, run.id, Mapped(run.id))
            self._account.count("runs")

    def _run_pieces(self, run: Run, held: dict[str, list[Metric]]) -> Iterator[str]:
        """The file piece by piece: a history may be longer than what should be held."""
        head = json.dumps(files.system("export_run.py", self._source.reader.title))
        yield f'{{"system": {head}, "mlflow": {{"info": {json.dumps(contents.info(run))},'
        yield f' "params": {json.dumps(run.params)},'
        yield f' "tags": {json.dumps(run.tags)}, "inputs": {json.dumps(self._inputs(run))},'
        yield f' "outputs": {json.dumps(self._outputs(run))}, "metrics": {{'
        for number, key in enumerate(run.latest):
            yield f"{', ' if number else ''}{json.dumps(key)}: ["
            first = True
            for page in [held[key]] if key in held else self._source.reader.history(run.id, key):
                for metric in page:
                    yield f"{'' if first else ', '}{json.dumps(contents.metric(metric))}"
                    self._account.count("metrics")
                    first = False
            yield "]"
        yield "}}}\n"

    def _inputs(self, run: Run) -> dict[str, Any]:
        datasets = [contents.dataset_input(one) for one in run.datasets]
        used = run.inputs
        if used is None and self._shelf.get("read", "logged models"):
            found = self._source.reader.run(run.id)
            used = found.inputs if found else None
        models = [{"model_id": one, "step": 0} for one in used or () if self._shelf.get("logged model", one)]
        return {"dataset_inputs": datasets, **({"model_inputs": models} if models else {})}

    def _outputs(self, run: Run) -> dict[str, Any]:
        models = [{"model_id": one.model, "step": one.step} for one in run.outputs]
        return {"model_outputs": [one for one in models if self._shelf.get("logged model", str(one["model_id"]))]}

    def _parents(self, known: set[str], folder: str) -> None:
        for run, parent in self._shelf.pop("parent", folder):
            if parent not in known:
                path = f"{folder}/runs/{run}/run.json"
                data = dict(layout.load(self._root, path))
                tags = data["mlflow"]["tags"]
                tags[marks.PARENT] = tags.pop(rewriting.PARENT_RUN)
                with files.written(self._root, path) as stream:
                    json.dump(data, stream)

    def _logged_models(self, experiment: Experiment, folder: str) -> Iterator[str]:
        """Ids for the list; one that names no run is in none."""
        ids: list[str] = []
        for model in self._source.reader.logged_models([experiment.id]):
            if not self._takes(experiment, model.id, model.run):
                continue
            self._shelf.put("logged model", model.id, True)
            self._shelf.put("read", "logged models", True)
            self._account.expect(items=1)
            with self._account.one(model.title):
                where = f"{folder}/logged_models/{model.id}"
                if not self._choices.selection.metadata_only:
                    self._transfer.all_files(self._way(model.place, where), model.title, resume=True)
                self._file(f"{where}/logged_model.json", "export_logged_model.py", contents.logged_model(model))
                self._account.count("loggedModels")
                ids.append(model.id)
                if model.run:
                    yield model.id
        if ids:
            content = {"experiments": [{"id": experiment.id, "name": experiment.name, "logged_models": ids}]}
            self._file(f"{folder}/logged_models/logged_models.json", "export_logged_models.py", content)

    def _way(self, here: Place, where: str) -> Way:
        return Way(self._source.store(here), self._store, here, Place(here.owner, here.id, here.uri, where))

    def _traces(self, experiment: Experiment, folder: str) -> None:
        """In the experiment's own list of traces is none: see the module."""
        ids: list[str] = []
        for trace in self._source.reader.traces([experiment.id]):
            self._account.expect(items=1)
            with self._account.one(trace.title):
                where = f"{folder}/traces/{trace.id}"
                if self._spans(trace, where):
                    ids.append(trace.id)
                self._file(f"{where}/trace.json", "export_trace.py", contents.trace(trace))
                self._account.count("traces")
        if ids:
            content = {"experiments": [{"id": experiment.id, "name": experiment.name, "traces": ids}]}
            self._file(f"{folder}/traces/traces.json", "export_traces.py", content)

    def _spans(self, trace: Trace, where: str) -> bool:
        if trace.span_file:
            return self._transfer.one_file(self._way(trace.place, where), File("traces.json", None), trace.title)
        if not trace.spans:
            return False
        with files.written(self._root, f"{where}/{SPANS_PATH}") as stream:
            json.dump({"spans": [to_file(span) for span in trace.spans]}, stream)
        self._account.count("spans", len(trace.spans))
        return True

    def _models(self) -> Iterator[str]:
        for model, versions in self._chosen():
            self._account.expect(items=1 + len(versions))
            with self._account.one(model.title):
                if model.prompt:
                    self._prompt(model, versions)
                    continue
                name = self._choices.renames.model(model.name)
                content = [self._version(version, model) for version in versions]
                info = {"num_src_versions": len(content), "num_dst_versions": len(content), "failed_versions": []}
                found = {**contents.registered_model(model, versions), "name": name, "versions": content}
                path = f"models/{quote(name, safe=' ')}/model.json"
                self._file(path, "export_model.py", {"registered_model": found}, info)
                self._account.count("models")
                self._account.count("versions", len(content))
                yield name
            self._account.finished(len(versions))

    def _version(self, version: Version, model: RegisteredModel) -> dict[str, Any]:
        run = self._source.reader.run(version.run) if version.run else None
        return contents.version(
            version,
            name=self._choices.renames.model(version.model),
            aliases=[alias for alias, number in model.aliases.items() if number == str(version.number)],
            run_uri=run.place.uri if run else "",
            experiment=self._name_of(run.experiment) if run else "",
        )

    def _name_of(self, experiment: str) -> str:
        if not self._shelf.get("read", "names"):
            self._shelf.put("read", "names", True)
            for one in self._source.reader.experiments():
                self._shelf.put("name", one.id, self._choices.renames.experiment(one.name))
        return str(self._shelf.get("name", experiment) or "")

    def _prompt(self, model: RegisteredModel, versions: Sequence[Version]) -> None:
        kept = {marks.MIGRATION, "mlflow.prompt.is_prompt", rewriting.EXPERIMENT_IDS}
        if model.aliases or set(model.tags) - kept:
            self._account.name(
                "notPreserved", model.title, "the layout has no aliases and no tags of a prompt as a whole"
            )
        for version in versions:
            folder = f"prompts/{quote(version.model)}_v{version.number:06}"
            self._file(f"{folder}/prompt.json", "export_prompt.py", {"prompt": contents.prompt(version, model)})
            self._account.count("promptVersions")
        self._account.count("prompts")

    def _evaluation_datasets(self) -> None:
        for dataset in self._source.reader.evaluation_datasets():
            moved = any(self._shelf.get("selected", one) for one in dataset.experiments)
            if not moved and (dataset.experiments or not self._choices.selection.experiments.everything):
                continue
            self._account.expect(items=1)
            with self._account.one(dataset.title):
                folder = f"evaluation_datasets/{quote(dataset.name, safe=' ')}_{dataset.id}"
                records = [dict(record) for page in self._source.reader.records(dataset) for record in page]
                content = {"evaluation_dataset": contents.evaluation_dataset(dataset, records)}
                self._file(f"{folder}/evaluation_dataset.json", "export_evaluation_dataset.py", content)
                self._account.count("evaluationDatasets")
                self._account.count("records", len(records))
