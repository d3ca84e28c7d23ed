"""A small cluster for scenarios: two pairs, three workloads; and the invariants, as a watcher."""

from __future__ import annotations

from project_migration.backends.fake import FakeBackend, FakeCluster, FakeHelper, FakeWorkload
from project_migration.engine.effects import EnsureClaim
from project_migration.engine.names import Key, WorkloadRef
from project_migration.engine.step import Pace
from project_migration.engine.steps.keeping import empty_units
from project_migration.engine.steps.quiesce import SCALED_BACK_LIMIT
from project_migration.engine.world import ClaimFacts
from project_migration.model.document import Document, WorkloadKind
from project_migration.model.rules import read_document
from project_migration.model.status import State, Status, WorkloadState
from project_migration.reconcile import one_pass

WEB = WorkloadRef(WorkloadKind.DEPLOYMENT, "web")
STORE = WorkloadRef(WorkloadKind.STATEFUL_SET, "store")
NIGHTLY = WorkloadRef(WorkloadKind.CRON_JOB, "nightly")
PACE = Pace(helper=1.0, wait=1.0, lock=1.0)


def a_document(name: str = "vision", **spec: object) -> Document:
    data = {
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {
            "volumes": {
                "pairs": [
                    {"name": "data", "source": {"claimName": "data-old"}, "target": {"claimName": "data-new"}},
                    {"name": "home", "source": {"claimName": "home-old"}, "target": {"claimName": "home-new"}},
                ]
            },
            "workspace": {"claimName": "work"},
            "quiesce": {
                "workloads": [
                    {"kind": "Deployment", "name": "web", "side": "Source"},
                    {"kind": "StatefulSet", "name": "store", "side": "Target"},
                    {"kind": "CronJob", "name": "nightly", "side": "Source"},
                ]
            },
            "timeouts": {"quiesce": "30s", "helperStart": "20s", "silence": "20s", "lock": "60s", "resume": "30s"},
            **spec,
        },
    }
    return read_document(data, local=False)


def a_cluster() -> FakeCluster:
    cluster = FakeCluster()
    for number, name in enumerate(("data-old", "data-new", "home-old", "home-new", "work", "backup")):
        cluster.claims[f"claim/{name}"] = ClaimFacts(exists=True, uid=f"claim-{number}")
    cluster.workloads[WEB] = FakeWorkload(replicas=3, pods=3, claims=("claim/data-old",))
    cluster.workloads[STORE] = FakeWorkload(replicas=2, pods=2, claims=("claim/data-new",))
    cluster.workloads[NIGHTLY] = FakeWorkload(replicas=0, pods=0, suspended=False)
    return cluster


def run(cluster: FakeCluster, key: Key, *, seconds: int = 3000, step: float = 1.0) -> Status:
    """Passes until the migration ended, or the object is gone. Fails when it does neither in time."""
    backend = FakeBackend(cluster)
    status = Status()
    for _ in range(int(seconds / step)):
        for _ in range(30):
            again_in = one_pass(backend, key, pace=PACE, now=lambda: cluster.now)
            if again_in is None or again_in > 0:
                break
        if key not in cluster.migrations:
            return status
        status = cluster.migrations[key].status
        if status.finished_at is not None and not cluster.helpers and not still_owed(cluster):
            return status
        cluster.tick(step)
    raise AssertionError(
        f"not ended after {seconds}s: {status.phase}: {[(s.id, s.state, s.message) for s in status.steps]}"
    )


def still_owed(cluster: FakeCluster) -> bool:
    """Whether a late helper, lock or workload is still to be seen to by the ended migration."""
    held = {
        (w.kind, w.name)
        for migration in cluster.migrations.values()
        for w in migration.status.workloads
        if w.state is WorkloadState.HELD
    }
    return any(w.holder and tuple(ref) not in held for ref, w in cluster.workloads.items())


ORIGINAL = {WEB: (3, False), STORE: (2, False), NIGHTLY: (0, False)}


def assert_workloads_are_back(cluster: FakeCluster, status: Status) -> None:
    """Invariant 1, for a migration that has ended or is gone."""
    held = {(w.kind, w.name) for w in status.workloads if w.state is WorkloadState.HELD}
    for ref, (replicas, suspended) in ORIGINAL.items():
        workload = cluster.workloads[ref]
        if tuple(ref) in held:
            assert ref == STORE, "only a target's workload may be held"
            assert status.first_write_at, "a target that was never written to is not held"
            scaled_back = next(w.scaled_back for w in status.workloads if (w.kind, w.name) == tuple(ref))
            assert workload.held_replicas == replicas
            assert workload.replicas == 0 or scaled_back > SCALED_BACK_LIMIT
        else:
            assert (workload.replicas, workload.suspended, workload.holder) == (replicas, suspended, ""), ref


