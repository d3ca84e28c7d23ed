"""A document with a tracking server, run on this machine: rows and files arrive together, or nothing has changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.local.mlflow.conftest import Populated
from tests.local.mlflow.running import Base, copied, postgres_base
from tests.local.test_run_kept import changing
from tools.postgres_servers import Server

PROGRAM = (sys.executable, "-m", "project_migration.cli.main")


@dataclass
class Site:
    """Two servers as a document names them, and the program run on it."""

    path: Path
    source: tuple[Base, Path]
    target: tuple[Base, Path]
    mlflow: dict[str, Any] = field(default_factory=dict)
    address: str = ""
    """Of the target's own server."""
    spec: dict[str, Any] = field(default_factory=dict)

    def document(self) -> Path:
        sides = {"source": self.server(*self.source), "target": self.server(*self.target)}
        if self.address:
            sides["target"]["trackingUri"] = self.address
        spec = {"mlflow": {**sides, **self.mlflow}, "retries": 0, **self.spec}
        found = {
            "apiVersion": "migration.mlops.dev/v1alpha1",
            "kind": "ProjectMigration",
            "metadata": {"name": "tracking", "namespace": "ml"},
            "spec": spec,
        }
        path = self.path / "tracking.yaml"
        path.write_text(yaml.safe_dump(found))
        return path

    @staticmethod
    def server(base: Base, artifacts: Path) -> dict[str, Any]:
        artifacts.mkdir(parents=True, exist_ok=True)
        if base.root is not None:
            backend: dict[str, Any] = {"sqlite": {"path": str(base.root), "file": base.backend["file"]}}
        else:
            named = {name: base.backend[name] for name in ("host", "port", "database")}
            backend = {base.backend["kind"]: named, "credentialsRef": {"name": "login"}}
        return {"backend": backend, "artifacts": {"path": str(artifacts)}}

    def call(self, verb: str, *options: str) -> subprocess.CompletedProcess[str]:
        login = self.path / "login"
        login.mkdir(exist_ok=True)
        servers = [base for base, _ in (self.source, self.target) if base.root is None]
        for base in servers:
            (login / "username").write_text(base.user)
            (login / "password").write_text(base.password)
        bind = ("--bind", f"secret/login={login}") if servers else ()
        what = (str(self.document()), *bind) if verb in ("run", "plan") else ()
        state = ("--state", str(self.state)) if verb != "plan" else ()
        return subprocess.run(
            (*PROGRAM, verb, *what, *state, *options),
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
            timeout=280,
            check=False,
        )

    @property
    def state(self) -> Path:
        return self.path / "state"

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "state.json").read_text())["status"]
        return found


def tree(root: Path) -> dict[str, str]:
    """Every file below a directory and the digest of what it holds."""
    files = (path for path in root.rglob("*") if path.is_file() and ".project-migration" not in path.parts)
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def laptop(tmp_path: Path, populated: Populated, new_sqlite: Base) -> Site:
    """From what was populated to a new server with nothing on it."""
    new = copied(new_sqlite, tmp_path / "new" / "mlflow.db")
    return Site(tmp_path, (populated.base, populated.artifacts), (new, tmp_path / "new" / "mlartifacts"))


def in_use(site: Site) -> None:
    """The target has an experiment with a run and a file of its own; the number is one that the source has too."""
    base, artifacts = site.target
    run = "f" * 32
    base.run(
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, workspace)"
        " VALUES (1, 'theirs', 'mlflow-artifacts:/1', 'active', 'default')",
        "INSERT INTO runs (run_uuid, name, status, source_type, lifecycle_stage, artifact_uri, experiment_id,"
        " start_time)"
        f" VALUES ('{run}', 'theirs', 'FINISHED', 'UNKNOWN', 'active', 'mlflow-artifacts:/1/{run}/artifacts', 1, 1)",
    )
    place = artifacts / "1" / run / "artifacts"
    place.mkdir(parents=True)
    (place / "theirs.txt").write_text("theirs")


