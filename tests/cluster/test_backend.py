"""The Kubernetes backend against a real API server, with real pods.

Helpers run a small program of our own here (:data:`STUB`), which does what its request's params say, so that these
tests stand for the backend alone.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from project_migration.backends.kubernetes import KubernetesBackend, manifests
from project_migration.backends.kubernetes.client import AlreadyExists, Client, NotThere
from project_migration.backends.kubernetes.resources import (
    CLAIMS,
    CRON_JOBS,
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    LEASES,
    MIGRATIONS,
    NAMESPACES,
    PODS,
    STATEFUL_SETS,
    Json,
    Resource,
)
from project_migration.engine.effects import (
    Announce,
    DropFinalizer,
    DropLease,
    Effect,
    EnsureClaim,
    EnsureFinalizer,
    HelperSpec,
    HoldWorkload,
    Mount,
    PrepareHelper,
    ReleaseWorkload,
    RemoveHelper,
    Rights,
    StartHelper,
    TakeLease,
)
from project_migration.engine.units import helper_name
from project_migration.engine.world import (
    HelperFacts,
    HelperPhase,
    Key,
    Migration,
    Questions,
    WorkloadRef,
    World,
)
from project_migration.model.document import Helper, Volume, WorkloadKind
from project_migration.model.errors import Conflict, Gone, PassingError, Reason
from project_migration.model.labels import FINALIZER, QUIESCED_BY, RECORDED_REPLICAS
from project_migration.model.records import Request
from project_migration.model.status import Status, WorkloadStatus
from project_migration.settings import Settings

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not os.environ.get("KUBECONFIG"), reason="no cluster: KUBECONFIG is not set"),
]

BASE = os.environ.get("PROJECT_MIGRATION_TEST_BASE", "localhost/base:1")
CRD = Path(__file__).parents[2] / "crds" / "projectmigrations.migration.mlops.dev.yaml"
CRDS = Resource("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition")
QUOTAS = Resource("v1", "resourcequotas", "ResourceQuota")

STUB = """
import json, os, sys, time
request = json.load(open("/etc/project-migration/request.json"))
do = request["params"]["do"]
print(json.dumps({"progress": {"bytesDone": 5, "bytesTotal": 9, "itemsDone": 1, "itemsTotal": 2}}), flush=True)
print("a line for people", flush=True)
def leave(**facts):
    text = json.dumps({"version": 1, "requestDigest": "", "outcome": "Succeeded", "reason": "", "message": "",
        "passing": False, "counts": {"files": 1}, "digest": "", "names": {}, "lists": {}, "facts": facts,
        "seconds": 0.1})
    open("/dev/termination-log", "w").write(text)
if do == "sleep":
    time.sleep(600)
elif do == "crash":
    print("Traceback: it broke", flush=True); sys.exit(3)
elif do == "memory":
    hoard = [bytearray(1 << 20) for _ in range(1 << 12)]
elif do == "look":
    found = {"uid": os.getuid(), "gid": os.getgid(), "roots": request["roots"]}
    for root, path in request["roots"].items():
        try:
            os.makedirs(path, exist_ok=True)
            open(os.path.join(path, "probe"), "w").write("x")
            found[root] = "written"
        except OSError as error:
            found[root] = error.strerror
    try:
        open("/probe", "w"); found["image"] = "written"
    except OSError as error:
        found["image"] = error.strerror
    found["token"] = os.path.exists("/var/run/secrets/kubernetes.io")
    leave(found=found)
"""


def wait_until(holds: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
    """What ``holds`` returns once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = holds()
        if found:
            return found
        time.sleep(0.3)
    raise AssertionError(f"not within {seconds:.0f}s: {what}")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    found = Client()
    if not _served(found):
        with suppress(AlreadyExists):
            found.create(CRDS.path(), yaml.safe_load(CRD.read_text()))
    wait_until(lambda: _served(found), "the CRD is served")
    yield found
    found.close()


def _served(client: Client) -> bool:
    try:
        client.items(MIGRATIONS.path())
    except NotThere:
        return False
    return True


