"""The report lies in the workspace, whoever may read a migration can have it, and a target is looked at again by it."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from tests.cluster.killing import MOST_KILLS, an_operator, kill, without_operator
from tests.cluster.kube import Kube, a_migration, describe, wait
from tests.cluster.node import Tools
from tests.cluster.test_commands import command

__all__ = ["without_operator"]

FILL = "cd /claims/old; mkdir a; echo 1 > a/one; echo 2 > two; ln -s two link; chown -R 7:8 ."


def moved(kube: Kube) -> dict[str, Any]:
    kube.run("fill", FILL, "old")
    kube.create(a_migration())
    status = kube.ended("files")
    assert status["phase"] == "Succeeded", describe(status)
    return status


def in_workspace(kube: Kube, status: dict[str, Any], file: str) -> str:
    return kube.run(f"look-{uuid.uuid4().hex[:4]}", f"cat /claims/work/{status['workspacePath']}/{file}", "work")


def test_the_report_lies_in_the_workspace_when_the_migration_has_ended(kube: Kube) -> None:
    status = moved(kube)
    assert status["report"] == "report.html"
    assert "was proved equal to its source" in in_workspace(kube, status, "report.html")
    data = json.loads(in_workspace(kube, status, "report.json"))
    assert (data["end"], data["digest"]) == ("Succeeded", status["result"]["digest"])
    assert kube.helpers() == []


def test_a_failure_has_its_report_too(kube: Kube) -> None:
    kube.run("fill", "echo 1 > /claims/old/one; echo 2 > /claims/new/two", "old", "new")
    kube.create(a_migration())
    status = kube.ended("files")
    assert status["phase"] == "Failed"
    assert "TargetNotEmpty" in in_workspace(kube, status, "report.html")
    assert kube.helpers() == []


def test_whoever_may_only_read_migrations_gets_the_report(kube: Kube, tmp_path: Path) -> None:
    moved(kube)
    name = f"reader-{uuid.uuid4().hex[:6]}"
    kube.kubectl("create", "role", name, "--verb=get", "--resource=projectmigrations.migration.mlops.dev")
    kube.kubectl("create", "serviceaccount", name)
    kube.kubectl("create", "rolebinding", name, f"--role={name}", f"--serviceaccount={kube.namespace}:{name}")
    token = kube.kubectl("create", "token", name).strip()
    config = tmp_path / "kubeconfig"
    config.write_text(Path(kube.tools.kubeconfig).read_text())
    here = ("config", f"--kubeconfig={config}")
    kube.kubectl(*here, "set-credentials", name, f"--token={token}")
    kube.kubectl(*here, "set-context", "--current", f"--user={name}")
    done = command(kube, "report", "files", "-o", str(tmp_path / "r.html"), kubeconfig=config)
    assert done.returncode == 0, done.stderr
    assert "was proved equal to its source" in (tmp_path / "r.html").read_text()
    refused = command(kube, "verify", str(tmp_path / "r.html"), kubeconfig=config)
    assert (refused.returncode, "cannot patch" in refused.stderr) == (1, True), refused.stderr


def test_a_target_is_looked_at_again_while_its_users_work(kube: Kube, tmp_path: Path) -> None:
    moved(kube)
    report = str(tmp_path / "r.html")
    assert command(kube, "report", "files", "-o", report).returncode == 0
    same = command(kube, "verify", report)
    assert (same.returncode, "on the target unchanged" in same.stdout) == (0, True), same.stdout + same.stderr
    kube.run("work", "cd /claims/new; echo theirs > a/one; rm link; echo more > three", "new")
    kube.deployment("web", 1, "new")
    kube.ready("deployment", "web", 1)
    other = command(kube, "verify", report)
    assert other.returncode == 1, other.stdout + other.stderr
    assert "data: missing: link" in other.stdout
    assert "data: different: a/one" in other.stdout
    kube.ready("deployment", "web", 1)
    status = kube.status("files")
    assert (status["phase"], status["check"]["same"]) == ("Succeeded", False)
    wait(lambda: kube.helpers() == [], "the helpers of the check to go", 60)
    assert [event for event in kube.list("events") if event["reason"] == "Checked"]


def test_a_check_is_answered_although_the_operator_is_killed_after_every_saved_status(
    cluster: Tools, kube: Kube, without_operator: None
) -> None:
    kube.run("fill", "head -c 20000000 /dev/urandom > /claims/old/large", "old")
    kube.create(a_migration())
    process = an_operator(cluster, kube)
    try:
        assert kube.ended("files")["phase"] == "Succeeded"
        kube.kubectl("annotate", "pmig", "files", "migration.mlops.dev/verify=now")
        kills, seen = 0, ""
        while kills < MOST_KILLS and not check(kube).get("at"):
            now = repr([(u["state"], u.get("createdAt"), u.get("runningAt")) for u in check(kube).get("units", ())])
            if now != seen:
                seen, kills = now, kills + 1
                kill(process)
                process = an_operator(cluster, kube)
        assert kills >= 2, "the kills fall into the check"
        assert check(kube)["same"] is True
        assert kube.status("files")["phase"] == "Succeeded"
    finally:
        kill(process)


def check(kube: Kube) -> dict[str, Any]:
    return dict(kube.status("files").get("check") or {})


def test_a_migration_that_is_gone_leaves_its_report_and_its_lists(kube: Kube, tmp_path: Path) -> None:
    status = moved(kube)
    report = str(tmp_path / "r.html")
    assert command(kube, "report", "files", "-o", report).returncode == 0
    kube.delete("pmig", "files")
    wait(lambda: kube.get("pmig", "files") is None, "the migration to go", 60)
    assert "was proved" in in_workspace(kube, status, "report.html")
    done = command(kube, "verify", report)
    assert done.returncode == 1
    assert "manifests/verify-data-target.tsv.gz" in done.stderr
    listed = kube.run(
        "lists", f"zcat /claims/work/{status['workspacePath']}/manifests/verify-data-target.tsv.gz", "work"
    )
    assert "\ttwo" in listed
