"""The same program as a kubectl plugin: a person follows, cancels and retries a migration in a cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cluster.kube import Kube, a_migration, wait
from tests.cluster.test_disruptions import a_slow_migration, helper_pod, web_is_back

PROGRAM = Path(sys.executable).with_name("project-migration")


def command(
    kube: Kube, *words: str, timeout: float = 150, kubeconfig: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """``kubeconfig``: another person's."""
    return subprocess.run(
        (str(PROGRAM), *words, "-n", kube.namespace),
        env={**kube.tools.env, **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_watch_follows_a_migration_to_its_end(kube: Kube) -> None:
    kube.run("fill", "echo 1 > /claims/old/one", "old")
    kube.create(a_migration())
    done = command(kube, "watch", "files")
    assert done.returncode == 0, done.stderr
    assert "verify done" in done.stdout
    assert "has arrived" in done.stdout


def test_kubectl_finds_it_as_its_plugin(kube: Kube) -> None:
    environment = {**kube.tools.env, "PATH": f"{PROGRAM.parent}:{kube.tools.env['PATH']}"}
    words = (str(kube.tools.kubectl), "project-migration", "explain", "TargetNotEmpty")
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "backup.waive" in done.stdout


def test_cancel_and_status_speak_to_the_cluster(kube: Kube) -> None:
    a_slow_migration(kube)
    helper_pod(kube, "copy")
    done = command(kube, "cancel", "files")
    assert done.returncode == 0, done.stderr
    assert kube.ended("files")["phase"] == "Cancelled"
    assert "was cancelled" in command(kube, "status", "files").stdout
    web_is_back(kube)


def test_retry_begins_a_failed_migration_again(kube: Kube) -> None:
    kube.run("fill", "echo 1 > /claims/old/one; echo 2 > /claims/new/two", "old", "new")
    kube.create(a_migration())
    assert kube.ended("files")["phase"] == "Failed"
    kube.run("empty", "rm /claims/new/two", "new")
    done = command(kube, "retry", "files")
    assert done.returncode == 0, done.stderr
    wait(lambda: kube.status("files").get("phase") == "Succeeded", "the retried migration", 90)
