"""What a document asks for: experiments and models by name, versions, renames, and what a taken name means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from project_migration.workers.harness import WrongRequest


class Lifecycle(StrEnum):
    ACTIVE = "Active"
    ALL = "All"


class WithRuns(StrEnum):
    """Which runs come along with chosen models, beside those of chosen experiments."""

    VERSIONS = "Versions"
    ALL = "All"
    NONE = "None"


class OnConflict(StrEnum):
    SKIP = "Skip"
    UPDATE = "Update"
    FAIL = "Fail"


class Versions(StrEnum):
    ALL = "All"
    LATEST = "Latest"
    """The newest of each stage, as MLflow's ``latest_versions``."""


@dataclass(frozen=True, slots=True)
class Names:
    """Patterns of the shell; ``*`` matches slashes too, as names of experiments are no paths."""

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        included = any(fnmatchcase(name, pattern) for pattern in self.include)
        return included and not any(fnmatchcase(name, pattern) for pattern in self.exclude)

    @property
    def everything(self) -> bool:
        return "*" in self.include and not self.exclude


@dataclass(frozen=True, slots=True)
class Selection:
    experiments: Names
    ids: frozenset[int]
    lifecycle: Lifecycle
    models: Names
    stages: frozenset[str]
    aliases: frozenset[str]
    versions: Versions | frozenset[int]
    with_runs: WithRuns
    on_conflict: OnConflict
    rename_experiments: Mapping[str, str]
    rename_models: Mapping[str, str]

    def takes_experiment(self, number: int, name: str) -> bool:
        return number in self.ids or self.experiments.takes(name)

    @property
    def every_version(self) -> bool:
        return self.versions is Versions.ALL and not self.stages and not self.aliases

    @property
    def everything(self) -> bool:
        """Of what is not deleted."""
        return self.experiments.everything and self.models.everything and self.every_version

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Selection:
        """Raises ``WrongRequest`` with the param's name."""
        select, rename = _map(params, "select"), _map(params, "rename")
        experiments, models = _map(select, "experiments"), _map(select, "models")
        ids = frozenset(_number(text, "select.experiments.ids") for text in _texts(experiments, "ids"))
        include = ("*",) if "include" not in experiments and not ids else _texts(experiments, "include")
        return cls(
            experiments=Names(include, _texts(experiments, "exclude")),
            ids=ids,
            lifecycle=Lifecycle(_choice(experiments, "lifecycle", Lifecycle)),
            models=Names(_texts(models, "include", ("*",)), _texts(models, "exclude")),
            stages=frozenset(_texts(models, "stages")),
            aliases=frozenset(_texts(models, "aliases")),
            versions=_versions(models.get("versions")),
            with_runs=WithRuns(_choice(models, "withRuns", WithRuns)),
            on_conflict=OnConflict(_choice(params, "onConflict", OnConflict)),
            rename_experiments=_renames(rename, "experiments"),
            rename_models=_renames(rename, "models"),
        )


def _versions(value: Any) -> Versions | frozenset[int]:
    if value is None:
        return Versions.ALL
    if isinstance(value, list | tuple):
        return frozenset(_number(str(text), "select.models.versions") for text in value)
    if value not in set(Versions):
        raise WrongRequest("params.select.models.versions is neither All nor Latest nor a list of numbers")
    return Versions(value)


def _renames(rename: Mapping[str, Any], what: str) -> dict[str, str]:
    found = _map(rename, what)
    for old, new in found.items():
        if not isinstance(new, str) or not new:
            raise WrongRequest(f"params.rename.{what}.{old} is not a name")
    return dict(found)


def _map(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name) or {}
    if not isinstance(value, Mapping):
        raise WrongRequest(f"params.{name} is not a mapping")
    return value


def _texts(data: Mapping[str, Any], name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    value = data.get(name)
    if value is None:
        return default
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise WrongRequest(f"params.select: {name} is not a list of texts")
    return tuple(value)


def _choice(data: Mapping[str, Any], name: str, among: type[StrEnum]) -> str:
    """The first of them when nothing is said."""
    value = data.get(name) or next(iter(among))
    if value not in set(among):
        raise WrongRequest(f"params: {name} is none of {', '.join(among)}")
    return str(value)


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise WrongRequest(f"params.{name}: {text!r} is not a number")
    return int(text)
