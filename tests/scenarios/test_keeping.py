"""What a target held is kept before it is written to, and put back when the migration does not end well."""

from __future__ import annotations

import pytest

from project_migration.backends.fake import Behaviour, FakeBackend, FakeCluster, FakeHelper
from project_migration.engine.names import Key
from project_migration.engine.steps.keeping import can_roll_back
from project_migration.engine.world import ClaimFacts
from project_migration.model.labels import RETRY, ROLLBACK
from project_migration.model.status import Keeping, State, Status, WorkloadState
from project_migration.reconcile import one_pass

from .surroundings import (
    PACE,
    STORE,
    WEB,
    a_cluster,
    a_document,
    assert_workloads_are_back,
    run,
    settle,
    watch_invariants,
)
from .test_crashes import deaths
from .test_databases import both_kinds
from .test_flow import annotated, changed, events

KEPT = {"backup": {"claimName": "backup"}}


def in_use() -> FakeCluster:
    """A cluster whose target `home` holds something already."""
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    cluster.facts["home"] = {"target": {"empty": False, "entries": 7}}
    return cluster


def keepings(status: Status) -> dict[str, Keeping]:
    assert status.backup is not None
    return {unit.name: unit.keeping for unit in status.backup.units}


def states(status: Status) -> dict[str, State]:
    return {step.id: step.state for step in status.steps}


def test_what_the_target_holds_is_kept_and_read_back_before_the_first_write() -> None:
    cluster = in_use()
    status = run(cluster, cluster.add(a_document(**KEPT)))
    assert status.phase == "Succeeded"
    assert keepings(status) == {"data": Keeping.SETTLED, "home": Keeping.KEPT}, "what is empty needs no backup"
    assert status.backup is not None
    assert (status.backup.claim, status.backup.path) == ("backup", "vision-00000001")
    assert [unit.digest for unit in status.backup.units] == ["", "sha256:home"]
    assert_workloads_are_back(cluster, status)


def test_a_backup_that_cannot_be_made_or_read_back_ends_it_before_anything_is_written() -> None:
    for step in ("back_up", "prove_backup"):
        cluster = in_use()
        cluster.behaviours[step, "home"] = [Behaviour.FAIL]
        status = run(cluster, cluster.add(a_document(**KEPT)))
        assert (status.phase, status.first_write_at) == ("Failed", None)
        assert_workloads_are_back(cluster, status)


def test_a_backup_claim_without_room_is_told_in_the_first_look_with_both_sizes() -> None:
    cluster = in_use()
    cluster.facts["backup-home"] = {
        "source": {"diskBytes": 5 * 2**30, "entries": 7},
        "target": {"freeBytes": 2**30, "empty": True},
    }
    status = run(cluster, cluster.add(a_document(**KEPT)))
    assert (status.phase, status.failure_reason) == ("Failed", "BackupTooSmall")
    assert "5.1 GiB needed, 1.0 GiB free on the backup claim" in status.failure
    assert status.first_write_at is None
    assert "quiesce_target" not in {step.id for step in status.steps}, "nothing was brought to rest"
    assert_workloads_are_back(cluster, status)


def test_a_backup_claim_that_runs_full_is_told_as_such_and_the_target_is_as_it_was() -> None:
    cluster = in_use()
    cluster.behaviours["back_up", "home"] = [Behaviour.FULL]
    status = run(cluster, cluster.add(a_document(**KEPT)))
    assert (status.phase, status.failure_reason) == ("Failed", "BackupTooSmall")
    assert "Enlarge the backup's claim" in status.remedy
    assert status.first_write_at is None
    assert_workloads_are_back(cluster, status)


def test_a_migration_that_fails_is_rolled_back_and_its_target_comes_back() -> None:
    cluster = in_use()
    cluster.behaviours["verify", "data"] = [Behaviour.FAIL]
    status = run(cluster, cluster.add(a_document(**KEPT)))
    assert (status.phase, status.failure_reason) == ("Failed", "CopyIncomplete")
    assert states(status)["prove_roll_back"] is State.SUCCEEDED
    assert status.first_write_at is None
    assert not any(w.state is WorkloadState.HELD for w in status.workloads)
    assert cluster.workloads[STORE].replicas == 2
    assert "put back as it was" in next(c.message for c in status.conditions if c.type == "Stalled")
    assert_workloads_are_back(cluster, status)


