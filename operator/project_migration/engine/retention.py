"""How long a backup is kept after the end, and its removal.

The removal belongs to no itinerary: how the migration ended stays true while a helper removes what was kept, and the
moment that it ended is what the time is counted from. Nobody else writes where a backup lies, so it takes no lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from project_migration.engine.clock import moment, stamp
from project_migration.engine.effects import Effect, Mount, volume_key
from project_migration.engine.itinerary import end_of
from project_migration.engine.platform import UnitWork
from project_migration.engine.step import Context, with_step
from project_migration.engine.units import first_units, run_units
from project_migration.engine.world import Migration, Questions
from project_migration.model.conditions import End
from project_migration.model.document import Spec
from project_migration.model.endpoints import Volume
from project_migration.model.errors import Failure, Reason
from project_migration.model.labels import EXPIRE
from project_migration.model.quantities import parse_seconds
from project_migration.model.status import (
    WARNINGS_LIMIT,
    BackupStatus,
    Keeping,
    State,
    Status,
    StepStatus,
    UnitStatus,
)

STEP = "expire"

#: The whole directory of the migration goes at once: one below it for each unit.
UNIT = "backup"


@dataclass(frozen=True, slots=True)
class Removal:
    """One stroke: the status to save, what to apply then, and the helpers that are still needed."""

    status: Status
    effects: tuple[Effect, ...] = ()
    helpers: frozenset[str] = frozenset()

    @property
    def at_work(self) -> bool:
        return is_expiring(self.status)


def is_expiring(status: Status) -> bool:
    """Whether a helper removes the backup now."""
    return any(step.id == STEP and step.state is State.RUNNING for step in status.steps)


def why_not_expire(status: Status) -> Failure | None:
    """Why the backup cannot be removed: there is none, or somebody still needs it."""
    backup, end = status.backup, end_of(status)
    if end is None:
        return Failure(Reason.REQUEST_REFUSED, "it is at work: a backup is removed after the end")
    if backup is None or not backup.claim or not _holds_something(backup):
        return Failure(Reason.REQUEST_REFUSED, "no backup of it is kept")
    if backup.removed_at:
        return Failure(Reason.REQUEST_REFUSED, f"its backup was removed already, at {backup.removed_at}")
    if status.half_back or (status.first_write_at is not None and end is not End.SUCCEEDED):
        words = "the target was written to and is not proved: it may have to be put back from the backup (`rollback`)"
        return Failure(Reason.REQUEST_REFUSED, words)
    return None


def due_at(migration: Migration, status: Status) -> datetime | None:
    """When the backup goes by itself; None when it stays until a person removes it."""
    document = migration.document
    backup = document.spec.backup if document else None
    if backup is None or backup.keep_for is None or not status.finished_at or why_not_expire(status):
        return None
    return moment(status.finished_at) + timedelta(seconds=parse_seconds(backup.keep_for))


def ask(status: Status) -> Questions:
    """What the removal has to know."""
    if not is_expiring(status) or status.backup is None:
        return Questions()
    return Questions(claims=frozenset((volume_key(_place(status.backup)),)), namespace=True)


def expire(context: Context) -> Removal:
    """One stroke for a migration that has ended."""
    status = dated(context.migration, context.status)
    if context.migration.document is None or context.migration.deleting_since is not None:
        return Removal(status)
    if is_expiring(status):
        return _go_on(context, status)
    asked = context.migration.annotations.get(EXPIRE, "")
    wanted = asked not in ("", status.handled_expire)
    due = due_at(context.migration, status)
    passed = due is not None and due <= context.now and status.backup is not None and not status.backup.removing
    if why_not_expire(status) or not (wanted or passed):
        return Removal(status)
    return Removal(_begun(context, status.model_copy(update={"handled_expire": asked})))


def dated(migration: Migration, status: Status) -> Status:
    """Of a migration that has ended, with the moment until which its backup is kept, as the document says now."""
    if status.backup is None:
        return status
    due = due_at(migration, status)
    until = stamp(due) if due is not None and not status.backup.removing else None
    return status.model_copy(update={"backup": status.backup.model_copy(update={"kept_until": until})})


def _begun(context: Context, status: Status) -> Status:
    """Saved before anything goes: from here on nothing can be put back."""
    assert status.backup is not None  # noqa: S101 - there is something to remove
    work = _work(context.spec, status.backup)
    before = next((unit for step in status.steps if step.id == STEP for unit in step.units), None)
    first = first_units(context, (work,))[0]
    attempt = max(first.attempt, before.attempt + 1 if before else 0)
    step = StepStatus(
        id=STEP,
        state=State.RUNNING,
        started_at=stamp(context.now),
        units=(UnitStatus(name=UNIT, attempt=attempt),),
    )
    others = tuple(found for found in status.steps if found.id != STEP)
    backup = status.backup.model_copy(update={"removing": True, "kept_until": None})
    return status.model_copy(update={"steps": (*others, step), "backup": backup})


def _go_on(context: Context, status: Status) -> Removal:
    assert status.backup is not None  # noqa: S101 - as above
    step = next(found for found in status.steps if found.id == STEP)
    outcome = run_units(context.with_status(status), step, (_work(context.spec, status.backup),))
    step = step.model_copy(update={"units": outcome.units, "message": outcome.message[:2000]})
    helpers = frozenset(unit.helper for unit in outcome.units)
    if not outcome.all_done:
        return Removal(with_step(status, step), outcome.effects, helpers)
    now = stamp(context.now)
    if outcome.failed:
        words = f"the backup could not be removed: {outcome.failed[0].message}"
        told = {"state": State.FAILED, "reason": outcome.failed[0].reason, "message": words[:2000], "finished_at": now}
        failed = with_step(status, step.model_copy(update=told))
        warnings = tuple(dict.fromkeys((*status.warnings, words[:2000])))[:WARNINGS_LIMIT]
        return Removal(failed.model_copy(update={"warnings": warnings}), outcome.effects)
    told = {"state": State.SUCCEEDED, "message": "the backup is removed", "finished_at": now}
    backup = status.backup.model_copy(update={"removing": False, "removed_at": now})
    done = with_step(status, step.model_copy(update=told)).model_copy(update={"backup": backup})
    return Removal(done, outcome.effects)


def _work(spec: Spec, backup: BackupStatus) -> UnitWork:
    mount = Mount("target", _place(backup), read_only=False)
    return UnitWork(UNIT, "clear_tree", (mount,), {"workers": spec.transfer.workers, "ours": True, "away": True})


def _place(backup: BackupStatus) -> Volume:
    is_path = backup.claim.startswith("/")
    return Volume(
        claim_name=None if is_path else backup.claim, path=backup.claim if is_path else None, sub_path=backup.path
    )


def _holds_something(backup: BackupStatus) -> bool:
    """Units are on record until the target was put back; what was kept of them stays after that."""
    return not backup.units or any(unit.keeping is Keeping.KEPT for unit in backup.units)
