"""A document that was carried out comes again on a new object, as from Git after a cluster was lost."""

from __future__ import annotations

import pytest

from project_migration.backends.fake import Behaviour, FakeCluster
from project_migration.engine.names import Key
from project_migration.model.document import Document
from project_migration.model.labels import RETRY
from project_migration.model.status import State, Status

from .surroundings import a_cluster, a_document, assert_workloads_are_back, run, watch_invariants
from .test_crashes import deaths
from .test_databases import both_kinds
from .test_flow import annotated, changed, events

BACKUP = {"backup": {"claimName": "backup"}}


def carried_out(document: Document) -> FakeCluster:
    """A cluster in which it succeeded, whose users work on the targets, and that has lost the object."""
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    key = cluster.add(document)
    assert run(cluster, key).phase == "Succeeded"
    del cluster.migrations[key]
    for unit in ("data", "home", "shop"):
        cluster.facts[unit] = {"target": {"empty": False, "entries": 7}}
    cluster.facts["shop"]["problems"] = {
        "found": [{"reason": "TargetNotEmpty", "message": "it holds tables", "passing": False}],
        "count": 1,
    }
    cluster.events.clear()
    return cluster


def wrote(cluster: FakeCluster, key: Key) -> list[str]:
    """Runs it to its end, and returns the steps in which helpers ran that were not surveys."""
    found: list[str] = []
    uid = cluster.migrations[key].uid

    def look(at: FakeCluster, what: str, thing: object) -> None:
        watch_invariants(at, what, thing)
        request = getattr(getattr(thing, "spec", None), "request", None)
        if what == "runs" and request is not None and request.migration_uid == uid and "survey" not in request.worker:
            found.append(request.step)

    cluster.watcher = look
    run(cluster, key)
    return found


def assert_recognised(cluster: FakeCluster, status: Status) -> None:
    assert (status.phase, status.failure, status.first_write_at) == ("AlreadyMigrated", "", None)
    ready = next(condition for condition in status.conditions if condition.type == "Ready")
    assert (ready.status, ready.reason) == ("True", "AlreadyMigrated")
    assert "spec.force" in ready.message
    assert not status.workloads, "nothing was quiesced"
    assert not cluster.leases
    assert not cluster.helpers


@pytest.mark.parametrize("spec", [{}, BACKUP], ids=["refused otherwise", "written over otherwise"])
@pytest.mark.parametrize("kind", [a_document, both_kinds], ids=["volumes", "databases too"])
def test_a_document_that_was_carried_out_changes_nothing(kind: type, spec: dict[str, object]) -> None:
    cluster = carried_out(kind(**spec))
    key = cluster.add(kind(**spec))
    before = dict(cluster.arrived)
    assert wrote(cluster, key) == []
    assert_recognised(cluster, cluster.migrations[key].status)
    assert cluster.arrived == before
    assert "AlreadyMigrated" in events(cluster)
    assert not any(event.warning for _, event in cluster.events)
    assert_workloads_are_back(cluster, cluster.migrations[key].status)


def test_what_does_not_decide_the_outcome_does_not_make_it_another_document() -> None:
    cluster = carried_out(a_document())
    later = a_document(
        workspace={"claimName": "backup"}, retries=7, transfer={"workers": 9, "bandwidth": "1Gi"}, **BACKUP
    )
    assert run(cluster, cluster.add(later)).phase == "AlreadyMigrated"


@pytest.mark.parametrize(
    "spec",
    [{"transfer": {"delete": True}}, {"transfer": {"verify": "Metadata"}}, {"ownership": {"mode": "Helper", "uid": 7}}],
)
def test_another_document_is_judged_as_ever(spec: dict[str, object]) -> None:
    cluster = carried_out(a_document())
    status = run(cluster, cluster.add(a_document(**spec)))
    assert (status.phase, status.failure_reason) == ("Failed", "TargetNotEmpty")


def test_another_name_is_another_document() -> None:
    cluster = carried_out(a_document())
    assert run(cluster, cluster.add(a_document("another"))).failure_reason == "TargetNotEmpty"


def test_where_only_some_targets_say_so_the_ordinary_rules_hold() -> None:
    cluster = carried_out(a_document())
    del cluster.arrived["claim/home-new"]
    status = run(cluster, cluster.add(a_document()))
    assert (status.phase, status.failure_reason) == ("Failed", "TargetNotEmpty")
    assert "data: the target holds 7" in status.failure


def test_a_moment_that_is_over_does_not_hide_that_it_was_carried_out() -> None:
    cutover = {"mode": "At", "at": "2026-01-01T00:10:00Z", "notAfter": "2026-01-01T01:00:00Z"}
    cluster = carried_out(a_document(cutover=cutover))
    cluster.tick(7200)
    assert run(cluster, cluster.add(a_document(cutover=cutover))).phase == "AlreadyMigrated"


def test_a_new_token_runs_it_again_with_a_backup_of_what_users_have_by_then() -> None:
    cluster = carried_out(a_document(**BACKUP))
    key = cluster.add(a_document(force="once more", **BACKUP))
    steps = wrote(cluster, key)
    status = cluster.migrations[key].status
    assert (status.phase, status.handled_force) == ("Succeeded", "once more")
    assert steps.index("back_up") < steps.index("copy")
    assert_workloads_are_back(cluster, status)


def test_a_token_does_not_write_over_what_is_not_kept() -> None:
    cluster = carried_out(a_document())
    status = run(cluster, cluster.add(a_document(force="once more")))
    assert (status.phase, status.failure_reason, status.first_write_at) == ("Failed", "TargetNotEmpty", None)