@pytest.fixture
def namespace(client: Client) -> Iterator[str]:
    name = f"backend-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    client.create(NAMESPACES.path(), body)
    wait_until(lambda: _has_account(client, name), "the namespace has its service account")
    yield name
    for stored in client.items(MIGRATIONS.path(name)):
        path = MIGRATIONS.path(name, stored["metadata"]["name"])
        client.patch(path, {"metadata": {"finalizers": None}})
    client.delete(NAMESPACES.path(name=name))


def _has_account(client: Client, namespace: str) -> bool:
    accounts = Resource("v1", "serviceaccounts", "ServiceAccount")
    return any(found["metadata"]["name"] == "default" for found in client.items(accounts.path(namespace)))


@pytest.fixture
def backend(client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch) -> KubernetesBackend:
    monkeypatch.setattr(manifests, "command", lambda _worker: ["python3", "-c", STUB])
    return KubernetesBackend(settings(namespace), client)


def settings(namespace: str, **changes: Any) -> Settings:
    return Settings(namespaces=(namespace,), helper_image=BASE, helper_pull_policy="IfNotPresent", **changes)


def claim(client: Client, namespace: str, name: str, storage_class: str = "standard") -> str:
    body = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": "16Mi"}},
        },
    }
    client.create(CLAIMS.path(namespace), body)
    return name


def document(namespace: str, name: str = "vision") -> Json:
    pair = {"name": "data", "source": {"claimName": "old", "subPath": "in"}, "target": {"claimName": "new"}}
    return {
        "apiVersion": MIGRATIONS.api_version,
        "kind": MIGRATIONS.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"volumes": {"pairs": [pair]}, "workspace": {"claimName": "work"}},
    }


@pytest.fixture
def migration(client: Client, backend: KubernetesBackend, namespace: str) -> Migration:
    client.create(MIGRATIONS.path(namespace), document(namespace))
    return backend.load(Key(namespace, "vision"))


def helper(migration: Migration, do: str, *mounts: Mount, step: str = "copy", **changes: Any) -> HelperSpec:
    request = Request("copy_tree", migration.uid, "vision", migration.key.namespace, step, "data", params={"do": do})
    spec = HelperSpec(
        name=helper_name(step, "data", 1, migration.uid), request=request, mounts=mounts, rights=Rights.NONE
    )
    return replace(spec, **changes)


def apply(backend: KubernetesBackend, migration: Migration, *effects: Effect) -> None:
    backend.apply(migration, effects)


def look(backend: KubernetesBackend, migration: Migration, **questions: Any) -> World:
    return backend.observe(migration, Questions(**questions))


def facts_of(backend: KubernetesBackend, migration: Migration) -> HelperFacts | None:
    return next(iter(look(backend, migration).helpers.values()), None)


def in_phase(backend: KubernetesBackend, migration: Migration, phase: HelperPhase, seconds: float = 90) -> HelperFacts:
    def found() -> HelperFacts | None:
        facts = facts_of(backend, migration)
        return facts if facts is not None and facts.phase is phase else None

    result: HelperFacts = wait_until(found, f"the helper is {phase}", seconds)
    return result


def start(backend: KubernetesBackend, migration: Migration, spec: HelperSpec) -> None:
    """Prepare and start, as the engine does: again, when the version was old by then."""
    apply(backend, migration, PrepareHelper(spec))

    def started() -> bool:
        facts = facts_of(backend, migration)
        if facts is not None and facts.phase is HelperPhase.PREPARED:
            apply(backend, migration, StartHelper(facts.name, facts.uid, facts.version))
        return facts is not None and facts.phase is not HelperPhase.PREPARED

    wait_until(started, "the helper is started")


def pod_spec(**changes: Any) -> Json:
    container = {"name": "main", "image": BASE, "command": ["sleep", "600"]}
    return {"terminationGracePeriodSeconds": 0, "containers": [container], **changes}


