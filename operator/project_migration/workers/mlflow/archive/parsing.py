"""From the archive's JSON to entities. The fields are those of the package's export modules, release by release."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from project_migration.workers.mlflow.api import marks, parsing, rewriting
from project_migration.workers.mlflow.api.entities import (
    EvaluationDataset,
    Experiment,
    LoggedModel,
    Metric,
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
from project_migration.workers.mlflow.archive.layout import body
from project_migration.workers.mlflow.archive.spans import from_file

Json = Mapping[str, Any]

PROMPT_TEXT = "mlflow.prompt.text"
PROMPT_TYPE = "_mlflow_prompt_type"


def tags(found: Any) -> dict[str, str]:
    """A mapping, or a list of keys with values: both occur. A value that is none is an empty text."""
    if isinstance(found, Mapping):
        return {str(key): "" if value is None else str(value) for key, value in found.items()}
    return {item["key"]: item.get("value") or "" for item in found or ()}


def experiment(data: Json) -> Experiment:
    found = body(data)["experiment"]
    return Experiment(
        id=str(found["experiment_id"]),
        name=found["name"],
        location=found.get("artifact_location") or "",
        active=found.get("lifecycle_stage", "active") == "active",
        tags=tags(found.get("tags")),
        created=_time(found.get("creation_time")),
        updated=_time(found.get("last_update_time")),
    )


def runs(data: Json) -> list[str]:
    found = body(data)
    listed = found.get("runs")
    if listed is None:
        listed = (data.get("export_info") or {}).get("ok_runs") or found.get("ok_runs") or []
    return [str(run) for run in listed]


def failed_runs(data: Json) -> list[str]:
    info = data.get("info") or data.get("export_info") or {}
    return [str(run) for run in info.get("failed_runs") or ()]


def run(data: Json, folder: str, experiment: str) -> Run:
    found = body(data)
    info = found["info"]
    inputs, outputs = found.get("inputs") or {}, found.get("outputs") or {}
    identity = info.get("run_id") or info["run_uuid"]
    histories = found.get("metrics") or {}
    return Run(
        id=identity,
        experiment=experiment or str(info.get("experiment_id", "")),
        name=info.get("run_name") or tags(found.get("tags")).get("mlflow.runName", ""),
        user=info.get("user_id") or "",
        status=info.get("status") or "FINISHED",
        start=_time(info.get("start_time")),
        end=_time(info.get("end_time")),
        active=info.get("lifecycle_stage", "active") == "active",
        place=Place(Owner.RUN, identity, info.get("artifact_uri") or "", folder),
        latest={key: latest(_points(points)) for key, points in histories.items() if points},
        params=tags(found.get("params")),
        tags=run_tags(tags(found.get("tags"))),
        datasets=tuple(parsing.dataset_input(item) for item in inputs.get("dataset_inputs") or ()),
        outputs=tuple(ModelOutput(one["model_id"], whole(one.get("step") or 0)) for one in _models(outputs, "outputs")),
        inputs=tuple(one["model_id"] for one in _models(inputs, "inputs")),
    )


def run_tags(found: dict[str, str]) -> dict[str, str]:
    """With the parent that a writer of ours keeps under another name, for the package's sake."""
    parent = found.pop(marks.PARENT, "")
    return {**found, rewriting.PARENT_RUN: parent} if parent else found


def _models(found: Json, kind: str) -> Sequence[Json]:
    return found.get(f"model_{kind}") or ()


def latest(points: Iterable[Metric]) -> Metric:
    """The one that a server would show (``_update_latest_metrics_if_necessary``)."""
    return max(points, key=lambda point: (point.step, point.timestamp, point.value))


def history(data: Json, key: str) -> list[Metric]:
    return _points((body(data).get("metrics") or {}).get(key) or ())


def _points(found: Iterable[Json]) -> list[Metric]:
    return [Metric(number(one["value"]), whole(one["timestamp"]), whole(one.get("step") or 0)) for one in found]


def logged_model(data: Json, folder: str) -> LoggedModel:
    found = body(data)
    status = str(found.get("status") or "READY")
    return LoggedModel(
        id=found["model_id"],
        experiment=str(found["experiment_id"]),
        name=found["name"],
        type=found.get("model_type") or "",
        run=found.get("source_run_id") or "",
        status={"FAILED": "LOGGED_MODEL_UPLOAD_FAILED"}.get(status, f"LOGGED_MODEL_{status}"),
        place=Place(Owner.LOGGED_MODEL, found["model_id"], found.get("artifact_location") or "", folder),
        tags=tags(found.get("tags")),
        params=tags(found.get("params")),
        metrics=tuple(parsing.model_metric(one) for one in found.get("metrics") or ()),
        created=_time(found.get("creation_time")),
    )


def registered_model(data: Json) -> RegisteredModel:
    found = body(data)["registered_model"]
    return RegisteredModel(
        name=found["name"],
        description=found.get("description") or "",
        prompt=False,
        tags=tags(found.get("tags")),
        aliases={one["alias"]: str(one["version"]) for one in found.get("aliases") or ()},
        created=_time(found.get("creation_timestamp")),
    )


