"""Which way a migration follows: the itinerary that its document, its status and what people ask of it call for.

Pure, and decided without a look at the surroundings: whatever a way rests on is in the status.
"""

from __future__ import annotations

from datetime import datetime

from project_migration.engine.clock import stamp
from project_migration.engine.itinerary import TABLES, THERE, VERSION, Itinerary
from project_migration.engine.refusals import refused
from project_migration.engine.retention import is_expiring
from project_migration.engine.step import begun, finished
from project_migration.engine.steps.keeping import can_roll_back
from project_migration.engine.world import Migration
from project_migration.model.document import Mode, OnFailure
from project_migration.model.errors import REMEDIES, Failure, Reason
from project_migration.model.labels import RETRY, ROLLBACK
from project_migration.model.status import (
    BackupStatus,
    ItineraryStatus,
    State,
    Status,
    StepStatus,
    WorkloadState,
    WorkloadStatus,
)


def steer(migration: Migration, now: datetime) -> Status:
    """The status with the itinerary that the migration has to follow from here on."""
    status = migration.status
    name = Itinerary(status.itinerary.name) if status.itinerary else None
    ended = status.finished_at is not None
    if migration.deleting_since is not None:
        return status if name is Itinerary.DELETE else switch(migration, status, Itinerary.DELETE, now)
    if name is None:
        return _begin(migration, status, now)
    if migration.document is None:
        problem = Failure(Reason.INVALID_DOCUMENT, "; ".join(migration.problems)[:2000])
        return status if ended or name is Itinerary.ABORT else _abort(migration, status, problem, now)
    spec = migration.document.spec
    if spec.cancel and not ended and name in THERE:
        cancelled = with_failure(status, Failure(Reason.CANCELLED, "a person cancelled the migration"))
        way = Itinerary.CANCEL_ROLLBACK if rolls_back(migration, status) else Itinerary.CANCEL
        return switch(migration, cancelled, way, now)
    if not ended or name is None:
        return status
    return _after_the_end(migration, status, name, now)


def _after_the_end(migration: Migration, status: Status, name: Itinerary, now: datetime) -> Status:
    """What a person asks of a migration that has ended: its undo, a rollback, another round."""
    if is_expiring(status):  # whatever is asked meanwhile would write where it is at work, or read there
        return status
    assert migration.document is not None  # noqa: S101 - steer() looked
    spec = migration.document.spec
    can = can_roll_back(status) and status.first_write_at is not None
    succeeded = any(step.id == "settle" and begun(step) for step in status.steps)
    if spec.undo and succeeded:
        again = migration.annotations.get(RETRY, "") not in ("", status.handled_retry)
        wanted = can and (again or name is Itinerary.MIGRATE)
        return _afterwards(migration, status, Itinerary.UNDO, now) if wanted else _idle(migration, status)
    asked = migration.annotations.get(ROLLBACK, "")
    well = name in (Itinerary.MIGRATE, Itinerary.ALREADY)
    if can and asked not in ("", status.handled_rollback) and not well:
        return _afterwards(migration, status, Itinerary.ROLLBACK_AGAIN, now)
    if not (spec.cancel or spec.undo) and _wants_another_round(migration, status, name):
        return _begin(migration, status, now)
    return _idle(migration, status)


def _idle(migration: Migration, status: Status) -> Status:
    """Nothing is done, and it is said of what was asked for in vain."""
    return status.model_copy(update={"refused": refused(migration, status)})


def _wants_another_round(migration: Migration, status: Status, name: Itinerary) -> bool:
    """A retry that a person asked for; a document mended before anything was written; a plan that is to be done; a new
    text in spec.force."""
    assert migration.document is not None  # noqa: S101 - steer() looked
    spec = migration.document.spec
    mended = status.first_write_at is None and migration.generation != status.observed_generation
    if name in (Itinerary.MIGRATE, Itinerary.ALREADY):
        forced = spec.force is not None and spec.force != status.handled_force
        return forced or (mended and name is Itinerary.ALREADY)
    if name in (Itinerary.ABORT, Itinerary.ROLLBACK, Itinerary.ROLLBACK_AGAIN):
        retry = migration.annotations.get(RETRY, "")
        return retry not in ("", status.handled_retry) or mended
    return name is Itinerary.PLAN and spec.mode is Mode.MIGRATE


