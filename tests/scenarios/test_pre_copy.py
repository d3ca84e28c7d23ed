"""Warm copies: made while users work on the source, with the target at rest; the last copy takes their work over."""

from __future__ import annotations

from typing import Any

import pytest

from project_migration.backends.fake import Behaviour, FakeCluster, FakeHelper
from project_migration.model.labels import RETRY
from project_migration.model.status import State, Status, StepStatus
from project_migration.observing.metrics import transition

from .surroundings import STORE, WEB, a_cluster, a_document, assert_workloads_are_back, run, watch_invariants
from .test_crashes import deaths, stop
from .test_cutover import MANUAL, assert_source_works, wait
from .test_flow import annotated, changed, events


class Helpers:
    """Watches the invariants, and keeps the params of every copying helper in the order in which they ran."""

    def __init__(self) -> None:
        self.warm: list[dict[str, Any]] = []
        self.last: list[dict[str, Any]] = []
        self.proofs: list[dict[str, Any]] = []

    def __call__(self, cluster: FakeCluster, what: str, thing: object) -> None:
        watch_invariants(cluster, what, thing)
        if what == "runs" and isinstance(thing, FakeHelper):
            request = thing.spec.request
            kept = {"pre_copy": self.warm, "copy": self.last, "verify": self.proofs}.get(request.step)
            if kept is not None:
                kept.append({**request.params, "source works": cluster.workloads[WEB].replicas == 3})


def watched(cluster: FakeCluster) -> Helpers:
    helpers = Helpers()
    cluster.watcher = helpers
    return helpers


def warm_step(status: Status) -> StepStatus:
    return next(step for step in status.steps if step.id == "pre_copy")


def a_warm_one(passes: int = 2, **spec: object) -> Any:
    transfer = {"preCopy": passes, **spec.pop("transfer", {})}  # type: ignore[dict-item]
    return a_document(transfer=transfer, **spec)


def test_without_a_word_no_warm_copy_is_made() -> None:
    cluster = a_cluster()
    helpers = watched(cluster)
    status = run(cluster, cluster.add(a_document()))
    assert (status.phase, helpers.warm) == ("Succeeded", [])
    assert [params["delete"] for params in (*helpers.last, *helpers.proofs)] == [False] * 4


def test_each_pass_is_made_while_users_work_and_the_last_copy_without_them() -> None:
    cluster = a_cluster()
    helpers = watched(cluster)
    key = cluster.add(a_warm_one(3))
    status = run(cluster, key)
    assert status.phase == "Succeeded", status.failure
    assert [params["pass"] for params in helpers.warm] == [1, 1, 2, 2, 3, 3]
    assert all(params["source works"] for params in helpers.warm)
    assert not any(params["source works"] for params in helpers.last)
    assert (warm_step(status).pass_number, warm_step(status).message) == (3, "3 warm copies")
    assert_workloads_are_back(cluster, status)


def test_the_mark_stays_for_the_last_copy_and_a_way_back() -> None:
    cluster = a_cluster()
    helpers = watched(cluster)
    run(cluster, cluster.add(a_warm_one()))
    assert {params["release"] for params in helpers.warm} == {False}
    assert {params["release"] for params in helpers.last} == {False}, "settled when all is over"
    assert all(params["requireEmpty"] for params in (*helpers.warm, *helpers.last)), "known by its mark"


def test_a_warm_copy_is_a_write_that_is_on_record_before() -> None:
    cluster = a_cluster()
    key = cluster.add(a_warm_one(cutover=MANUAL))
    status = wait(cluster, key)
    assert status.first_write_at is not None
    assert_source_works(cluster)
    stop(cluster, key, "cancel")
    status = run(cluster, key)
    assert (status.phase, status.first_write_at) == ("Cancelled", None)
    assert status.rolled_back_at is not None, "what was there is not whole"
    assert_workloads_are_back(cluster, status)


def test_what_changes_while_it_is_read_fails_no_warm_copy() -> None:
    cluster = a_cluster()
    cluster.behaviours["pre_copy", "data"] = [Behaviour.CHANGED] * 2
    status = run(cluster, cluster.add(a_warm_one()))
    assert status.phase == "Succeeded", status.failure
    assert "1 object(s) changed" in warm_step(status).message
    assert warm_step(status).units[0].counts["changed"] == 1
    assert "Retried" not in events(cluster)


def test_what_changes_in_the_last_copy_is_a_failure_as_ever() -> None:
    cluster = a_cluster()
    cluster.behaviours["copy", "data"] = [Behaviour.CHANGED] * 9
    assert run(cluster, cluster.add(a_warm_one())).failure_reason == "SourceChanged"


def test_another_failure_of_a_warm_copy_ends_it_while_users_work() -> None:
    cluster = a_cluster()
    watched(cluster)
    cluster.behaviours["pre_copy", "home"] = [Behaviour.FAIL]
    status = run(cluster, cluster.add(a_warm_one()))
    assert (status.phase, status.failure_reason) == ("Failed", "CopyIncomplete")
    assert_source_works(cluster)
    assert_workloads_are_back(cluster, status)


