"""What both ways of moving a tracking server ask of their helpers: the choice, the renames, what happens to clashes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from project_migration.engine.effects import Mount, SecretMount
from project_migration.engine.platform import UnitWork
from project_migration.model.document import Side, Spec
from project_migration.model.mlflow import TRACKING, Mlflow, ModelChoice, Server

Params = Mapping[str, Any]

#: The glob that takes all.
EVERY_NAME = "*"


def mlflow_of(spec: Spec) -> Mlflow:
    assert spec.mlflow is not None  # noqa: S101 - the registry gives this platform to no other document
    return spec.mlflow


def choices(spec: Spec) -> Params:
    """What decides the outcome, the same for every step."""
    mlflow = mlflow_of(spec)
    select = mlflow.select
    everything = not select.experiments.include and not select.experiments.ids
    return {
        "select": {
            "experiments": {
                "include": [EVERY_NAME] if everything else list(select.experiments.include),
                "exclude": list(select.experiments.exclude),
                "ids": list(select.experiments.ids),
                "lifecycle": str(select.experiments.lifecycle),
            },
            "models": _models(select.models),
            "metadataOnly": select.metadata_only,
            "sourceTags": mlflow.source_tags,
            "missingArtifacts": str(mlflow.missing_artifacts),
        },
        "rename": {"experiments": dict(mlflow.rename.experiments), "models": dict(mlflow.rename.models)},
        "onConflict": str(mlflow.on_conflict),
    }


def _models(models: ModelChoice) -> Params:
    named = models.versions in ("All", "Latest")
    return {
        "include": list(models.include) or [EVERY_NAME],
        "exclude": list(models.exclude),
        "stages": list(models.stages),
        "aliases": list(models.aliases),
        "versions": models.versions if named else models.versions.split(","),
        "withRuns": str(models.with_runs),
    }


class Part(NamedTuple):
    """What a helper is given of one side."""

    params: Params
    mounts: tuple[Mount, ...]
    secrets: tuple[SecretMount, ...]
    network: bool = True
    """Whether it is reached over the network."""


PartOf = Callable[[Side, Server, bool], Part]
"""Of a side; the last is whether its volumes are written to."""


def sides(spec: Spec) -> tuple[tuple[Side, Server], ...]:
    mlflow = mlflow_of(spec)
    return ((Side.SOURCE, mlflow.source), (Side.TARGET, mlflow.target))


def both_sides(spec: Spec, part_of: PartOf, worker: str, params: Params, *, write: bool) -> UnitWork:
    parts = {side: part_of(side, server, write and side is Side.TARGET) for side, server in sides(spec)}
    return _unit(parts, worker, params)


def target_only(spec: Spec, part_of: PartOf, worker: str, params: Params, *, write: bool) -> UnitWork:
    return _unit({Side.TARGET: part_of(Side.TARGET, mlflow_of(spec).target, write)}, worker, params)


def _unit(parts: Mapping[Side, Part], worker: str, params: Params) -> UnitWork:
    return UnitWork(
        TRACKING,
        worker,
        tuple(mount for part in parts.values() for mount in part.mounts),
        {**{side.value.lower(): part.params for side, part in parts.items()}, **params},
        tuple(secret for part in parts.values() for secret in part.secrets),
        network=any(part.network for part in parts.values()),
    )
