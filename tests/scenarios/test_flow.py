"""Whole migrations against the fake cluster: what happens, in which order, and what is left."""

from __future__ import annotations

import pytest

from project_migration.backends.fake import Behaviour, FakeBackend, FakeCluster, FakeHelper
from project_migration.engine.effects import Rights
from project_migration.engine.itinerary import MIGRATE
from project_migration.engine.names import Key
from project_migration.engine.world import ClaimFacts, NamespaceFacts
from project_migration.model.document import Mode
from project_migration.model.errors import Failure, Reason
from project_migration.model.labels import RELEASE, RETRY
from project_migration.model.status import State
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


def test_a_migration_succeeds_and_workloads_come_back() -> None:
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    key = cluster.add(a_document())
    status = run(cluster, key)
    assert status.phase == "Succeeded", status.failure
    assert [step.state for step in status.steps] == [State.SUCCEEDED] * len(MIGRATE)
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


def test_a_failed_copy_that_halts_brings_the_source_back_and_holds_the_target() -> None:
    cluster = a_cluster()
    cluster.behaviours["copy", "home"] = [Behaviour.FAIL]
    key = cluster.add(a_document(onFailure="Halt"))
    status = run(cluster, key)
    assert (status.phase, status.failure_reason) == ("Failed", "CopyIncomplete")
    assert any(c.type == "TargetHeld" and c.status == "True" for c in status.conditions)
    assert_workloads_are_back(cluster, status)


def changed(cluster: FakeCluster, key: Key, **spec: object) -> None:
    """A person edits the spec."""
    migration = cluster.migrations[key]
    document = migration.document
    migration.document = document.model_copy(update={"spec": document.spec.model_copy(update=spec)})
    migration.generation += 1
    migration.version += 1


def annotated(cluster: FakeCluster, key: Key, annotation: str, value: str) -> None:
    cluster.migrations[key].annotations[annotation] = value
    cluster.migrations[key].version += 1


def events(cluster: FakeCluster) -> list[str]:
    return [event.reason for _, event in cluster.events]


def test_a_retry_goes_on_with_the_target_that_was_held() -> None:
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    cluster.behaviours["copy", "home"] = [Behaviour.FAIL]
    key = cluster.add(a_document())
    run(cluster, key)
    annotated(cluster, key, RETRY, "1")
    status = run(cluster, key)
    assert status.phase == "Succeeded", status.failure
    assert status.itinerary is not None
    assert status.itinerary.round == 2
    assert_workloads_are_back(cluster, status)


def test_a_retry_of_a_migration_that_did_not_fail_changes_nothing() -> None:
    cluster = a_cluster()
    key = cluster.add(a_document())
    before = run(cluster, key)
    annotated(cluster, key, RETRY, "1")
    assert run(cluster, key).steps == before.steps


def test_a_person_releases_a_held_target() -> None:
    cluster = a_cluster()
    cluster.behaviours["verify", "home"] = [Behaviour.FAIL]
    key = cluster.add(a_document(onFailure="Halt"))
    assert any(c.type == "TargetHeld" for c in run(cluster, key).conditions)
    annotated(cluster, key, RELEASE, "the target is in order, I looked")
    settle(cluster, key)
    status = cluster.migrations[key].status
    assert not any(c.type == "TargetHeld" for c in status.conditions)
    assert status.phase == "Failed"
    assert_workloads_are_back(cluster, status)


def test_a_plan_changes_nothing_and_may_be_carried_out_afterwards() -> None:
    cluster = a_cluster()
    key = cluster.add(a_document(mode="Plan"))
    status = run(cluster, key)
    assert (status.phase, status.first_write_at) == ("Planned", None)
    assert [(unit.name, unit.items, unit.bytes) for unit in status.plan] == [("data", 3, 30), ("home", 3, 30)]
    assert all(workload.version == 1 for workload in cluster.workloads.values())
    changed(cluster, key, mode=Mode.MIGRATE)
    assert run(cluster, key).phase == "Succeeded"


