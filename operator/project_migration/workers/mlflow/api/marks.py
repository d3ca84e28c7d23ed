"""The tags by which what was made is found again, and the fields that only a tag can keep.

The interface sets ids and times of creation itself; so each object says where it came from, which makes a second
migration find it, and what it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from project_migration.workers.mlflow.api.entities import (
    EvaluationDataset,
    Experiment,
    LoggedModel,
    RegisteredModel,
    Run,
    Version,
)

PREFIX = "project_migration."
MIGRATION = f"{PREFIX}migration"
#: Of the content that was moved: absent while an object is not whole.
DIGEST = f"{PREFIX}digest"
EXPERIMENT_ID = f"{PREFIX}source_experiment_id"
RUN_ID = f"{PREFIX}source_run_id"
MODEL_ID = f"{PREFIX}source_model_id"
VERSION = f"{PREFIX}source_version"
DATASET_ID = f"{PREFIX}source_dataset_id"
CREATED = f"{PREFIX}source_created"
USER = f"{PREFIX}source_user"
PARENT = f"{PREFIX}source_parent_run_id"
#: On one experiment of a target: which document was carried out there, whatever became of what it brought.
ARRIVED = f"{PREFIX}arrived."
FIELD = f"{PREFIX}field."
MLFLOW_TAG = f"{PREFIX}mlflow_tag."


def arrived_key(namespace: str, name: str) -> str:
    """A tag for each migration's name, which may be longer than a key (250 characters: mlflow, utils/validation.py)."""
    return f"{ARRIVED}{hashlib.sha256(f'{namespace}/{name}'.encode()).hexdigest()[:16]}"


def without(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that are not ours."""
    return {key: value for key, value in tags.items() if not key.startswith(PREFIX)}


def of_experiment(found: Experiment, migration: str, *, fields: bool) -> dict[str, str]:
    tags = {EXPERIMENT_ID: found.id, MIGRATION: migration, CREATED: _time(found.created)}
    if fields:
        tags |= _fields(
            found.tags,
            name=found.name,
            artifact_location=found.location,
            last_update_time=_time(found.updated),
            lifecycle_stage=_stage(found.active),
        )
    return _given(tags)


def of_run(found: Run, migration: str, *, fields: bool) -> dict[str, str]:
    tags = {RUN_ID: found.id, MIGRATION: migration}
    if fields:
        tags |= _fields(
            found.tags,
            run_name=found.name,
            experiment_id=found.experiment,
            artifact_uri=found.place.uri,
            status=found.status,
            user_id=found.user,
            start_time=_time(found.start),
            end_time=_time(found.end),
            lifecycle_stage=_stage(found.active),
        )
    return _given(tags)


def of_logged_model(found: LoggedModel, migration: str) -> dict[str, str]:
    return _given({MODEL_ID: found.id, MIGRATION: migration, CREATED: _time(found.created)})


def of_registered_model(found: RegisteredModel, migration: str, *, fields: bool) -> dict[str, str]:
    tags = {MIGRATION: migration, CREATED: _time(found.created)}
    return _given(tags | (_fields(found.tags, name=found.name) if fields else {}))


def of_version(found: Version, migration: str, *, fields: bool) -> dict[str, str]:
    tags = {VERSION: identity(found), MIGRATION: migration, CREATED: _time(found.created), USER: found.user}
    if fields:
        tags |= _fields(
            found.tags,
            name=found.model,
            version=str(found.number),
            run_id=found.run,
            source=found.source,
            status=found.status,
            current_stage=found.stage,
        )
    return _given(tags)


def of_evaluation_dataset(found: EvaluationDataset, migration: str) -> dict[str, str]:
    return _given({DATASET_ID: found.id, MIGRATION: migration, CREATED: _time(found.created)})


def identity(version: Version) -> str:
    """Of a version, whatever its server is called at the moment: numbers are never used twice in one."""
    return f"{version.model}/{version.number}@{version.created or 0}"


def _fields(tags: Mapping[str, str], **fields: str) -> dict[str, str]:
    kept = {f"{FIELD}{name}": value for name, value in fields.items()}
    return kept | {f"{MLFLOW_TAG}{k.removeprefix('mlflow.')}": v for k, v in tags.items() if k.startswith("mlflow.")}


def _stage(active: bool) -> str:
    return "active" if active else "deleted"


def _time(value: int | None) -> str:
    return "" if value is None else str(value)


def _given(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if value}