def watch_invariants(cluster: FakeCluster, what: str, thing: object) -> None:
    """Holds while anything runs: evidence before writes, quiet before copies, each copy alone, honest progress."""
    if what == "runs" and isinstance(thing, FakeHelper):
        _helper_may_run(cluster, thing)
    if what == "claim made":
        assert isinstance(thing, tuple)
        _claim_may_be_made(cluster, *thing)
    if what == "saved":
        assert isinstance(thing, tuple)
        _key, before, after = thing
        _progress_is_honest(before, after)
        _done_steps_stay_done(before, after)


def _helper_may_run(cluster: FakeCluster, helper: FakeHelper) -> None:
    request = helper.spec.request
    owner = next((m for m in cluster.migrations.values() if m.uid == helper.owner), None)
    assert owner is not None
    if request.step == "check":
        assert owner.status.finished_at, "a check is no part of a migration that is at work"
        assert all(mount.read_only for mount in helper.spec.mounts)
        assert all(mount.root == "target" for mount in helper.spec.mounts), "the source is left alone"
        return
    step = next((s for s in owner.status.steps if s.id == request.step), None)
    assert step is not None, f"{request.step} runs, and is not in the itinerary"
    unit = step.unit(request.unit)
    assert unit is not None
    assert unit.state is not State.SUCCEEDED, f"{request.step} of {request.unit} was done already"
    assert all(mount.read_only for mount in helper.spec.mounts if mount.root == "source")
    if request.worker not in ("copy_tree", "clear_tree", "postgres.copy") or request.params.get("look"):
        return
    if request.step == "expire":
        _backup_may_go(owner.status, helper)
        return
    done = {s.id for s in owner.status.steps if s.state is State.SUCCEEDED}
    written = {f"claim/{m.volume.claim_name}" for m in helper.spec.mounts if not m.read_only}
    if request.step == "back_up":
        assert {"lock", "preflight", "quiesce_target"} <= done
        assert owner.status.first_write_at is None, "what is kept was never written to by us"
        assert written == {"claim/backup"}
        return
    assert owner.status.first_write_at is not None
    assert owner.status.backup is not None
    assert {unit.name for unit in owner.status.backup.units} == {u.name for u in owner.status.plan}, (
        "known before the first write"
    )
    assert written <= {"claim/data-new", "claim/home-new"}, "the source is only read"
    if request.worker == "copy_tree" and request.step in ("pre_copy", "copy"):
        marked = request.step == "pre_copy" or request.unit in empty_units(owner.status)
        assert request.params["release"] is not marked, "what may be removed again keeps its mark"
    if request.step == "pre_copy":
        assert {"lock", "preflight", "quiesce_target", "back_up", "prove_backup"} <= done
    elif request.step == "copy":
        assert "await_cutover" in done
        assert {"lock", "preflight", "quiesce_target", "back_up", "prove_backup", "quiesce_source"} <= done
    else:
        assert STORE not in cluster.workloads or cluster.workloads[STORE].replicas == 0, "nobody uses what is put back"
    for other in cluster.helpers.values():
        if other is not helper and other.phase == "Running":
            theirs = {f"claim/{m.volume.claim_name}" for m in other.spec.mounts if not m.read_only}
            assert not written & theirs, "two helpers write one claim"


def _backup_may_go(status: Status, helper: FakeHelper) -> None:
    """A backup is removed when no target can need it any more, and nothing else with it."""
    assert status.finished_at is not None
    assert status.backup is not None
    assert status.backup.removing, "said before anything goes"
    assert not status.half_back
    assert status.first_write_at is None or status.phase == "Succeeded"
    (mount,) = helper.spec.mounts
    assert (mount.volume.claim_name, mount.volume.sub_path) == ("backup", status.backup.path)


def _claim_may_be_made(cluster: FakeCluster, key: Key, effect: EnsureClaim) -> None:
    """A target's; a workspace is made for preflight itself."""
    if not effect.stays or key not in cluster.migrations:
        return
    done = {s.id for s in cluster.migrations[key].status.steps if s.state is State.SUCCEEDED}
    ended = cluster.migrations[key].status.finished_at is not None
    assert ended or {"lock", "preflight", "plan", "quiesce_target"} <= done, "a claim is made too early"


def _progress_is_honest(before: Status, after: Status) -> None:
    same = before.itinerary and after.itinerary and before.itinerary.round == after.itinerary.round
    if same and after.itinerary:
        assert after.progress.percent >= before.progress.percent
    if after.progress.percent == 100:
        assert after.phase in ("Succeeded", "Planned") or before.progress.percent == 100


def _done_steps_stay_done(before: Status, after: Status) -> None:
    if not (before.itinerary and after.itinerary and before.itinerary == after.itinerary):
        return
    states = {step.id: step.state for step in after.steps}
    for step in before.steps:
        if step.state is State.SUCCEEDED:
            assert states[step.id] is State.SUCCEEDED, f"{step.id} was undone"


def settle(cluster: FakeCluster, key: Key) -> None:
    """The clock's own passes over an ended migration."""
    for _ in range(8):
        cluster.tick(30)
        for _ in range(5):
            one_pass(FakeBackend(cluster), key, pace=PACE, now=lambda: cluster.now)
