"""From the interface's JSON to entities. The messages are those of MLflow's ``service.proto`` and its neighbours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from project_migration.workers.mlflow.api.entities import (
    DatasetInput,
    EvaluationDataset,
    Experiment,
    LoggedModel,
    Metric,
    ModelMetric,
    ModelOutput,
    Owner,
    Place,
    RegisteredModel,
    Run,
    Trace,
    Version,
    number,
    whole,
)

Json = Mapping[str, Any]

IS_PROMPT = "mlflow.prompt.is_prompt"
SPANS_LOCATION = "mlflow.trace.spansLocation"
TRACKING_STORE = "TRACKING_STORE"


def pairs(found: Iterable[Json] | None) -> dict[str, str]:
    """``[{"key", "value"}]`` as a mapping; protobuf leaves an empty value out."""
    return {item["key"]: item.get("value", "") for item in found or ()}


def metric(data: Json) -> Metric:
    return Metric(number(data.get("value", 0.0)), whole(data.get("timestamp", 0)), whole(data.get("step", 0)))


def time(data: Json, name: str) -> int | None:
    value = data.get(name)
    return None if value is None else whole(value)


def experiment(data: Json) -> Experiment:
    return Experiment(
        id=str(data["experiment_id"]),
        name=data["name"],
        location=data.get("artifact_location", ""),
        active=data.get("lifecycle_stage", "active") == "active",
        tags=pairs(data.get("tags")),
        created=time(data, "creation_time"),
        updated=time(data, "last_update_time"),
    )


def run(data: Json) -> Run:
    info, content = data["info"], data.get("data") or {}
    inputs, outputs = data.get("inputs") or {}, data.get("outputs") or {}
    identity = info.get("run_id") or info["run_uuid"]
    used = inputs.get("model_inputs")
    return Run(
        id=identity,
        experiment=str(info["experiment_id"]),
        name=info.get("run_name", ""),
        user=info.get("user_id", ""),
        status=info.get("status", "RUNNING"),
        start=time(info, "start_time"),
        end=time(info, "end_time"),
        active=info.get("lifecycle_stage", "active") == "active",
        place=Place(Owner.RUN, identity, info.get("artifact_uri", "")),
        latest={item["key"]: metric(item) for item in content.get("metrics") or ()},
        params=pairs(content.get("params")),
        tags=pairs(content.get("tags")),
        datasets=tuple(dataset_input(item) for item in inputs.get("dataset_inputs") or ()),
        outputs=tuple(
            ModelOutput(item["model_id"], whole(item.get("step", 0))) for item in outputs.get("model_outputs") or ()
        ),
        inputs=None if used is None else tuple(item["model_id"] for item in used),
    )


def dataset_input(data: Json) -> DatasetInput:
    dataset = data["dataset"]
    return DatasetInput(
        name=dataset["name"],
        digest=dataset["digest"],
        source_type=dataset.get("source_type", ""),
        source=dataset.get("source", ""),
        schema=dataset.get("schema"),
        profile=dataset.get("profile"),
        tags=pairs(data.get("tags")),
    )


def logged_model(data: Json) -> LoggedModel:
    info, content = data["info"], data.get("data") or {}
    return LoggedModel(
        id=info["model_id"],
        experiment=str(info["experiment_id"]),
        name=info.get("name", ""),
        type=info.get("model_type", ""),
        run=info.get("source_run_id", ""),
        status=info.get("status", "LOGGED_MODEL_PENDING"),
        place=Place(Owner.LOGGED_MODEL, info["model_id"], info.get("artifact_uri", "")),
        tags=pairs(info.get("tags")),
        params=pairs(content.get("params")),
        metrics=tuple(model_metric(item) for item in content.get("metrics") or ()),
        created=time(info, "creation_timestamp_ms"),
    )


def model_metric(data: Json) -> ModelMetric:
    return ModelMetric(
        data["key"], metric(data), data.get("run_id") or "", data.get("dataset_name"), data.get("dataset_digest")
    )


def registered_model(data: Json) -> RegisteredModel:
    tags = pairs(data.get("tags"))
    return RegisteredModel(
        name=data["name"],
        description=data.get("description", ""),
        prompt=tags.get(IS_PROMPT) == "true",
        tags=tags,
        aliases={item["alias"]: str(item["version"]) for item in data.get("aliases") or ()},
        created=time(data, "creation_timestamp"),
    )


def version(data: Json) -> Version:
    return Version(
        model=data["name"],
        number=whole(data["version"]),
        source=data.get("source", ""),
        run=data.get("run_id", ""),
        description=data.get("description", ""),
        stage=data.get("current_stage", "None"),
        status=data.get("status", "READY"),
        user=data.get("user_id", ""),
        run_link=data.get("run_link", ""),
        tags=pairs(data.get("tags")),
        created=time(data, "creation_timestamp"),
    )


def trace(info: Json, spans: Sequence[Json] = ()) -> Trace:
    tags = info.get("tags") or {}
    return Trace(
        id=info["trace_id"],
        experiment=str(info["trace_location"]["mlflow_experiment"]["experiment_id"]),
        info=info,
        spans=tuple(spans),
        span_file=tags.get(SPANS_LOCATION) != TRACKING_STORE,
    )


def evaluation_dataset(data: Json, experiments: Sequence[str]) -> EvaluationDataset:
    tags = data.get("tags") or "{}"
    return EvaluationDataset(
        id=data["dataset_id"],
        name=data["name"],
        tags=json.loads(tags) if isinstance(tags, str) else dict(tags),
        experiments=tuple(str(one) for one in experiments),
        created=time(data, "created_time"),
    )
