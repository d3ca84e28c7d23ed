"""Looks into a database with MLflow's own client. Runs where MLflow is installed.

``python looking.py URI JSON`` prints what it found of the things that ``population.py`` made.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import ViewType


def main() -> None:
    uri, made = sys.argv[1], json.loads(sys.argv[2])
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = MlflowClient(uri, uri)
    print(json.dumps({**_tracking(client, made), **_registry(client), **_traces(client, made), **_more(client)}))


def _tracking(client: MlflowClient, made: dict[str, Any]) -> dict[str, Any]:
    experiments = client.search_experiments(view_type=ViewType.ALL)
    found = {}
    for name in ("parent", "child", "gone", "still", "lost", "default", "inputs", "evaluates"):
        run = client.get_run(made[name])
        metrics = {
            key: [[str(m.value), m.timestamp, m.step] for m in client.get_metric_history(made[name], key)]
            for key in sorted(run.data.metrics)
        }
        found[name] = {
            "info": [run.info.status, run.info.start_time, run.info.end_time, run.info.lifecycle_stage],
            "name": run.info.run_name,
            "experiment": client.get_experiment(run.info.experiment_id).name,
            "artifacts": run.info.artifact_uri,
            "params": run.data.params,
            "tags": run.data.tags,
            "metrics": {key: sorted(points) for key, points in metrics.items()},
            "latest": {key: str(value) for key, value in sorted(run.data.metrics.items())},
            "datasets": [one.dataset.name for one in run.inputs.dataset_inputs],
            "outputs": [[one.model_id, one.step] for one in (run.outputs.model_outputs if run.outputs else ())],
        }
    model = client.get_logged_model(made["logged_model"])
    return {
        "experiments": {one.name: [one.lifecycle_stage, one.artifact_location, one.tags] for one in experiments},
        "numbers": {one.name: one.experiment_id for one in experiments},
        "runs": found,
        "logged model": [model.name, model.params, model.source_run_id, [[m.key, m.value] for m in model.metrics]],
    }


def _registry(client: MlflowClient) -> dict[str, Any]:
    models = client.search_registered_models()
    return {
        "models": {
            model.name: [
                [int(v.version), v.current_stage, v.source, v.run_id, v.tags, v.creation_timestamp]
                for v in sorted(
                    client.search_model_versions(f"name = '{model.name}'"), key=lambda one: int(one.version)
                )
            ]
            for model in models
        },
        "aliases": {model.name: {name: int(v) for name, v in model.aliases.items()} for model in models},
        "prompt": str(mlflow.genai.load_prompt("greeting", version=2).template),
        "prompt live": int(mlflow.genai.load_prompt("prompts:/greeting@live").version),
    }


def _traces(client: MlflowClient, made: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for trace_id in made["traces"]:
        trace = client.get_trace(trace_id)
        found[trace_id] = [
            sorted([span.name, span.span_id, str(span.inputs), str(span.outputs)] for span in trace.data.spans),
            sorted([a.name, str(getattr(a, "value", None))] for a in trace.info.assessments),
            trace.info.tags.get("reviewed"),
        ]
    return {"traces": found}


def _more(client: MlflowClient) -> dict[str, Any]:
    new = client.create_experiment("made afterwards")
    client.delete_experiment(new)
    return {"next": new, "webhooks": [[hook.name, str(hook.status)] for hook in client.list_webhooks()]}


if __name__ == "__main__":
    main()
