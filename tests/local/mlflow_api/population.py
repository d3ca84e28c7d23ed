"""What a source holds: every kind of object that the interface gives, with the awkward ones.

A program for the environment that has MLflow: ``population.py ADDRESS`` prints what it made, as JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import Any

import requests
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

PICKLE = bytes(range(256)) * 20
FILE = "ARTIFACT_REPO"


@dataclass
class Population:
    experiments: dict[str, str]
    runs: dict[str, str]
    model: str
    trace: str
    dataset: str


class Maker:
    def __init__(self, url: str, client: MlflowClient, prefix: str = "") -> None:
        self.url, self.client, self._prefix = url, client, prefix

    def post(self, path: str, body: dict[str, Any], method: str = "POST") -> Any:
        answer = requests.request(method, f"{self.url}/api/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def put(self, path: str, content: bytes) -> None:
        url = f"{self.url}/api/2.0/mlflow-artifacts/artifacts/{path}"
        requests.put(url, data=content, timeout=60).raise_for_status()

    def run(self, experiment: str, name: str, start: int, **tags: str) -> str:
        made = self.client.create_run(experiment, start_time=start, tags=tags, run_name=name)
        return str(made.info.run_id)


def fill(url: str, client: MlflowClient) -> Population:
    maker = Maker(url, client)
    vision = client.create_experiment("vision/a", tags={"mlflow.note.content": "about", "team": "x"})
    other = client.create_experiment("other ünïcode")
    gone = client.create_experiment("gone")
    client.create_experiment("empty")
    runs: dict[str, str] = {}
    runs["first"] = _first(maker, vision)
    runs["parent"] = maker.run(vision, "parent", 2_000)
    runs["child"] = maker.run(vision, "child", 1_500, **{"mlflow.parentRunId": runs["parent"]})
    runs["orphan"] = maker.run(other, "orphan", 3_000, **{"mlflow.parentRunId": "f" * 32})
    runs["running"] = maker.run(other, "running", 4_000)
    client.log_metric(runs["running"], "loss", 0.25, timestamp=5, step=-3)
    # MLflow's own client can neither write nor read such a name
    maker.put(f"{other}/{runs['running']}/artifacts/what%3F.bin", PICKLE)
    for name in ("parent", "child", "orphan"):
        client.set_terminated(runs[name], "FINISHED", end_time=9_000)
    runs["deleted"] = maker.run(vision, "deleted", 5_000)
    client.set_terminated(runs["deleted"], "KILLED", end_time=6_000)
    client.delete_run(runs["deleted"])
    runs["in gone"] = maker.run(gone, "in gone", 1)
    client.delete_experiment(gone)
    model = _logged_model(maker, vision, runs["parent"], runs["child"])
    _registry(maker, runs, model)
    trace = _trace(maker, vision, runs["first"])
    dataset = _dataset(maker, vision)
    for text in ("one", "two"):
        scorer = json.dumps({"name": "judge", "instructions": text, "builtin_scorer_class": None})
        maker.post(
            "3.0/mlflow/scorers/register", {"experiment_id": vision, "name": "judge", "serialized_scorer": scorer}
        )
    return Population({"vision/a": vision, "other ünïcode": other, "gone": gone}, runs, model, trace, dataset)


def _first(maker: Maker, experiment: str) -> str:
    client = maker.client
    run = maker.run(experiment, "first", 1_000_000)
    points = [Metric("accuracy", i / 7, 1_000 + i, i) for i in range(2_300)]
    odd = [
        Metric("odd/nan", float("nan"), 1, 0),
        Metric("odd/inf", float("inf"), 1, 0),
        Metric("odd/inf", float("-inf"), 2, 1),
        Metric("odd/twice", 1.0, 7, 1),
        Metric("odd/twice", 2.0, 7, 1),
        Metric("odd/zero", -0.0, 0, 0),
    ]
    for start in range(0, len(points), 1000):
        client.log_batch(run, points[start : start + 1000])
    params = [Param(f"p/{i}", str(i)) for i in range(95)] + [Param("empty", ""), Param("long", "x" * 6000)]
    client.log_batch(run, odd, params)
    client.log_batch(run, tags=[RunTag(f"t{i}", "v" * i) for i in range(90)] + [RunTag("long", "y" * 8000)])
    body = {
        "run_id": run,
        "datasets": [
            {
                "tags": [{"key": "mlflow.data.context", "value": "train"}],
                "dataset": {"name": "d", "digest": "1", "source_type": "local", "source": "{}", "schema": "{}"},
            }
        ],
    }
    maker.post("2.0/mlflow/runs/log-inputs", body)
    for path, content in (
        ("note.txt", b"hello"),
        ("empty.txt", b""),
        ("deep/er/still/f%C3%BC%20b.bin", PICKLE),
        ("large.bin", PICKLE * 1200),
    ):
        maker.put(f"{experiment}/{run}/artifacts/{path}", content)
    client.set_terminated(run, "FAILED", end_time=2_000_000)
    return run


def _logged_model(maker: Maker, experiment: str, run: str, user: str) -> str:
    body = {
        "experiment_id": experiment,
        "name": "net",
        "model_type": "classifier",
        "source_run_id": run,
        "params": [{"key": "depth", "value": "3"}],
        "tags": [{"key": "colour", "value": "blue"}],
    }
    model = str(maker.post("2.0/mlflow/logged-models", body)["model"]["info"]["model_id"])
    place = f"{experiment}/models/{model}/artifacts"
    told = {"artifact_path": f"mlflow-artifacts:/{place}", "model_id": model, "run_id": run}
    text = "".join(f"{key}: {value}\n" for key, value in told.items())
    maker.put(f"{place}/MLmodel", text.encode())
    maker.put(f"{place}/data/model.pkl", PICKLE)
    maker.post(f"2.0/mlflow/logged-models/{model}", {"model_id": model, "status": "LOGGED_MODEL_READY"}, "PATCH")
    for logged_by, value in ((run, 0.5), (user, 0.75)):
        metric = {"key": "score", "value": value, "timestamp": 11, "step": 1, "model_id": model}
        metric |= {"dataset_name": "d", "dataset_digest": "1"}
        maker.post("2.0/mlflow/runs/log-batch", {"run_id": logged_by, "metrics": [metric]})
    maker.post("2.0/mlflow/runs/outputs", {"run_id": run, "models": [{"model_id": model, "step": 2}]})
    maker.post("2.0/mlflow/runs/log-inputs", {"run_id": user, "models": [{"model_id": model}]})
    return model


def _registry(maker: Maker, runs: dict[str, str], model: str) -> None:
    client = maker.client
    client.create_registered_model("fraud", tags={"owner": "me"}, description="finds fraud")
    uri = client.get_run(runs["first"]).info.artifact_uri
    client.create_model_version("fraud", f"{uri}/deep", runs["first"], tags={"a": "b"}, description="one")
    client.create_model_version("fraud", f"{uri}/deep", runs["first"])
    client.delete_model_version("fraud", "2")
    client.create_model_version("fraud", f"models:/{model}", runs["parent"], model_id=model)
    client.transition_model_version_stage("fraud", "1", "Production")
    client.set_registered_model_alias("fraud", "champion", "3")
    client.create_registered_model("bare")
    prompt = {"mlflow.prompt.is_prompt": "true"}
    pairs = [{"key": key, "value": value} for key, value in prompt.items()]
    maker.post("2.0/mlflow/registered-models/create", {"name": "greeting", "tags": pairs})
    for number in range(1, 12):
        tags = [*pairs, {"key": "mlflow.prompt.text", "value": f"Hello {{{{x}}}} {number}"}]
        tags.append({"key": "_mlflow_prompt_type", "value": "text"})
        body = {"name": "greeting", "source": "dummy-source", "tags": tags, "description": f"commit {number}"}
        maker.post("2.0/mlflow/model-versions/create", body)
    maker.post("2.0/mlflow/registered-models/alias", {"name": "greeting", "alias": "prod", "version": "10"})


def _trace(maker: Maker, experiment: str, run: str) -> str:
    """One with spans in the server's tables, and one whose spans are a file, as older clients wrote them."""
    feedback = {
        "assessment_name": "good",
        "source": {"source_type": "HUMAN", "source_id": "me"},
        "feedback": {"value": True},
        "rationale": "because",
        "metadata": {"mlflow.assessment.sourceRunId": run},
        "create_time": "2026-01-02T03:04:05.678Z",
        "last_update_time": "2026-01-02T03:04:05.678Z",
    }
    first, second = "tr-" + "1" * 31 + "a", "tr-" + "1" * 31 + "b"
    info = {
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
        "request_time": "2026-01-02T03:04:05.678Z",
        "execution_duration": "1.500s",
        "state": "OK",
        "request_preview": "why ünïcode",
        "trace_metadata": {"mlflow.sourceRun": run, "mlflow.trace.sizeStats": json.dumps({"num_spans": 2})},
    }
    for trace, tags in ((first, {"mlflow.traceName": "outer"}), (second, {"mlflow.trace.spansLocation": FILE})):
        told = {**info, "trace_id": trace, "tags": tags, "assessments": [{**feedback, "trace_id": trace}]}
        maker.post("3.0/mlflow/traces", {"trace": {"trace_info": told}})
    maker.put(f"{experiment}/traces/{second}/artifacts/traces.json", json.dumps({"spans": []}).encode())
    spans = [_span(first, "1" * 16, "", "outer"), _span(first, "2" * 16, "1" * 16, "inner")]
    body = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    headers = {"x-mlflow-experiment-id": experiment}
    requests.post(f"{maker.url}/v1/traces", json=body, headers=headers, timeout=60).raise_for_status()
    return first


