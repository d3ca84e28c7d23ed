"""Other migrations as the queue reads them: from plain fields, whatever else they hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from project_migration.backends.kubernetes.client import Client
from project_migration.backends.kubernetes.queue import Queue, entry_of
from project_migration.backends.kubernetes.resources import Json
from project_migration.engine.queue import Standing
from project_migration.engine.world import QueueFacts

from .objects import some_settings


def stored(uid: str = "a", at: str = "00", *, spec: Json | None = None, deleted: bool = False, **status: Any) -> Json:
    meta: Json = {"uid": uid, "name": uid, "namespace": "ml", "creationTimestamp": f"2026-01-01T00:{at}:00Z"}
    if deleted:
        meta["deletionTimestamp"] = "2026-01-01T01:00:00Z"
    return {"metadata": meta, "spec": spec or {}, "status": status}


def steps(*states: str, last: str = "copy") -> Json:
    found = [{"id": f"s{number}", "state": state} for number, state in enumerate(states[:-1])]
    return {"itinerary": {"name": "Migrate"}, "steps": [*found, {"id": last, "state": states[-1]}]}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (stored(), Standing.WAITING),
        (stored(**steps("Pending", "Pending")), Standing.WAITING),
        (stored(**steps("Succeeded", "Running")), Standing.RUNNING),
        (stored(**steps("Succeeded", "SomethingNew")), Standing.RUNNING),
        (stored(**steps("Succeeded", "Running", last="await_cutover")), Standing.ASIDE),
        (stored(**{**steps("Pending"), "itinerary": {"name": "Abort"}}), Standing.RUNNING),
        (stored(**steps("Succeeded"), finishedAt="2026-01-01T00:00:00Z"), Standing.ASIDE),
        (stored(spec={"suspend": True}, **steps("Running")), Standing.ASIDE),
        (stored(spec={"cancel": True}), Standing.ASIDE),
        (stored(deleted=True), Standing.ASIDE),
        (stored(deleted=True, **steps("Running")), Standing.RUNNING),
        (stored(workloads="a memory that this operator cannot read"), Standing.WAITING),
    ],
)
def test_a_migration_counts_while_it_works(item: Json, expected: Standing) -> None:
    assert entry_of(item).standing is expected


class Listing:
    """A client that knows lists only."""

    def __init__(self, *items: Json) -> None:
        self.found = items
        self.asked: list[str] = []

    def items(self, path: str) -> Iterator[Json]:
        self.asked.append(path)
        return iter(self.found)


def test_each_sees_those_that_run_and_those_made_before_it() -> None:
    listing = Listing(
        stored("late", "09"),
        stored("early", "01"),
        stored("runs", "05", **steps("Succeeded", "Running")),
        stored("me", "07"),
    )
    queue = Queue(cast("Client", listing), some_settings(max_concurrent_migrations=2))
    assert queue.facts("me") == QueueFacts(limit=2, running=1, ahead=1)
    assert queue.facts("early") == QueueFacts(limit=2, running=1, ahead=0)


def test_two_of_the_same_second_have_an_order() -> None:
    queue = Queue(cast("Client", Listing(stored("b"), stored("a"))), some_settings(max_concurrent_migrations=1))
    assert [queue.facts(uid) for uid in ("a", "b")] == [QueueFacts(1, 0, 0), QueueFacts(1, 0, 1)]


def test_without_a_limit_nobody_is_asked() -> None:
    listing = Listing(stored())
    assert Queue(cast("Client", listing), some_settings()).facts("a") is None
    assert listing.asked == []


def test_only_watched_namespaces_are_read() -> None:
    listing = Listing()
    Queue(cast("Client", listing), some_settings(max_concurrent_migrations=1, namespaces=("ml", "cv"))).facts("a")
    assert [path.split("/")[5] for path in listing.asked] == ["ml", "cv"]
