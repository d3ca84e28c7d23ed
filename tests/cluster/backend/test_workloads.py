"""Claims and workloads of a real cluster."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from project_migration.backends.kubernetes import KubernetesBackend
from project_migration.backends.kubernetes.client import Client
from project_migration.backends.kubernetes.resources import (
    CRON_JOBS,
    DEPLOYMENTS,
    LEASES,
    PODS,
    STATEFUL_SETS,
    Resource,
)
from project_migration.engine.effects import (
    HoldWorkload,
    ReleaseWorkload,
    TakeLease,
)
from project_migration.engine.names import WorkloadRef
from project_migration.engine.world import Migration, World
from project_migration.model.document import WorkloadKind
from project_migration.model.labels import QUIESCED_BY, RECORDED_REPLICAS
from tests.cluster.backend.surroundings import (
    apply,
    claim,
    class_with,
    look,
    mounting,
    pod_spec,
    wait_until,
    workload,
)

pytestmark = pytest.mark.timeout(240)


def test_a_claim_tells_its_phase_its_size_and_whether_it_waits(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    namespace = migration.key.namespace
    claim(client, namespace, "old", class_with(client, "Immediate"))
    claim(client, namespace, "new", class_with(client, "WaitForFirstConsumer"))
    keys = frozenset({"claim/old", "claim/new", "claim/none", "path//srv"})
    bound = lambda: look(backend, migration, claims=keys).claims["claim/old"].phase == "Bound"  # noqa: E731
    wait_until(bound, "the claim is bound")
    found = look(backend, migration, claims=keys).claims
    assert found["claim/old"].capacity == 16 * 2**20
    assert found["claim/old"].access_modes == ("ReadWriteOnce",)
    assert found["claim/old"].uid
    assert (found["claim/new"].phase, found["claim/new"].waits_for_consumer) == ("Pending", True)
    assert not found["claim/none"].exists
    assert not found["path//srv"].exists


def test_whoever_mounts_a_claim_is_known_by_owner_and_not_by_name(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    namespace = migration.key.namespace
    claim(client, namespace, "old")
    client.create(DEPLOYMENTS.path(namespace), workload(DEPLOYMENTS, "web", mounting(pod_spec(), "old")))
    client.create(DEPLOYMENTS.path(namespace), workload(DEPLOYMENTS, "web-2", mounting(pod_spec(), "old")))
    client.create(STATEFUL_SETS.path(namespace), workload(STATEFUL_SETS, "db", mounting(pod_spec(), "old")))
    bare = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-7d9f"}, "spec": mounting(pod_spec(), "old")}
    client.create(PODS.path(namespace), bare)
    web, db = WorkloadRef(WorkloadKind.DEPLOYMENT, "web"), WorkloadRef(WorkloadKind.STATEFUL_SET, "db")

    def seen() -> World | None:
        world = look(backend, migration, claims=frozenset({"claim/old"}), workloads=frozenset({web, db}))
        placed = [pod for pod in world.claims["claim/old"].mounters if pod.node]
        return world if len(placed) == 6 else None

    world = wait_until(seen, "six pods have a node")
    mounters = world.claims["claim/old"].mounters
    assert sorted(str(pod.owner or pod.owner_text or "nobody") for pod in mounters) == [
        "Deployment web",
        "Deployment web",
        "Deployment web-2",
        "Deployment web-2",
        "StatefulSet db",
        "nobody",
    ]
    assert not any(pod.ours for pod in mounters)
    assert len(world.claims["claim/old"].nodes) == 1
    assert len(world.workloads[web].pods) == 2
    assert world.workloads[db].pods == ("db-0",)


@pytest.mark.parametrize("resource", [DEPLOYMENTS, STATEFUL_SETS], ids=lambda resource: resource.kind)
def test_a_workload_is_signed_and_scaled_down_in_one_write_and_comes_back(
    client: Client, backend: KubernetesBackend, migration: Migration, resource: Resource
) -> None:
    namespace = migration.key.namespace
    client.create(resource.path(namespace), workload(resource, "web", pod_spec()))
    ref = WorkloadRef(WorkloadKind(resource.kind), "web")
    count = 2 if resource is DEPLOYMENTS else 1

    def facts() -> Any:
        return look(backend, migration, workloads=frozenset({ref})).workloads[ref]

    wait_until(lambda: len(facts().pods) == count, "its pods are there")
    wait_until(lambda: not _hold(backend, migration, ref, facts()).pods, "its pods are gone")
    held = facts()
    assert (held.holder, held.held_replicas, held.replicas) == (migration.holder, count, 0)
    assert held.scaled_by == "project-migration-operator"

    def released() -> Any:  # the workload's own controller may have written to it since
        now = facts()
        if not now.released:
            apply(backend, migration, ReleaseWorkload(ref, now.version, "1", replicas=count, suspended=None))
        return now if now.released else None

    back = wait_until(released, "the workload is released")
    assert (back.holder, back.held_replicas, back.replicas, back.released) == ("", None, count, "1")


def _hold(backend: KubernetesBackend, migration: Migration, ref: WorkloadRef, facts: Any) -> Any:
    if not facts.holder:
        apply(backend, migration, HoldWorkload(ref, facts.version, migration.holder, facts.replicas, facts.suspended))
    return facts


def test_a_hold_decided_on_an_old_view_is_refused_as_a_whole(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    namespace = migration.key.namespace
    client.create(DEPLOYMENTS.path(namespace), workload(DEPLOYMENTS, "web", pod_spec()))
    ref = WorkloadRef(WorkloadKind.DEPLOYMENT, "web")
    old = look(backend, migration, workloads=frozenset({ref})).workloads[ref]
    client.patch(DEPLOYMENTS.path(namespace, "web"), {"spec": {"replicas": 5}})
    apply(backend, migration, HoldWorkload(ref, old.version, migration.holder, old.replicas, suspended=False))
    now = look(backend, migration, workloads=frozenset({ref})).workloads[ref]
    assert (now.replicas, now.holder, now.held_replicas) == (5, "", None)


def test_a_cron_job_is_suspended_and_resumed_as_it_was(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    namespace = migration.key.namespace
    template = {"spec": {"template": {"spec": pod_spec(restartPolicy="Never")}}}
    body = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"}}
    client.create(CRON_JOBS.path(namespace), {**body, "spec": {"schedule": "0 0 1 1 *", "jobTemplate": template}})
    ref = WorkloadRef(WorkloadKind.CRON_JOB, "nightly")

    def facts() -> Any:
        return look(backend, migration, workloads=frozenset({ref})).workloads[ref]

    apply(backend, migration, HoldWorkload(ref, facts().version, migration.holder, 0, suspended=False))
    assert (facts().suspended, facts().held_suspended) == (True, False)
    apply(backend, migration, ReleaseWorkload(ref, facts().version, "1", replicas=None, suspended=False))
    assert (facts().suspended, facts().holder) == (False, "")


def test_workloads_of_a_migration_that_is_gone_come_back_and_others_stay(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    namespace = migration.key.namespace
    gone = f"{namespace}/lost/{uuid.uuid4()}"
    for name, holder in (("web", gone), ("kept", migration.holder), ("strange", "somebody")):
        notes = {QUIESCED_BY: holder, RECORDED_REPLICAS: "2"}
        body = workload(DEPLOYMENTS, name, pod_spec(), annotations=notes)
        body["spec"]["replicas"] = 0
        client.create(DEPLOYMENTS.path(namespace), body)
    apply(backend, migration, TakeLease("lock-lost", gone, None), TakeLease("lock-kept", migration.holder, None))
    # a sweep leaves what somebody writes to in that moment, here the controller of new Deployments, to the next one
    assert wait_until(backend.restore_orphans, "a workload comes back") == [f"{namespace}/Deployment web"]
    counts = {d["metadata"]["name"]: d["spec"]["replicas"] for d in client.items(DEPLOYMENTS.path(namespace))}
    assert counts == {"web": 2, "kept": 0, "strange": 0}
    assert [lease["metadata"]["name"] for lease in client.items(LEASES.path(namespace))] == ["lock-kept"]
