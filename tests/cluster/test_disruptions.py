"""Everything that goes wrong around a migration: the outcome has its reason, and the workloads are back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.cluster.conftest import install
from tests.cluster.kube import (
    OPERATOR_NAMESPACE,
    TIMEOUTS,
    Kube,
    Namespaces,
    a_migration,
    a_pair,
    describe,
    wait,
)
from tests.cluster.node import Tools

WEB = {"workloads": [{"kind": "Deployment", "name": "web", "side": "Source"}]}
SLOW = {"bandwidth": "2Mi"}
ONE_FILE = "head -c 30000000 /dev/urandom > /claims/old/large; echo 1 > /claims/old/one"
HELPERS = "app.kubernetes.io/managed-by=project-migration-operator"


def a_slow_migration(kube: Kube, name: str = "files", **spec: Any) -> None:
    """A copy of about fifteen seconds, with a Deployment of two that rests meanwhile."""
    kube.run("fill", ONE_FILE, "old")
    kube.deployment("web", 2, "old")
    kube.ready("deployment", "web", 2)
    kube.create(a_migration(name, quiesce=WEB, transfer=SLOW, **spec))


def helper_pod(kube: Kube, step: str, timeout: float = 90) -> str:
    """The name of the running pod of that step's helper."""

    def look() -> str | None:
        for pod in kube.list("pods", f"{HELPERS},migration.mlops.dev/step={step}"):
            if pod["status"].get("phase") == "Running":
                return str(pod["metadata"]["name"])
        return None

    return str(wait(look, f"a running helper of {step}", timeout, every=0.2))


def web_is_back(kube: Kube, count: int = 2) -> None:
    deployment = kube.get("deployment", "web") or {}
    assert deployment["spec"]["replicas"] == count
    assert "migration.mlops.dev/quiesced-by" not in deployment["metadata"].get("annotations", {})
    kube.ready("deployment", "web", count)


def test_a_helper_whose_pod_is_killed_is_tried_again_and_resumes(kube: Kube) -> None:
    a_slow_migration(kube)
    kube.delete("pod", helper_pod(kube, "copy"), "--grace-period=0", "--force")
    status = kube.ended("files")
    assert status["phase"] == "Succeeded", describe(status)
    copied = next(step for step in status["steps"] if step["id"] == "copy")
    assert copied["units"][0]["attempt"] == 2
    web_is_back(kube)


def test_an_evicted_helper_is_tried_again(kube: Kube) -> None:
    a_slow_migration(kube)
    pod = helper_pod(kube, "copy")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": kube.namespace}}

    kube.kubectl(
        "create",
        "--raw",
        f"/api/v1/namespaces/{kube.namespace}/pods/{pod}/eviction",
        "-f",
        "-",
        text=json.dumps(eviction),
    )
    status = kube.ended("files")
    assert status["phase"] == "Succeeded", describe(status)
    web_is_back(kube)


def test_a_helper_without_enough_memory_says_so(kube: Kube) -> None:
    a_slow_migration(kube, helper={"resources": {"limits": {"memory": "12Mi"}, "requests": {"memory": "12Mi"}}})
    status = kube.ended("files")
    assert (status["phase"], status["failureReason"]) == ("Failed", "HelperOutOfMemory"), describe(status)
    assert "helper.resources.limits.memory" in status["remedy"]
    web_is_back(kube)


def test_a_helper_that_no_node_takes_says_why(kube: Kube) -> None:
    a_slow_migration(kube, helper={"nodeSelector": {"disk": "none"}}, timeouts={**TIMEOUTS, "helperStart": "10s"})
    status = kube.ended("files")
    assert (status["phase"], status["failureReason"]) == ("Failed", "HelperUnschedulable"), describe(status)
    assert "node affinity" in status["failure"] or "selector" in status["failure"]
    web_is_back(kube)


def test_a_quota_speaks_in_preflight(kube: Kube) -> None:
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "tight"},
            "spec": {"hard": {"limits.memory": "100Mi"}},
        }
    )
    kube.create(a_migration())
    status = kube.ended("files")
    assert (status["phase"], status["failureReason"]) == ("Failed", "HelperRefused"), describe(status)
    assert "exceeded quota" in status["failure"]
    assert kube.helpers() == []


