"""A tracking server to another one by their interfaces: ours against mlflow-export-import, in the same run.

Run ``python -m benchmarks.mlflow_api --runs 120``. Three servers of the newest MLflow on this machine, on loopback,
with SQLite and four processes each, as ``mlflow server`` starts by itself: one with the runs, and one for each way. The
runs are like those of the package's own published measure: some seven an experiment, each with metrics that have
histories, params, tags and files in folders. The package exports and imports with threads, as its documentation says
to for many runs; both programs' start is part of their time, and ours proves the move beside it. Figures are seconds a
run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import requests

from project_migration.model.records import Record, Request
from tests.local.mlflow_api import peer
from tests.local.mlflow_api.rest import Rest
from tools import mlflow_servers

#: What is aimed at: this many times the package's rate.
GOAL = 20.0

PER_EXPERIMENT = 7
METRICS, POINTS, PARAMS, TAGS = 5, 20, 10, 5
FILES = ("a.txt", "b.txt", "plots/c.bin", "plots/d.bin")
CONTENT = b"x" * 2048


def populate(server: Rest, runs: int) -> None:
    with ThreadPoolExecutor(4) as threads:
        for number in range(0, runs, PER_EXPERIMENT):
            body = {"name": f"bench/{number // PER_EXPERIMENT}"}
            experiment = server.post("experiments/create", body)["experiment_id"]
            for one in range(number, min(runs, number + PER_EXPERIMENT)):
                threads.submit(_run, server, experiment, one)


def _run(server: Rest, experiment: str, number: int) -> None:
    body: dict[str, Any] = {"experiment_id": experiment, "run_name": f"run {number}", "start_time": 1000 + number}
    run = server.post("runs/create", body)["run"]["info"]["run_id"]
    metrics = [
        {"key": f"metric {key}", "value": step / 7, "timestamp": 1000 + step, "step": step}
        for key in range(METRICS)
        for step in range(POINTS)
    ]
    params = [{"key": f"param {key}", "value": str(number)} for key in range(PARAMS)]
    tags = [{"key": f"tag {key}", "value": "value"} for key in range(TAGS)]
    server.post("runs/log-batch", {"run_id": run, "metrics": metrics, "params": params, "tags": tags})
    for path in FILES:
        url = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/{path}"
        requests.put(url, data=CONTENT, timeout=60).raise_for_status()
    server.post("runs/update", {"run_id": run, "status": "FINISHED", "end_time": 2000 + number})


def ours(worker: str, source: Rest, target: Rest, scratch: Path, threads: int) -> Record:
    params = {
        "source": {"trackingUri": source.url},
        "target": {"trackingUri": target.url},
        "select": {"experiments": {"include": ["bench/*"]}, "models": {"include": ["*"]}},
        "workers": threads,
    }
    workspace = scratch / "workspace"
    workspace.mkdir(exist_ok=True)
    roots = {"workspace": str(workspace)}
    request = Request(f"mlflow.api.{worker}", "bench", "bench", "bench", worker, "tracking", 1, roots, params)
    argv = (sys.executable, "-m", f"project_migration.workers.mlflow.api.{worker}", "--request", "-")
    subprocess.run(argv, input=request.to_json(), text=True, stdout=subprocess.DEVNULL, check=True)
    record = Record.from_json((workspace / "results" / f"{worker}-tracking.json").read_text())
    if not record.succeeded:
        raise SystemExit(record.message)
    return record


def theirs(source: Rest, target: Rest, scratch: Path) -> None:
    out = str(scratch / "export")
    threads = ("--use-threads", "True")
    names = ",".join(sorted(name for name in source.experiments() if name.startswith("bench/")))
    peer.run("bulk.export_experiments", source.url, "--output-dir", out, "--experiments", names, *threads)
    peer.run("bulk.import_experiments", target.url, "--input-dir", out, *threads)


def count(server: Rest) -> int:
    return len(server.runs(*(name for name in server.experiments() if name.startswith("bench/"))))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=120)
    parser.add_argument("--workers", type=int, default=8)
    chosen = parser.parse_args()
    peer.place()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        servers = []
        for name in ("source", "ours", "theirs"):
            place = Path(scratch, name)
            serving = mlflow_servers.serving(
                f"sqlite:///{place}/mlflow.db", place / "artifacts", place, options=("--workers", "4")
            )
            servers.append(Rest(stack.enter_context(serving)))
        source, target, other = servers
        populate(source, chosen.runs)
        began = time.monotonic()
        ours("copy", source, target, Path(scratch), chosen.workers)
        moved = time.monotonic() - began
        record = ours("verify", source, target, Path(scratch), chosen.workers)
        began = time.monotonic()
        theirs(source, other, Path(scratch))
        took = time.monotonic() - began
        print(f"{'':28}{'seconds':>10}{'a run':>10}{'runs there':>12}")
        for title, seconds, server in (
            ("mlflow.api.copy", moved, target),
            (f"the package {peer.RELEASE}", took, other),
        ):
            print(f"{title:28}{seconds:10.2f}{seconds / chosen.runs:10.4f}{count(server):12}")
        print(f"{'mlflow.api.verify':28}{record.seconds:10.2f}{record.seconds / chosen.runs:10.4f}")
        print(f"ratio {took / moved:.1f}, aimed at {GOAL:.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
