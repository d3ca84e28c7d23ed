"""A document with a CDSW, run on this machine: all of it arrives in the workspace, or the workspace is as it was."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.local.cdsw.conftest import Cdsw
from tests.local.cdsw.end_state import check_end_state
from tests.local.cdsw.running import Case
from tests.local.cdsw.test_whole_way import check_files
from tools.postgres_servers import PASSWORD, programs

PROGRAM = (sys.executable, "-m", "project_migration.cli.main")
HERE = Path(__file__).parent


@dataclass
class Site:
    """A workspace as a document names it, and the program run on it."""

    case: Case
    cdsw: Cdsw
    source: dict[str, Any]
    target: dict[str, Any]
    more: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    schema_job: str = ""
    """A program; the one of the workspace's own release where it is empty."""

    @property
    def path(self) -> Path:
        return self.case.directory

    @property
    def state(self) -> Path:
        return self.path / "state"

    def document(self) -> Path:
        exports = "archive" in self.target
        backup = {} if exports else {"backup": {"path": str(self.path / "backup")}}
        who = {} if exports else {"administrator": {"username": "cmladmin"}, "featureFlags": "Source"}
        owner = {} if os.geteuid() == 0 else {"ownership": {"mode": "Helper"}}
        spec = {"cdsw": {"source": self.source, "target": self.target, **who, **self.more}, "retries": 0}
        found = {
            "apiVersion": "migration.mlops.dev/v1alpha1",
            "kind": "ProjectMigration",
            "metadata": {"name": "cdsw", "namespace": "mlx"},
            "spec": {**spec, **backup, **owner, **self.spec},
        }
        path = self.path / "cdsw.yaml"
        path.write_text(yaml.safe_dump(found))
        return path

    def call(self, verb: str, *options: str) -> subprocess.CompletedProcess[str]:
        login = self.path / "login"
        login.mkdir(exist_ok=True)
        (login / "username").write_text("postgres")
        (login / "password").write_text(PASSWORD)
        (self.path / "backup").mkdir(exist_ok=True)
        bind = ["--bind", f"secret/login={login}"]
        if "archive" not in self.target:
            bind += ["--bind", f"job/db-migrate=exec/{self.schema_job or self.program()}"]
        what = (str(self.document()), *bind) if verb in ("run", "plan") else ()
        state = ("--state", str(self.state)) if verb != "plan" else ()
        return subprocess.run(
            (*PROGRAM, verb, *what, *state, *options),
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
            timeout=250,
            check=False,
        )

    def program(self, words: str = "") -> Path:
        """In place of the Job: it reads its own credentials, as the Job's container does."""
        server, psql = self.case.server, programs(self.case.server.major) / "psql"
        path = self.path / "schema-job"
        path.write_text(
            f"#!/bin/sh\nexport PGPASSWORD={shlex.quote(PASSWORD)}\n{words}\n"
            f"exec {psql} -h {server.host} -p {server.port} -U postgres -v ON_ERROR_STOP=1"
            f" -f {HERE / 'schema_job.sql'} {self.case.database}\n"
        )
        path.chmod(0o755)
        return path

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "state.json").read_text())["status"]
        return found

    def files(self) -> list[str]:
        """Everything in the workspace's claim but the word of what was carried out there."""
        root = self.case.projects
        found = (path for path in root.rglob("*") if ".project-migration" not in path.parts)
        return sorted(f"{path.relative_to(root)} {stat.filemode(path.lstat().st_mode)}" for path in found)


@pytest.fixture
def workspace(case: Case, cdsw: Cdsw) -> Site:
    for name in ("addons", "cdn", "projects"):
        (case.projects / name).mkdir()
    (case.projects / "addons/tool").write_text("of the workspace")
    server = {"host": case.server.host, "port": case.server.port, "database": case.database}
    database = {"postgres": server, "username": "postgres", "credentialsRef": {"name": "login"}}
    target = {"database": database, "projects": {"path": str(case.projects)}}
    source = {"archive": {"path": str(cdsw.archive.parent), "subPath": cdsw.archive.name}}
    return Site(case, cdsw, source, target)


