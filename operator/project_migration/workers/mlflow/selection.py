"""What of a tracking server moves: names by patterns, lifecycle, versions, and how much comes with them.

Patterns are those of ``fnmatch``: ``*`` also matches a slash, and case counts everywhere. An empty include list takes
every name, unless ids are given: then only those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from project_migration.workers.harness import WrongRequest


class Lifecycle(StrEnum):
    ACTIVE = "Active"
    ALL = "All"  # deleted experiments and runs too


class WithRuns(StrEnum):
    """Which runs come with the selected model versions, besides those of selected experiments."""

    VERSIONS = "Versions"  # the run of each version
    ALL = "All"  # every run of the experiments in which those runs are
    NONE = "None"


class MissingArtifacts(StrEnum):
    FAIL = "Fail"
    ALLOW = "Allow"


class Versions(StrEnum):
    ALL = "All"
    LATEST = "Latest"  # the newest of each stage


@dataclass(frozen=True, slots=True)
class Names:
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        wanted = not self.include or any(fnmatchcase(name, pattern) for pattern in self.include)
        return wanted and not any(fnmatchcase(name, pattern) for pattern in self.exclude)

    @property
    def everything(self) -> bool:
        return not self.exclude and (not self.include or "*" in self.include)


@dataclass(frozen=True, slots=True)
class Experiments:
    names: Names = Names()
    ids: frozenset[str] = frozenset()
    lifecycle: Lifecycle = Lifecycle.ACTIVE

    def takes(self, identity: str, name: str, *, active: bool) -> bool:
        if not active and self.lifecycle is Lifecycle.ACTIVE:
            return False
        if self.ids and not self.names.include:
            return identity in self.ids and not any(fnmatchcase(name, one) for one in self.names.exclude)
        return identity in self.ids or self.names.takes(name)

    @property
    def everything(self) -> bool:
        return self.names.everything and not (self.ids and not self.names.include)


@dataclass(frozen=True, slots=True)
class Models:
    names: Names = Names()
    stages: frozenset[str] = frozenset()
    aliases: frozenset[str] = frozenset()
    versions: Versions | frozenset[str] = Versions.ALL
    with_runs: WithRuns = WithRuns.VERSIONS

    @property
    def every_version(self) -> bool:
        return self.versions is Versions.ALL and not self.stages and not self.aliases


@dataclass(frozen=True, slots=True)
class Selection:
    experiments: Experiments = field(default_factory=Experiments)
    models: Models = field(default_factory=Models)
    metadata_only: bool = False
    source_tags: bool = False
    missing_artifacts: MissingArtifacts = MissingArtifacts.FAIL

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Selection:
        """Raises ``WrongRequest`` naming the param."""
        data = _mapping(params.get("select"), "select")
        return cls(
            experiments=_experiments(_mapping(data.get("experiments"), "select.experiments")),
            models=_models(_mapping(data.get("models"), "select.models")),
            metadata_only=_flag(data, "metadataOnly"),
            source_tags=_flag(data, "sourceTags"),
            missing_artifacts=_word(data, "missingArtifacts", MissingArtifacts, "select"),
        )


def _experiments(data: Mapping[str, Any]) -> Experiments:
    where = "select.experiments"
    return Experiments(
        _names(data, where), frozenset(_texts(data, "ids", where)), _word(data, "lifecycle", Lifecycle, where)
    )


def _models(data: Mapping[str, Any]) -> Models:
    where = "select.models"
    versions = data.get("versions") or Versions.ALL
    return Models(
        names=_names(data, where),
        stages=frozenset(_texts(data, "stages", where)),
        aliases=frozenset(_texts(data, "aliases", where)),
        versions=_word(data, "versions", Versions, where)
        if isinstance(versions, str)
        else frozenset(_texts(data, "versions", where)),
        with_runs=_word(data, "withRuns", WithRuns, where),
    )


def _names(data: Mapping[str, Any], where: str) -> Names:
    return Names(tuple(_texts(data, "include", where)), tuple(_texts(data, "exclude", where)))


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise WrongRequest(f"params.{where} is not a mapping")
    return value


def _texts(data: Mapping[str, Any], name: str, where: str) -> list[str]:
    value = data.get(name) or []
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
        raise WrongRequest(f"params.{where}.{name} is not a list of texts")
    return list(value)


def _flag(data: Mapping[str, Any], name: str) -> bool:
    value = data.get(name) or False
    if not isinstance(value, bool):
        raise WrongRequest(f"params.select.{name} is not true or false")
    return value


Word = TypeVar("Word", bound=StrEnum)


def _word(data: Mapping[str, Any], name: str, words: type[Word], where: str) -> Word:
    """One of the enum's words; the first is the default."""
    value = data.get(name) or next(iter(words))
    try:
        return words(value)
    except ValueError:
        raise WrongRequest(f"params.{where}.{name} is none of {', '.join(words)}") from None