def test_a_target_that_was_empty_needs_no_backup_to_be_empty_again() -> None:
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    cluster.behaviours["copy", "data"] = [Behaviour.FAIL]
    status = run(cluster, cluster.add(a_document()))
    assert (status.phase, status.first_write_at) == ("Failed", None)
    assert status.rolled_back_at is not None
    assert_workloads_are_back(cluster, status)


def test_what_was_waived_cannot_be_put_back_and_is_held() -> None:
    cluster = in_use()
    cluster.behaviours["copy", "data"] = [Behaviour.FAIL]
    status = run(cluster, cluster.add(a_document(backup={"waive": "it is a fresh installation"})))
    assert keepings(status) == {"data": Keeping.EMPTY, "home": Keeping.WAIVED}
    assert status.phase == "Failed"
    assert status.first_write_at is not None
    assert any(w.state is WorkloadState.HELD for w in status.workloads)


def test_a_failed_rollback_holds_the_target_says_where_the_backup_lies_and_can_be_asked_for_again() -> None:
    cluster = in_use()
    cluster.behaviours["verify", "data"] = [Behaviour.FAIL]
    cluster.behaviours["roll_back", "home"] = [Behaviour.FAIL]
    cluster.behaviours["prove_roll_back", "home"] = [Behaviour.FAIL]
    key = cluster.add(a_document(**KEPT))
    status = run(cluster, key)
    assert status.phase == "Failed"
    assert any(w.state is WorkloadState.HELD for w in status.workloads)
    assert "put back: data" in status.failure
    assert "what it held lies in backup, below vision-00000001" in status.failure
    assert keepings(status) == {"data": Keeping.EMPTY, "home": Keeping.KEPT}
    annotated(cluster, key, ROLLBACK, "again")
    status = run(cluster, key)
    assert (status.phase, status.first_write_at) == ("Failed", None)
    assert_workloads_are_back(cluster, status)


def test_a_retry_never_takes_a_half_written_target_for_what_users_had() -> None:
    cluster = in_use()
    cluster.behaviours["verify", "data"] = [Behaviour.FAIL]
    key = cluster.add(a_document(onFailure="Halt", **KEPT))
    first = run(cluster, key).backup
    annotated(cluster, key, RETRY, "again")
    status = run(cluster, key)
    assert status.phase == "Succeeded"
    assert first is not None
    assert status.backup is not None
    assert status.backup.units[1] == first.units[1]
    assert not next(step for step in status.steps if step.id == "back_up").units, "nothing was kept again"


def test_after_a_rollback_a_retry_keeps_what_users_have_by_then() -> None:
    cluster = in_use()
    cluster.behaviours["verify", "data"] = [Behaviour.FAIL]
    key = cluster.add(a_document(**KEPT))
    assert run(cluster, key).rolled_back_at is not None
    annotated(cluster, key, RETRY, "again")
    status = run(cluster, key)
    assert (status.phase, status.rolled_back_at) == ("Succeeded", None)
    assert keepings(status) == {"data": Keeping.SETTLED, "home": Keeping.KEPT}


@pytest.mark.parametrize("spec", [{}, KEPT])
def test_a_cancelled_migration_puts_back_what_it_wrote(spec: dict[str, object]) -> None:
    whole = a_cluster()
    whole.watcher = watch_invariants
    key = whole.add(a_document(**spec))
    left = deaths(whole, key)[:-1]
    for stopped_at, cluster in enumerate(left):
        changed(cluster, key, cancel=True)
        status = run(cluster, key)
        assert status.phase in ("Cancelled", "Succeeded")
        verified = states(status).get("verify") is State.SUCCEEDED
        assert verified or status.first_write_at is None, f"stopped at {stopped_at}"
        assert_workloads_are_back(cluster, status)
        assert not cluster.leases
    assert len(left) > 80