def test_missing_things_are_all_named_at_once(kube: Kube) -> None:
    pairs = (a_pair("one", "nowhere", "new"), a_pair("two", "old", "gone"))
    missing = {"workloads": [{"kind": "Deployment", "name": "ghost", "side": "Source"}]}
    kube.create(a_migration("files", *pairs, quiesce=missing))
    failure = kube.ended("files")["failure"]
    assert "claim nowhere does not exist" in failure
    assert "claim gone does not exist" in failure
    assert "Deployment ghost does not exist" in failure


def test_a_target_that_is_not_empty_is_refused_unless_that_is_waived(kube: Kube) -> None:
    kube.run("fill", "echo 1 > /claims/old/one; echo 2 > /claims/new/two", "old", "new")
    kube.create(a_migration())
    status = kube.ended("files")
    assert (status["failureReason"], "firstWriteAt" in status) == ("TargetNotEmpty", False), describe(status)
    kube.patch("pmig", "files", {"spec": {"backup": {"waive": "two is of no use"}}})
    status = wait(lambda: (s := kube.status("files")).get("phase") == "Succeeded" and s, "the mended one", 60)
    assert status["backup"]["waived"] == "two is of no use"
    assert kube.run("look", "ls /claims/new", "new") == "one\ntwo\n"


@pytest.mark.parametrize("step", ["Preflight", "Quiescing", "Copying", "Verifying", "Resuming"])
def test_a_migration_that_is_deleted_gives_everything_back(kube: Kube, step: str) -> None:
    a_slow_migration(kube)
    kube.phase("files", step)
    kube.delete("pmig", "files")
    wait(lambda: kube.get("pmig", "files") is None, "the migration to be gone", 90)
    assert kube.helpers() == []
    web_is_back(kube)
    assert kube.list("leases") == []


def test_a_cancelled_migration_gives_everything_back(kube: Kube) -> None:
    a_slow_migration(kube)
    helper_pod(kube, "copy")
    kube.patch("pmig", "files", {"spec": {"cancel": True}})
    status = kube.ended("files")
    assert status["phase"] == "Cancelled", describe(status)
    assert kube.helpers() == []
    web_is_back(kube)


def test_a_namespace_that_is_deleted_goes(namespaces: Namespaces) -> None:
    kube = namespaces.make("to-be-deleted", **{"migration.mlops.dev/privileged-helpers": "true"})
    kube.claims("old", "new", "work")
    a_slow_migration(kube)
    helper_pod(kube, "copy")
    kube.delete("namespace", kube.namespace)
    wait(lambda: kube.get("namespace", kube.namespace) is None, "the namespace to be gone", 120)


def test_the_second_of_two_that_want_one_target_waits_and_says_so(kube: Kube) -> None:
    kube.claims("third")
    a_slow_migration(kube, "first")
    helper_pod(kube, "copy")
    kube.create(a_migration("second", a_pair(source="third")))
    waiting = kube.phase("second", "Locking", timeout=30)
    held = wait(
        lambda: [c for c in kube.status("second")["conditions"] if c["type"] == "TargetLocked"], "TargetLocked", 30
    )
    assert f"{kube.namespace}/first" in held[0]["message"], describe(waiting)
    assert kube.ended("first")["phase"] == "Succeeded"
    assert kube.ended("second")["failureReason"] == "TargetNotEmpty"


def test_a_workload_that_is_scaled_back_during_the_copy_is_named(kube: Kube) -> None:
    a_slow_migration(kube)
    helper_pod(kube, "copy")
    kube.kubectl("scale", "deployment", "web", "--replicas=1")
    status = kube.ended("files")
    assert (status["phase"], status["failureReason"]) == ("Failed", "ScaledBack"), describe(status)
    assert "Deployment web was scaled back" in status["failure"]
    web_is_back(kube)


