"""Fills a tracking server through its own client: ``python tracking_filled.py ADDRESS OWNER EXPERIMENTS RUNS BYTES``.

Runs where MLflow is installed. Each run has a file, the first one of ``BYTES``; its versions make one model.
"""

from __future__ import annotations

import json
import random
import sys

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

NOW = 1_700_000_000_000


def main() -> None:
    address, owner = sys.argv[1:3]
    experiments, runs, size = map(int, sys.argv[3:])
    client = MlflowClient(address, address)
    client.create_registered_model(f"{owner}-detector", description=f"of {owner}", tags={"team": owner})
    for number in range(experiments):
        experiment = client.create_experiment(f"{owner}/{number}", tags={"team": owner})
        for one in range(runs):
            fill(client, owner, experiment, f"run {one}", size if number == one == 0 else 40)
    client.set_registered_model_alias(f"{owner}-detector", "best", "1")
    print(json.dumps({"experiments": experiments}))


def fill(client: MlflowClient, owner: str, experiment: str, name: str, size: int) -> None:
    run = client.create_run(experiment, start_time=NOW, run_name=name, tags={"mlflow.user": owner})
    run_id = run.info.run_id
    client.log_batch(
        run_id,
        [Metric("loss", 1 / (step + 1), NOW + step, step) for step in range(50)],
        [Param("lr", "0.1"), Param("of", owner)],
        [RunTag("note", "ünï ✓")],
    )
    client.log_text(run_id, random.Random(name).randbytes(size // 2).hex(), "notes/a.txt")
    client.set_terminated(run_id, end_time=NOW + 1000)
    client.create_model_version(f"{owner}-detector", f"{run.info.artifact_uri}/notes", run_id)


if __name__ == "__main__":
    main()