def test_a_document_that_is_mended_before_the_first_write_starts_anew() -> None:
    cluster = a_cluster()
    cluster.claims["claim/data-old"] = ClaimFacts(exists=False)
    key = cluster.add(a_document())
    assert run(cluster, key).phase == "Failed"
    cluster.claims["claim/data-old"] = ClaimFacts(exists=True, uid="late")
    changed(cluster, key, retries=2)
    assert run(cluster, key).phase == "Succeeded"


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [(Behaviour.NEVER_START, "HelperNotStarted"), (Behaviour.SILENT, "HelperSilent")],
)
def test_a_helper_that_gets_nowhere_ends_with_its_own_reason(behaviour: Behaviour, reason: str) -> None:
    cluster = a_cluster()
    cluster.behaviours["copy", "data"] = [behaviour] * 9
    key = cluster.add(a_document())
    status = run(cluster, key)
    assert (status.phase, status.failure_reason) == ("Failed", reason)
    assert "timeouts." in status.failure
    assert_workloads_are_back(cluster, status)


@pytest.mark.parametrize("behaviour", [Behaviour.CRASH, Behaviour.LIE, Behaviour.FAIL_PASSING])
def test_a_passing_failure_is_tried_again_and_only_evidence_counts(behaviour: Behaviour) -> None:
    cluster = a_cluster()
    cluster.behaviours["copy", "data"] = [behaviour, behaviour]
    key = cluster.add(a_document())
    status = run(cluster, key)
    assert status.phase == "Succeeded"
    copied = next(step for step in status.steps if step.id == "copy")
    assert {unit.name: unit.attempt for unit in copied.units} == {"data": 3, "home": 1}
    assert events(cluster).count("Retried") == 2


def test_retries_are_bounded() -> None:
    cluster = a_cluster()
    cluster.behaviours["copy", "data"] = [Behaviour.CRASH] * 50
    key = cluster.add(a_document(retries=2))
    status = run(cluster, key)
    assert status.phase == "Failed"
    assert len(cluster.behaviours["copy", "data"]) == 47


def test_a_permanent_failure_is_not_tried_again() -> None:
    cluster = a_cluster()
    cluster.behaviours["copy", "data"] = [Behaviour.OUT_OF_MEMORY] * 3
    key = cluster.add(a_document())
    assert run(cluster, key).failure_reason == "HelperOutOfMemory"
    assert len(cluster.behaviours["copy", "data"]) == 2


def test_pods_that_do_not_end_are_named_when_the_time_is_over() -> None:
    cluster = a_cluster()
    cluster.workloads[WEB].stuck = True
    key = cluster.add(a_document())
    status = run(cluster, key)
    assert status.failure_reason == "QuiesceTimeout"
    assert "web-0" in status.failure
    assert status.first_write_at is None
    assert_workloads_are_back(cluster, status)


def test_a_workload_that_is_scaled_back_during_the_copy_is_named() -> None:
    cluster = a_cluster()
    key = cluster.add(a_document())
    cluster.behaviours["copy", "data"] = [Behaviour.SILENT]

    def scale_back(cluster: FakeCluster, what: str, thing: object) -> None:
        if what == "runs" and isinstance(thing, FakeHelper) and thing.spec.request.step == "copy":
            cluster.workloads[WEB].replicas = 3
            cluster.workloads[WEB].version += 1

    cluster.watcher = scale_back
    status = run(cluster, key)
    assert status.failure_reason == "ScaledBack"
    assert "Deployment web" in status.failure
    assert_workloads_are_back(cluster, status)


def test_what_would_scale_a_workload_back_is_named_before_anything_is_done() -> None:
    cluster = a_cluster()
    cluster.workloads[WEB].controllers = ("Argo CD application shop",)
    key = cluster.add(a_document())
    status = run(cluster, key)
    assert status.failure_reason == "ScaledBack"
    assert "Argo CD application shop" in status.failure
    assert cluster.workloads[WEB].version == 1


def test_what_may_scale_a_workload_back_is_a_warning_that_stops_nothing() -> None:
    cluster = a_cluster()
    cluster.workloads[WEB].suspects = ("Argo CD application shop",)
    key = cluster.add(a_document())
    status = run(cluster, key)
    assert status.phase == "Succeeded"
    assert status.warnings == ("Deployment web may be scaled back by Argo CD application shop",)
    assert "Warned" in {event.reason for _, event in cluster.events}


