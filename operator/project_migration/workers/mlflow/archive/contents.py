"""What stands in each file of an archive, in the names that the package's export modules use. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from project_migration.workers.mlflow.api.entities import (
    DatasetInput,
    EvaluationDataset,
    Experiment,
    LoggedModel,
    Metric,
    RegisteredModel,
    Run,
    Trace,
    Version,
)
from project_migration.workers.mlflow.archive.parsing import PROMPT_TEXT, PROMPT_TYPE


def pairs(tags: Any) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def metric(found: Metric) -> dict[str, Any]:
    """Not a number stands as such in these files."""
    return {"value": found.value, "timestamp": found.timestamp, "step": found.step}


def experiment(found: Experiment) -> dict[str, Any]:
    return {
        "experiment_id": found.id,
        "name": found.name,
        "artifact_location": found.location,
        "lifecycle_stage": "active" if found.active else "deleted",
        "tags": dict(found.tags),
        "creation_time": found.created,
        "last_update_time": found.updated,
    }


def info(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "run_name": run.name,
        "experiment_id": run.experiment,
        "user_id": run.user,
        "status": run.status,
        "start_time": run.start,
        "end_time": run.end,
        "lifecycle_stage": "active" if run.active else "deleted",
        "artifact_uri": run.place.uri,
    }


def logged_model(model: LoggedModel) -> dict[str, Any]:
    status = {"LOGGED_MODEL_UPLOAD_FAILED": "FAILED"}.get(model.status, model.status.removeprefix("LOGGED_MODEL_"))
    metrics = [
        {
            "key": one.key,
            **metric(one.metric),
            "model_id": model.id,
            "dataset_name": one.dataset_name,
            "dataset_digest": one.dataset_digest,
            "run_id": one.run,
        }
        for one in model.metrics
    ]
    return {
        "experiment_id": model.experiment,
        "model_id": model.id,
        "name": model.name,
        "artifact_location": model.place.uri,
        "creation_time": model.created,
        "creation_timestamp": model.created,
        "model_type": model.type,
        "source_run_id": model.run or None,
        "status": status,
        "tags": dict(model.tags),
        "params": dict(model.params),
        "metrics": metrics,
        "model_uri": f"models:/{model.id}",
        "dataset_inputs": [],
    }


def registered_model(model: RegisteredModel, versions: Sequence[Version]) -> dict[str, Any]:
    numbers = {str(version.number) for version in versions}
    return {
        "creation_timestamp": model.created,
        "last_updated_timestamp": model.created,
        "description": model.description,
        "tags": pairs(model.tags),
        "aliases": [{"alias": alias, "version": one} for alias, one in model.aliases.items() if one in numbers],
    }


def prompt(version: Version, model: RegisteredModel) -> dict[str, Any]:
    text = version.tags.get(PROMPT_TEXT, "")
    chat = version.tags.get(PROMPT_TYPE) == "chat"
    own = {key: value for key, value in version.tags.items() if not key.startswith(("mlflow.prompt.", "_mlflow"))}
    return {
        "name": version.model,
        "version": version.number,
        "template": json.loads(text) if chat else text,
        "tags": own,
        "creation_timestamp": version.created,
        "user_id": version.user or None,
        "description": model.description,
        "commit_message": version.description,
        "variables": [],
        "uri": f"prompts:/{version.model}/{version.number}",
    }


def trace(found: Trace) -> dict[str, Any]:
    content = dict(found.info)
    assessments = content.get("assessments") or ()
    content["assessments"] = [{**one, "name": one.get("assessment_name")} for one in assessments]
    data = [
        {
            "name": span.get("name"),
            "trace_id": found.id,
            "span_id": span.get("span_id"),
            "parent_id": span.get("parent_span_id"),
        }
        for span in found.spans
    ]
    return {"info": content, "data": data}


def evaluation_dataset(dataset: EvaluationDataset, records: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "dataset_id": dataset.id,
        "name": dataset.name,
        "tags": dict(dataset.tags),
        "experiment_ids": list(dataset.experiments),
        "created_time": dataset.created,
        "records": records,
    }


def dataset_input(found: DatasetInput) -> dict[str, Any]:
    optional: dict[str, str | None] = {"schema": found.schema, "profile": found.profile}
    return {"dataset": {**found.dataset, **optional}, "tags": pairs(found.tags)}


def version(found: Version, *, name: str, aliases: Sequence[str], run_uri: str, experiment: str) -> dict[str, Any]:
    """``experiment``: the name of the one in which the version's run is."""
    return {
        "name": name,
        "version": str(found.number),
        "creation_timestamp": found.created,
        "last_updated_timestamp": found.created,
        "description": found.description,
        "user_id": found.user,
        "current_stage": found.stage,
        "source": found.source,
        "run_id": found.run,
        "run_link": found.run_link,
        "status": found.status,
        "status_message": "",
        "tags": dict(found.tags),
        "aliases": list(aliases),
        "_run_artifact_uri": run_uri,
        "_experiment_name": experiment,
    }
