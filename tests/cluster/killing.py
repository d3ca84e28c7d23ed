"""The operator as a process of the test, so that it can be killed.

The installed operator is scaled to 0 meanwhile: the same program, the same API server, real helpers; only the kill
needs no kubelet, whose back-off for a container that dies forty times would be the longest part of the test.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.cluster.kube import Kube, describe, wait
from tests.cluster.node import Tools

#: Given as KILL_SEED, the same kills come after the same saved statuses again.
SEED = int(os.environ.get("KILL_SEED") or random.SystemRandom().randrange(10**6))
KILLS = 6

#: More saved transitions than a migration has. Bounds a test.
MOST_KILLS = 80


@contextmanager
def no_operator(operator: Kube) -> Iterator[None]:
    """The installed one rests meanwhile."""
    name = operator.list("deployments", "app.kubernetes.io/name=project-migration-operator")[0]["metadata"]["name"]
    operator.kubectl("scale", "deployment", name, "--replicas=0")
    wait(lambda: not operator.list("pods", "app.kubernetes.io/name=project-migration-operator"), "no operator pod", 60)
    try:
        yield
    finally:
        operator.kubectl("scale", "deployment", name, "--replicas=1")
        operator.kubectl("rollout", "status", "deployment", name, "--timeout=60s")


@pytest.fixture
def without_operator(operator: Kube) -> Iterator[None]:
    with no_operator(operator):
        yield


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


def killed_at_random(
    cluster: Tools,
    kube: Kube,
    name: str,
    rng: random.Random,
    once_begun: Callable[[], None] = lambda: None,
    **settings: str,
) -> int:
    """Runs the migration under an operator that is killed after saved statuses drawn by lot, a moment later each."""
    process = an_operator(cluster, kube, **settings)
    kills, seen, deadline = 0, transition({}), time.monotonic() + 400
    try:
        once_begun()
        while not kube.status(name).get("finishedAt"):
            assert time.monotonic() < deadline, describe(kube.status(name))
            now = transition(kube.status(name))
            if now != seen and kills < KILLS and rng.random() < 0.4:
                time.sleep(rng.uniform(0, 0.8))
                kill(process)
                kills += 1
                process = an_operator(cluster, kube, **settings)
            seen = now
            time.sleep(0.05)
        wait(lambda: not kube.helpers(), "helpers to be gone", 60)
    finally:
        kill(process)
    print(f"killed {kills} times")
    return kills