@pytest.mark.parametrize(("allowed", "rights"), [(True, Rights.OWNERS), (False, Rights.NONE)])
def test_admission_is_offered_helpers_as_they_will_be(allowed: bool, rights: Rights) -> None:
    cluster = a_cluster()
    cluster.namespace = NamespaceFacts(privileged_helpers=allowed)
    key = cluster.add(a_document())
    run(cluster, key)
    assert {spec.rights for spec in cluster.offered} == {rights}


def test_a_pod_that_nobody_quiesces_is_named_in_preflight() -> None:
    cluster = a_cluster()
    key = cluster.add(a_document(quiesce={}))
    status = run(cluster, key)
    assert status.failure_reason == "ClaimInUse"
    assert "Deployment web" in status.failure


def test_discovered_workloads_are_quiesced_and_come_back() -> None:
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    key = cluster.add(a_document(quiesce={"discover": True}))
    status = run(cluster, key)
    assert status.phase == "Succeeded", status.failure
    assert {(w.name, w.replicas) for w in status.workloads} == {("web", 3), ("store", 2)}
    assert_workloads_are_back(cluster, status)


def test_a_workload_may_stay_down_after_success_and_comes_back_after_failure() -> None:
    quiesce = {"workloads": [{"kind": "Deployment", "name": "web", "side": "Source", "afterSuccess": "StayDown"}]}
    for behaviours, replicas in (([], 0), ([Behaviour.FAIL], 3)):
        cluster = a_cluster()
        del cluster.workloads[STORE]
        cluster.behaviours["copy", "data"] = behaviours
        run(cluster, cluster.add(a_document(quiesce=quiesce)))
        assert (cluster.workloads[WEB].replicas, cluster.workloads[WEB].holder) == (replicas, "")


def test_a_workspace_is_made_when_only_its_size_is_given() -> None:
    cluster = a_cluster()
    key = cluster.add(a_document(workspace={"size": "1Gi"}))
    status = run(cluster, key)
    assert status.phase == "Succeeded"
    assert cluster.claims[f"claim/{status.workspace_claim}"].exists


def test_a_suspended_migration_starts_no_helper_until_it_goes_on() -> None:
    cluster = a_cluster()
    key = cluster.add(a_document(suspend=True))
    with pytest.raises(AssertionError, match="not ended"):
        run(cluster, key, seconds=50)
    assert not cluster.helpers
    changed(cluster, key, suspend=False)
    assert run(cluster, key).phase == "Succeeded"


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"source": {"exists": False}}, "SourceNotFound"),
        ({"source": {"isDirectory": False}}, "SourceNotADirectory"),
        ({"source": {"readable": False}}, "SourceUnreadable"),
        ({"source": {"unreadable": 2}}, "SourceUnreadable"),
        ({"source": {"diskBytes": 10**12}, "target": {"freeBytes": 10**9}}, "NotEnoughSpace"),
        ({"source": {"entries": 10**6}, "target": {"freeInodes": 10}}, "NotEnoughInodes"),
        ({"target": {"writable": False}}, "TargetReadOnly"),
        ({"target": {"isDirectory": False}}, "TargetNotADirectory"),
        ({"target": {"empty": False}}, "TargetNotEmpty"),
        ({"source": {"nested": True}}, "PathsOverlap"),
        ({"source": {"foreignOwners": 3}, "target": {"canChown": False}}, "PrivilegeDenied"),
    ],
)
def test_what_a_survey_finds_is_refused_with_its_reason(facts: dict[str, dict[str, object]], reason: str) -> None:
    cluster = a_cluster()
    cluster.facts["home"] = facts
    status = run(cluster, cluster.add(a_document()))
    assert (status.phase, status.failure_reason, status.first_write_at) == ("Failed", reason, None)
    assert status.remedy
    assert all(workload.version == 1 for workload in cluster.workloads.values())


def test_a_waived_backup_lets_a_target_that_is_not_empty_be_written() -> None:
    cluster = a_cluster()
    cluster.facts["home"] = {"target": {"empty": False}}
    status = run(cluster, cluster.add(a_document(backup={"waive": "a copy lies in the vault"})))
    assert status.phase == "Succeeded"
    assert status.backup is not None
    assert status.backup.waived == "a copy lies in the vault"


