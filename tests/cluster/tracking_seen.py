"""Looks at a tracking server with its own client, files too: ``python tracking_seen.py ADDRESS``, where MLflow is.

Prints JSON: experiments by name with their runs, models with their versions. Ids and addresses are told beside what
they are the ids of, so that servers can be compared with and without them.
"""

from __future__ import annotations

import hashlib
import json
import sys
import urllib.request
from typing import Any

from mlflow import MlflowClient


def main() -> None:
    address = sys.argv[1]
    client = MlflowClient(address, address)
    seen = {"experiments": experiments(client, address), "models": models(client)}
    print(json.dumps(seen))


def experiments(client: MlflowClient, address: str) -> dict[str, Any]:
    found = {}
    for one in client.search_experiments():
        runs = [run_of(client, address, run) for run in client.search_runs([one.experiment_id])]
        place = [one.experiment_id, one.artifact_location]
        ours = {key: value for key, value in one.tags.items() if not key.startswith("project_migration.")}
        found[one.name] = {"place": place, "tags": ours, "runs": sorted(runs, key=lambda run: run["name"])}
    return found


def run_of(client: MlflowClient, address: str, run: Any) -> dict[str, Any]:
    info, data = run.info, run.data
    history = [[m.value, m.timestamp, m.step] for m in client.get_metric_history(info.run_id, "loss")]
    files = {}
    for item in client.list_artifacts(info.run_id, "notes"):
        query = f"{address}/get-artifact?path={item.path}&run_uuid={info.run_id}"
        with urllib.request.urlopen(query, timeout=60) as answer:
            files[item.path] = hashlib.sha256(answer.read()).hexdigest()
    return {
        "id": info.run_id,
        "address": info.artifact_uri,
        "name": info.run_name,
        "state": [info.status, info.start_time, info.end_time, info.lifecycle_stage],
        "params": data.params,
        "tags": {key: value for key, value in data.tags.items() if not key.startswith("project_migration.")},
        "history": sorted(history),
        "files": files,
    }


def models(client: MlflowClient) -> dict[str, Any]:
    found = {}
    for model in client.search_registered_models():
        versions = client.search_model_versions(f"name = '{model.name}'")
        told = [[int(one.version), one.source, one.run_id, one.current_stage] for one in versions]
        found[model.name] = {
            "description": model.description,
            "tags": {key: value for key, value in model.tags.items() if not key.startswith("project_migration.")},
            "aliases": model.aliases,
            "versions": sorted(told),
        }
    return found


if __name__ == "__main__":
    main()
