"""An archive as a side that can be read, whichever release of mlflow-export-import wrote it.

What is listed and not there, or cannot be read, is told to ``on_broken`` with its cause; the rest is given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from project_migration.workers.mlflow.api.artifacts import Folder, Readable, Sized
from project_migration.workers.mlflow.api.endpoint import Mounted
from project_migration.workers.mlflow.api.entities import (
    EvaluationDataset,
    Experiment,
    File,
    LoggedModel,
    Metric,
    Place,
    RegisteredModel,
    Run,
    Scorer,
    Trace,
    Version,
)
from project_migration.workers.mlflow.api.failures import ObjectFailed
from project_migration.workers.mlflow.archive import layout, parsing

Broken = Callable[[str, str], None]

SPANS_PATH = "artifacts/traces.json"


class Archive:
    """A :class:`~project_migration.workers.mlflow.api.entities.Reader`, and the store of its own artifacts."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.on_broken: Broken = lambda *_: None
        self._store = Folder(Mounted(root, ""))
        self._folders: dict[str, str] = {}
        self._model_runs: dict[str, str] | None = None

    @classmethod
    def opened(cls, root: str, side: str) -> Archive:
        """Raises ``Refused`` for a directory that is no archive."""
        layout.refuse_unless_archive(root, side)
        return cls(root)

    @property
    def title(self) -> str:
        return self.root

    def experiments(self) -> Iterator[Experiment]:
        seen: set[str] = set()
        for folder in layout.experiment_folders(self.root):
            found = self._read(f"experiment in {folder}", self._experiment, folder)
            if found is not None and found.id not in seen:
                seen.add(found.id)
                self._folders[found.id] = folder
                yield found
        yield from self._of_models(seen)
        self._listed_only(seen)

    def _experiment(self, folder: str) -> Experiment:
        return parsing.experiment(self._file(folder, *layout.EXPERIMENT_FILES))

    def _of_models(self, seen: set[str]) -> Iterator[Experiment]:
        """Experiments of which an export of models only tells the names."""
        if layout.experiments_folder(self.root):
            return
        names = {version.run: name for version, name in self._versions() if name}
        for identity, name in names.items():
            run = self.run(identity)
            if run is not None and run.experiment not in seen:
                seen.add(run.experiment)
                yield Experiment(run.experiment, name, "", True)

    def _listed_only(self, seen: set[str]) -> None:
        folder = layout.experiments_folder(self.root)
        for name in ("experiments.json", "manifest.json"):
            path = os.path.join(folder, name)
            if folder and os.path.isfile(os.path.join(self.root, path)):
                listed = self._read(path, layout.load, self.root, path)
                entries = layout.body(listed or {}).get("experiments") or ()
                for entry in entries if isinstance(entries, list) else ():
                    if isinstance(entry, dict) and str(entry.get("id", "")) not in {*seen, ""}:
                        self.on_broken(f"experiment {entry.get('name', entry['id'])}", "listed, without a folder")
                return

    def runs(self, experiments: Sequence[str], *, deleted: bool) -> Iterator[Run]:
        for identity in experiments:
            folder = self._folder(identity)
            data = self._read(f"experiment {identity}", self._of_folder, folder) if folder else None
            if data is None:
                continue
            for failed in parsing.failed_runs(data):
                self.on_broken(f"run {failed}", "the export that wrote the archive had failed on it")
            for run in dict.fromkeys(parsing.runs(data)):  # some releases list a run once for each version
                found = self._read(f"run {run}", self._run_of, folder, run, identity)
                if found is not None and (found.active or deleted):
                    yield found

    def _of_folder(self, folder: str) -> Mapping[str, Any]:
        return self._file(folder, *layout.EXPERIMENT_FILES)

    def _run_of(self, folder: str, run: str, experiment: str) -> Run:
        where = layout.run_folder(self.root, folder, run)
        return parsing.run(self._file(where, "run.json"), where, experiment)

    def run(self, identity: str) -> Run | None:
        folder = self._run_folder(identity)
        return self._read(f"run {identity}", self._run_in, folder) if folder else None

    def _run_in(self, folder: str) -> Run:
        return parsing.run(self._file(folder, "run.json"), folder, "")

    def _run_folder(self, identity: str) -> str:
        if not self._folders:
            for _ in self.experiments():
                pass
        for folder in self._folders.values():
            try:
                return layout.run_folder(self.root, folder, identity)
            except ObjectFailed:
                continue
        if self._model_runs is None:
            self._model_runs = {
                os.path.basename(run): run
                for model in layout.model_folders(self.root)
                for run in layout.subfolders(self.root, model, "run.json")
            }
        return self._model_runs.get(identity, "")

    def histories(self, runs: Sequence[Run]) -> Mapping[tuple[str, str], list[Metric]]:  # noqa: ARG002
        """None are held: each is read with its run."""
        return {}

    def history(self, run: str, key: str) -> Iterator[Sequence[Metric]]:
        folder = self._run_folder(run)
        yield parsing.history(self._file(folder, "run.json"), key)

    def logged_models(self, experiments: Sequence[str]) -> Iterator[LoggedModel]:
        for identity in experiments:
            folder = self._folder(identity)
            where = os.path.join(folder, "logged_models")
            for model in layout.subfolders(self.root, where, "logged_model.json") if folder else ():
                found = self._read(f"logged model {os.path.basename(model)}", self._logged_model, model)
                if found is not None:
                    yield found

    def logged_model(self, identity: str) -> LoggedModel | None:
        if not self._folders:
            for _ in self.experiments():
                pass
        for folder in self._folders.values():
            where = os.path.join(folder, "logged_models", identity)
            if os.path.isfile(os.path.join(self.root, where, "logged_model.json")):
                found: LoggedModel | None = self._read(f"logged model {identity}", self._logged_model, where)
                return found
        return None

    def _logged_model(self, folder: str) -> LoggedModel:
        return parsing.logged_model(self._file(folder, "logged_model.json"), folder)

    def registered_models(self) -> Iterator[RegisteredModel]:
        for folder in layout.model_folders(self.root):
            data = self._read(f"model {os.path.basename(folder)}", self._of_model, folder)
            if data is not None:
                for failed in parsing.failed_versions(data):
                    self.on_broken(f"version {failed}", "the export that wrote the archive had failed on it")
                yield parsing.registered_model(data)
        yield from parsing.prompts(self._prompts())

    def versions(self) -> Iterator[Version]:
        for version, _ in self._versions():
            yield version
        yield from parsing.prompt_versions(self._prompts())

    def _versions(self) -> Iterator[tuple[Version, str]]:
        for folder in layout.model_folders(self.root):
            data = self._read(f"model {os.path.basename(folder)}", self._of_model, folder)
            if data is not None:
                yield from parsing.versions(data)

    def _of_model(self, folder: str) -> Mapping[str, Any]:
        return self._file(folder, "model.json")

    def _prompts(self) -> Iterator[Mapping[str, Any]]:
        for folder in layout.prompt_folders(self.root):
            found = self._read(f"prompt in {folder}", self._prompt, folder)
            if found is not None:
                yield found

    def _prompt(self, folder: str) -> Mapping[str, Any]:
        return parsing.prompt(self._file(folder, "prompt.json"))

    def traces(self, experiments: Sequence[str]) -> Iterator[Trace]:
        for identity in experiments:
            folder = self._folder(identity)
            where = os.path.join(folder, "traces")
            for trace in layout.subfolders(self.root, where, "trace.json") if folder else ():
                found = self._read(f"trace {os.path.basename(trace)}", self._trace, trace, identity)
                if found is not None:
                    yield found

    def _trace(self, folder: str, experiment: str) -> Trace:
        data, path = self._file(folder, "trace.json"), os.path.join(folder, SPANS_PATH)
        there = os.path.isfile(os.path.join(self.root, path))
        if there and not parsing.spans_in_store(data):
            return replace(parsing.trace(data, (), experiment), span_file=True, directory=folder)
        return parsing.trace(data, layout.load(self.root, path).get("spans", ()) if there else (), experiment)

    def evaluation_datasets(self) -> Iterator[EvaluationDataset]:
        for folder in layout.dataset_folders(self.root):
            data = self._read(f"evaluation dataset in {folder}", self._dataset, folder)
            if data is not None:
                yield parsing.evaluation_dataset(data)

    def _dataset(self, folder: str) -> Mapping[str, Any]:
        return self._file(folder, "evaluation_dataset.json")

    def records(self, dataset: EvaluationDataset) -> Iterator[Sequence[Mapping[str, Any]]]:
        for folder in layout.dataset_folders(self.root):
            data = self._read(f"evaluation dataset in {folder}", self._dataset, folder)
            if data is not None and parsing.evaluation_dataset(data).id == dataset.id:
                yield parsing.records(data)

    def scorers(self, experiments: Sequence[str]) -> Iterator[Scorer]:  # noqa: ARG002
        """No release writes them."""
        return iter(())

    def files(self, place: Place) -> Iterator[File]:
        return self._store.files(place)

    def read(self, place: Place, path: str) -> AbstractContextManager[Readable]:
        return self._store.read(place, path)

    def write(self, place: Place, path: str, content: Sized) -> None:
        self._store.write(place, path, content)

    def _folder(self, experiment: str) -> str:
        if not self._folders:
            for _ in self.experiments():
                pass
        return self._folders.get(experiment, "")

    def _file(self, folder: str, *names: str) -> Mapping[str, Any]:
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(os.path.join(self.root, path)):
                return layout.load(self.root, path)
        raise ObjectFailed(f"{names[0]} is not there")

    def _read(self, what: str, read: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except ObjectFailed as failure:
            self.on_broken(what, str(failure))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.on_broken(what, f"it is not as any release writes it: {type(error).__name__}: {error}")
        return None
