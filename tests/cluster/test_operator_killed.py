"""The operator is killed after every status that it saves. It runs as a process of the test, so that it can be.

The installed operator is scaled to 0 meanwhile: the same program, the same API server, real helpers; only the kill
needs no kubelet, whose back-off for a container that dies forty times would be the longest part of the test.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.cluster.kube import Kube, a_migration, describe, wait
from tests.cluster.node import Tools

WORKLOADS = [
    {"kind": "Deployment", "name": "web", "side": "Source"},
    {"kind": "StatefulSet", "name": "store", "side": "Target"},
]

#: More saved transitions than a migration has. Bounds the test.
MOST_KILLS = 80


@pytest.fixture
def without_operator(operator: Kube) -> Iterator[None]:
    name = operator.list("deployments", "app.kubernetes.io/name=project-migration-operator")[0]["metadata"]["name"]
    operator.kubectl("scale", "deployment", name, "--replicas=0")
    wait(lambda: not operator.list("pods", "app.kubernetes.io/name=project-migration-operator"), "no operator pod", 60)
    yield
    operator.kubectl("scale", "deployment", name, "--replicas=1")
    operator.kubectl("rollout", "status", "deployment", name, "--timeout=60s")


def an_operator(cluster: Tools, kube: Kube, **settings: str) -> subprocess.Popen[bytes]:
    """``settings``: more of the operator's, as the chart would set them."""
    environment = {
        **cluster.env,
        "PROJECT_MIGRATION_NAMESPACES": kube.namespace,
        "PROJECT_MIGRATION_HELPER_IMAGE": cluster.operator_image,
        "PROJECT_MIGRATION_METRICS_PORT": "0",
        "PROJECT_MIGRATION_LIVENESS_PORT": "0",
        **{f"PROJECT_MIGRATION_{name.upper()}": value for name, value in settings.items()},
    }
    return subprocess.Popen(
        (sys.executable, "-m", "project_migration"),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def transition(status: dict[str, object]) -> str:
    """What of a status makes it another one: everything but numbers of progress and moments."""
    steps = [
        (s["id"], s["state"], [(u["name"], u["state"], u.get("runningAt")) for u in s.get("units", ())])  # type: ignore[index,attr-defined]
        for s in status.get("steps", ())  # type: ignore[attr-defined]
    ]
    workloads = [(w["name"], w["state"]) for w in status.get("workloads", ())]  # type: ignore[index,attr-defined]
    return repr((steps, workloads, status.get("firstWriteAt"), status.get("locks"), status.get("finishedAt")))


def test_the_outcome_is_the_same_when_the_operator_dies_after_every_saved_status(
    cluster: Tools, kube: Kube, without_operator: None
) -> None:
    kube.run("fill", "cd /claims/old; for i in $(seq 200); do echo $i > f$i; done; chown -R 7:8 .", "old")
    kube.deployment("web", 3, "old")
    kube.deployment("store", 1, "new", kind="StatefulSet")
    kube.ready("deployment", "web", 3)
    kube.ready("statefulset", "store", 1)
    kube.create(a_migration(quiesce={"workloads": WORKLOADS}))
    kills, seen = 0, transition({})
    process = an_operator(cluster, kube)
    try:
        for _ in range(MOST_KILLS):

            def moved(seen: str = seen) -> str | None:
                now = transition(kube.status("files"))
                return now if now != seen else None

            seen = wait(moved, "the next saved status", 90, every=0.02)
            kill(process)
            kills += 1
            if kube.status("files").get("finishedAt"):
                break
            process = an_operator(cluster, kube)
    finally:
        if process.poll() is None:
            kill(process)
    process = an_operator(cluster, kube)
    try:
        status = kube.ended("files")
        wait(lambda: not kube.helpers(), "helpers to be gone", 60)
    finally:
        kill(process)
    assert status["phase"] == "Succeeded", describe(status)
    assert kills > 10
    attempts = [unit["attempt"] for step in status["steps"] for unit in step.get("units", [])]
    assert set(attempts) == {1}, "no helper was made twice"
    kube.ready("deployment", "web", 3)
    kube.ready("statefulset", "store", 1)
    assert kube.run("look", "cd /claims/new; ls | wc -l; stat -c %u:%g f7", "new") == "200\n7:8\n"
    print(f"killed {kills} times")
