"""The main job on this machine: an MLflow tracking server with some hundred runs moves to another one.

Both servers are real, and on the loopback only. Everything happens below ``build/demo``; it is made anew each time,
and left there to be looked at.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tools.mlflow_server import MlflowServer
from tools.postgres_servers import free_port

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "build" / "demo"
PROGRAM = Path(sys.executable).with_name("project-migration")
EXPERIMENTS = ("vision/detector", "vision/segmenter", "speech/keywords", "tabular/churn")
RUNS = 50  # of each experiment
STEPS = 20
LONGEST_SECONDS = 300.0  # of one command; it takes some ten

DOCUMENT = """\
apiVersion: migration.mlops.dev/v1alpha1
kind: ProjectMigration
metadata: {{name: tracking, namespace: demo}}
spec:
  mlflow:
    source:
      backend: {{sqlite: {{path: {old}, file: mlflow.db}}}}
      artifacts: {{path: {old}/mlartifacts}}
    target:
      trackingUri: {address}  # asked for everything once it is back
      backend: {{sqlite: {{path: {new}, file: mlflow.db}}}}
      artifacts: {{path: {new}/mlartifacts}}
  quiesce:
    workloads:
      - {{kind: Deployment, name: mlflow-old, side: Source, afterSuccess: StayDown}}
      - {{kind: Deployment, name: mlflow-new, side: Target}}
"""

CONTROL = """\
#!/bin/sh
# how the migration stops and starts this server
cd {root} && exec {python} -m tools.mlflow_server {home} {port} "$@"
"""


def main() -> int:
    for name in ("old", "new"):  # of an earlier demo
        MlflowServer(PLACE / name, 0).stop()
    shutil.rmtree(PLACE, ignore_errors=True)
    old, new = (MlflowServer(PLACE / name, free_port()) for name in ("old", "new"))
    try:
        return demonstrate(old, new)
    finally:
        old.stop()
        new.stop()


def demonstrate(old: MlflowServer, new: MlflowServer) -> int:
    say("1. Two MLflow tracking servers are started")
    with ThreadPoolExecutor(2) as both:
        list(both.map(start, (old, new)))
    say(f"   and {len(EXPERIMENTS) * RUNS} runs are logged to the old one, with metrics, files and a model each")
    populate(old)
    before = contents(old)
    document = PLACE / "migration.yaml"
    document.write_text(DOCUMENT.format(old=old.home, new=new.home, address=new.address))
    binds = [f"--bind=deployment/mlflow-{s.home.name}=exec/{control(s)}" for s in (old, new)]
    say(f"2. What would move, by {shown(document)}")
    code = run("plan", str(document), *binds)
    if code != 0:
        return code
    say("3. The migration itself: both servers stop, rows and files move and are proved, the new server comes back")
    state, report = PLACE / "state", PLACE / "report.html"
    began = time.monotonic()
    code = run("run", str(document), *binds, "--state", str(state), "--report", str(report))
    if code != 0:
        return code
    say(f"   That took {time.monotonic() - began:.1f} s.")
    after = contents(new)
    for kind, count in before.items():
        say(f"   {kind:18} {count:6} on the old server {after[kind]:6} on the new one")
    if before != after:
        say("   They are not the same.")
        return 1
    say(f"4. The new server is at {new.address}, the report in {shown(report)}: open both in a browser.")
    if sys.stdin.isatty() and sys.stdout.isatty():
        input("   Enter ends the demo and stops the server. ")
    return 0


def start(server: MlflowServer) -> None:
    server.home.mkdir(parents=True)
    server.start()


def control(server: MlflowServer) -> Path:
    path = PLACE / f"control-{server.home.name}"
    path.write_text(CONTROL.format(root=ROOT, python=sys.executable, home=server.home, port=server.port))
    path.chmod(0o755)
    return path


def populate(server: MlflowServer) -> None:
    for name in EXPERIMENTS:
        experiment = server.call("POST", "experiments/create", {"name": name})["experiment_id"]
        with ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(lambda number, to=experiment: a_run(server, str(to), number), range(RUNS)))
        model = name.replace("/", "-")
        server.call("POST", "registered-models/create", {"name": model, "description": f"the best of {name}"})
        for run_id in runs[:3]:
            source = f"mlflow-artifacts:/{experiment}/{run_id}/artifacts/model"
            server.call("POST", "model-versions/create", {"name": model, "source": source, "run_id": run_id})
        alias = {"name": model, "alias": "champion", "version": "3"}
        server.call("POST", "registered-models/alias", alias)


def a_run(server: MlflowServer, experiment: str, number: int) -> str:
    now = int(time.time() * 1000)
    created: Any = server.call(
        "POST",
        "runs/create",
        {"experiment_id": experiment, "start_time": now, "user_id": "ana", "run_name": f"attempt-{number}"},
    )
    run_id = str(created["run"]["info"]["run_id"])
    metrics = [
        {"key": "loss", "value": math.exp(-step / (5 + number % 7)), "timestamp": now + step, "step": step}
        for step in range(STEPS)
    ]
    params = [{"key": "rate", "value": str(0.1 / (1 + number))}, {"key": "layers", "value": str(number % 5)}]
    server.call("POST", "runs/log-batch", {"run_id": run_id, "metrics": metrics, "params": params})
    server.put(f"{experiment}/{run_id}/artifacts/model/weights.bin", bytes([number]) * 4096)
    server.call("POST", "runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": now + 60_000})
    return run_id


def contents(server: MlflowServer) -> dict[str, int]:
    """What the server itself says it has."""
    experiments: Any = server.call("POST", "experiments/search", {"max_results": 1000})["experiments"]
    ids = [found["experiment_id"] for found in experiments]
    runs: Any = server.call("POST", "runs/search", {"experiment_ids": ids, "max_results": 10_000}).get("runs", [])
    versions: Any = server.call("GET", "model-versions/search?max_results=1000").get("model_versions", [])
    metrics = sum(len(run["data"].get("metrics", ())) for run in runs)
    return {"experiments": len(ids), "runs": len(runs), "latest metrics": metrics, "model versions": len(versions)}


def run(*words: str) -> int:
    print("   $ project-migration", *(shown_word(word) for word in words), flush=True)
    return subprocess.run((str(PROGRAM), *words), check=False, timeout=LONGEST_SECONDS).returncode


def shown_word(word: str) -> str:
    return word.replace(f"{ROOT}/", "")


def say(line: str) -> None:
    print(line, flush=True)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    sys.exit(main())
