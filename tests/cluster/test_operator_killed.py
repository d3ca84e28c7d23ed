"""The operator is killed after every status that it saves. It runs as a process of the test, so that it can be."""

from __future__ import annotations

from tests.cluster.killing import MOST_KILLS, an_operator, kill, transition, without_operator
from tests.cluster.kube import Kube, a_migration, describe, wait
from tests.cluster.node import Tools

__all__ = ["without_operator"]

WORKLOADS = [
    {"kind": "Deployment", "name": "web", "side": "Source"},
    {"kind": "StatefulSet", "name": "store", "side": "Target"},
]


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
