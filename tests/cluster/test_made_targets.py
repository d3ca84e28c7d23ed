"""Target claims that are made on request, on a real node."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.kube import Kube, Refused, a_migration, a_pair, describe, wait


@pytest.fixture(autouse=True)
def _claims(kube: Kube) -> None:
    kube.kubectl("delete", "pvc", "new", "--ignore-not-found")


def asking(**create: Any) -> dict[str, Any]:
    pair = a_pair()
    pair["target"]["create"] = create
    return pair


def the_claim(kube: Kube) -> dict[str, str]:
    """What the new claim is like; nothing when there is none."""
    wanted = "{.spec.resources.requests.storage} {.spec.accessModes[0]} {.metadata.labels.migration\\.mlops\\.dev/uid}"
    words = kube.kubectl("get", "pvc", "new", "--ignore-not-found", "-o", f"jsonpath={wanted}").split()
    return dict(zip(("size", "mode", "for"), words, strict=False))


def storage_class(kube: Kube) -> str:
    return kube.kubectl("get", "pvc", "old", "-o", "jsonpath={.spec.storageClassName}")


def test_a_target_is_made_as_its_source_is_and_its_workload_waits_for_what_has_arrived(kube: Kube) -> None:
    kube.run("fill", "echo one > /claims/old/one", "old")
    kube.deployment("store", 1, "new", kind="StatefulSet")
    wait(lambda: kube.get("pod", "store-0"), "the pod that waits for its claim", 30)
    workloads = [{"kind": "StatefulSet", "name": "store", "side": "Target"}]
    kube.create(a_migration("files", asking(), quiesce={"workloads": workloads}))
    status = kube.ended("files")
    assert status["phase"] == "Succeeded", describe(status)
    uid = (kube.get("pmig", "files") or {})["metadata"]["uid"]
    assert the_claim(kube) == {"size": "1Gi", "mode": "ReadWriteMany", "for": uid}
    kube.ready("statefulset", "store", 1)
    assert kube.run("look", "cat /claims/new/one; ls /claims/new", "new") == "one\none\n"
    kube.delete("pmig", "files")
    wait(lambda: kube.get("pmig", "files") is None, "the migration to be gone", 60)
    assert the_claim(kube)["for"] == uid, "what has arrived stays"


def test_a_plan_says_what_would_be_made_and_makes_nothing(kube: Kube) -> None:
    kube.create(a_migration("files", asking(size="2Gi"), mode="Plan"))
    status = kube.ended("files")
    assert status["phase"] == "Planned", describe(status)
    plan = next(step for step in status["steps"] if step["id"] == "plan")
    assert f"claim new: 2Gi, class {storage_class(kube)}, ReadWriteMany, would be made" in plan["message"]
    assert the_claim(kube) == {}


def test_a_class_that_does_not_exist_and_a_quota_speak_before_anything_is_made(kube: Kube) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "little"}}
    kube.apply({**quota, "spec": {"hard": {"requests.storage": "100Gi"}}})
    wait(
        lambda: kube.kubectl("get", "quota", "little", "-o", "jsonpath={.status.used}"),
        "the quota to be counted",
        30,
    )
    for name, create, reason, words in (
        ("files", {"storageClassName": "nowhere"}, "StorageClassNotFound", "there is no storage class nowhere"),
        ("large", {"size": "500Gi"}, "ClaimNotMade", "exceeded quota: little"),
    ):
        kube.create(a_migration(name, asking(**create)))
        status = kube.ended(name)
        assert (status["phase"], status["failureReason"]) == ("Failed", reason), describe(status)
        assert words in status["failure"]
        assert the_claim(kube) == {}


def test_after_a_rollback_the_claim_stays_and_is_empty(kube: Kube) -> None:
    kube.run("fill", "head -c 40000000 /dev/urandom > /claims/old/large", "old")
    kube.create(a_migration("files", asking(), transfer={"bandwidth": "2Mi"}))
    wait(lambda: kube.status("files").get("firstWriteAt"), "the first write", 90)
    kube.patch("pmig", "files", {"spec": {"cancel": True}})
    status = kube.ended("files")
    assert (status["phase"], bool(status.get("rolledBackAt"))) == ("Cancelled", True), describe(status)
    assert the_claim(kube)["size"] == "1Gi"
    assert kube.run("look", "ls -A /claims/new | grep -v lost+found || true", "new") == ""


@pytest.mark.parametrize(
    ("side", "create", "message"),
    [
        ("source", {}, 'unknown field "spec.volumes.pairs[0].source.create"'),
        ("target", {"accessModes": ["ReadOnlyMany"]}, 'Unsupported value: "ReadOnlyMany"'),
        ("target", {"accessModes": ["ReadWriteOncePod", "ReadWriteMany"]}, "ReadWriteOncePod goes with no other mode"),
        ("target", {"size": "much"}, "spec.volumes.pairs[0].target.create.size in body should match"),
    ],
)
def test_a_wrong_wish_is_refused_with_its_field(kube: Kube, side: str, create: dict[str, Any], message: str) -> None:
    pair = a_pair()
    pair[side]["create"] = create
    with pytest.raises(Refused) as caught:
        kube.create(a_migration("files", pair))
    assert message in caught.value.message