def test_a_token_that_was_carried_out_is_known_again_even_by_a_new_object() -> None:
    cluster = carried_out(a_document(force="a", **BACKUP))
    assert run(cluster, cluster.add(a_document(force="a", **BACKUP))).phase == "AlreadyMigrated"
    del cluster.migrations[Key("ml", "vision")]
    assert run(cluster, cluster.add(a_document(**BACKUP))).phase == "AlreadyMigrated"
    del cluster.migrations[Key("ml", "vision")]
    assert run(cluster, cluster.add(a_document(force="b", **BACKUP))).phase == "Succeeded"


def test_a_finished_migration_runs_again_once_for_each_token() -> None:
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    key = cluster.add(a_document(**BACKUP))
    assert run(cluster, key).phase == "Succeeded"
    cluster.facts["data"] = {"target": {"empty": False, "entries": 7}}
    changed(cluster, key, force="again")
    status = run(cluster, key)
    assert (status.phase, status.handled_force) == ("Succeeded", "again")
    assert status.itinerary is not None
    assert status.itinerary.round == 2
    kept = {unit.name: unit.keeping for unit in status.backup.units} if status.backup else {}
    assert kept["data"] == "Kept", "what users have by then"
    changed(cluster, key, suspend=False)
    status = run(cluster, key)
    assert status.itinerary is not None
    assert status.itinerary.round == 2, "a token that was handled does not run twice"
    assert_workloads_are_back(cluster, status)


def test_one_that_was_recognised_runs_when_it_is_given_a_token() -> None:
    cluster = carried_out(a_document(**BACKUP))
    key = cluster.add(a_document(**BACKUP))
    assert run(cluster, key).phase == "AlreadyMigrated"
    changed(cluster, key, force="again")
    assert run(cluster, key).phase == "Succeeded"


def test_a_document_mended_after_it_was_recognised_is_looked_at_anew() -> None:
    cluster = carried_out(a_document())
    key = cluster.add(a_document())
    assert run(cluster, key).phase == "AlreadyMigrated"
    transfer = cluster.migrations[key].document.spec.transfer
    changed(cluster, key, transfer=transfer.model_copy(update={"delete": True}))
    assert run(cluster, key).failure_reason == "TargetNotEmpty"


def test_a_forced_run_that_failed_is_tried_again_and_not_taken_for_done() -> None:
    cluster = carried_out(a_document(**BACKUP))
    cluster.behaviours["copy", "data"] = [Behaviour.FAIL]
    key = cluster.add(a_document(force="again", **BACKUP))
    assert run(cluster, key).phase == "Failed"
    annotated(cluster, key, RETRY, "now")
    assert run(cluster, key).phase == "Succeeded"


def test_after_an_undo_nothing_says_that_it_was_carried_out() -> None:
    cluster = a_cluster()
    key = cluster.add(a_document())
    assert run(cluster, key).phase == "Succeeded"
    assert set(cluster.arrived) == {"claim/data-new", "claim/home-new"}
    changed(cluster, key, undo=True)
    assert run(cluster, key).phase == "Undone"
    assert not cluster.arrived


@pytest.mark.parametrize("spec", [{"onFailure": "Halt"}, {}], ids=["halted", "rolled back"])
@pytest.mark.parametrize("step", ["copy", "verify"])
def test_a_migration_that_failed_says_nothing_on_its_targets(spec: dict[str, object], step: str) -> None:
    cluster = a_cluster()
    cluster.behaviours[step, "data"] = [Behaviour.FAIL]
    assert run(cluster, cluster.add(a_document(**spec))).phase == "Failed"
    assert not cluster.arrived


def test_a_target_that_cannot_say_so_is_a_warning() -> None:
    cluster = a_cluster()

    def unmarked(at: FakeCluster, what: str, thing: object) -> None:
        if what == "ended" and thing.spec.request.worker == "release" and thing.record:  # type: ignore[attr-defined]
            thing.record.counts["unmarked"] = 1  # type: ignore[attr-defined]

    cluster.watcher = unmarked
    status = run(cluster, cluster.add(a_document()))
    assert status.phase == "Succeeded"
    assert [words.partition(":")[0] for words in status.warnings] == ["data", "home"]


def test_a_target_that_users_hold_again_may_stay_untold_where_nothing_has_to_go() -> None:
    for unit, phase in (("home", "Succeeded"), ("data", "Failed")):
        cluster = a_cluster()
        cluster.facts["home"] = {"target": {"empty": False, "entries": 7}}
        cluster.behaviours["settle", unit] = [Behaviour.NEVER_START] * 9
        status = run(cluster, cluster.add(a_document(**BACKUP)))
        assert status.phase == phase, "from a target that was empty the mark of work has to go"
        if phase == "Succeeded":
            assert any(words.startswith("home: the target does not say") for words in status.warnings)


def test_it_is_recognised_wherever_the_operator_dies() -> None:
    whole = carried_out(a_document(**BACKUP))
    key = whole.add(a_document(**BACKUP))
    left = deaths(whole, key)
    for cluster in left:
        cluster.tick()
        status = run(cluster, key)
        assert_recognised(cluster, status)
    assert len(left) > 20


def test_all_targets_say_so_or_the_migration_has_not_succeeded() -> None:
    whole = a_cluster()
    whole.watcher = watch_invariants
    key = whole.add(a_document())
    left = deaths(whole, key)
    for cluster in left:
        steps = {step.id: step.state for step in cluster.migrations[key].status.steps}
        assert len(cluster.arrived) == 2 or steps.get("settle") is not State.SUCCEEDED
        assert not cluster.arrived or steps["verify"] is State.SUCCEEDED
        cluster.tick()
        assert run(cluster, key).phase == "Succeeded"
        assert len(cluster.arrived) == 2
    assert len(left) > 80