def succeeded(cluster: FakeCluster) -> Key:
    key = cluster.add(a_document(**KEPT))
    assert run(cluster, key).phase == "Succeeded"
    return key


def test_an_undo_takes_a_migration_back_with_the_target_s_workloads_down() -> None:
    cluster = in_use()
    key = succeeded(cluster)
    changed(cluster, key, undo=True)
    status = run(cluster, key)
    assert (status.phase, status.first_write_at) == ("Undone", None)
    assert "StepFinished" in events(cluster)
    assert_workloads_are_back(cluster, status)
    assert not cluster.leases


def test_an_undo_that_cannot_begin_leaves_the_target_as_it_is() -> None:
    cluster = in_use()
    key = succeeded(cluster)
    cluster.workloads[STORE].stuck = True
    changed(cluster, key, undo=True)
    status = run(cluster, key)
    assert (status.phase, status.failure_reason) == ("Failed", "QuiesceTimeout")
    assert "roll_back" not in states(status)
    assert_workloads_are_back(cluster, status)


def test_an_undo_ends_the_same_wherever_the_operator_dies() -> None:
    whole = in_use()
    key = succeeded(whole)
    changed(whole, key, undo=True)
    one_pass(FakeBackend(whole), key, pace=PACE, now=lambda: whole.now)
    left = deaths(whole, key)
    for dies_at, cluster in enumerate(left):
        cluster.tick()
        status = run(cluster, key)
        assert (status.phase, status.first_write_at) == ("Undone", None), f"died at {dies_at}: {status.failure}"
        assert_workloads_are_back(cluster, status)
        assert not cluster.leases
    assert len(left) > 20


def test_a_database_that_could_not_be_restored_is_never_called_as_it_was() -> None:
    cluster = a_cluster()
    cluster.behaviours["verify", "data"] = [Behaviour.FAIL]
    cluster.behaviours["roll_back", "shop"] = [Behaviour.FAIL]
    status = run(cluster, cluster.add(both_kinds()))
    assert (status.phase, status.rolled_back_at) == ("Failed", None)
    assert status.first_write_at is not None
    assert any(w.state is WorkloadState.HELD for w in status.workloads)
    assert can_roll_back(status), "it can be asked for again"


def test_a_database_that_nothing_was_written_to_is_not_restored() -> None:
    cluster = a_cluster()
    cluster.behaviours["pre_copy", "data"] = [Behaviour.FAIL]
    status = run(cluster, cluster.add(both_kinds(transfer={"preCopy": 1})))
    assert (status.phase, status.first_write_at) == ("Failed", None)
    back = next(step for step in status.steps if step.id == "roll_back")
    assert [unit.name for unit in back.units] == ["data"]


def test_a_later_round_that_ends_before_the_target_rests_takes_nothing_from_its_users() -> None:
    """The first round was verified and its users are back; the second finds another fault before it locks anything."""
    cluster = in_use()
    cluster.behaviours["clean_up", "none"] = []
    key = cluster.add(a_document(**KEPT))
    backend = FakeBackend(cluster)
    cluster.workloads[STORE].version += 1
    while not any(s.id == "verify" and s.state is State.SUCCEEDED for s in cluster.migrations[key].status.steps):
        one_pass(backend, key, pace=PACE, now=lambda: cluster.now)
        cluster.tick()
    found = cluster.migrations[key]
    found.status = found.status.model_copy(
        update={
            "itinerary": found.status.itinerary.model_copy(update={"name": "Abort"})
            if found.status.itinerary
            else None,
            "steps": tuple(s for s in found.status.steps if s.state is State.SUCCEEDED),
            "finished_at": "2026-01-01T00:10:00Z",
        }
    )
    found.version += 1
    settle(cluster, key)
    cluster.claims["claim/data-old"] = ClaimFacts(exists=False)
    annotated(cluster, key, RETRY, "again")
    status = run(cluster, key)
    assert (status.phase, status.failure_reason) == ("Failed", "ClaimNotFound")
    assert "roll_back" not in states(status)
    assert_workloads_are_back(cluster, status)