def test_an_archive_arrives_in_a_workspace_and_a_second_run_finds_it_there(workspace: Site) -> None:
    done = workspace.call("run", "--report", str(workspace.path / "report.html"))
    assert done.returncode == 0, done.stdout + done.stderr
    check_end_state(workspace.case)
    check_files(workspace.case, workspace.cdsw.directory)
    assert (workspace.case.projects / "addons/tool").read_text() == "of the workspace"
    verify = next(step for step in workspace.status()["steps"] if step["id"] == "verify")["units"][0]
    assert verify["counts"]["failedChecks"] == 0
    compared = {one["name"]: (one["source"], one["target"]) for one in verify["compared"]}
    assert compared["projects"] == (4, 4)
    assert compared["users"] == (1, 1)
    page = (workspace.path / "report.html").read_text()
    assert "every job is paused" in page
    assert "sequences are ahead of their columns" in page
    assert "nightly" in page, "a job that was active is named"
    assert workspace.case.value("SELECT to_regclass('_project_migration.cdsw')") is None, "what was saved is gone"
    again = workspace.call("run", "--state", str(workspace.path / "another"))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "carried out on them before" in again.stdout + again.stderr


def test_a_schema_job_that_fails_has_the_workspace_put_back(workspace: Site) -> None:
    before, files = workspace.case.state(), workspace.files()
    workspace.schema_job = str(workspace.program("echo no such column >&2; exit 3"))
    failed = workspace.call("run")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    status = workspace.status()
    assert status["failureReason"] == "JobFailed"
    assert "exit code 3; its last lines: no such column" in status["failure"]
    assert status["rolledBackAt"]
    assert workspace.case.state() == before
    assert workspace.files() == files
    assert workspace.case.value("SELECT count(*) FROM pg_namespace WHERE nspname = '_project_migration'") == 0
    workspace.schema_job = ""
    workspace.program()
    mended = workspace.call("retry")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    again = workspace.call("run")
    assert again.returncode == 0, again.stdout + again.stderr
    check_end_state(workspace.case)


def test_an_undo_gives_the_workspace_back_as_it_was(workspace: Site) -> None:
    before, files = workspace.case.state(), workspace.files()
    assert workspace.call("run").returncode == 0
    undone = workspace.call("undo")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert workspace.case.state() == before
    assert workspace.files() == files


def test_a_plan_counts_what_would_move_and_changes_nothing(workspace: Site) -> None:
    before, files = workspace.case.state(), workspace.files()
    said = workspace.call("plan")
    assert said.returncode == 0, said.stdout + said.stderr
    assert workspace.case.state() == before
    assert workspace.files() == files
    rows = {
        line.split()[0]: line.split() for line in said.stdout.splitlines() if line.startswith(("  cdsw", "  projects"))
    }
    assert ("51", "rows") in zip(rows["cdsw"], rows["cdsw"][1:], strict=False)
    assert "KiB" in rows["projects"]


def test_everything_that_stands_in_the_way_is_told_at_once_and_nothing_is_changed(workspace: Site) -> None:
    (workspace.case.projects / "projects/0").mkdir()
    workspace.more = {"administrator": {"username": "plain"}}
    before, files = workspace.case.state(), workspace.files()
    failed = workspace.call("run")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    told = workspace.status()["failure"]
    assert "it holds projects/0" in told
    assert "'plain' is no administrator of the target" in told
    assert "firstWriteAt" not in workspace.status() or workspace.status()["firstWriteAt"] is None
    assert workspace.case.state() == before
    assert workspace.files() == files


def test_a_job_that_nobody_bound_is_named_before_anything_begins(workspace: Site) -> None:
    workspace.target["schemaJob"] = "db-upgrade"
    failed = workspace.call("run")
    assert failed.returncode == 2
    assert "--bind job/db-upgrade=… (exec/PROGRAM or none)" in failed.stdout + failed.stderr


def test_a_live_cdsw_goes_into_an_archive_and_from_there_into_a_workspace(workspace: Site, tmp_path: Path) -> None:
    server = {"host": workspace.cdsw.server.host, "port": workspace.cdsw.server.port}
    database = {"postgres": {**server, "database": workspace.cdsw.database}, "credentialsRef": {"name": "login"}}
    projects = {"path": str(workspace.cdsw.directory / "projects")}
    out = tmp_path / "out"
    out.mkdir()
    archive = {"path": str(out), "subPath": "exported.tar.gz"}
    export = Site(
        Case(tmp_path / "export", workspace.case.server, workspace.case.database),
        workspace.cdsw,
        {"database": database, "projects": projects},
        {"archive": archive},
    )
    export.path.mkdir()
    done = export.call("run")
    assert done.returncode == 0, done.stdout + done.stderr
    proof = next(step for step in export.status()["steps"] if step["id"] == "verify")["units"][0]
    assert proof["counts"]["verified"] > 10
    workspace.source = {"archive": archive}
    arrived = workspace.call("run")
    assert arrived.returncode == 0, arrived.stdout + arrived.stderr
    check_end_state(workspace.case)
    undone = export.call("undo")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert list(out.iterdir()) == []
