"""The target's own server, back at work, gives what was proved in its database; what it does not give is named."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from project_migration.model.records import Record, Request
from tests.local.mlflow.conftest import Populated
from tests.local.mlflow.running import Base, copied, look
from tests.local.mlflow.test_documents import Site
from tools.mlflow_server import MlflowServer
from tools.postgres_servers import free_port

_rounds = itertools.count()
ROOT = Path(__file__).resolve().parents[3]
CONTROL = """\
#!/bin/sh
cd {root} && exec {python} -m tools.mlflow_server {home} {port} "$@"
"""


@dataclass(frozen=True)
class Served:
    """A migration that is over, and the target's server, which it stopped and started."""

    site: Site
    server: MlflowServer
    done: subprocess.CompletedProcess[str]

    def ask(self, address: str = "") -> Record:
        """As the migration's helper did, in its workspace."""
        workspace = next(self.site.state.rglob("mlflow/proved.db")).parents[1]
        params: dict[str, Any] = {"target": {"trackingUri": address or self.server.address}, "workers": 2}
        params |= {"waitSeconds": 0, "artifacts": "artifacts", "round": next(_rounds)}
        roots = {"workspace": str(workspace)}
        request = Request("mlflow.api.ask", "u", "m", "ns", "again", "t", 1, roots, params)
        argv = (sys.executable, "-m", "project_migration.workers.mlflow.api.ask", "--request", "-")
        subprocess.run(argv, input=request.to_json(), text=True, env=os.environ, timeout=120, check=False)
        return Record.from_json((workspace / "results" / "again-t.json").read_text())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, populated: Populated, new_sqlite: Base) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("served")
    server = MlflowServer(place / "new", free_port())
    target = copied(new_sqlite, server.home / "mlflow.db")
    control = place / "control"
    control.write_text(CONTROL.format(root=ROOT, python=sys.executable, home=server.home, port=server.port))
    control.chmod(0o755)
    site = Site(place, (populated.base, populated.artifacts), (target, server.home / "mlartifacts"))
    site.address = server.address
    site.mlflow = {"select": {"experiments": {"lifecycle": "All"}}}
    site.spec = {"quiesce": {"workloads": [{"kind": "Deployment", "name": "new", "side": "Target"}]}}
    server.start()
    try:
        done = site.call("run", "--bind", f"deployment/new=exec/{control}", "--report", str(place / "report.html"))
        yield Served(site, server, done)
    finally:
        server.stop()


def test_the_server_is_asked_for_everything_once_it_is_back(served: Served, populated: Populated) -> None:
    assert served.done.returncode == 0, served.done.stdout + served.done.stderr
    [step] = [step for step in served.site.status()["steps"] if step["id"] == "ask_server"]
    [unit] = step["units"]
    asked = {one["name"]: (one["source"], one["target"]) for one in unit["compared"]}
    base = populated.base
    runs, points = base.value("SELECT count(*) FROM runs"), base.value("SELECT count(*) FROM metrics")
    versions = base.value("SELECT count(*) FROM model_versions WHERE current_stage <> 'Deleted_Internal'")
    assert asked["runs"] == (runs, runs)
    assert asked["points of metrics"] == (points, points)
    assert asked["model versions"] == (versions, versions)
    assert asked["files read"][0] == asked["files read"][1] > 0


def test_the_report_has_a_table_of_what_was_compared(served: Served) -> None:
    page = (served.site.path / "report.html").read_text()
    data = json.loads(page.split('id="report">')[1].split("</script>")[0])
    [tracking] = [unit for unit in data["units"] if unit["name"] == "tracking"]
    compared = {one["name"]: one for one in tracking["verified"]["compared"]}
    points = served.site.source[0].value("SELECT count(*) FROM metrics")
    metrics = compared["metrics"]
    assert (metrics["source"], metrics["target"], metrics["same"]) == (points, points, True)
    assert metrics["sourceDigest"] == metrics["targetDigest"] != ""
    assert "Given by the target" in page
    assert metrics["sourceDigest"] in page.split('id="report">')[0]
    said = served.done.stdout + served.done.stderr
    assert "tracking: the same on both sides: " in said
    assert "tracking: the same when the target's own server was asked: " in said


def test_the_real_client_finds_every_run_history_and_version(
    served: Served, populated: Populated, seen: dict[str, Any]
) -> None:
    found = look(replace(served.site.target[0], uri=served.server.address), populated.made)
    for what in ("experiments", "runs", "models", "aliases", "traces", "logged model", "prompt"):
        assert found[what] == seen[what], what


def test_what_the_server_does_not_give_is_named(served: Served, populated: Populated) -> None:
    assert served.ask().succeeded
    child = populated.made["child"]
    served.site.target[0].run(
        f"DELETE FROM metrics WHERE run_uuid = '{child}' AND `key` = 'loss' AND step = 7",
        "UPDATE model_versions SET current_stage = 'Deleted_Internal' WHERE name = 'classifier' AND version = 3",
    )
    [note] = (served.server.home / "mlartifacts").glob(f"*/{child}/artifacts/notes/a b.txt")
    note.write_text("olleh")
    record = served.ask()
    assert record.reason == "NotServed"
    assert served.server.address in record.message
    assert [record.counts[name] for name in ("missing", "different")] == [1, 2]
    assert record.names["missing"] == ("model classifier version 3",)
    assert sorted(record.names["different"]) == [f"run {child}", f"run {child}: notes/a b.txt"]
    differs = [one.name for one in record.compared if not one.same]
    assert sorted(differs) == ["files read", "model versions", "points of metrics"]


def test_a_server_that_does_not_answer_is_named(served: Served) -> None:
    record = served.ask("http://127.0.0.1:9")
    assert (record.reason, record.passing) == ("ServerUnreachable", True)
    assert "http://127.0.0.1:9" in record.message
