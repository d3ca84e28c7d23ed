"""Registered models and prompts: versions with their numbers, stages, aliases and tags.

A server counts versions up and never gives a number twice. A gap is made by a version that is deleted at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from project_migration.workers.mlflow.api import experiments, marks, rewriting
from project_migration.workers.mlflow.api.choices import OnConflict
from project_migration.workers.mlflow.api.client import A, Json
from project_migration.workers.mlflow.api.entities import RegisteredModel, Version
from project_migration.workers.mlflow.api.failures import ObjectFailed
from project_migration.workers.mlflow.api.ids import Kind, Mapped
from project_migration.workers.mlflow.api.server import Feature
from project_migration.workers.mlflow.api.work import Shelves, Work
from project_migration.workers.mlflow.selection import Models, Versions

PLACEHOLDER = "s3://project-migration/placeholder"
#: Deleted versions that are made anew in one model, for its numbers to stay.
GAPS_LIMIT = 2000


def selected(models: Models, model: RegisteredModel, versions: Sequence[Version]) -> list[Version]:
    """Those of one model that move, in their order."""
    found = sorted(versions, key=lambda version: version.number)
    if model.prompt:  # stages and aliases choose among models
        return found
    if models.versions is Versions.LATEST:
        newest = {version.stage: version for version in found}
        found = sorted(newest.values(), key=lambda version: version.number)
    if isinstance(models.versions, frozenset):
        found = [version for version in found if str(version.number) in models.versions]
    if models.stages:
        found = [version for version in found if version.stage in models.stages]
    if models.aliases:
        named = {number for alias, number in model.aliases.items() if alias in models.aliases}
        found = [version for version in found if str(version.number) in named]
    return found


def look(work: Work) -> None:
    """What the source has, and what the target has under each name."""
    for model in work.reader.registered_models():
        if work.choices.selection.models.names.takes(model.name):
            work.shelf.put(Shelves.MODEL, model.name, model)
    for version in work.reader.versions():
        if work.shelf.get(Shelves.MODEL, version.model) is not None:
            work.shelf.put(Shelves.VERSION, version.model, version, part=f"{version.number:012}")
    for model in work.server.registered_models():
        work.shelf.put(Shelves.MODEL_THERE, model.name, model)
    for version in work.server.versions():
        work.shelf.put(Shelves.VERSION_THERE, version.model, version, part=f"{version.number:012}")


def chosen(work: Work) -> Iterator[tuple[RegisteredModel, list[Version]]]:
    for name, model in work.shelf.items(Shelves.MODEL):
        versions = list(work.shelf.parts(Shelves.VERSION, name))
        found = selected(work.choices.selection.models, model, versions)
        if found or work.choices.selection.models.every_version:
            yield model, found


def runs_needed(work: Work) -> Iterator[str]:
    """Runs of the chosen versions that have no target yet, each once."""
    seen: set[str] = set()
    for _, versions in chosen(work):
        for version in versions:
            if version.run and version.run not in seen and not work.ids.target(Kind.RUN, version.run):
                seen.add(version.run)
                yield version.run


def logged_models_needed(work: Work) -> Iterator[str]:
    """Those that the chosen versions are made of and that are in no selected experiment, each once."""
    seen: set[str] = set()
    for _, versions in chosen(work):
        for version in versions:
            identity = rewriting.logged_model_of(version.source)
            if identity and identity not in seen and not work.ids.target(Kind.LOGGED_MODEL, identity):
                seen.add(identity)
                yield identity


def copy_all(work: Work) -> None:
    for model, versions in chosen(work):
        work.account.expect(items=1 + len(versions))
        work.pool.submit(_copy, work, model, versions)
    work.pool.drain()


def _copy(work: Work, model: RegisteredModel, versions: list[Version]) -> None:
    with work.account.one(model.title):
        ModelCopy(work, model, versions).copy()


class ModelCopy:
    """One registered model or prompt on its way."""

    def __init__(self, work: Work, model: RegisteredModel, versions: list[Version]) -> None:
        self._work, self._model, self._versions = work, model, versions
        self._name = work.choices.renames.model(model.name)
        self._there: RegisteredModel | None = work.shelf.get(Shelves.MODEL_THERE, self._name)
        there = list(work.shelf.parts(Shelves.VERSION_THERE, self._name))
        self._moved = {version.tags.get(marks.VERSION, ""): version for version in there}
        #: Numbers are kept where nobody else has made versions.
        self._ours = all(marks.VERSION in version.tags for version in there)
        self._last = max((version.number for version in there), default=0)

    def copy(self) -> None:
        if self._model.prompt:
            self._work.lacks(Feature.PROMPTS)
        if self._there is None:
            self._made()
        else:
            self._adopted(self._there)
        self._work.ids.put(Kind.MODEL, self._model.name, Mapped(self._name))
        for version in self._versions:
            with self._work.account.one(version.title):
                self._version(version)
        self._aliases()

    def _made(self) -> None:
        body: dict[str, Any] = {"name": self._name, "tags": experiments.items(self._tags())}
        if self._model.description:
            body["description"] = self._model.description
        self._work.client.post(f"{A}/registered-models/create", body, self._found)
        self._work.account.count("prompts" if self._model.prompt else "models")

    def _found(self) -> Json | None:
        return next(({} for model in self._work.server.registered_models() if model.name == self._name), None)

    def _tags(self) -> dict[str, str]:
        fields = self._work.choices.selection.source_tags
        tags = rewriting.model_tags(marks.without(self._model.tags), self._work.ids)
        return tags | marks.of_registered_model(self._model, self._work.migration, fields=fields)

    def _adopted(self, there: RegisteredModel) -> None:
        if there.prompt is not self._model.prompt:
            kind = "prompt" if there.prompt else "model"
            raise ObjectFailed(f"the target has a {kind} of that name, and the two share their names")
        self._work.account.count("promptsThere" if there.prompt else "modelsThere")
        if self._work.choices.on_conflict is not OnConflict.UPDATE:
            return
        if there.description != self._model.description:
            body = {"name": self._name, "description": self._model.description}
            self._work.client.call("PATCH", f"{A}/registered-models/update", body=body)
        for key, value in rewriting.model_tags(marks.without(self._model.tags), self._work.ids).items():
            if there.tags.get(key) != value:
                body = {"name": self._name, "key": key, "value": value}
                self._work.client.post(f"{A}/registered-models/set-tag", body)

    def _version(self, version: Version) -> None:
        there = self._moved.get(marks.identity(version))
        if there is not None:
            self._noted(version, there.number)
            self._staged(version, there.number, there.stage)
            self._work.account.count("versionsThere")
            return
        origin = rewriting.origin(version, self._work.ids, rename=self._work.choices.renames.models)
        if self._ours:
            self._gap(version.number - 1)
        fields = self._work.choices.selection.source_tags
        tags = rewriting.version_tags(marks.without(version.tags), self._work.ids)
        tags |= marks.of_version(version, self._work.migration, fields=fields)
        body: dict[str, Any] = {"name": self._name, "source": origin.source, "tags": experiments.items(tags)}
        optional = {
            "run_id": origin.run,
            "model_id": origin.model,
            "description": version.description,
            "run_link": version.run_link,
        }
        body |= {key: value for key, value in optional.items() if value}
        answer = self._work.client.post(f"{A}/model-versions/create", body, lambda: self._made_before(version))
        number = int(answer["model_version"]["version"])
        self._last = max(self._last, number)
        if number != version.number:
            self._work.account.name("notPreserved", version.title, f"its number is {number} on the target")
        if version.status not in ("READY", ""):
            self._work.account.name("notPreserved", version.title, f"its status {version.status}")
        self._noted(version, number)
        self._staged(version, number, "None")
        self._work.account.count("promptVersions" if self._model.prompt else "versions")

    def _made_before(self, version: Version) -> Json | None:
        for there in self._work.server.versions(self._name):
            if there.tags.get(marks.VERSION) == marks.identity(version):
                return {"model_version": {"version": there.number}}
        return None

    def _gap(self, upto: int) -> None:
        """Makes and deletes versions until the next one gets the number after ``upto``."""
        if upto - self._last > GAPS_LIMIT:
            return
        while self._last < upto:
            body = {"name": self._name, "source": PLACEHOLDER, "tags": experiments.items(_placeholder(self._work))}
            if self._model.prompt:
                body["tags"] = [*body["tags"], {"key": "mlflow.prompt.is_prompt", "value": "true"}]
            answer = self._work.client.post(f"{A}/model-versions/create", body)
            self._last = int(answer["model_version"]["version"])
            self._last = min(self._last, upto)
            named = {"name": self._name, "version": str(answer["model_version"]["version"])}
            self._work.client.call("DELETE", f"{A}/model-versions/delete", body=named)

    def _noted(self, version: Version, number: int) -> None:
        target = f"{self._name}/{number}"
        self._work.ids.put(Kind.VERSION, f"{version.model}/{version.number}", Mapped(target, version.source))

    def _staged(self, version: Version, number: int, there: str) -> None:
        if version.stage in ("None", "", there) or there != "None":
            return
        body = {
            "name": self._name,
            "version": str(number),
            "stage": version.stage,
            "archive_existing_versions": False,
        }
        self._work.client.post(f"{A}/model-versions/transition-stage", body)

    def _aliases(self) -> None:
        there = self._there.aliases if self._there else {}
        moved = {str(version.number) for version in self._versions}
        for alias, number in self._model.aliases.items():
            if number not in moved:
                if self._work.choices.selection.models.every_version or self._model.prompt:
                    what = f"{self._model.title}: alias {alias}"
                    self._work.account.name("notPreserved", what, f"version {number} is not there")
                continue
            target = self._work.ids.target(Kind.VERSION, f"{self._model.name}/{number}").rpartition("/")[2]
            if not target or there.get(alias) == target:
                continue
            if alias in there and self._work.choices.on_conflict is not OnConflict.UPDATE:
                what = f"{self._model.title}: alias {alias}"
                self._work.account.name("skipped", what, f"the target has it on version {there[alias]}")
                continue
            self._work.lacks(Feature.ALIASES)
            body = {"name": self._name, "alias": alias, "version": target}
            self._work.client.post(f"{A}/registered-models/alias", body)


def _placeholder(work: Work) -> dict[str, str]:
    return {marks.MIGRATION: work.migration, marks.VERSION: "placeholder"}
