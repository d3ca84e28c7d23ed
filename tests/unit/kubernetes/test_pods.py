from __future__ import annotations

from project_migration.backends.kubernetes.pods import NamespacePods, claims_of, ended
from project_migration.backends.kubernetes.resources import Json, Owner, controller_of
from project_migration.engine.names import WorkloadRef
from project_migration.model.document import WorkloadKind
from project_migration.model.labels import UID
from tests.unit.kubernetes.objects import a_pod, container, owned_by, with_containers

MOUNTS_OLD = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "old"}}], "nodeName": "n1"}
RUNS = with_containers(container({"running": {}}))


def pods(*found: Json, owners: dict[str, Owner | None] | None = None) -> NamespacePods:
    return NamespacePods(found, owners or {})


def mounter(name: str, owner: Json | None = None, **parts: object) -> Json:
    return a_pod(name, owner=owner, spec=MOUNTS_OLD, **parts)


def test_a_pod_has_ended_only_when_no_container_of_it_runs() -> None:
    assert ended(a_pod(phase="Succeeded"))
    assert ended(a_pod(phase="Failed", deletionTimestamp="2026-01-01T00:00:00Z"))
    assert not ended(a_pod(phase="Failed", status=RUNS))
    assert not ended(a_pod(phase="Running", deletionTimestamp="2026-01-01T00:00:00Z"))
    assert not ended(a_pod(phase="Pending"))
    assert not ended(a_pod(phase="Unknown"))


def test_an_ephemeral_volume_is_a_claim_too() -> None:
    pod = a_pod("web-1", spec={"volumes": [{"name": "scratch", "ephemeral": {}}, {"name": "tmp", "emptyDir": {}}]})
    assert list(claims_of(pod)) == ["web-1-scratch"]


def test_owners_are_followed_to_what_a_person_scales() -> None:
    owners = {
        "rs": Owner("apps", "Deployment", "web", "d"),
        "job": Owner("batch", "CronJob", "nightly", "c"),
        "alone": None,
        "rollout": Owner("argoproj.io", "Rollout", "blue", "r"),
    }
    found = pods(
        mounter("web-7d9f-1", owned_by("apps/v1", "ReplicaSet", "web-7d9f", "rs")),
        mounter("db-0", owned_by("apps/v1", "StatefulSet", "db", "s")),
        mounter("nightly-1", owned_by("batch/v1", "Job", "nightly-1", "job")),
        mounter("once-1", owned_by("batch/v1", "Job", "once", "alone")),
        mounter("blue-1", owned_by("apps/v1", "ReplicaSet", "blue-1", "rollout")),
        mounter("logs-1", owned_by("apps/v1", "DaemonSet", "logs", "ds")),
        mounter("kruise-1", owned_by("apps.kruise.io/v1", "StatefulSet", "db", "k")),
        mounter("bare"),
        owners=owners,
    ).mounters("old", "uid")
    assert {pod.name: str(pod.owner) if pod.owner else pod.owner_text for pod in found} == {
        "web-7d9f-1": "Deployment web",
        "db-0": "StatefulSet db",
        "nightly-1": "CronJob nightly",
        "once-1": "Job once",
        "blue-1": "Rollout blue",
        "logs-1": "DaemonSet logs",
        "kruise-1": "StatefulSet db",
        "bare": "",
    }
    assert next(pod for pod in found if pod.name == "kruise-1").owner is None


def test_a_pod_whose_replica_set_is_gone_still_mounts_its_claim() -> None:
    found = pods(mounter("web-1", owned_by("apps/v1", "ReplicaSet", "web-7d9f", "gone"))).mounters("old", "uid")
    assert [(pod.owner, pod.owner_text) for pod in found] == [(None, "ReplicaSet web-7d9f")]


def test_our_own_helpers_are_told_from_those_of_other_migrations() -> None:
    found = pods(mounter("a", labels={UID: "one"}), mounter("b", labels={UID: "two"})).mounters("old", "one")
    assert {pod.name: pod.ours for pod in found} == {"a": True, "b": False}


def test_a_workloads_pods_are_found_by_owner_and_never_by_name() -> None:
    owners = {"rs": Owner("apps", "Deployment", "web", "d"), "rs2": Owner("apps", "Deployment", "web-2", "d2")}
    found = pods(
        a_pod("web-1", owner=owned_by("apps/v1", "ReplicaSet", "web-7d9f", "rs")),
        a_pod("web-2-1", owner=owned_by("apps/v1", "ReplicaSet", "web-2-7d9f", "rs2")),
        a_pod("web-ended", owner=owned_by("apps/v1", "ReplicaSet", "web-7d9f", "rs"), phase="Succeeded"),
        a_pod("web"),
        owners=owners,
    )
    assert found.of_workload(WorkloadRef(WorkloadKind.DEPLOYMENT, "web")) == ("web-1",)


def test_an_owner_that_does_not_control_is_no_owner() -> None:
    pod = a_pod(owner={**owned_by("apps/v1", "StatefulSet", "db", "s"), "controller": False})
    assert controller_of(pod) is None