def test_a_requester_gets_nothing_from_another_namespace(kube: Kube, namespaces: Namespaces) -> None:
    victim = namespaces.make("victim")
    victim.claims("secret-data")
    document = a_migration()
    document["spec"]["volumes"]["pairs"][0]["source"] = {"claimName": "secret-data", "namespace": "victim"}
    kube.create(document)
    status = kube.ended("files")
    assert (status["phase"], status["failureReason"]) == ("Failed", "NamespaceNotAllowed"), describe(status)
    assert victim.helpers() == []
    assert kube.helpers() == []


def test_a_sub_path_is_never_followed_through_a_link(kube: Kube) -> None:
    kube.run("fill", "ln -s /etc /claims/old/link; mkdir /claims/old/real", "old")
    document = a_migration()
    document["spec"]["volumes"]["pairs"][0]["source"]["subPath"] = "link"
    kube.create(document)
    status = kube.ended("files")
    assert (status["failureReason"], "firstWriteAt" in status) == ("PathIsALink", False), describe(status)
    assert kube.run("look", "ls -A /claims/new", "new") == ""


@pytest.mark.timeout(700)
def test_fifty_migrations_at_once_all_end_well(kube: Kube) -> None:
    count = 50
    kube.claims(*(f"from-{n}" for n in range(count)), *(f"to-{n}" for n in range(count)))
    kube.run("fill", "for d in /claims/*; do echo data > $d/one; done", *(f"from-{n}" for n in range(count)))
    began = time.monotonic()
    pairs = ((n, a_pair("data", f"from-{n}", f"to-{n}")) for n in range(count))
    slow_node = {**TIMEOUTS, "helperStart": "10m"}
    kube.create(*(a_migration(f"m-{n}", pair, timeouts=slow_node) for n, pair in pairs))

    def all_over() -> list[str] | None:
        phases = [(m.get("status") or {}).get("phase", "") for m in kube.list("pmig")]
        return phases if all(phase in ("Succeeded", "Failed", "Cancelled") for phase in phases) else None

    phases = wait(all_over, "fifty migrations", 600, every=3)
    assert phases == ["Succeeded"] * count, f"{phases} after {time.monotonic() - began:.0f}s"
    look = kube.run("look", "cat /claims/to-*/one | wc -l", *(f"to-{n}" for n in range(count)))
    assert look.strip() == str(count)


@contextmanager
def chart_values(cluster: Tools, *values: str) -> Iterator[None]:
    install(cluster, *values)
    try:
        yield
    finally:
        install(cluster)


def test_a_missing_image_is_named(cluster: Tools, kube: Kube) -> None:
    with chart_values(cluster, "helper.image=localhost/no-such-image:1"):
        a_slow_migration(kube, timeouts={**TIMEOUTS, "helperStart": "15s"})
        status = kube.ended("files")
    assert (status["phase"], status["failureReason"]) == ("Failed", "HelperImage"), describe(status)
    assert "no-such-image" in status["failure"]
    web_is_back(kube)


def test_an_operator_that_is_upgraded_in_the_middle_of_a_copy_goes_on(cluster: Tools, kube: Kube) -> None:
    a_slow_migration(kube)
    pod = helper_pod(kube, "copy")
    with chart_values(cluster, "settings.resyncSeconds=30"):
        status = kube.ended("files")
    assert status["phase"] == "Succeeded", describe(status)
    copied = next(step for step in status["steps"] if step["id"] == "copy")
    assert copied["units"][0]["attempt"] == 1, f"{pod} was to go on"
    web_is_back(kube)


def test_an_operator_killed_in_its_pod_during_each_helper_goes_on(operator: Kube, kube: Kube) -> None:
    a_slow_migration(kube)
    for step in ("preflight", "copy", "verify"):
        helper_pod(kube, step)
        pods = operator.list("pods", "app.kubernetes.io/name=project-migration-operator")
        for pod in pods:
            operator.delete("pod", pod["metadata"]["name"], "--grace-period=0", "--force")
    status = kube.ended("files", timeout=240)
    assert status["phase"] == "Succeeded", describe(status)
    attempts = [unit["attempt"] for step in status["steps"] for unit in step.get("units", [])]
    assert set(attempts) == {1}, "no helper was made twice"
    web_is_back(kube)
    operator.kubectl("rollout", "status", "deployment", "--timeout=60s")
    assert operator.namespace == OPERATOR_NAMESPACE