def test_rows_and_files_arrive_and_a_second_run_finds_them_there(laptop: Site, populated: Populated) -> None:
    before = tree(populated.artifacts)
    done = laptop.call("run", "--report", str(laptop.path / "report.html"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert tree(laptop.target[1]) == before
    rows = laptop.target[0].value("SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'")
    assert rows == laptop.source[0].value("SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'")
    page = (laptop.path / "report.html").read_text()
    assert "tracking" in page
    assert "artifacts" in page
    again = laptop.call("run")
    assert again.returncode == 0
    assert "has arrived" in again.stdout + again.stderr
    tables = {row[0] for row in laptop.target[0].rows("SELECT name FROM sqlite_master")}
    left = {name for name in tables if name.startswith("project_migration")}
    assert left == {"project_migration_arrived"}, "nothing of ours is left but the word of what was carried out"


def test_a_plan_says_what_would_move_and_changes_nothing(laptop: Site) -> None:
    before = laptop.target[0].rows("SELECT count(*) FROM runs")
    said = laptop.call("plan")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "tracking" in said.stdout
    assert "artifacts" in said.stdout
    assert laptop.target[0].rows("SELECT count(*) FROM runs") == before
    assert tree(laptop.target[1]) == {}


def test_a_server_in_use_is_refused_unless_what_it_has_is_kept(laptop: Site) -> None:
    in_use(laptop)
    before = (Path(laptop.target[0].root or "") / "mlflow.db").read_bytes()
    refused = laptop.call("run")
    assert refused.returncode == 1
    assert laptop.status()["failureReason"] == "TargetNotEmpty"
    assert "name spec.backup" in laptop.status()["failure"]
    assert (Path(laptop.target[0].root or "") / "mlflow.db").read_bytes() == before


def test_a_server_in_use_gets_the_rest_and_an_undo_takes_it_back(laptop: Site) -> None:
    in_use(laptop)
    base, artifacts = laptop.target
    before = (Path(base.root or "") / "mlflow.db").read_bytes(), tree(artifacts)
    laptop.spec = {"backup": {"path": str(laptop.path / "backup")}}
    done = laptop.call("run")
    assert done.returncode == 0, done.stdout + done.stderr
    numbers = dict(base.rows("SELECT name, experiment_id FROM experiments"))
    assert numbers["theirs"] == 1
    kept = dict(laptop.source[0].rows("SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active'"))
    [moved] = [name for name, number in kept.items() if number == 1]
    place = f"mlflow-artifacts:/{numbers[moved]}/"
    runs = base.rows(f"SELECT artifact_uri FROM runs WHERE experiment_id = {numbers[moved]}")
    assert runs
    assert all(uri.startswith(place) for (uri,) in runs), "files lie below the new number, and rows say so"
    files = tree(artifacts)
    assert {name: files[name] for name in before[1]} == before[1], "theirs are as they were"
    assert any(name.startswith(f"{numbers[moved]}/") for name in files)
    undone = laptop.call("undo")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert ((Path(base.root or "") / "mlflow.db").read_bytes(), tree(artifacts)) == before


def test_a_file_that_never_rests_takes_rows_and_files_back(laptop: Site, populated: Populated) -> None:
    in_use(laptop)
    base, artifacts = laptop.target
    busy = laptop.path / "busy"
    shutil.copytree(populated.artifacts, busy, symlinks=True)
    laptop.source = (populated.base, busy)
    before = (Path(base.root or "") / "mlflow.db").read_bytes(), tree(artifacts)
    laptop.spec = {"backup": {"path": str(laptop.path / "backup")}}
    with changing(busy / "1" / "log"):
        failed = laptop.call("run")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert laptop.status()["failureReason"] == "SourceChanged"
    assert laptop.status()["rolledBackAt"], laptop.status()["failure"]
    assert ((Path(base.root or "") / "mlflow.db").read_bytes(), tree(artifacts)) == before


def test_a_selection_that_matches_nothing_is_refused(laptop: Site) -> None:
    laptop.mlflow = {"select": {"experiments": {"include": ["no/such/*"]}, "models": {"include": ["none"]}}}
    refused = laptop.call("run")
    assert (refused.returncode, laptop.status()["failureReason"]) == (1, "NothingSelected")


def test_postgresql_in_use_is_put_back_by_its_own_tools(
    tmp_path: Path, populated: Populated, postgres: Server, postgres_target: Base
) -> None:
    site = Site(tmp_path, (populated.base, populated.artifacts), (postgres_target, tmp_path / "files"))
    in_use(site)
    counted = "SELECT (SELECT count(*) FROM experiments), (SELECT count(*) FROM runs), (SELECT count(*) FROM metrics)"
    before = postgres_target.rows(counted), tree(site.target[1])
    site.spec = {"backup": {"path": str(tmp_path / "backup")}}
    done = site.call("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert postgres_target.rows(counted) != before[0]
    undone = site.call("undo")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert (postgres_target.rows(counted), tree(site.target[1])) == before
    assert postgres_base(postgres, postgres_target.backend["database"]).value(
        "SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%project_migration%'"
    ) in (0, 1)