def test_what_users_wrote_before_a_retry_is_kept_and_not_what_they_had_before() -> None:
    """The first round ended before its first write: its record of the target is old by the time of the next."""
    cluster = in_use()
    cluster.workloads[WEB].stuck = True
    key = cluster.add(a_document(**KEPT))
    status = run(cluster, key)
    assert (status.failure_reason, status.first_write_at) == ("QuiesceTimeout", None)
    assert keepings(status)["home"] is Keeping.KEPT
    cluster.workloads[WEB].stuck = False
    cluster.facts["data"] = {"target": {"empty": False, "entries": 2}}
    annotated(cluster, key, RETRY, "again")
    status = run(cluster, key)
    assert status.phase == "Succeeded", status.failure
    assert keepings(status) == {"data": Keeping.KEPT, "home": Keeping.KEPT}


def test_a_retry_still_refuses_a_target_that_was_empty_and_is_not_ours() -> None:
    cluster = a_cluster()
    asked: list[object] = []

    def look(_cluster: FakeCluster, what: str, thing: object) -> None:
        if what == "runs" and isinstance(thing, FakeHelper) and thing.spec.request.step == "copy":
            asked.append(thing.spec.request.params["requireEmpty"])

    cluster.watcher = look
    cluster.behaviours["verify", "data"] = [Behaviour.FAIL]
    key = cluster.add(a_document(onFailure="Halt"))
    run(cluster, key)
    annotated(cluster, key, RETRY, "again")
    assert run(cluster, key).phase == "Succeeded"
    assert asked == [True] * 4


def test_a_half_undone_target_is_held_whatever_is_tried_next() -> None:
    cluster = in_use()
    key = succeeded(cluster)
    for step in ("roll_back", "prove_roll_back"):
        cluster.behaviours[step, "home"] = [Behaviour.FAIL]
    changed(cluster, key, undo=True)
    assert run(cluster, key).half_back
    cluster.workloads[STORE].stuck, cluster.workloads[STORE].pods = True, 1
    annotated(cluster, key, RETRY, "again")
    status = run(cluster, key)
    assert status.failure_reason == "QuiesceTimeout"
    assert any(w.state is WorkloadState.HELD for w in status.workloads)
    cluster.workloads[STORE].stuck = False
    annotated(cluster, key, RETRY, "once more")
    status = run(cluster, key)
    assert (status.phase, status.first_write_at, status.half_back) == ("Undone", None, False)
    assert_workloads_are_back(cluster, status)


def test_a_target_that_is_scaled_up_during_the_copy_rests_again_for_the_rollback() -> None:
    cluster = in_use()
    cluster.behaviours["copy", "data"] = [Behaviour.SILENT]
    key = cluster.add(a_document(**KEPT))
    backend = FakeBackend(cluster)
    while "copy" not in {s.id for s in cluster.migrations[key].status.steps if s.units}:
        one_pass(backend, key, pace=PACE, now=lambda: cluster.now)
        cluster.tick()
    store = cluster.workloads[STORE]
    store.replicas, store.version = 2, store.version + 1
    status = run(cluster, key)
    assert (status.phase, status.failure_reason, status.first_write_at) == ("Failed", "ScaledBack", None)
    assert_workloads_are_back(cluster, status)


def test_an_undo_brings_back_what_stayed_down_after_the_success() -> None:
    cluster = in_use()
    workloads = [
        {"kind": "Deployment", "name": "web", "side": "Source", "afterSuccess": "StayDown"},
        {"kind": "StatefulSet", "name": "store", "side": "Target", "afterSuccess": "StayDown"},
        {"kind": "CronJob", "name": "nightly", "side": "Source"},
    ]
    key = cluster.add(a_document(quiesce={"workloads": workloads}, **KEPT))
    assert run(cluster, key).phase == "Succeeded"
    assert (cluster.workloads[WEB].replicas, cluster.workloads[STORE].replicas) == (0, 0)
    changed(cluster, key, undo=True)
    status = run(cluster, key)
    assert status.phase == "Undone"
    assert_workloads_are_back(cluster, status)
