"""A limit on how many migrations run at the same time: the others wait, in the order in which they were made."""

from __future__ import annotations

import random

import pytest

from project_migration.backends.fake import Behaviour, FakeBackend, FakeCluster
from project_migration.engine.itinerary import MIGRATE
from project_migration.engine.names import Key
from project_migration.engine.world import ClaimFacts
from project_migration.model.document import Document
from project_migration.model.errors import Conflict
from project_migration.model.labels import RETRY
from project_migration.model.status import Status
from project_migration.reconcile import one_pass

from .surroundings import PACE, a_cluster, a_document
from .test_crashes import Death, Mortal, stop
from .test_cutover import MANUAL, condition
from .test_flow import annotated, changed


def one_of_many(name: str, **spec: object) -> Document:
    """With claims of its own, and no workloads."""
    pair = {"name": "data", "source": {"claimName": f"old-{name}"}, "target": {"claimName": f"new-{name}"}}
    return a_document(name, volumes={"pairs": [pair]}, **{"quiesce": {}, **spec})


def give_claims(cluster: FakeCluster, name: str) -> None:
    for claim in (f"old-{name}", f"new-{name}"):
        cluster.claims[f"claim/{claim}"] = ClaimFacts(exists=True, uid=claim)


def a_crowd(count: int, limit: int, **spec: object) -> tuple[FakeCluster, list[Key]]:
    cluster = a_cluster()
    cluster.limit = limit
    cluster.workloads.clear()
    for number in range(count):
        give_claims(cluster, str(number))
    return cluster, [cluster.add(one_of_many(str(number), **spec)) for number in range(count)]


def look(cluster: FakeCluster, key: Key, backend: FakeBackend | None = None) -> None:
    if key in cluster.migrations:
        one_pass(backend or FakeBackend(cluster), key, pace=PACE, now=lambda: cluster.now)


def live(cluster: FakeCluster, keys: list[Key], ticks: int, seed: int = 0) -> list[list[Key]]:
    """Passes in any order. Returns who was under way after each tick."""
    rng, seen = random.Random(seed), []
    for _ in range(ticks):
        for key in rng.sample(keys * 3, 3 * len(keys)):
            look(cluster, key)
        seen.append([key for key in keys if key in cluster.migrations and under_way(cluster.migrations[key].status)])
        cluster.tick()
    return seen


def under_way(status: Status) -> bool:
    idle = ("", "Pending", "Queued", "AwaitingCutover", "Succeeded", "Failed", "Cancelled", "Planned")
    return status.phase not in idle


def status_of(cluster: FakeCluster, key: Key) -> Status:
    return cluster.migrations[key].status


def assert_in_order(cluster: FakeCluster, keys: list[Key]) -> None:
    """Nobody began before one that was made earlier, but for those who had a place at the same moment."""
    for position, number in enumerate(begun(cluster, keys)):
        assert number < position + cluster.limit


def begun(cluster: FakeCluster, keys: list[Key]) -> list[int]:
    """The numbers of those that are not queued, by when their first step began."""
    moments = {key: status_of(cluster, key).steps[0].started_at for key in keys}
    return [int(key.name) for key in sorted((k for k in keys if moments[k]), key=lambda k: (moments[k], k.name))]


@pytest.mark.parametrize("seed", range(8))
def test_no_more_run_than_are_allowed_and_all_arrive_in_the_order_of_their_making(seed: int) -> None:
    cluster, keys = a_crowd(7, limit=2)
    seen = live(cluster, keys, 200, seed)
    assert max(map(len, seen)) == 2
    assert [status_of(cluster, key).phase for key in keys] == ["Succeeded"] * 7
    assert_in_order(cluster, keys)


def test_one_that_waits_says_its_place_and_has_begun_nothing() -> None:
    cluster, keys = a_crowd(3, limit=1)
    cluster.behaviours["copy", "data"] = [Behaviour.SILENT]
    live(cluster, keys, 12)
    status = status_of(cluster, keys[2])
    assert (status.phase, status.step) == ("Queued", f"1/{len(MIGRATE)}")
    assert "number 2 in the queue" in condition(status, "Queued")
    assert "allows 1" in condition(status, "Queued")
    assert (status.locks, status.steps[0].started_at) == ((), None)
    assert not condition(status_of(cluster, keys[0]), "Queued")


def test_without_a_limit_nobody_waits() -> None:
    cluster, keys = a_crowd(5, limit=0)
    assert max(map(len, live(cluster, keys, 60))) == 5


