"""The other migrations, for one that has not begun: read anew, together with all who ask at the same moment.

They are read as plain fields, not as documents and statuses: one that this operator cannot read must not keep the
others from their turn.
"""

from __future__ import annotations

from project_migration.backends.kubernetes.client import Client
from project_migration.backends.kubernetes.resources import MIGRATIONS, Json, deleting, metadata, uid_of
from project_migration.backends.kubernetes.shared_reads import SharedReads
from project_migration.engine.queue import QueueEntry, Standing, place, standing
from project_migration.engine.world import QueueFacts
from project_migration.model.status import ItineraryStatus, State, Status, StepStatus
from project_migration.settings import Settings


class Queue:
    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._limit = settings.max_concurrent_migrations
        self._namespaces = settings.namespaces
        self._reads: SharedReads[tuple[QueueEntry, ...]] = SharedReads()

    def facts(self, uid: str) -> QueueFacts | None:
        """None where there is no limit."""
        return place(uid, self._reads.read("", self._entries), self._limit) if self._limit else None

    def _entries(self) -> tuple[QueueEntry, ...]:
        return tuple(
            entry_of(item)
            for namespace in self._namespaces or (None,)
            for item in self._client.items(MIGRATIONS.path(namespace))
        )


def entry_of(stored: Json) -> QueueEntry:
    return QueueEntry(uid_of(stored), str(metadata(stored).get("creationTimestamp") or ""), _standing(stored))


def _standing(stored: Json) -> Standing:
    spec, status = stored.get("spec") or {}, stored.get("status") or {}
    itinerary = status.get("itinerary") or {}
    known = Status(
        itinerary=ItineraryStatus(name=str(itinerary.get("name", ""))) if itinerary else None,
        steps=tuple(_step(step) for step in status.get("steps") or ()),
        finished_at=status.get("finishedAt"),
    )
    given_up = spec.get("cancel") is True or deleting(stored)
    return standing(known, suspended=spec.get("suspend") is True, given_up=given_up)


def _step(step: Json) -> StepStatus:
    state = step.get("state", State.PENDING)
    return StepStatus(id=str(step.get("id", "")), state=State(state) if state in set(State) else State.RUNNING)
