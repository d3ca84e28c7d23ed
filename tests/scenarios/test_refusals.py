"""What people ask of a migration that has ended and cannot have: it is said once, and nothing is changed."""

from __future__ import annotations

import pytest

from project_migration.backends.fake import Behaviour, FakeCluster
from project_migration.engine.names import Key
from project_migration.model.document import Mode
from project_migration.model.labels import RETRY, ROLLBACK
from project_migration.model.status import Status

from .surroundings import a_cluster, a_document, run, settle, watch_invariants
from .test_crashes import deaths
from .test_flow import annotated, changed, events


def ended(phase: str) -> tuple[FakeCluster, Key]:
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    spec: dict[str, object] = {}
    if phase == "Planned":
        spec = {"mode": "Plan"}
    if phase == "Succeeded":
        cluster.facts["home"] = {"target": {"empty": False, "entries": 7}}
        spec = {"backup": {"waive": "it is a fresh installation"}}
    if phase == "Failed":
        cluster.behaviours["preflight", "data"] = [Behaviour.FAIL]
    if phase == "Cancelled":
        spec = {"cancel": True}
    key = cluster.add(a_document(**spec))
    assert run(cluster, key).phase == phase
    settle(cluster, key)
    cluster.events.clear()
    return cluster, key


def ask(cluster: FakeCluster, key: Key, request: str) -> None:
    match request:
        case "cancel" | "undo":
            changed(cluster, key, **{request: True})
        case "force":
            changed(cluster, key, force="once more")
        case "retry":
            annotated(cluster, key, RETRY, "now")
        case "rollback":
            annotated(cluster, key, ROLLBACK, "now")


def but_the_telling(status: Status) -> Status:
    told = tuple(condition for condition in status.conditions if condition.type != "Refused")
    same = tuple(condition.model_copy(update={"observed_generation": 0}) for condition in told)
    return status.model_copy(update={"refused": (), "conditions": same, "observed_generation": 0})


@pytest.mark.parametrize(
    ("phase", "request_", "reason", "words"),
    [
        ("Succeeded", "cancel", "RequestRefused", "it has ended already (Succeeded): there is nothing to cancel"),
        ("Failed", "cancel", "RequestRefused", "it has ended already (Failed)"),
        ("Planned", "cancel", "RequestRefused", "it has ended already (Planned)"),
        ("Undone", "cancel", "RequestRefused", "it has ended already (Undone)"),
        ("Succeeded", "retry", "RequestRefused", "only a migration that failed can be tried again"),
        ("Planned", "retry", "RequestRefused", "only a migration that failed can be tried again"),
        ("Cancelled", "retry", "RequestRefused", "apply the document under another name"),
        ("Undone", "retry", "RequestRefused", "only a migration that failed can be tried again"),
        ("Succeeded", "undo", "NothingKept", "what the target held was not kept"),
        ("Failed", "undo", "RequestRefused", "only one that succeeded is undone"),
        ("Planned", "undo", "RequestRefused", "only one that succeeded is undone"),
        ("Cancelled", "undo", "RequestRefused", "only one that succeeded is undone"),
        ("Succeeded", "rollback", "RequestRefused", "see `undo`"),
        ("Failed", "rollback", "RequestRefused", "nothing was written to the target"),
        ("Cancelled", "rollback", "RequestRefused", "nothing was written to the target"),
        ("Undone", "rollback", "RequestRefused", "only one that failed or was cancelled"),
        ("Undone", "force", "RequestRefused", "apply the document under another name"),
    ],
)
def test_what_cannot_be_done_is_said_once_and_changes_nothing(
    phase: str, request_: str, reason: str, words: str
) -> None:
    cluster, key = undone() if phase == "Undone" else ended(phase)
    before = cluster.migrations[key].status
    ask(cluster, key, request_)
    settle(cluster, key)
    after = cluster.migrations[key].status
    assert [(refusal.reason, words in refusal.message) for refusal in after.refused] == [(reason, True)]
    told = next(condition for condition in after.conditions if condition.type == "Refused")
    assert (told.status, told.reason) == ("True", reason)
    assert events(cluster) == ["Refused"]
    assert but_the_telling(after) == but_the_telling(before)
    assert not cluster.helpers


def undone() -> tuple[FakeCluster, Key]:
    cluster = a_cluster()
    key = cluster.add(a_document())
    run(cluster, key)
    changed(cluster, key, undo=True)
    assert run(cluster, key).phase == "Undone"
    settle(cluster, key)
    cluster.events.clear()
    return cluster, key


def test_another_request_is_told_of_again_and_one_that_is_withdrawn_no_more() -> None:
    cluster, key = ended("Succeeded")
    annotated(cluster, key, RETRY, "now")
    settle(cluster, key)
    annotated(cluster, key, RETRY, "again")
    changed(cluster, key, undo=True)
    settle(cluster, key)
    assert events(cluster) == ["Refused"] * 3
    del cluster.migrations[key].annotations[RETRY]
    cluster.migrations[key].version += 1
    changed(cluster, key, undo=False)
    settle(cluster, key)
    status = cluster.migrations[key].status
    assert not status.refused
    assert not any(condition.type == "Refused" for condition in status.conditions)


def test_a_plan_that_is_carried_out_forgets_what_was_refused_before() -> None:
    cluster, key = ended("Planned")
    annotated(cluster, key, RETRY, "now")
    settle(cluster, key)
    assert cluster.migrations[key].status.refused
    changed(cluster, key, mode=Mode.MIGRATE)
    status = run(cluster, key)
    assert (status.phase, status.refused) == ("Succeeded", ())


def test_a_cancel_that_came_in_time_is_never_called_refused() -> None:
    whole = a_cluster()
    key = whole.add(a_document())
    left = deaths(whole, key)[:-1]
    for stopped_at, cluster in enumerate(left):
        at_work = cluster.migrations[key].status.finished_at is None
        changed(cluster, key, cancel=True)
        run(cluster, key)
        settle(cluster, key)
        assert bool(cluster.migrations[key].status.refused) is not at_work, f"stopped at {stopped_at}"
    assert len(left) > 80