def test_a_migration_that_waits_for_its_cut_over_takes_no_place_and_goes_on_in_any_case() -> None:
    cluster, keys = a_crowd(3, limit=1)
    first = cluster.migrations[keys[0]]
    first.document = one_of_many("0", cutover=MANUAL)
    live(cluster, keys, 120)
    assert status_of(cluster, keys[0]).phase == "AwaitingCutover"
    assert [status_of(cluster, key).phase for key in keys[1:]] == ["Succeeded"] * 2
    blocker = cluster.add(one_of_many("late"))
    give_claims(cluster, "late")
    cluster.behaviours["copy", "data"] = [Behaviour.SILENT] * 3
    live(cluster, [blocker], 12)
    cluster.behaviours["copy", "data"] = []
    changed(cluster, keys[0], cutover=one_of_many("0", cutover={**MANUAL, "approved": True}).spec.cutover)
    live(cluster, keys[:1], 60)
    assert status_of(cluster, keys[0]).phase == "Succeeded"
    assert status_of(cluster, blocker).phase == "Copying"


def test_a_suspended_migration_keeps_nobody_waiting_and_takes_its_place_again() -> None:
    cluster, keys = a_crowd(3, limit=1)
    changed(cluster, keys[0], suspend=True)
    live(cluster, keys, 40)
    assert status_of(cluster, keys[0]).phase == "Queued"
    assert status_of(cluster, keys[0]).steps[0].started_at is None
    assert "suspended" in condition(status_of(cluster, keys[0]), "Queued")
    changed(cluster, keys[0], suspend=False)
    live(cluster, keys, 120)
    assert [status_of(cluster, key).phase for key in keys] == ["Succeeded"] * 3


@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_a_queued_migration_can_be_given_up_and_keeps_nobody_waiting(how: str) -> None:
    cluster, keys = a_crowd(3, limit=1)
    live(cluster, keys, 5)
    stop(cluster, keys[1], how)
    live(cluster, keys, 120)
    assert keys[1] not in cluster.migrations or status_of(cluster, keys[1]).phase == "Cancelled"
    assert status_of(cluster, keys[2]).phase == "Succeeded"


def test_a_failed_migration_makes_room_and_a_retry_waits_like_the_others() -> None:
    cluster, keys = a_crowd(2, limit=1)
    cluster.behaviours["copy", "data"] = [Behaviour.FAIL]
    live(cluster, keys[:1], 40)
    assert status_of(cluster, keys[0]).phase == "Failed"
    cluster.behaviours["copy", "data"] = [Behaviour.SILENT]
    live(cluster, keys[1:], 12)
    annotated(cluster, keys[0], RETRY, "1")
    live(cluster, keys, 3)
    assert status_of(cluster, keys[0]).phase == "Queued"
    cluster.behaviours.clear()
    live(cluster, keys, 120)
    assert [status_of(cluster, key).phase for key in keys] == ["Succeeded"] * 2


def test_a_lower_limit_stops_nobody_who_has_begun() -> None:
    cluster, keys = a_crowd(3, limit=3)
    live(cluster, keys, 6)
    cluster.limit = 1
    live(cluster, keys, 120)
    assert [status_of(cluster, key).phase for key in keys] == ["Succeeded"] * 3


def test_a_window_closes_in_the_queue_too() -> None:
    cluster, keys = a_crowd(2, limit=1)
    cluster.behaviours["copy", "data"] = [Behaviour.SILENT]
    changed(cluster, keys[1], cutover=a_document(cutover={"notAfter": "2026-01-01T00:00:10Z"}).spec.cutover)
    live(cluster, keys, 20)
    assert status_of(cluster, keys[1]).failure_reason == "CutoverMissed"


def test_operators_that_die_leave_order_and_limit_whole() -> None:
    rng = random.Random(7)
    for _ in range(40):
        cluster, keys = a_crowd(4, limit=2)
        for _ in range(400):
            for key in rng.sample(keys, len(keys)):
                backend = Mortal(cluster, rng.randrange(1, 6), before=rng.random() < 0.5)
                try:
                    look(cluster, key, backend)
                except (Death, Conflict):
                    continue
            assert sum(under_way(status_of(cluster, key)) for key in keys) <= 2
            cluster.tick()
            if all(status_of(cluster, key).finished_at for key in keys):
                break
        assert [status_of(cluster, key).phase for key in keys] == ["Succeeded"] * 4
        assert_in_order(cluster, keys)