def test_admission_speaks_before_anything_is_made() -> None:
    cluster = a_cluster()
    cluster.refused["any"] = Failure(Reason.HELPER_REFUSED, "exceeded quota: pods=10")
    status = run(cluster, cluster.add(a_document()))
    assert status.failure_reason == "HelperRefused"
    assert "exceeded quota" in status.failure


def test_one_event_a_transition() -> None:
    cluster = a_cluster()
    run(cluster, cluster.add(a_document()))
    found = [(event.reason, event.message) for _, event in cluster.events]
    assert len(found) == len(set(found)), "no event comes twice"
    assert sum(reason == "StepFinished" for reason, _ in found) == len(MIGRATE)
    assert sum(reason == "Succeeded" for reason, _ in found) == 1


def test_a_lock_that_is_never_given_back_ends_the_wait() -> None:
    cluster = a_cluster()
    first, second = cluster.add(a_document("first")), cluster.add(a_document("second"))
    cluster.behaviours["preflight", "data"] = [Behaviour.NEVER_START]
    backend = FakeBackend(cluster)
    for _ in range(6):
        one_pass(backend, first, pace=PACE, now=lambda: cluster.now)
    status = run(cluster, second)
    assert status.failure_reason == "LockTimeout"
    assert "ml/first" in status.failure


@pytest.mark.parametrize(("consenting", "reason"), [(False, "NamespaceNotAllowed"), (True, "NotSupportedYet")])
def test_a_claim_of_another_namespace_is_never_mounted(consenting: bool, reason: str) -> None:
    cluster = a_cluster()
    cluster.consenting = frozenset({"victim"} if consenting else ())
    pairs = [
        {
            "name": "data",
            "source": {"claimName": "data-old", "namespace": "victim"},
            "target": {"claimName": "data-new"},
        }
    ]
    key = cluster.add(a_document(volumes={"pairs": pairs}, quiesce={}))
    cluster.workloads.clear()
    status = run(cluster, key)
    assert (status.phase, status.failure_reason) == ("Failed", reason)
    assert cluster.offered == [], "not even as a dry run"


def test_migrations_that_share_a_workspace_claim_have_directories_of_their_own() -> None:
    cluster = a_cluster()
    cluster.workloads.clear()
    seen: dict[str, set[str | None]] = {}

    def note(_cluster: FakeCluster, what: str, thing: object) -> None:
        if what == "runs" and isinstance(thing, FakeHelper) and thing.spec.workspace is not None:
            seen.setdefault(thing.owner, set()).add(thing.spec.workspace.sub_path)

    cluster.watcher = note
    for name in ("first", "second"):
        run(cluster, cluster.add(a_document(name, quiesce={}, backup={"waive": "the second may overwrite"})))
    assert len(seen) == 2
    assert all(len(paths) == 1 and None not in paths for paths in seen.values())
    assert len(set.union(*seen.values())) == 2


def test_a_workspace_that_is_refused_ends_the_wait_and_says_why() -> None:
    cluster = a_cluster()
    key = cluster.add(a_document(workspace={"size": "1Ti"}))
    cluster.denied["pmig-vision-workspace"] = Failure(Reason.HELPER_REFUSED, "exceeded quota: storage=1Ti")
    status = run(cluster, key)
    assert (status.phase, status.failure_reason) == ("Failed", "HelperRefused")
    assert "exceeded quota: storage=1Ti" in status.failure


def test_a_held_target_that_is_scaled_up_after_the_end_is_taken_down_again() -> None:
    cluster = a_cluster()
    cluster.behaviours["copy", "home"] = [Behaviour.FAIL]
    key = cluster.add(a_document(onFailure="Halt"))
    run(cluster, key)
    store = cluster.workloads[STORE]
    store.replicas, store.version = 2, store.version + 1
    settle(cluster, key)
    assert store.replicas == 0
    assert_workloads_are_back(cluster, cluster.migrations[key].status)


@pytest.mark.parametrize(("skew", "words"), [(75.0, "75s ahead of"), (-300.0, "300s behind"), (20.0, ""), (None, "")])
def test_a_clock_that_differs_is_a_warning_and_no_more(skew: float | None, words: str) -> None:
    cluster = a_cluster()
    cluster.clock_skew = skew
    status = run(cluster, cluster.add(a_document()))
    assert status.phase == "Succeeded"
    assert [words in warning for warning in status.warnings] == ([True] if words else [])