def mounting(spec: Json, claim_name: str) -> Json:
    spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}]
    spec["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    return spec


def workload(resource: Resource, name: str, spec: Json, **changes: Any) -> Json:
    labels = {"app": name}
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, **changes},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
            **({"replicas": 2} if resource is DEPLOYMENTS else {"replicas": 1, "serviceName": name}),
        },
    }


# --- migrations -------------------------------------------------------------------------------------------------


def test_a_stored_document_is_loaded_with_its_identity(migration: Migration, namespace: str) -> None:
    assert migration.document is not None
    assert migration.document.spec.platform == "volumes"
    assert migration.holder == f"{namespace}/vision/{migration.uid}"
    assert not migration.finalizer
    assert migration.status == Status()


def test_a_document_that_this_release_cannot_carry_out_says_so(
    client: Client, backend: KubernetesBackend, namespace: str
) -> None:
    body = document(namespace, "later")
    body["spec"] = {"mlflow": {"anything": 1}, "workspace": {"claimName": "work"}}
    client.create(MIGRATIONS.path(namespace), body)
    found = backend.load(Key(namespace, "later"))
    assert found.document is None
    assert any("spec.mlflow" in problem and "NotSupportedYet" in problem for problem in found.problems)


def test_of_two_operators_the_second_to_save_is_refused(backend: KubernetesBackend, migration: Migration) -> None:
    saved = backend.save(migration, Status(phase="First"))
    with pytest.raises(Conflict):
        backend.save(migration, Status(phase="Second"))
    assert backend.load(migration.key).status.phase == "First"
    assert backend.save(saved, Status(phase="Third")).status.phase == "Third"


def test_a_saved_status_replaces_the_one_before_as_a_whole(backend: KubernetesBackend, migration: Migration) -> None:
    record = WorkloadStatus(kind=WorkloadKind.DEPLOYMENT, name="web", side="Source", replicas=3)
    saved = backend.save(migration, Status(workloads=(record,), first_write_at="2026-01-01T00:00:00Z"))
    assert saved.status.workloads == (record,)
    saved = backend.save(saved, Status(phase="Later"))
    assert saved.status.workloads == ()
    assert saved.status.first_write_at is None


