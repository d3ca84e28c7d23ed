"""Whole migrations against the fake cluster: what happens, in which order, and what is left."""

from __future__ import annotations

from project_migration.backends.fake import Behaviour
from project_migration.engine.world import ClaimFacts
from project_migration.model.status import State

from .surroundings import a_cluster, a_document, assert_workloads_are_back, run, watch_invariants


def test_a_migration_succeeds_and_workloads_come_back() -> None:
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    key = cluster.add(a_document())
    status = run(cluster, key)
    assert status.phase == "Succeeded", status.failure
    assert [step.state for step in status.steps] == [State.SUCCEEDED] * 9
    assert status.progress.percent == 100
    assert status.result is not None
    assert not cluster.helpers
    assert not cluster.leases
    assert_workloads_are_back(cluster, status)


def test_preflight_names_everything_at_once_and_writes_nothing() -> None:
    cluster = a_cluster()
    cluster.claims["claim/data-old"] = ClaimFacts(exists=False)
    cluster.facts["home"] = {"target": {"empty": False, "entries": 7}}
    key = cluster.add(a_document())
    status = run(cluster, key)
    assert status.phase == "Failed"
    assert status.first_write_at is None
    assert "claim data-old does not exist" in status.failure
    assert "holds 7 object(s)" in status.failure
    assert_workloads_are_back(cluster, status)


def test_a_failed_copy_brings_the_source_back_and_holds_the_target() -> None:
    cluster = a_cluster()
    cluster.behaviours["copy", "home"] = [Behaviour.FAIL]
    key = cluster.add(a_document())
    status = run(cluster, key)
    assert (status.phase, status.failure_reason) == ("Failed", "CopyIncomplete")
    assert any(c.type == "TargetHeld" and c.status == "True" for c in status.conditions)
    assert_workloads_are_back(cluster, status)
