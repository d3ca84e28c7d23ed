"""What both ways of moving a tracking server ask of their helpers: the choice, the renames, what happens to clashes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from project_migration.engine.effects import SecretMount
from project_migration.model.document import Spec
from project_migration.model.endpoints import CaRef, SecretRef
from project_migration.model.mlflow import Mlflow, ModelChoice

Params = Mapping[str, Any]

#: What the workers call the file, whatever its key is called in the Secret.
CA_FILE = "ca.crt"

#: The glob that takes all.
EVERY_NAME = "*"

LOGIN = (("username", "username"), ("password", "password"))


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


def secrets(
    prefix: str,
    credentials: SecretRef | None,
    authority: CaRef | None,
    keys: tuple[tuple[str, str], ...] = LOGIN,
) -> tuple[SecretMount, ...]:
    """A side's Secrets as roots of the request: ``source-credentials``, ``source-ca``."""
    mounts = []
    if credentials is not None:
        mounts.append(SecretMount(f"{prefix}-credentials", credentials.name, keys))
    if authority is not None:
        mounts.append(SecretMount(f"{prefix}-ca", authority.name, ((authority.key, CA_FILE),)))
    return tuple(mounts)