def test_a_change_of_the_document_refuses_a_status_decided_before(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    client.patch(MIGRATIONS.path(*migration.key), {"spec": {"suspend": True}})
    with pytest.raises(Conflict):
        backend.save(migration, Status(phase="Late"))


def test_what_was_deleted_is_gone_for_load_and_save(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    client.delete(MIGRATIONS.path(*migration.key))
    with pytest.raises(Gone):
        backend.load(migration.key)
    with pytest.raises((Gone, Conflict)):
        backend.save(migration, Status())


def test_the_finalizer_holds_the_object_until_it_is_dropped(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    apply(backend, migration, EnsureFinalizer(), EnsureFinalizer())
    held = backend.load(migration.key)
    assert held.finalizer
    client.delete(MIGRATIONS.path(*migration.key))
    dying = backend.load(migration.key)
    assert dying.deleting_since is not None
    apply(backend, held, DropFinalizer())  # decided before the deletion was seen: late
    assert backend.load(migration.key).finalizer
    apply(backend, dying, DropFinalizer())
    with pytest.raises(Gone):
        backend.load(migration.key)


def test_other_finalizers_are_left_alone(client: Client, backend: KubernetesBackend, migration: Migration) -> None:
    client.patch(MIGRATIONS.path(*migration.key), {"metadata": {"finalizers": ["example.com/other"]}})
    apply(backend, migration, EnsureFinalizer())
    stored = client.get(MIGRATIONS.path(*migration.key))
    assert stored["metadata"]["finalizers"] == ["example.com/other", FINALIZER]
    apply(backend, backend.load(migration.key), DropFinalizer())
    assert client.get(MIGRATIONS.path(*migration.key))["metadata"]["finalizers"] == ["example.com/other"]


def test_keys_are_those_of_the_watched_namespaces(
    backend: KubernetesBackend, migration: Migration, client: Client
) -> None:
    assert backend.keys() == [migration.key]
    everywhere = KubernetesBackend(Settings(helper_image=BASE), client)
    assert migration.key in everywhere.keys()  # noqa: SIM118 - not a mapping


def test_an_announcement_applied_twice_is_one_event(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    told = Announce("StepBegun", "copy")
    apply(backend, migration, told, told, Announce("Failed", "no", warning=True))
    events = client.items(EVENTS.path(migration.key.namespace), fieldSelector=f"involvedObject.uid={migration.uid}")
    assert sorted((event["reason"], event["type"]) for event in events) == [
        ("Failed", "Warning"),
        ("StepBegun", "Normal"),
    ]


# --- claims and workloads ---------------------------------------------------------------------------------------


def test_a_claim_tells_its_phase_its_size_and_whether_it_waits(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    namespace = migration.key.namespace
    claim(client, namespace, "old")
    claim(client, namespace, "new", "wait-for-first-consumer")
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
    assert backend.restore_orphans() == [f"{namespace}/Deployment web"]
    counts = {d["metadata"]["name"]: d["spec"]["replicas"] for d in client.items(DEPLOYMENTS.path(namespace))}
    assert counts == {"web": 2, "kept": 0, "strange": 0}
    assert [lease["metadata"]["name"] for lease in client.items(LEASES.path(namespace))] == ["lock-kept"]


# --- helpers ----------------------------------------------------------------------------------------------------


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
    assert look(backend, migration, dry_run=(spec,)).refused == {}
    start(backend, migration, spec)
    record = in_phase(backend, migration, HelperPhase.FINISHED).record
    assert record is not None
    found = record.facts["found"]
    assert (found["uid"], found["gid"], found["token"]) == (65532, 65532, False)
    assert found["roots"] == {"source": "/mnt/source/in/side", "target": "/mnt/target", "workspace": "/mnt/workspace"}
    assert (found["target"], found["workspace"]) == ("written", "written")
    assert found["source"] == found["image"] == "Read-only file system"


ENFORCE = "pod-security.kubernetes.io/enforce"


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
    refused = look(backend, migration, dry_run=(plain, owners)).refused
    assert set(refused) == {owners.name}
    assert refused[owners.name].reason is Reason.HELPER_REFUSED
    assert "restricted" in refused[owners.name].message
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    client.create(QUOTAS.path(namespace), quota)
    wait_until(lambda: look(backend, migration, dry_run=(plain,)).refused, "the quota counts")
    assert "quota" in look(backend, migration, dry_run=(plain,)).refused[plain.name].message
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
    wanted = EnsureClaim("work", "16Mi", "standard")
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


# --- locks ------------------------------------------------------------------------------------------------------


def test_a_lock_is_taken_once_and_taken_over_only_from_the_dead(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    namespace = migration.key.namespace
    client.create(MIGRATIONS.path(namespace), document(namespace, "other"))
    other = backend.load(Key(namespace, "other"))
    names = frozenset({"target", "free"})
    apply(backend, migration, TakeLease("target", migration.holder, None))
    apply(backend, other, TakeLease("target", other.holder, None))
    leases = look(backend, other, leases=names).leases
    assert set(leases) == {"target"}
    assert (leases["target"].holder, leases["target"].alive) == (migration.holder, True)
    apply(backend, other, DropLease("target", "1"))
    assert "target" in look(backend, other, leases=names).leases

    client.delete(MIGRATIONS.path(*migration.key))
    dead = look(backend, other, leases=names).leases["target"]
    assert not dead.alive
    apply(backend, other, TakeLease("target", other.holder, dead.version))
    taken = look(backend, other, leases=names).leases["target"]
    assert (taken.holder, taken.alive) == (other.holder, True)
    apply(backend, other, DropLease("target", taken.version))
    assert look(backend, other, leases=names).leases == {}


def test_an_api_server_that_does_not_answer_is_a_passing_error(backend: KubernetesBackend) -> None:
    from kubernetes.client import Configuration

    nowhere = Configuration()
    nowhere.host = "http://127.0.0.1:9"
    with pytest.raises(PassingError):
        KubernetesBackend(Settings(helper_image=BASE), Client(nowhere)).keys()