def _begin(migration: Migration, status: Status, now: datetime) -> Status:
    """The first round, or another one: every step anew, on top of what is known and recorded."""
    if migration.document is None:
        problem = Failure(Reason.INVALID_DOCUMENT, "; ".join(migration.problems)[:2000])
        return _abort(migration, status, problem, now)
    spec = migration.document.spec
    name = Itinerary.PLAN if spec.mode is Mode.PLAN else Itinerary.MIGRATE
    round_ = status.itinerary.round + 1 if status.itinerary else 1
    if status.itinerary is not None and status.itinerary.name == Itinerary.MIGRATE:
        # after a success the target is its users': nothing there is this migration's own any more
        afresh = {"first_write_at": None, "first_write_round": 0, "backup": None}
        status = status.model_copy(update=afresh)
    return status.model_copy(
        update={
            "itinerary": ItineraryStatus(name=name, version=VERSION, round=round_),
            "steps": tuple(StepStatus(id=step.id) for step in TABLES[name]),
            "started_at": status.started_at or stamp(now),
            "finished_at": None,
            "failure": "",
            "failure_reason": "",
            "remedy": "",
            "result": None,
            "warnings": (),
            "plan": (),
            "refused": (),
            # a target workload that is held stays so, and its record with it; the others are looked at anew
            "workloads": _still_known(status),
            "progress": status.progress.model_copy(update={"percent": 0, "updated_at": None}),
            "backup": _backup(migration, status),
            "handled_retry": migration.annotations.get(RETRY, ""),
            "observed_generation": migration.generation,
        }
    )


def _still_known(status: Status) -> tuple[WorkloadStatus, ...]:
    """Records that another way goes on with: of what is held, and of what was left down with its count."""
    over = (WorkloadState.RESTORED, WorkloadState.GONE)
    return tuple(w.model_copy(update={"scaled_back": 0}) for w in status.workloads if w.state not in over)


def _backup(migration: Migration, status: Status) -> BackupStatus | None:
    """What an earlier round kept stays on record while the target is half written.

    Users had the target since if nothing was written to it, or if it was verified: then what they have now is what has
    to be kept.
    """
    backup = migration.document.spec.backup if migration.document else None
    waived = (backup.waive if backup else None) or ""
    verified = not status.half_back and any(step.id == "verify" and finished(step) for step in status.steps)
    if status.backup is not None and status.backup.units and status.first_write_at is not None and not verified:
        return status.backup.model_copy(update={"waived": waived})
    return BackupStatus(waived=waived) if backup else None


def rolls_back(migration: Migration, status: Status) -> bool:
    """Whether what was written to the target is to be taken back, and can be.

    Not once it is verified: its users may be at work there, and an undo is what takes it from them.
    """
    wanted = migration.document is not None and migration.document.spec.on_failure is OnFailure.ROLLBACK
    done = {step.id for step in status.steps if finished(step)}
    # in this round: another one may end before it has locked the target and brought its workloads to rest
    ready = "prove_backup" in done and "verify" not in done
    return wanted and ready and status.first_write_at is not None and can_roll_back(status)


def _afterwards(migration: Migration, status: Status, name: Itinerary, now: datetime) -> Status:
    """A way back that begins after an end: with helpers of its own, and workloads looked at anew."""
    switched = switch(migration, status, name, now)
    assert switched.itinerary is not None  # noqa: S101 - just made
    return switched.model_copy(
        update={
            "itinerary": switched.itinerary.model_copy(update={"round": switched.itinerary.round + 1}),
            "workloads": _still_known(status),
            "handled_rollback": migration.annotations.get(ROLLBACK, ""),
            "handled_retry": migration.annotations.get(RETRY, ""),
        }
    )


def _abort(migration: Migration, status: Status, failure: Failure, now: datetime) -> Status:
    return switch(migration, with_failure(status, failure), Itinerary.ABORT, now)


def with_failure(status: Status, failure: Failure) -> Status:
    return status.model_copy(
        update={
            "failure": failure.message[:2000],
            "failure_reason": str(failure.reason),
            "remedy": REMEDIES[failure.reason],
        }
    )


def switch(migration: Migration, status: Status, name: Itinerary, now: datetime) -> Status:
    """Leaves the itinerary where it is and follows an ending; what was not begun is dropped, the rest stays."""
    table = TABLES[name]
    ids = {step.id for step in table}
    kept = tuple(
        step.model_copy(update={"state": State.FAILED, "finished_at": stamp(now)})
        if step.state is State.RUNNING
        else step
        for step in status.steps
        if step.state is not State.PENDING and step.id not in ids
    )
    return status.model_copy(
        update={
            "itinerary": ItineraryStatus(
                name=name, version=VERSION, round=status.itinerary.round if status.itinerary else 1
            ),
            "steps": (*kept, *(StepStatus(id=step.id) for step in table)),
            "started_at": status.started_at or stamp(now),
            "finished_at": None,
            "refused": (),
            "backup": status.backup.model_copy(update={"kept_until": None}) if status.backup else None,
            # whoever scaled one up made the migration fail; on the way back they are counted anew
            "workloads": tuple(w.model_copy(update={"scaled_back": 0}) for w in status.workloads),
            "observed_generation": migration.generation,
        }
    )
