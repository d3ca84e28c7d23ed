"""Which registered models and versions are moved, prompts among them, and under which names and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from project_migration.workers.mlflow.database.arrangement import Action
from project_migration.workers.mlflow.database.changes import DEFAULT_WORKSPACE, ModelKey
from project_migration.workers.mlflow.database.selection import OnConflict, Selection, Versions
from project_migration.workers.mlflow.database.store import KEYS_AT_ONCE, Server, Store, batches
from project_migration.workers.mlflow.database.uris import Rewriter

DELETED_STAGE = "Deleted_Internal"
PROMPT_TAG = "mlflow.prompt.is_prompt"


@dataclass(frozen=True, slots=True)
class Version:
    workspace: str
    name: str
    number: int
    created: int | None
    stage: str
    source: str
    run: str | None

    @property
    def logged_model(self) -> str | None:
        """``models:/m-…`` names one."""
        found = self.source.removeprefix("models:/") if self.source.startswith("models:/m-") else ""
        return found if found and "/" not in found else None


@dataclass(slots=True)
class PlacedModel:
    workspace: str
    name: str
    new_name: str
    action: Action
    versions: list[tuple[Version, int, Action]] = field(default_factory=list)


@dataclass(slots=True)
class Registry:
    clashes: list[str] = field(default_factory=list)
    models: dict[ModelKey, PlacedModel] = field(default_factory=dict)
    chosen: Mapping[ModelKey, list[Version]] = field(default_factory=dict)
    """Versions by model, as they are on the source."""


def model_names(store: Store) -> dict[ModelKey, bool]:
    """By workspace and name, whether it is a prompt."""
    if "registered_models" not in store.schema.tables:
        return {}
    place, tags = store.place("registered_models"), store.place("registered_model_tags")
    space = _workspace(store)
    prompts = store.rows(
        f"SELECT {space}, name FROM {tags} WHERE {store.quote('key')} = ? AND lower(value) = 'true'",  # noqa: S608
        PROMPT_TAG,
    )
    known = {(workspace, name) for workspace, name in prompts}
    rows = store.rows(f"SELECT {space}, name FROM {place} ORDER BY 1, 2")  # noqa: S608
    return {(workspace, name): (workspace, name) in known for workspace, name in sorted(rows)}


def versions_of(store: Store, keys: list[ModelKey]) -> Iterator[Version]:
    """Of the models named, by model and number."""
    wanted = set(keys)
    place, space = store.place("model_versions"), _workspace(store)
    for some in batches(sorted({name for _, name in keys}), KEYS_AT_ONCE):
        marks = ", ".join("?" * len(some))
        rows = store.rows(
            f"SELECT {space}, name, version, creation_time, current_stage, source, run_id FROM {place}"  # noqa: S608
            f" WHERE name IN ({marks})",
            *some,
        )
        found = [Version(row[0], row[1], row[2], row[3], row[4] or "None", row[5] or "", row[6]) for row in rows]
        found.sort(key=lambda one: (one.workspace, one.name, one.number))
        yield from (one for one in found if (one.workspace, one.name) in wanted)


def _aliased(store: Store) -> Mapping[tuple[str, str, int], set[str]]:
    found: dict[tuple[str, str, int], set[str]] = {}
    if "registered_model_aliases" in store.schema.tables:
        place, space = store.place("registered_model_aliases"), _workspace(store)
        for workspace, name, version, alias in store.rows(f"SELECT {space}, name, version, alias FROM {place}"):  # noqa: S608
            found.setdefault((workspace, name, int(version)), set()).add(alias)
    return found


def _workspace(store: Store) -> str:
    table = store.schema.tables["registered_models"]
    return "workspace" if table.column("workspace") else f"'{DEFAULT_WORKSPACE}'"


class Registrar:
    def __init__(self, source: Store, target: Store, selection: Selection, *, empty: bool) -> None:
        self._source = source
        self._target = target
        self._selection = selection
        self._there = {} if empty else model_names(target)
        self._fold = target.server is Server.MYSQL

    def choose(self) -> Registry:
        """Models with their new names; versions still without numbers."""
        names = model_names(self._source)
        chosen = [key for key in names if self._selection.models.takes(key[1])]
        found = Registry()
        versions = self._taken_versions(chosen)
        taken: dict[ModelKey, str] = {}
        for workspace, name in chosen:
            if not self._selection.every_version and not versions.get((workspace, name)):
                continue
            new = self._selection.rename_models.get(name, name)
            key = (workspace, new.casefold() if self._fold else new)
            if key in taken:
                found.clashes.append(f"{taken[key]!r} and {name!r} would both be called {new!r}")
            taken[key] = name
            there = self._find(workspace, new)
            clash = self._clash(there, new, names[workspace, name])
            if clash:
                found.clashes.append(clash)
            action = Action.PRESENT if there else Action.ADD
            found.models[workspace, name] = PlacedModel(workspace, name, new, action)
        found.chosen = versions
        return found

    def _find(self, workspace: str, name: str) -> ModelKey | None:
        if not self._fold:
            return (workspace, name) if (workspace, name) in self._there else None
        return next((k for k in self._there if (k[0], k[1].casefold()) == (workspace, name.casefold())), None)

    def _clash(self, there: ModelKey | None, name: str, prompt: bool) -> str:
        if there is None:
            return ""
        if self._there[there] != prompt:
            ours, theirs = ("prompt", "registered model") if prompt else ("registered model", "prompt")
            return f"the target has a {theirs} {name!r}, and the source a {ours} of that name"
        if there[1] != name:
            return f"the target's registered model {there[1]!r} differs from {name!r} in case only"
        if self._selection.on_conflict is OnConflict.FAIL:
            return f"the target has a registered model {name!r} already"
        return ""

    def _taken_versions(self, chosen: list[ModelKey]) -> dict[ModelKey, list[Version]]:
        aliased = _aliased(self._source) if self._selection.aliases and chosen else {}
        found: dict[ModelKey, list[Version]] = {}
        every = versions_of(self._source, chosen) if chosen else iter(())
        for key, group in groupby(every, key=lambda one: (one.workspace, one.name)):
            found[key] = self._filtered(list(group), aliased)
        return found

    def _filtered(self, all_of: list[Version], aliased: Mapping[tuple[str, str, int], set[str]]) -> list[Version]:
        selection = self._selection
        if selection.every_version:
            return all_of
        left = [one for one in all_of if one.stage != DELETED_STAGE]
        if selection.versions is Versions.LATEST:
            newest = {one.stage: one.number for one in left}
            left = [one for one in left if newest[one.stage] == one.number]
        elif not isinstance(selection.versions, Versions):
            numbers = selection.versions
            left = [one for one in left if one.number in numbers]
        if selection.stages:
            left = [one for one in left if one.stage in selection.stages]
        if selection.aliases:
            wanted = selection.aliases
            left = [one for one in left if aliased.get((one.workspace, one.name, one.number), set()) & wanted]
        return left

    def number(self, found: Registry, uris: Rewriter) -> None:
        """Numbers are kept in a model that is new; in one that is there, what it lacks comes after the last.

        A version is there already when it was made at the same moment, of the same run and source.
        """
        merged = [(m.workspace, m.new_name) for m in found.models.values() if m.action is Action.PRESENT]
        there: dict[ModelKey, list[Version]] = {}
        for one in versions_of(self._target, merged) if merged else ():
            there.setdefault((one.workspace, one.name), []).append(one)
        update = self._selection.on_conflict is OnConflict.UPDATE
        for key, model in found.models.items():
            others = there.get((model.workspace, model.new_name), [])
            known = {(o.created, o.run, o.source): o.number for o in others}
            following = max((o.number for o in others), default=0)
            for one in found.chosen.get(key, ()):
                number = known.get((one.created, one.run, uris.of(one.source)))
                if model.action is Action.ADD:
                    model.versions.append((one, one.number, Action.ADD))
                elif number is not None:
                    model.versions.append((one, number, Action.REPLACE if update else Action.PRESENT))
                else:
                    following += 1
                    model.versions.append((one, following, Action.ADD))
