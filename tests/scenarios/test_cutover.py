"""The cut-over waits for a person or the clock, never begins outside its window, and survives every interruption."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from project_migration.backends.fake import FakeCluster
from project_migration.engine.clock import stamp
from project_migration.engine.names import Key
from project_migration.engine.world import ClaimFacts
from project_migration.model.document import Side
from project_migration.model.labels import RETRY
from project_migration.model.status import State, Status, WorkloadState, WorkloadStatus

from .surroundings import (
    NIGHTLY,
    STORE,
    WEB,
    a_cluster,
    a_document,
    assert_workloads_are_back,
    run,
    watch_invariants,
)
from .test_crashes import deaths, stop
from .test_flow import annotated, changed

MANUAL = {"mode": "Manual"}


def soon(cluster: FakeCluster, seconds: float) -> str:
    return stamp(cluster.now + timedelta(seconds=seconds))


def at(cluster: FakeCluster, seconds: float, **more: object) -> dict[str, object]:
    return {"mode": "At", "at": soon(cluster, seconds), **more}


def approve(cluster: FakeCluster, key: Key) -> None:
    changed(cluster, key, cutover=cluster.migrations[key].document.spec.cutover.model_copy(update={"approved": True}))


def wait(cluster: FakeCluster, key: Key, seconds: int = 60) -> Status:
    """The status of a migration that is still not over after that long."""
    with pytest.raises(AssertionError, match="not ended"):
        run(cluster, key, seconds=seconds)
    return cluster.migrations[key].status


def condition(status: Status, name: str) -> str:
    return next((c.message for c in status.conditions if c.type == name and c.status == "True"), "")


def assert_source_works(cluster: FakeCluster) -> None:
    assert (cluster.workloads[WEB].replicas, cluster.workloads[WEB].version) == (3, 1)
    assert (cluster.workloads[NIGHTLY].suspended, cluster.workloads[NIGHTLY].version) == (False, 1)


def step_state(status: Status, step_id: str) -> State:
    return next(step.state for step in status.steps if step.id == step_id)


def test_without_a_word_the_cut_over_comes_at_once() -> None:
    cluster = a_cluster()
    told: list[str] = []
    cluster.watcher = lambda _cluster, what, thing: (
        told.append(condition(thing[2], "AwaitingCutover"))
        # type: ignore[index]
        if (what == "saved")
        else None
    )
    assert run(cluster, cluster.add(a_document())).phase == "Succeeded"
    assert not any(told)


def test_a_manual_cut_over_waits_for_its_approval_and_says_how_to_give_it() -> None:
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    key = cluster.add(a_document(cutover=MANUAL))
    status = wait(cluster, key)
    assert status.phase == "AwaitingCutover"
    assert "project-migration approve vision" in condition(status, "AwaitingCutover")
    assert "spec.cutover.approved" in condition(status, "AwaitingCutover")
    assert_source_works(cluster)
    assert cluster.workloads[STORE].replicas == 0, "all that may be done before is done"
    assert not cluster.helpers, "nothing of ours lies about during a wait of days"
    approve(cluster, key)
    status = run(cluster, key)
    assert (status.phase, condition(status, "AwaitingCutover")) == ("Succeeded", "")
    assert_workloads_are_back(cluster, status)


def test_an_approval_may_be_given_in_advance() -> None:
    cluster = a_cluster()
    assert run(cluster, cluster.add(a_document(cutover={**MANUAL, "approved": True}))).phase == "Succeeded"


def test_the_wait_for_a_person_has_no_time_out() -> None:
    cluster = a_cluster()
    key = cluster.add(a_document(cutover=MANUAL))
    wait(cluster, key)
    cluster.tick(40 * 86400)
    wait(cluster, key)
    approve(cluster, key)
    assert run(cluster, key).phase == "Succeeded"


def test_a_timed_cut_over_comes_at_its_moment_and_not_before() -> None:
    cluster = a_cluster()
    opens = cluster.now + timedelta(seconds=300)
    held: list[datetime] = []

    def watch(cluster: FakeCluster, what: str, thing: object) -> None:
        watch_invariants(cluster, what, thing)
        if cluster.workloads[WEB].replicas == 0 and not held:
            held.append(cluster.now)

    cluster.watcher = watch
    key = cluster.add(a_document(cutover=at(cluster, 300)))
    status = run(cluster, key)
    assert status.phase == "Succeeded"
    assert opens <= held[0] <= opens + timedelta(seconds=10)


@pytest.mark.parametrize("cutover", [MANUAL, {"mode": "At", "at": "2026-01-01T01:00:00Z"}])
def test_a_suspended_migration_does_not_cut_over(cutover: dict[str, object]) -> None:
    cluster = a_cluster()
    key = cluster.add(a_document(cutover=cutover))
    wait(cluster, key)
    changed(cluster, key, suspend=True)
    approve(cluster, key)
    cluster.tick(7200)
    status = wait(cluster, key)
    assert "suspended" in condition(status, "AwaitingCutover")
    assert_source_works(cluster)
    changed(cluster, key, suspend=False)
    assert run(cluster, key).phase == "Succeeded"


def test_a_window_that_closes_while_nobody_approves_ends_before_the_source_is_touched() -> None:
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    key = cluster.add(a_document(cutover={**MANUAL, "notAfter": soon(cluster, 120)}))
    status = run(cluster, key)
    assert (status.phase, status.failure_reason) == ("Failed", "CutoverMissed")
    assert "notAfter" in status.failure
    assert_source_works(cluster)
    assert_workloads_are_back(cluster, status)


def test_a_window_that_closes_while_something_earlier_is_waited_for_ends_it_too() -> None:
    cluster = a_cluster()
    cluster.workloads[STORE].stuck = True
    limits = {"quiesce": "1h", "lock": "1h"}
    key = cluster.add(a_document(cutover={"notAfter": soon(cluster, 60)}, timeouts=limits))
    status = run(cluster, key)
    assert status.failure_reason == "CutoverMissed"
    assert step_state(status, "quiesce_target") is State.FAILED
    assert_source_works(cluster)


def test_a_window_closes_for_those_who_have_not_begun_only() -> None:
    cluster = a_cluster()
    key = cluster.add(a_document(cutover={"notAfter": soon(cluster, 3600)}))
    cluster.workloads[WEB].stuck = True
    while step_state(wait(cluster, key, 2), "quiesce_source") is not State.RUNNING:
        pass
    changed(cluster, key, cutover=a_document(cutover={"notAfter": stamp(cluster.now)}).spec.cutover)
    cluster.workloads[WEB].stuck = False
    assert run(cluster, key).phase == "Succeeded"


def test_a_missed_cut_over_is_tried_again_with_a_later_window() -> None:
    cluster = a_cluster()
    key = cluster.add(a_document(cutover={**MANUAL, "notAfter": soon(cluster, 60)}))
    run(cluster, key)
    changed(cluster, key, cutover=a_document(cutover={**MANUAL, "notAfter": soon(cluster, 600)}).spec.cutover)
    approve(cluster, key)
    assert run(cluster, key).phase == "Succeeded"


@pytest.mark.parametrize(
    "cutover", [{"mode": "At", "at": "2025-12-31T23:00:00Z"}, {"notAfter": "2025-12-31T23:00:00Z"}]
)
def test_a_moment_in_the_past_is_refused_with_its_own_reason(cutover: dict[str, object]) -> None:
    cluster = a_cluster()
    status = run(cluster, cluster.add(a_document(cutover=cutover)))
    assert (status.phase, status.failure_reason) == ("Failed", "CutoverInThePast")
    assert all(workload.version == 1 for workload in cluster.workloads.values())


def test_a_plan_says_that_the_moment_is_over() -> None:
    cluster = a_cluster()
    document = a_document(mode="Plan", cutover={"mode": "At", "at": "2025-12-31T23:00:00Z"})
    assert run(cluster, cluster.add(document)).failure_reason == "CutoverInThePast"


@pytest.mark.parametrize(("more", "phase"), [({}, "Failed"), ({"notAfter": "2026-01-01T06:00:00Z"}, "Succeeded")])
def test_a_retry_after_the_moment_goes_on_in_an_open_window_only(more: dict[str, object], phase: str) -> None:
    cluster = a_cluster()
    cluster.claims["claim/data-old"] = ClaimFacts(exists=False)
    key = cluster.add(a_document(cutover=at(cluster, 60, **more)))
    run(cluster, key)
    cluster.claims["claim/data-old"] = ClaimFacts(exists=True, uid="late")
    cluster.tick(3600)
    annotated(cluster, key, RETRY, "1")
    status = run(cluster, key)
    assert (status.phase, status.failure_reason) == (phase, "" if phase == "Succeeded" else "CutoverInThePast")


def test_an_estimate_beyond_the_window_is_a_warning_and_no_more() -> None:
    cluster = a_cluster()
    status = run(cluster, cluster.add(a_document(cutover=at(cluster, 60, notAfter=soon(cluster, 70)))))
    assert status.phase == "Succeeded"
    assert any("cutover.notAfter" in warning for warning in status.warnings)


@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_a_waiting_migration_can_be_stopped_and_gives_everything_back(how: str) -> None:
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    key = cluster.add(a_document(cutover=MANUAL))
    wait(cluster, key)
    stop(cluster, key, how)
    status = run(cluster, key)
    assert (status.phase == "Cancelled") if how == "cancel" else (key not in cluster.migrations)
    assert_source_works(cluster)
    assert_workloads_are_back(cluster, Status())
    assert not cluster.leases


def test_a_target_that_is_scaled_back_during_the_wait_is_named() -> None:
    cluster = a_cluster()
    key = cluster.add(a_document(cutover=MANUAL))
    wait(cluster, key)
    store = cluster.workloads[STORE]
    store.replicas, store.version = 2, store.version + 1
    assert run(cluster, key).failure_reason == "ScaledBack"
    assert_source_works(cluster)


def test_a_source_that_comes_back_before_the_cut_over_of_a_retry_is_no_fault() -> None:
    """An earlier round could not bring it back; somebody else does, while the retry waits for its cut-over."""
    cluster = a_cluster()
    key = cluster.add(a_document(cutover=MANUAL))
    wait(cluster, key)
    migration = cluster.migrations[key]
    web = cluster.workloads[WEB]
    down = WorkloadStatus(kind=WEB.kind, name=WEB.name, side=Side.SOURCE, replicas=3, state=WorkloadState.DOWN)
    migration.status = migration.status.model_copy(update={"workloads": (*migration.status.workloads, down)})
    web.version += 1
    assert wait(cluster, key).phase == "AwaitingCutover"
    approve(cluster, key)
    status = run(cluster, key)
    assert status.phase == "Succeeded", status.failure
    assert_workloads_are_back(cluster, status)


@pytest.mark.parametrize("mode", ["Manual", "At"])
def test_the_wait_survives_a_death_wherever_it_comes(mode: str) -> None:
    """A person approves as soon as the migration asks for it; the clock does so by itself."""

    def approving(cluster: FakeCluster, what: str, thing: object) -> None:
        watch_invariants(cluster, what, thing)
        if what == "saved" and isinstance(thing, tuple) and condition(thing[2], "AwaitingCutover"):
            spec = cluster.migrations[thing[0]].document.spec
            if mode == "Manual" and not spec.cutover.approved:
                approve(cluster, thing[0])

    whole = a_cluster()
    whole.watcher = approving
    key = whole.add(a_document(cutover=MANUAL if mode == "Manual" else at(whole, 45)))
    left = deaths(whole, key)
    for dies_at, cluster in enumerate(left):
        cluster.tick()
        status = run(cluster, key)
        assert status.phase == "Succeeded", f"died at {dies_at}: {status.failure}"
        assert_workloads_are_back(cluster, status)
    assert len(left) > 80