@pytest.mark.parametrize("behaviour", [Behaviour.CRASH, Behaviour.LIE, Behaviour.FAIL_PASSING])
def test_a_passing_failure_is_tried_again_within_its_pass(behaviour: Behaviour) -> None:
    cluster = a_cluster()
    helpers = watched(cluster)
    cluster.behaviours["pre_copy", "data"] = [Behaviour.SUCCEED, behaviour]
    status = run(cluster, cluster.add(a_warm_one()))
    assert status.phase == "Succeeded"
    assert sorted(params["pass"] for params in helpers.warm) == [1, 1, 2, 2, 2]
    assert events(cluster).count("Retried") == 1


def test_a_pass_that_found_nothing_to_copy_is_the_last() -> None:
    cluster = a_cluster()
    cluster.copied["pre_copy"] = 0
    status = run(cluster, cluster.add(a_warm_one(9)))
    assert (status.phase, warm_step(status).pass_number) == ("Succeeded", 1)


def test_what_the_source_lost_may_go_from_a_target_that_was_empty_only() -> None:
    for backup, removed in ((None, True), ({"waive": "nothing there is needed"}, False)):
        cluster = a_cluster()
        for unit in ("data", "home"):
            cluster.facts[unit] = {"target": {"empty": removed, "entries": 7}}
        helpers = watched(cluster)
        status = run(cluster, cluster.add(a_warm_one(backup=backup)))
        assert status.phase == "Succeeded"
        assert [params["delete"] for params in helpers.warm] == [False, False, removed, removed]
        assert {params["delete"] for params in (*helpers.last, *helpers.proofs)} == {removed}
        assert any("transfer.delete" in warning for warning in status.warnings) is not removed


def test_a_retry_s_helpers_have_new_names() -> None:
    cluster = a_cluster()
    helpers = watched(cluster)
    cluster.behaviours["copy", "home"] = [Behaviour.FAIL]
    key = cluster.add(a_warm_one())
    first = run(cluster, key)
    names = {unit.helper for unit in warm_step(first).units}
    annotated(cluster, key, RETRY, "1")
    helpers.last.clear()
    status = run(cluster, key)
    assert status.phase == "Succeeded", status.failure
    assert not names & {unit.helper for unit in warm_step(status).units}


def test_fewer_passes_may_be_asked_for_meanwhile() -> None:
    cluster = a_cluster()
    cluster.behaviours["pre_copy", "data"] = [Behaviour.SILENT]
    key = cluster.add(a_warm_one(5))
    wait(cluster, key, 15)
    changed(cluster, key, transfer=a_document().spec.transfer)
    cluster.behaviours.clear()
    status = run(cluster, key)
    assert (status.phase, warm_step(status).pass_number) == ("Succeeded", 1)


def test_a_suspended_migration_begins_no_warm_copy() -> None:
    cluster = a_cluster()
    helpers = watched(cluster)
    key = cluster.add(a_warm_one(cutover=MANUAL))
    while not helpers.warm:
        wait(cluster, key, 1)
    changed(cluster, key, suspend=True)
    status = wait(cluster, key)
    assert {params["pass"] for params in helpers.warm} == {1}
    assert "suspended" in warm_step(status).message or "suspended" in status.conditions[0].message


def test_a_target_that_is_scaled_back_during_a_warm_copy_is_named() -> None:
    cluster = a_cluster()
    cluster.behaviours["pre_copy", "data"] = [Behaviour.SILENT]
    key = cluster.add(a_warm_one())
    wait(cluster, key, 15)
    store = cluster.workloads[STORE]
    store.replicas, store.version = 2, store.version + 1
    status = run(cluster, key)
    assert status.failure_reason == "ScaledBack"
    assert_source_works(cluster)


def test_every_helper_of_every_pass_is_counted_once() -> None:
    cluster = a_cluster()
    outcomes: list[str] = []

    def count(cluster: FakeCluster, what: str, thing: object) -> None:
        if what == "saved" and isinstance(thing, tuple):
            found = transition(thing[1], thing[2]).helpers
            outcomes.extend(helper.outcome for helper in found if helper.step == "pre_copy")

    cluster.watcher = count
    run(cluster, cluster.add(a_warm_one(3)))
    assert outcomes == ["Succeeded"] * 6


def test_warm_copies_survive_a_death_wherever_it_comes() -> None:
    whole = a_cluster()
    whole.watcher = watch_invariants
    whole.behaviours["pre_copy", "data"] = [Behaviour.CHANGED, Behaviour.FAIL_PASSING]
    key = whole.add(a_warm_one())
    left = deaths(whole, key)
    for dies_at, cluster in enumerate(left):
        cluster.tick()
        status = run(cluster, key)
        assert status.phase == "Succeeded", f"died at {dies_at}: {status.failure}"
        assert warm_step(status).state is State.SUCCEEDED
        assert_workloads_are_back(cluster, status)
    assert len(left) > 100
