"""A document with two addresses, run on this machine: what is chosen is added, or nothing of it stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.local.mlflow_api.conftest import ADMIN, PASSWORD, Servers
from tests.local.mlflow_api.faults import Fault, Rule, faulty

PROGRAM = (sys.executable, "-m", "project_migration.cli.main")
#: Without traces, which a server has once by their ids, wherever another test has put them.
PLAIN = "other ünïcode"
CHOSEN = {"experiments": {"include": ["vision/a"]}, "models": {"exclude": ["*"]}}


def run(place: Path, name: str, source_uri: str, target_uri: str, **mlflow: Any) -> tuple[int, dict[str, Any]]:
    """Its exit code, and the status that it ended with. The target's login is bound as a Secret."""
    login = place / "login"
    login.mkdir(exist_ok=True)
    (login / "username").write_text(ADMIN)
    (login / "password").write_text(PASSWORD)
    sides = {
        "source": {"trackingUri": source_uri},
        "target": {"trackingUri": target_uri, "credentialsRef": {"name": "new"}},
    }
    document = {
        "apiVersion": "migration.mlops.dev/v1alpha1",
        "kind": "ProjectMigration",
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {"mlflow": {**sides, "select": CHOSEN} | mlflow, "retries": 0},
    }
    path = place / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document))
    done = subprocess.run(
        (*PROGRAM, "run", str(path), "--state", str(place / name), "--bind", f"secret/new={login}"),
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
        timeout=280,
        check=False,
    )
    assert PASSWORD not in done.stdout + done.stderr
    assert (place / name / "state.json").exists(), done.stderr
    status: dict[str, Any] = json.loads((place / name / "state.json").read_text())["status"]
    return done.returncode, status


def test_what_is_chosen_is_added_once_whatever_the_migration_is_called(servers: Servers, tmp_path: Path) -> None:
    chosen = {
        "rename": {"experiments": {PLAIN: "documents/a"}},
        "select": {**CHOSEN, "experiments": {"include": [PLAIN]}},
    }
    code, status = run(tmp_path, "first", servers.source.url, servers.guarded.url, **chosen)
    assert code == 0, status["failure"]
    arrived = servers.guarded.names("documents/a")
    assert arrived == servers.source.names(PLAIN) != []
    again, status = run(tmp_path, "second", servers.source.url, servers.guarded.url, **chosen)
    assert again == 0, status["failure"]
    assert servers.guarded.names("documents/a") == arrived


def test_a_document_that_was_carried_out_is_known_again_by_its_server(servers: Servers, tmp_path: Path) -> None:
    chosen: dict[str, Any] = {
        "rename": {"experiments": {PLAIN: "documents/known"}},
        "select": {**CHOSEN, "experiments": {"include": [PLAIN]}},
    }
    first, later, other = (tmp_path / name for name in ("first", "later", "other"))
    for place in (first, later, other):
        place.mkdir()
    code, status = run(first, "known", servers.source.url, servers.guarded.url, **chosen)
    assert (code, status["phase"]) == (0, "Succeeded"), status["failure"]
    gone = servers.guarded.runs("documents/known")[0]["info"]["run_id"]
    servers.guarded.post("runs/delete", {"run_id": gone})
    left = servers.guarded.runs("documents/known")
    code, status = run(later, "known", servers.source.url, servers.guarded.url, **chosen)
    assert (code, status["phase"]) == (0, "AlreadyMigrated"), status["failure"]
    assert servers.guarded.runs("documents/known") == left, "what users deleted stays so"
    chosen["select"] = {**chosen["select"], "metadataOnly": True}
    code, status = run(other, "known", servers.source.url, servers.guarded.url, **chosen)
    assert (code, status["phase"]) == (0, "Succeeded"), "another document is judged as ever"


def test_a_migration_that_fails_takes_back_what_it_added(servers: Servers, tmp_path: Path) -> None:
    before = servers.second.experiments("ACTIVE_ONLY")
    with faulty(servers.source.url, Rule("GET .*/note.txt", Fault.MISSING, times=-1)) as faults:
        rename = {"experiments": {"vision/a": "documents/failed"}}
        code, status = run(tmp_path, "failing", faults.url, servers.second.url, rename=rename)
    assert code == 1
    assert "note.txt" in status["failure"]
    assert status["rolledBackAt"], status["failure"]
    assert servers.second.experiments("ACTIVE_ONLY") == before


def test_a_server_that_is_not_there_is_named_and_nothing_begins(servers: Servers, tmp_path: Path) -> None:
    code, status = run(tmp_path, "nowhere", "http://127.0.0.1:9", servers.second.url)
    assert (code, status["failureReason"]) == (1, "ServerUnreachable")
    assert not status.get("firstWriteAt")


def test_databases_out_of_reach_lead_to_the_addresses_and_it_is_said_why(servers: Servers, tmp_path: Path) -> None:
    def server(side: str, address: str) -> dict[str, Any]:
        (tmp_path / side).mkdir()
        postgres = {"host": "127.0.0.1", "port": 9, "database": side}
        backend = {"postgres": postgres, "credentialsRef": {"name": "new"}}
        return {"trackingUri": address, "backend": backend, "artifacts": {"path": str(tmp_path / side)}}

    sides = {
        "source": server("old", servers.source.url),
        "target": {**server("fresh", servers.guarded.url), "credentialsRef": {"name": "new"}},
        "rename": {"experiments": {PLAIN: "documents/either"}},
        "select": {**CHOSEN, "experiments": {"include": [PLAIN]}},
    }
    code, status = run(tmp_path, "either", servers.source.url, servers.guarded.url, **sides)
    assert (code, status["way"]) == (0, "Api"), status["failure"]
    assert "127.0.0.1" in status["wayReason"]
    assert servers.guarded.names("documents/either") == servers.source.names(PLAIN)