def failed_versions(data: Json) -> list[str]:
    name = body(data)["registered_model"]["name"]
    failed = (data.get("info") or {}).get("failed_versions") or ()
    return [f"{name}/{one.get('version', one) if isinstance(one, dict) else one}" for one in failed]


def versions(data: Json) -> Iterator[tuple[Version, str]]:
    """Each with the name of its run's experiment, where the file tells it."""
    model = body(data)["registered_model"]
    for found in model.get("versions") or model.get("latest_versions") or ():
        yield (
            Version(
                model=model["name"],
                number=whole(found["version"]),
                source=found.get("source") or "",
                run=found.get("run_id") or "",
                description=found.get("description") or "",
                stage=found.get("current_stage") or "None",
                status=found.get("status") or "READY",
                user=found.get("user_id") or "",
                run_link=found.get("run_link") or "",
                tags=tags(found.get("tags")),
                created=_time(found.get("creation_timestamp")),
            ),
            found.get("_experiment_name") or "",
        )


def prompt(data: Json) -> Json:
    found: Json = body(data)["prompt"]
    whole(found["version"])
    return found


def prompts(found: Iterable[Json]) -> Iterator[RegisteredModel]:
    """One for each name. The layout has no tags and no aliases of a prompt as a whole."""
    seen: set[str] = set()
    for one in found:
        if one["name"] not in seen:
            seen.add(one["name"])
            yield RegisteredModel(one["name"], "", True, {parsing.IS_PROMPT: "true"})


def prompt_versions(found: Iterable[Json]) -> Iterator[Version]:
    for one in found:
        template = one.get("template", "")
        chat = not isinstance(template, str)
        kept = {
            **tags(one.get("tags")),
            parsing.IS_PROMPT: "true",
            PROMPT_TEXT: _text(template) if chat else template,
            PROMPT_TYPE: "chat" if chat else "text",
        }
        yield Version(
            model=one["name"],
            number=whole(one["version"]),
            source="dummy-source",
            run="",
            description=one.get("commit_message") or one.get("description") or "",
            stage="None",
            status="READY",
            user=one.get("user_id") or "",
            tags=kept,
            created=_time(one.get("creation_timestamp")),
        )


def _text(template: Any) -> str:
    return json.dumps(template)


def spans_in_store(data: Json) -> bool:
    """Whether the server that the trace is from had its spans in tables; else the file is what it had itself."""
    return tags(body(data)["info"].get("tags")).get(parsing.SPANS_LOCATION) == parsing.TRACKING_STORE


def trace(data: Json, spans: Iterable[Json], experiment: str) -> Trace:
    found = dict(body(data)["info"])
    identity = found.get("trace_id") or found["request_id"]
    info: dict[str, Any] = {
        "trace_id": identity,
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
        "request_time": _timestamp(found.get("request_time") or found.get("timestamp_ms") or 0),
        "state": str(found.get("state") or found.get("status") or "STATE_UNSPECIFIED"),
        "trace_metadata": tags(found.get("trace_metadata") or found.get("request_metadata")),
        "tags": tags(found.get("tags")),
        "assessments": [_assessment(one) for one in found.get("assessments") or ()],
    }
    duration = found.get("execution_duration") or found.get("execution_time_ms")
    if duration is not None:
        info["execution_duration"] = duration if isinstance(duration, str) else f"{int(duration) / 1000:.3f}s"
    for name in ("request_preview", "response_preview", "client_request_id"):
        if found.get(name) is not None:
            info[name] = found[name]
    return Trace(identity, experiment, info, tuple(from_file(span) for span in spans))


def _assessment(found: Json) -> dict[str, Any]:
    kept = {
        "assessment_id": found.get("assessment_id"),
        "assessment_name": found.get("name") or found.get("assessment_name"),
        "trace_id": found.get("trace_id"),
        "span_id": found.get("span_id"),
        "source": {k: v for k, v in (found.get("source") or {}).items() if v is not None},
        "rationale": found.get("rationale"),
        "metadata": found.get("metadata"),
        "overrides": found.get("overrides"),
        "create_time": _timestamp(found.get("create_time_ms") or found.get("create_time") or 0),
        "last_update_time": _timestamp(found.get("last_update_time_ms") or found.get("last_update_time") or 0),
    }
    for kind in ("feedback", "expectation"):
        if found.get(kind) is not None:
            kept[kind] = {key: value for key, value in found[kind].items() if value is not None}
    return {key: value for key, value in kept.items() if value is not None}


def evaluation_dataset(data: Json) -> EvaluationDataset:
    found = body(data)["evaluation_dataset"]
    return parsing.evaluation_dataset(found, [str(one) for one in found.get("experiment_ids") or ()])


def records(data: Json) -> list[Json]:
    return list(body(data)["evaluation_dataset"].get("records") or ())


def _time(value: object) -> int | None:
    """Milliseconds; some releases wrote ISO text or seconds with a fraction."""
    if value is None:
        return None
    if isinstance(value, str) and not value.lstrip("-").isdigit():
        return int(datetime.fromisoformat(value).timestamp() * 1000)
    return whole(value)


def _timestamp(value: object) -> str:
    if isinstance(value, str) and not value.isdigit():
        return value
    moment = datetime.fromtimestamp(whole(value) / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
