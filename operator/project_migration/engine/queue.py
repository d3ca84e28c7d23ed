"""Whose turn it is, where the operator limits how many migrations run at the same time.

Nobody gives turns out: each migration that has not begun looks at the others and begins when those that run, and
those that were made before it and wait too, leave room. So the order is that of creation, nobody is passed by for
ever, and two that look at the same moment never take the same place. What has begun goes on, whatever the limit says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from project_migration.engine.itinerary import Itinerary
from project_migration.engine.step import Context
from project_migration.engine.world import QueueFacts
from project_migration.model.status import State, Status


class Standing(Enum):
    WAITING = auto()
    """It has not begun."""
    RUNNING = auto()
    ASIDE = auto()
    """It does nothing now, by a person's decision or because it is over, and takes no place."""


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One migration; ``created`` sorts by the moment it was made."""

    uid: str
    created: str
    standing: Standing


def at_the_start(status: Status) -> bool:
    """Whether the migration, or its next round, has not begun."""
    if status.itinerary is None or status.itinerary.name not in (Itinerary.MIGRATE, Itinerary.PLAN):
        return False
    return status.finished_at is None and all(step.state is State.PENDING for step in status.steps)


def standing(status: Status, *, suspended: bool, given_up: bool) -> Standing:
    """``given_up``: a person cancelled or deleted it."""
    waiting = status.itinerary is None or at_the_start(status)
    held = any(step.id == "await_cutover" and step.state is State.RUNNING for step in status.steps)
    if status.finished_at is not None or suspended or held or (waiting and given_up):
        return Standing.ASIDE
    return Standing.WAITING if waiting else Standing.RUNNING


def place(uid: str, entries: Iterable[QueueEntry], limit: int) -> QueueFacts:
    """What the migration of that UID sees among all that there are, itself included."""
    found = tuple(entries)
    own = next((entry for entry in found if entry.uid == uid), None)
    others = [entry for entry in found if entry is not own]
    ahead = [
        entry
        for entry in others
        if entry.standing is Standing.WAITING and own and (entry.created, entry.uid) < (own.created, own.uid)
    ]
    return QueueFacts(limit, sum(entry.standing is Standing.RUNNING for entry in others), len(ahead))


def waits_its_turn(context: Context) -> str:
    """What a migration that has not begun waits for, in words; nothing when it may begin, or has begun."""
    queue = context.world.queue
    if queue is None or not at_the_start(context.status):
        return ""
    if context.spec.suspend:
        return "suspended: set spec.suspend to false to go on"
    if queue.running + queue.ahead < queue.limit:
        return ""
    return (
        f"number {queue.ahead + 1} in the queue: {queue.running} other migration(s) run, and the operator allows"
        f" {queue.limit} at the same time"
    )