def _span(trace: str, span: str, parent: str, name: str) -> dict[str, Any]:
    """In OTLP's JSON."""
    inputs = [{"doubleValue": 2.5}, {"intValue": "1"}, {"stringValue": "ü"}, {"boolValue": True}]
    attributes = [
        {"key": "mlflow.traceRequestId", "value": {"stringValue": trace}},
        {"key": "mlflow.spanInputs", "value": {"arrayValue": {"values": inputs}}},
    ]
    found = {"traceId": trace.removeprefix("tr-"), "spanId": span, "name": name, "attributes": attributes}
    found |= {"startTimeUnixNano": "1767323045678000000", "endTimeUnixNano": "1767323047178000001"}
    found |= {"status": {"code": "STATUS_CODE_OK"}, "events": [{"name": "e", "timeUnixNano": "1767323045678000009"}]}
    return found | ({"parentSpanId": parent} if parent else {})


def _dataset(maker: Maker, experiment: str) -> str:
    body = {"name": "questions", "experiment_ids": [experiment], "tags": json.dumps({"k": "v"})}
    made = maker.post("3.0/mlflow/datasets/create", body)["dataset"]["dataset_id"]
    records = [{"inputs": {"q": str(i)}, "expectations": {"a": str(i * i)}} for i in range(5)]
    maker.post(f"3.0/mlflow/datasets/{made}/records", {"dataset_id": made, "records": json.dumps(records)})
    return str(made)


if __name__ == "__main__":
    print(json.dumps(asdict(fill(sys.argv[1], MlflowClient(sys.argv[1])))))
