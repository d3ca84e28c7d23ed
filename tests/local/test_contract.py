"""The local backend keeps the promises that every backend makes; its helper is the real survey."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from project_migration.backends.local.backend import LocalBackend
from project_migration.engine.effects import HelperSpec, Mount, Rights
from project_migration.engine.names import WorkloadRef
from project_migration.model.document import WorkloadKind
from project_migration.model.endpoints import Volume
from project_migration.model.records import Request
from project_migration.model.rules import read_document
from tests.contract import BackendContract, Surroundings

#: A workload as a program: its count lies in a file.
PROGRAM = """#!/bin/sh
case "$1" in
  status) cat "{count}" ;;
  stop) echo 0 > "{count}.new" && mv "{count}.new" "{count}" ;;
  start) echo "${{2:-1}}" > "{count}.new" && mv "{count}.new" "{count}" ;;
esac
"""


class TestLocal(BackendContract):
    @pytest.fixture
    def around(self, tmp_path: Path) -> Surroundings:
        old, new = tmp_path / "old", tmp_path / "new"
        old.mkdir()
        (old / "file").write_text("data")
        (tmp_path / "count").write_text("3")
        program = tmp_path / "web.sh"
        program.write_text(PROGRAM.format(count=tmp_path / "count"))
        program.chmod(0o755)
        pair = {"name": "data", "source": {"path": str(old)}, "target": {"path": str(new)}}
        lost = {"name": "lost", "source": {"path": str(tmp_path / "nowhere")}, "target": {"path": str(tmp_path / "x")}}
        workloads = [{"kind": "Deployment", "name": "web", "side": "Source"}]
        spec = {"volumes": {"pairs": [pair, lost]}, "quiesce": {"workloads": workloads}}
        document = read_document({"metadata": {"name": "files", "namespace": "ml"}, "spec": spec}, local=True)
        bindings = [f"deployment/web=exec/{program}"]
        backend = LocalBackend(document, tmp_path / "state", bindings, home=tmp_path / "home")
        source, target = Volume(path=str(old)), Volume(path=str(new))
        uid = backend.load(backend.key).uid
        request = Request("survey", uid, "files", "ml", "preflight", "data", params={"ownership": {"mode": "Helper"}})
        mounts = (Mount("source", source, True), Mount("target", target, True))
        return Surroundings(
            backend=backend,
            key=backend.key,
            present=source,
            absent=Volume(path=str(tmp_path / "nowhere")),
            workload=WorkloadRef(WorkloadKind.DEPLOYMENT, "web"),
            replicas=3,
            no_workload=WorkloadRef(WorkloadKind.DEPLOYMENT, "ghost"),
            helper=HelperSpec("preflight-data-1-x", request, mounts, Rights.NONE),
            wait=lambda: time.sleep(0.1),
            makes_claims=False,
        )
