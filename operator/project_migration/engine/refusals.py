"""What people may ask for and cannot have: why not, in words that say what can be asked for instead.

The command line says so before it asks; in a cluster, where nobody can be stopped from setting a field, a migration
that has ended says it of what it will not act on. Nothing is changed by any of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from project_migration.engine.itinerary import end_of
from project_migration.engine.retention import why_not_expire
from project_migration.engine.step import begun
from project_migration.engine.steps.keeping import backup_is_gone, can_roll_back
from project_migration.engine.world import Migration
from project_migration.model.conditions import End
from project_migration.model.document import Spec
from project_migration.model.errors import Failure, Reason
from project_migration.model.labels import EXPIRE, RETRY, ROLLBACK
from project_migration.model.status import Refusal, Status

ANOTHER_NAME = "apply the document under another name, or delete this migration and apply it again"


def why_no_cancel(status: Status) -> Failure | None:
    end = end_of(status)
    if end is None:
        return None
    advice = "; `undo` takes it back" if end is End.SUCCEEDED else ""
    return _refused(f"it has ended already ({end}): there is nothing to cancel{advice}")


def why_no_retry(status: Status, spec: Spec | None) -> Failure | None:
    end = end_of(status)
    if end is not End.FAILED:
        return _refused(f"only a migration that failed can be tried again; this one {_stands(end)}{_instead(end)}")
    undoing = spec is not None and spec.undo and _had_succeeded(status)  # it is the undo that is tried again
    if spec is not None and (spec.cancel or spec.undo) and not undoing:
        what = "cancel" if spec.cancel else "undo"
        return _refused(f"its document says {what}, which cannot be taken back: {ANOTHER_NAME}")
    return None


def why_no_rollback(status: Status) -> Failure | None:
    end = end_of(status)
    if end not in (End.FAILED, End.CANCELLED):
        advice = ": see `undo`" if end is End.SUCCEEDED else ""
        return _refused(f"it {_stands(end)}; only one that failed or was cancelled is rolled back{advice}")
    return why_not_put_back(status)


def why_no_undo(status: Status) -> Failure | None:
    end = end_of(status)
    if end is not End.SUCCEEDED:
        advice = ": see `rollback`" if end in (End.FAILED, End.CANCELLED) else ""
        return _refused(f"it {_stands(end)}; only one that succeeded is undone{advice}")
    return why_not_put_back(status)


def why_not_put_back(status: Status) -> Failure | None:
    if status.first_write_at is None:
        return _refused("nothing was written to the target, or it was put back already: there is nothing to do")
    if status.backup is not None and backup_is_gone(status):
        when = f"was removed at {status.backup.removed_at}" if status.backup.removed_at else "is being removed"
        return Failure(Reason.BACKUP_REMOVED, f"the backup {when} (backup.keepFor): the target cannot be put back")
    if not can_roll_back(status):
        words = (
            "what the target held was not kept (backup.waive, or a database without a backup): it cannot be put back"
        )
        return Failure(Reason.NOTHING_KEPT, words)
    return None


def refused(migration: Migration, status: Status) -> tuple[Refusal, ...]:
    """What is asked of a migration that has ended, and was found to be nothing that can be done."""
    return tuple(
        Refusal(request=request[:253], reason=str(failure.reason), message=f"{verb}: {failure.message}")
        for verb, request, failure in _asked_in_vain(migration, status)
    )


def _asked_in_vain(migration: Migration, status: Status) -> Iterator[tuple[str, str, Failure]]:
    """The verb, what tells this request from a later one, and why not."""
    assert migration.document is not None  # noqa: S101 - the caller has read it
    spec, end = migration.document.spec, end_of(status)
    cancelled = end is End.CANCELLED or status.failure_reason == Reason.CANCELLED
    why = why_no_cancel(status) if spec.cancel and not cancelled else None
    if why:
        yield "cancel", "cancel", why
    why = _why_not_undone(status) if spec.undo and end is not End.UNDONE else None
    if why:
        yield "undo", "undo", why
    why = _why_not_forced(end) if spec.force and spec.force != status.handled_force else None
    if why:
        yield "force", f"force {spec.force}", why
    asked = migration.annotations
    for verb, token, handled, why in (
        ("retry", asked.get(RETRY, ""), status.handled_retry, why_no_retry(status, spec)),
        ("rollback", asked.get(ROLLBACK, ""), status.handled_rollback, why_no_rollback(status)),
        ("expire", asked.get(EXPIRE, ""), status.handled_expire, why_not_expire(status)),
    ):
        if why and token not in ("", handled):
            yield verb, f"{verb} {token}", why


def _why_not_undone(status: Status) -> Failure | None:
    """Of one that succeeded and whose undo failed, it is not the end that stands against another try."""
    return why_not_put_back(status) if _had_succeeded(status) else why_no_undo(status)


def _had_succeeded(status: Status) -> bool:
    """Whether it had arrived, whatever came after that."""
    return any(step.id == "settle" and begun(step) for step in status.steps)


def _why_not_forced(end: End | None) -> Failure | None:
    """Of one that did not end well a text that was there from the start still stands, and is no request."""
    if end is End.UNDONE:
        return _refused(f"it {_stands(end)}, which cannot be taken back: {ANOTHER_NAME}")
    return None


def _refused(message: str) -> Failure:
    return Failure(Reason.REQUEST_REFUSED, message)


def _stands(end: End | None) -> str:
    return "is at work" if end is None else f"has ended: {end}"


def _instead(end: End | None) -> str:
    if end in (End.SUCCEEDED, End.ALREADY_MIGRATED):
        return "; to have it carried out again, give a new text in spec.force"
    return f"; {ANOTHER_NAME}" if end in (End.CANCELLED, End.UNDONE) else ""
