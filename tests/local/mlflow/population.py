"""Fills a tracking server with one of everything, through the real client. Runs where MLflow is installed.

``python population.py ADDRESS`` prints what it made, as JSON, for the tests to look for.
"""

from __future__ import annotations

import json
import math
import sys
import time
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

NOW = 1_700_000_000_000


def experiments(client: MlflowClient) -> dict[str, str]:
    found = {}
    for name in ("vision/classify", "vision/detect", "büro straße ✓", "nlp", "to be deleted"):
        found[name] = client.create_experiment(name, tags={"team": "a", "note": "line\nbreak"})
    client.set_experiment_tag(found["nlp"], "mlflow.note.content", "x" * 4000)
    return found


def runs(client: MlflowClient, ids: dict[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    parent = client.create_run(ids["vision/classify"], start_time=NOW, run_name="parent", tags={"mlflow.user": "ann"})
    child = client.create_run(
        ids["vision/classify"],
        start_time=NOW + 5,
        run_name="child",
        tags={"mlflow.parentRunId": parent.info.run_id, "weird": "ünï\tcode ' \" \\ ✓"},
    )
    history = [Metric("loss", 1.0 / (n + 1), NOW + n, n) for n in range(300)]
    odd = [
        Metric("odd", math.nan, NOW, 0),
        Metric("odd", math.inf, NOW, 1),
        Metric("odd", -math.inf, NOW, 2),
        Metric("odd", 0.1 + 0.2, NOW, -3),
        Metric("odd", 1e-300, NOW, 4),
        Metric("same", 1.5, NOW, 0),
        Metric("same", 2.5, NOW, 0),
        Metric("a/b c-d.é", 5.0, 0, 0),
    ]
    client.log_batch(
        child.info.run_id,
        metrics=history + odd,
        params=[Param("lr", "0.001"), Param("empty", ""), Param("long", "p" * 5900)],
        tags=[RunTag("t" * 240, "v" * 7000)],
    )
    client.log_batch(parent.info.run_id, metrics=[Metric("acc", 0.5, NOW, 0)], params=[Param("lr", "0.1")])
    client.set_terminated(child.info.run_id, "FAILED", end_time=NOW + 1000)
    client.set_terminated(parent.info.run_id, end_time=NOW + 2000)
    client.log_text(child.info.run_id, "hello", "notes/a b.txt")
    gone = client.create_run(ids["vision/classify"], start_time=NOW, run_name="gone")
    client.delete_run(gone.info.run_id)
    still = client.create_run(ids["nlp"], start_time=NOW, run_name="still running")
    lost = client.create_run(ids["to be deleted"], start_time=NOW)
    client.log_metric(lost.info.run_id, "m", 1.0)
    default = client.create_run("0", start_time=NOW, run_name="in default")
    client.log_metric(default.info.run_id, "m", 3.0, timestamp=NOW, step=2)
    made |= {
        "parent": parent.info.run_id,
        "child": child.info.run_id,
        "gone": gone.info.run_id,
        "still": still.info.run_id,
        "lost": lost.info.run_id,
        "default": default.info.run_id,
    }
    return made


def datasets_and_logged_models(client: MlflowClient, ids: dict[str, str], made: dict[str, Any]) -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": [1, 2], "b": [3.0, 4.0]})
    data = mlflow.data.from_pandas(frame, source="s3://elsewhere/data.csv", name="train")
    mlflow.set_experiment(experiment_id=ids["vision/detect"])
    with mlflow.start_run(run_name="with inputs") as run:
        mlflow.log_input(data, context="training", tags={"version": "1"})
        mlflow.log_metric("map", 0.25, step=1)
        model = mlflow.initialize_logged_model(
            name="net", source_run_id=run.info.run_id, params={"layers": "5"}, tags={"kind": "cnn"}, model_type="m"
        )
        mlflow.log_metric("auc", 0.75, step=3, model_id=model.model_id, dataset=data)
        mlflow.finalize_logged_model(model.model_id, "READY")
        mlflow.log_outputs(models=[mlflow.entities.LoggedModelOutput(model.model_id, 3)])
    with mlflow.start_run(run_name="evaluates") as other:
        client.log_inputs(other.info.run_id, models=[mlflow.entities.LoggedModelInput(model.model_id)])
    made |= {"inputs": run.info.run_id, "logged_model": model.model_id, "evaluates": other.info.run_id}


def registry(client: MlflowClient, made: dict[str, Any]) -> None:
    client.create_registered_model("classifier", tags={"owner": "ann"}, description="it's a model")
    for number in range(12):
        client.create_model_version(
            "classifier",
            source=f"mlflow-artifacts:/{client.get_run(made['child']).info.experiment_id}/{made['child']}/artifacts/m",
            run_id=made["child"],
            tags={"n": str(number)},
            description="d" * 100,
        )
    client.delete_model_version("classifier", "3")
    client.set_registered_model_alias("classifier", "champion", "11")
    client.transition_model_version_stage("classifier", "2", "Production")
    client.create_registered_model("detector")
    client.create_model_version("detector", source=f"models:/{made['logged_model']}", model_id=made["logged_model"])
    client.create_model_version("detector", source="s3://elsewhere/model")
    mlflow.genai.register_prompt("greeting", "Hello {{name}}", commit_message="first", tags={"lang": "en"})
    mlflow.genai.register_prompt("greeting", [{"role": "user", "content": "Hi {{name}}"}], commit_message="second")
    mlflow.genai.set_prompt_alias("greeting", "live", 2)


def traces(client: MlflowClient, ids: dict[str, str], made: dict[str, Any]) -> None:
    mlflow.set_experiment(experiment_id=ids["nlp"])
    found = []
    for number in range(3):
        with mlflow.start_span(name=f"ask {number}") as span:
            span.set_inputs({"question": "why?"})
            with mlflow.start_span(name="retrieve", span_type="RETRIEVER") as inner:
                inner.set_attribute("k", number)
                inner.set_outputs(["a", "b"])
            span.set_outputs({"answer": "because ✓"})
        found.append(span.trace_id)
    mlflow.flush_trace_async_logging()
    time.sleep(0.5)
    for trace in found:
        mlflow.set_trace_tag(trace, "reviewed", "yes")
    mlflow.log_feedback(trace_id=found[0], name="good", value=True, rationale="it is")
    mlflow.log_expectation(trace_id=found[0], name="expected", value={"answer": "because"})
    made["traces"] = found


def others(client: MlflowClient, ids: dict[str, str], made: dict[str, Any]) -> list[str]:
    """What may not be possible in a release is told, and is no reason to stop."""
    failed = []

    def attempt(what: str, do: Any) -> None:
        try:
            do()
        except Exception as error:
            failed.append(f"{what}: {type(error).__name__}: {error}")

    def evaluation_dataset() -> None:
        from mlflow.genai.datasets import create_dataset

        dataset = create_dataset(name="questions", experiment_id=[ids["nlp"]], tags={"v": "1"})
        dataset.merge_records(
            [{"inputs": {"q": "one"}, "expectations": {"a": 1}}, {"inputs": {"q": "two"}, "tags": {"x": "y"}}]
        )
        made["evaluation_dataset"] = dataset.dataset_id

    def webhook() -> None:
        from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent

        event = WebhookEvent(WebhookEntity.MODEL_VERSION, WebhookAction.CREATED)
        made["webhook"] = client.create_webhook("hook", "https://93.184.216.34/hook", [event]).webhook_id

    def scorer() -> None:
        from mlflow.genai.scorers import Guidelines

        Guidelines(name="polite", guidelines="be polite").register(experiment_id=ids["nlp"])

    for what, do in (("evaluation dataset", evaluation_dataset), ("webhook", webhook), ("scorer", scorer)):
        attempt(what, do)
    return failed


def main() -> None:
    address = sys.argv[1]
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    client = MlflowClient(address, address)
    ids = experiments(client)
    made = runs(client, ids)
    datasets_and_logged_models(client, ids, made)
    registry(client, made)
    traces(client, ids, made)
    failed = others(client, ids, made)
    client.delete_experiment(ids["to be deleted"])
    print(json.dumps({"experiments": ids, **made, "failed": failed}))


if __name__ == "__main__":
    main()
