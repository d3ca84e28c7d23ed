"""Helpers as real Jobs with real pods."""

from __future__ import annotations

import time
from typing import Any

import pytest

from project_migration.backends.kubernetes import KubernetesBackend
from project_migration.backends.kubernetes.client import Client
from project_migration.backends.kubernetes.resources import (
    CLAIMS,
    JOBS,
    MIGRATIONS,
    NAMESPACES,
    PODS,
)
from project_migration.engine.effects import (
    EnsureClaim,
    Mount,
    PrepareHelper,
    RemoveHelper,
    Rights,
)
from project_migration.engine.world import (
    HelperPhase,
    Migration,
)
from project_migration.model.document import Helper
from project_migration.model.endpoints import Volume
from project_migration.model.errors import Reason
from tests.cluster.backend.surroundings import (
    ENFORCE,
    QUOTAS,
    apply,
    claim,
    facts_of,
    helper,
    in_phase,
    look,
    settings,
    start,
    wait_until,
)

pytestmark = pytest.mark.timeout(240)


def test_a_prepared_helper_does_nothing_and_a_started_one_runs_and_tells_how_far_it_is(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    spec = helper(migration, "sleep")
    apply(backend, migration, PrepareHelper(spec), PrepareHelper(spec))
    prepared = in_phase(backend, migration, HelperPhase.PREPARED)
    assert prepared.request_digest == spec.request.digest
    time.sleep(1.5)
    assert client.items(PODS.path(migration.key.namespace)) == []
    start(backend, migration, spec)
    running = in_phase(backend, migration, HelperPhase.RUNNING)
    progress = wait_until(lambda: facts_of(backend, migration).progress, "a sign of progress")
    assert (progress.bytes_done, progress.items_total) == (5, 2)
    apply(backend, migration, RemoveHelper(running.name, "another-uid"))
    assert in_phase(backend, migration, HelperPhase.RUNNING)
    apply(backend, migration, RemoveHelper(running.name, running.uid))
    assert in_phase(backend, migration, HelperPhase.ENDING, 5)
    wait_until(lambda: facts_of(backend, migration) is None, "the helper is gone")
    assert client.items(PODS.path(migration.key.namespace)) == []


def test_an_ordinary_helper_writes_to_a_fresh_target_and_never_to_its_source(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    namespace = migration.key.namespace
    client.patch(NAMESPACES.path(name=namespace), {"metadata": {"labels": {ENFORCE: "restricted"}}})
    for name in ("old", "new", "work"):
        claim(client, namespace, name)
    mounts = (
        Mount("source", Volume(claim_name="old", sub_path="in/side"), read_only=True),
        Mount("target", Volume(claim_name="new"), read_only=False),
    )
    spec = helper(migration, "look", *mounts, workspace=Volume(claim_name="work"))
    assert look(backend, migration, dry_run=(lambda _: (spec,),)).refused == {}
    start(backend, migration, spec)
    record = in_phase(backend, migration, HelperPhase.FINISHED).record
    assert record is not None
    found = record.facts["found"]
    assert (found["uid"], found["gid"], found["token"]) == (65532, 65532, False)
    assert found["roots"] == {"source": "/mnt/source/in/side", "target": "/mnt/target", "workspace": "/mnt/workspace"}
    assert (found["target"], found["workspace"]) == ("written", "written")
    assert found["source"] == found["image"] == "Read-only file system"


def test_a_helper_that_crashes_tells_its_last_lines(backend: KubernetesBackend, migration: Migration) -> None:
    start(backend, migration, helper(migration, "crash"))
    facts = in_phase(backend, migration, HelperPhase.FINISHED)
    assert facts.record is None
    assert facts.failure is not None
    assert facts.failure.reason is Reason.HELPER_CRASHED
    assert "exit code 3" in facts.failure.message
    assert "Traceback: it broke" in facts.failure.message
    assert "bytesDone" not in facts.failure.message


def test_a_helper_that_needs_too_much_memory_is_told_from_one_that_crashes(
    backend: KubernetesBackend, migration: Migration
) -> None:
    small = Helper.model_validate({"resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "32Mi"}}})
    start(backend, migration, helper(migration, "memory", helper=small))
    facts = in_phase(backend, migration, HelperPhase.FINISHED)
    assert facts.failure is not None
    assert facts.failure.reason is Reason.HELPER_OUT_OF_MEMORY


def test_a_helper_without_its_image_or_without_a_node_says_why_it_waits(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    nowhere = Helper.model_validate({"nodeSelector": {"no-such": "node"}})
    start(backend, migration, helper(migration, "look", helper=nowhere))
    waiting = wait_until(lambda: facts_of(backend, migration).failure, "a reason")
    assert waiting.reason is Reason.HELPER_UNSCHEDULABLE
    assert "node" in waiting.message
    facts = facts_of(backend, migration)
    apply(backend, migration, RemoveHelper(facts.name, facts.uid))
    wait_until(lambda: facts_of(backend, migration) is None, "the helper is gone")

    named = settings(migration.key.namespace).model_copy(update={"helper_image": "localhost/none:1"})
    without = KubernetesBackend(named, client)
    start(without, migration, helper(migration, "look"))
    waiting = wait_until(lambda: facts_of(without, migration).failure, "a reason")
    assert waiting.reason is Reason.HELPER_IMAGE
    assert "localhost/none:1" in waiting.message


def test_a_claim_that_cannot_be_mounted_is_named_while_the_helper_waits(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    mounts = (Mount("source", Volume(claim_name="no-such-claim"), read_only=True),)
    start(backend, migration, helper(migration, "look", *mounts))
    waiting = wait_until(lambda: facts_of(backend, migration).failure, "a reason")
    assert "no-such-claim" in waiting.message


def test_what_admission_would_refuse_is_known_before_anything_is_made(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    namespace = migration.key.namespace
    client.patch(NAMESPACES.path(name=namespace), {"metadata": {"labels": {ENFORCE: "restricted"}}})
    plain = helper(migration, "look")
    owners = helper(migration, "look", step="verify", rights=Rights.OWNERS)
    refused = look(backend, migration, dry_run=(lambda _: (plain, owners),)).refused
    assert set(refused) == {owners.name}
    assert refused[owners.name].reason is Reason.HELPER_REFUSED
    assert "restricted" in refused[owners.name].message
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    client.create(QUOTAS.path(namespace), quota)
    wait_until(lambda: look(backend, migration, dry_run=(lambda _: (plain,),)).refused, "the quota counts")
    assert "quota" in look(backend, migration, dry_run=(lambda _: (plain,),)).refused[plain.name].message
    assert client.items(JOBS.path(namespace)) == []


def test_a_job_that_no_pod_comes_of_says_who_refuses_it(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    namespace = migration.key.namespace
    client.patch(NAMESPACES.path(name=namespace), {"metadata": {"labels": {ENFORCE: "restricted"}}})
    start(backend, migration, helper(migration, "look", rights=Rights.OWNERS))
    waiting = wait_until(lambda: facts_of(backend, migration).failure, "a reason")
    assert waiting.reason is Reason.HELPER_REFUSED
    assert "restricted" in waiting.message


def test_a_helper_whose_job_was_taken_away_is_still_seen_and_removed(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    namespace = migration.key.namespace
    start(backend, migration, helper(migration, "sleep"))
    running = in_phase(backend, migration, HelperPhase.RUNNING)
    client.delete(JOBS.path(namespace, running.name), propagation="Orphan")
    wait_until(lambda: not client.items(JOBS.path(namespace)), "the Job is gone")
    left = facts_of(backend, migration)
    assert left is not None
    assert (left.name, left.uid, left.phase) == (running.name, running.uid, HelperPhase.ENDING)
    assert left.request_digest == running.request_digest
    apply(backend, migration, RemoveHelper(left.name, left.uid))
    wait_until(lambda: facts_of(backend, migration) is None, "its pod is gone")


def test_a_helper_whose_pod_was_deleted_is_lost_for_the_moment(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    namespace = migration.key.namespace
    start(backend, migration, helper(migration, "sleep"))
    in_phase(backend, migration, HelperPhase.RUNNING)
    for pod in client.items(PODS.path(namespace)):
        client.delete(PODS.path(namespace, pod["metadata"]["name"]))
    facts = in_phase(backend, migration, HelperPhase.FINISHED)
    assert facts.failure is not None
    assert (facts.failure.reason, facts.failure.passing) == (Reason.HELPER_LOST, True)
    assert len(client.items(JOBS.path(namespace))) == 1


def test_a_claim_of_our_own_is_made_once_and_goes_with_the_migration(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    namespace = migration.key.namespace
    wanted = EnsureClaim("work", "16Mi", None)
    apply(backend, migration, wanted, wanted)
    client.delete(MIGRATIONS.path(*migration.key))
    wait_until(lambda: not client.items(CLAIMS.path(namespace)), "the claim is gone")


def test_what_the_api_server_refuses_is_told_by_the_next_pass(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    namespace = migration.key.namespace
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    client.create(QUOTAS.path(namespace), {**quota, "spec": {"hard": {"count/jobs.batch": "0"}}})
    spec = helper(migration, "look")

    def denied() -> Any:
        apply(backend, migration, PrepareHelper(spec))
        return look(backend, migration).denied.get(spec.name)

    failure = wait_until(denied, "the quota counts")
    assert failure.reason is Reason.HELPER_REFUSED
    assert "quota" in failure.message
