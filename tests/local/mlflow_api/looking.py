"""What MLflow's own client finds on a server: ``looking.py ADDRESS DIRECTORY`` prints it as JSON.

A program for the environment that has MLflow. Files of every run are downloaded below the directory, by run.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import ViewType


def look(client: MlflowClient, place: Path) -> dict[str, Any]:
    experiments = client.search_experiments(view_type=ViewType.ALL)
    found: dict[str, Any] = {"experiments": {one.name: one.lifecycle_stage for one in experiments}, "runs": {}}
    ids = [one.experiment_id for one in experiments]
    for run in client.search_runs(ids, run_view_type=ViewType.ALL):
        found["runs"][run.info.run_id] = _run(client, run, place)
    found["versions"] = [_version(client, one.name, one.version) for one in client.search_model_versions()]
    return found


def _run(client: MlflowClient, run: Any, place: Path) -> dict[str, Any]:
    info = run.info
    files = sorted(_files(client, info.run_id, "")) if info.lifecycle_stage == "active" else []
    for path in files:
        if "?" not in path:  # which this client cannot ask for
            (place / info.run_id).mkdir(exist_ok=True)
            client.download_artifacts(info.run_id, path, str(place / info.run_id))
    histories = {}
    for key in run.data.metrics if info.lifecycle_stage == "active" else ():
        points = client.get_metric_history(info.run_id, key)
        histories[key] = [["nan" if math.isnan(p.value) else p.value, p.timestamp, p.step] for p in points]
    return {
        "info": {
            name: getattr(info, name)
            for name in ("status", "start_time", "end_time", "user_id", "run_name", "lifecycle_stage", "experiment_id")
        },
        "params": run.data.params,
        "tags": run.data.tags,
        "histories": histories,
        "files": files,
    }


def _files(client: MlflowClient, run: str, folder: str) -> Iterator[str]:
    for found in client.list_artifacts(run, folder or None):
        if found.is_dir:
            yield from _files(client, run, found.path)
        else:
            yield found.path


def _version(client: MlflowClient, name: str, number: str) -> dict[str, Any]:
    version = client.get_model_version(name, number)
    found = {
        "name": name,
        "version": str(version.version),
        "stage": version.current_stage,
        "aliases": list(version.aliases),
        "run": version.run_id,
        "source": version.source,
    }
    if version.source.startswith("models:/m-"):
        model = client.get_logged_model(version.source.removeprefix("models:/"))
        found["model"] = {
            "id": model.model_id,
            "status": str(model.status),
            "params": model.params,
            "place": model.artifact_location,
        }
    return found


if __name__ == "__main__":
    print(json.dumps(look(MlflowClient(sys.argv[1]), Path(sys.argv[2]))))
