"""The heart: from a migration as it is stored and the world as it is, what shall be stored next, and done after that.

Pure. :func:`steer` chooses the itinerary, :func:`ask` says what the step at work needs to know, :func:`decide` lets
that step make one stroke. Nothing here remembers anything: all memory is the status, all else is observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from project_migration.engine.clock import moment, seconds_since, stamp
from project_migration.engine.effects import Announce, DropFinalizer, Effect, EnsureFinalizer
from project_migration.engine.itinerary import AFTERWARDS, STEPS, TABLES, THERE, VERSION, Itinerary, end_of
from project_migration.engine.platform import Platform
from project_migration.engine.progress import with_progress
from project_migration.engine.queue import at_the_start, waits_its_turn
from project_migration.engine.step import Context, Outcome, Pace, Step, Verdict, View, begun, finished, with_step
from project_migration.engine.steps.cutover import missed
from project_migration.engine.steps.ending import drop_locks, remove_helpers
from project_migration.engine.steps.keeping import can_roll_back
from project_migration.engine.steps.quiesce import broken_rest, ref_of
from project_migration.engine.steps.resume import SETTLED, bring_back
from project_migration.engine.world import Migration, Questions, World
from project_migration.model.conditions import QUEUED, End, Summary, with_conditions
from project_migration.model.document import Mode, OnFailure
from project_migration.model.errors import REMEDIES, Failure, Reason
from project_migration.model.labels import RELEASE, RETRY, ROLLBACK
from project_migration.model.status import (
    BackupStatus,
    ItineraryStatus,
    State,
    Status,
    StepStatus,
    WorkloadState,
    WorkloadStatus,
)

#: A migration that is being deleted goes, whatever still resists, after this long.
DELETE_SECONDS = 600

#: How often an ended migration is looked at, for what came late or was held.
UPKEEP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Decision:
    """``status`` is saved first; then ``effects`` are applied, in order; the next pass is wanted ``again_in`` seconds
    (None: only when something changes)."""

    status: Status
    effects: tuple[Effect, ...]
    again_in: float | None


def steer(migration: Migration, now: datetime) -> Status:
    """The status with the itinerary that the migration has to follow from here on."""
    status = migration.status
    name = Itinerary(status.itinerary.name) if status.itinerary else None
    ended = status.finished_at is not None
    if migration.deleting_since is not None:
        return status if name is Itinerary.DELETE else _switch(migration, status, Itinerary.DELETE, now)
    if name is None:
        return _begin(migration, status, now)
    if migration.document is None:
        problem = Failure(Reason.INVALID_DOCUMENT, "; ".join(migration.problems)[:2000])
        return status if ended or name is Itinerary.ABORT else _abort(migration, status, problem, now)
    spec = migration.document.spec
    if spec.cancel and not ended and name in THERE:
        cancelled = _with_failure(status, Failure(Reason.CANCELLED, "a person cancelled the migration"))
        way = Itinerary.CANCEL_ROLLBACK if _rolls_back(migration, status) else Itinerary.CANCEL
        return _switch(migration, cancelled, way, now)
    if not ended or name is None:
        return status
    return _after_the_end(migration, status, name, now)


def _after_the_end(migration: Migration, status: Status, name: Itinerary, now: datetime) -> Status:
    """What a person asks of a migration that has ended: its undo, a rollback, another round."""
    assert migration.document is not None  # noqa: S101 - steer() looked
    spec = migration.document.spec
    can = can_roll_back(status) and status.first_write_at is not None
    succeeded = any(step.id == "settle" and begun(step) for step in status.steps)
    if spec.undo and succeeded:
        again = migration.annotations.get(RETRY, "") not in ("", status.handled_retry)
        wanted = can and (again or name is Itinerary.MIGRATE)
        return _afterwards(migration, status, Itinerary.UNDO, now) if wanted else status
    asked = migration.annotations.get(ROLLBACK, "")
    if can and asked not in ("", status.handled_rollback) and name is not Itinerary.MIGRATE:
        return _afterwards(migration, status, Itinerary.ROLLBACK_AGAIN, now)
    if not spec.cancel and _wants_another_round(migration, status, name):
        return _begin(migration, status, now)
    return status


def _wants_another_round(migration: Migration, status: Status, name: Itinerary) -> bool:
    """A retry that a person asked for; a document mended before anything was written; a plan that is to be done."""
    assert migration.document is not None  # noqa: S101 - steer() looked
    if name in (Itinerary.ABORT, Itinerary.ROLLBACK, Itinerary.ROLLBACK_AGAIN):
        retry = migration.annotations.get(RETRY, "")
        mended = status.first_write_at is None and migration.generation != status.observed_generation
        return retry not in ("", status.handled_retry) or mended
    return name is Itinerary.PLAN and migration.document.spec.mode is Mode.MIGRATE


def _begin(migration: Migration, status: Status, now: datetime) -> Status:
    """The first round, or another one: every step anew, on top of what is known and recorded."""
    if migration.document is None:
        problem = Failure(Reason.INVALID_DOCUMENT, "; ".join(migration.problems)[:2000])
        return _abort(migration, status, problem, now)
    spec = migration.document.spec
    name = Itinerary.PLAN if spec.mode is Mode.PLAN else Itinerary.MIGRATE
    round_ = status.itinerary.round + 1 if status.itinerary else 1
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


def _rolls_back(migration: Migration, status: Status) -> bool:
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
    switched = _switch(migration, status, name, now)
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
    return _switch(migration, _with_failure(status, failure), Itinerary.ABORT, now)


def _with_failure(status: Status, failure: Failure) -> Status:
    return status.model_copy(
        update={
            "failure": failure.message[:2000],
            "failure_reason": str(failure.reason),
            "remedy": REMEDIES[failure.reason],
        }
    )


def _switch(migration: Migration, status: Status, name: Itinerary, now: datetime) -> Status:
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
            # whoever scaled one up made the migration fail; on the way back they are counted anew
            "workloads": tuple(w.model_copy(update={"scaled_back": 0}) for w in status.workloads),
            "observed_generation": migration.generation,
        }
    )


def current(status: Status) -> Step | None:
    """The step at work: the first of the itinerary that is not finished."""
    if status.itinerary is None or status.finished_at is not None:
        return None
    ids = {step.id for step in TABLES[Itinerary(status.itinerary.name)]}
    found = next((step for step in status.steps if step.id in ids and not _over(status, step)), None)
    return STEPS[found.id] if found else None


def _over(status: Status, step: StepStatus) -> bool:
    """Within an ending a failed step is over too: the others still have their work to do."""
    ending = status.itinerary is not None and status.itinerary.name not in THERE
    return finished(step) or (ending and step.state is State.FAILED)


def ask(view: View) -> Questions:
    """What has to be observed for the step at work; ``view.status`` is a steered one."""
    step = current(view.status)
    if step is None:
        return Questions(
            workloads=frozenset(ref_of(w) for w in view.status.workloads if w.state not in SETTLED),
            leases=frozenset(view.status.locks),
        )
    questions = step.ask(view)
    if at_the_start(view.status):
        questions |= Questions(queue=True)
    if step.needs_quiet:
        questions |= Questions(workloads=frozenset(ref_of(w) for w in view.status.workloads))
    return questions


def decide(migration: Migration, status: Status, world: World, platform: Platform | None, pace: Pace) -> Decision:
    """One stroke. ``status`` is :func:`steer` of the migration; ``world`` answers :func:`ask`."""
    if not migration.finalizer and migration.deleting_since is None:
        return Decision(migration.status, (EnsureFinalizer(),), 0.0)
    context = Context(migration, status, platform, pace, world)
    step = current(status)
    decision = _upkeep(context) if step is None else _stroke(context, step)
    if migration.deleting_since is not None:
        decision = _let_go(migration, decision, world.now)
    announced = _announcements(migration.status, decision.status)
    return replace(decision, effects=(*announced, *decision.effects))


def _stroke(context: Context, step: Step) -> Decision:
    """Lets the step at work advance, and enters what came of it."""
    now = stamp(context.now)
    entered = context.step(step.id)
    queued = waits_its_turn(context) if missed(context) is None else ""
    if queued:
        waiting = with_step(context.status, entered.model_copy(update={"message": queued}))
        return _entered(context, waiting, (), context.pace.queue, phase=QUEUED)
    if entered.state is State.PENDING:
        entered = entered.model_copy(update={"state": State.RUNNING, "started_at": now})
        context = context.with_status(with_step(context.status, entered))
    broken = missed(context) or (broken_rest(context) if step.needs_quiet else None)
    outcome = Outcome.fail(context.status, broken) if broken else step.advance(context)
    after = next(found for found in outcome.status.steps if found.id == step.id)
    match outcome.verdict:
        case Verdict.WAIT:
            after = after.model_copy(update={"message": outcome.message[:2000]})
            return _entered(context, with_step(outcome.status, after), outcome.effects, outcome.again_in)
        case Verdict.DONE:
            after = after.model_copy(
                update={"state": State.SUCCEEDED, "finished_at": now, "message": outcome.message[:2000]}
            )
            return _entered(context, with_step(outcome.status, after), outcome.effects, 0.0)
        case Verdict.FAILED:
            assert outcome.failure is not None  # noqa: S101 - Outcome.fail() gives one
            after = after.model_copy(
                update={
                    "state": State.FAILED,
                    "finished_at": now,
                    "reason": str(outcome.failure.reason),
                    "message": outcome.message[:2000],
                }
            )
            return _failed(context, with_step(outcome.status, after), outcome)


def _failed(context: Context, status: Status, outcome: Outcome) -> Decision:
    """A step of the way there leads to the way back; one of the way back is noted, and the way goes on."""
    assert outcome.failure is not None  # noqa: S101 - as above
    name = Itinerary(status.itinerary.name) if status.itinerary else None
    written = any(step.id == "roll_back" and begun(step) for step in status.steps)
    if name in THERE or (name in AFTERWARDS and not written):
        failed = _with_failure(status, outcome.failure)
        way = Itinerary.ROLLBACK if name in THERE and _rolls_back(context.migration, status) else Itinerary.ABORT
        return _entered(context, _switch(context.migration, failed, way, context.now), outcome.effects, 0.0)
    both = "\n".join(filter(None, (status.failure, outcome.failure.message)))
    noted = status.model_copy(
        update={
            "failure": both[:2000],
            "failure_reason": status.failure_reason or str(outcome.failure.reason),
            "remedy": status.remedy or outcome.failure.remedy,
        }
    )
    return _entered(context, noted, outcome.effects, 0.0)


def _entered(
    context: Context, status: Status, effects: Sequence[Effect], again_in: float, *, phase: str = ""
) -> Decision:
    """The status with phase, progress and conditions as its steps say; ended when no step is left."""
    now = stamp(context.now)
    step = current(status)
    if step is None and status.finished_at is None:
        status = status.model_copy(update={"finished_at": now})
    end = end_of(status)
    at_work = next((found for found in status.steps if step and found.id == step.id), None)
    phase = str(end) if end else phase or (step.phase if step else "Pending")
    status = status.model_copy(update={"phase": phase, "step": _position(status)})
    status = with_progress(status, now=context.now, pace=context.pace.helper)
    summary = Summary(
        end=end,
        reason=status.failure_reason or phase,
        message=_words(status, end, at_work.message if at_work else ""),
    )
    generation = context.migration.generation
    status = with_conditions(status, summary, generation=generation, now=now)
    return Decision(status, tuple(effects), UPKEEP_SECONDS if end else again_in)


def _words(status: Status, end: End | None, doing: str) -> str:
    if end is not None and status.rolled_back_at is not None:
        return "; ".join(filter(None, (status.failure, "the target was put back as it was, and proved")))
    if status.failure:
        remedy = f" ({status.remedy})" if status.remedy and end is End.FAILED else ""
        return f"{status.failure}{remedy}"
    if end is End.SUCCEEDED and status.result is not None:
        return f"verified: {status.result.digest}"
    if end is End.PLANNED:
        return next((step.message for step in status.steps if step.id == "plan"), "")
    return doing


def _position(status: Status) -> str:
    """``3/9``: how many steps of the itinerary are over, the one at work included."""
    if status.itinerary is None:
        return ""
    ids = [step.id for step in TABLES[Itinerary(status.itinerary.name)]]
    over = sum(_over(status, step) for step in status.steps if step.id in ids)
    return f"{min(over + 1, len(ids))}/{len(ids)}"


def _upkeep(context: Context) -> Decision:
    """What an ended migration still does: sends late helpers and locks away, brings back what is still to be."""
    status, effects = context.status, (*remove_helpers(context), *drop_locks(context))
    released = context.migration.annotations.get(RELEASE, "")
    # also where a target's workload is held: whoever scales it up is answered, as before the end
    status, back = bring_back(context, succeeded=end_of(status) is End.SUCCEEDED)
    effects = (*effects, *back)
    if all(w.state in SETTLED for w in status.workloads) and released != status.handled_release:
        status = _given_to_users(status.model_copy(update={"handled_release": released}))
    changed = status != context.migration.status
    decision = _entered(context, status, effects, 0.0)
    again_in = context.pace.wait if effects or changed else UPKEEP_SECONDS
    return replace(decision, again_in=again_in)


def _given_to_users(status: Status) -> Status:
    """A target that a person let go is its users': what it held before is no more what they have."""
    if status.backup is None or status.first_write_at is None or end_of(status) is End.SUCCEEDED:
        return status
    backup = status.backup.model_copy(update={"units": ()})
    return status.model_copy(update={"backup": backup, "half_back": False})


def _let_go(migration: Migration, decision: Decision, now: datetime) -> Decision:
    """A deletion ends with the finalizer: when all is done, or when the deadline has passed."""
    assert migration.deleting_since is not None  # noqa: S101 - the caller looked
    late = seconds_since(stamp(migration.deleting_since), now) > DELETE_SECONDS
    if decision.status.finished_at is None and not late:
        return decision
    effects = decision.effects
    if late and decision.status.finished_at is None:
        words = f"gone after {DELETE_SECONDS}s, though not everything was brought back: {decision.status.failure}"
        effects = (*effects, Announce("DeletedAnyway", words, warning=True))
    return Decision(decision.status, (*effects, DropFinalizer()), None)


def _announcements(before: Status, after: Status) -> tuple[Announce, ...]:
    """One event a transition, from the difference of what was stored and what will be."""
    old = {step.id: step.state for step in before.steps}
    same_round = before.itinerary is not None and after.itinerary is not None
    if same_round and before.itinerary and after.itinerary and before.itinerary.round != after.itinerary.round:
        old = {}
    found = [
        event for step in after.steps if step.state is not old.get(step.id, State.PENDING) for event in _told(step)
    ]
    found.extend(
        Announce("Warned", words[:1000], warning=True) for words in after.warnings if words not in before.warnings
    )
    attempts = {(s.id, s.pass_number, unit.name): unit.attempt for s in before.steps for unit in s.units}
    for step in after.steps:
        for unit in step.units:
            if unit.attempt > attempts.get((step.id, step.pass_number, unit.name), unit.attempt):
                found.append(Announce("Retried", f"{step.id} {unit.name}: {unit.message}"[:1000], warning=True))
    if after.finished_at and not before.finished_at:
        bad = after.phase in (End.FAILED, End.CANCELLED)
        ready = next((c for c in after.conditions if c.type == "Ready"), None)
        found.append(Announce(after.phase, (ready.message if ready else "")[:1000], warning=bad))
    return tuple(found)


def _told(step: StepStatus) -> tuple[Announce, ...]:
    match step.state:
        case State.RUNNING:
            return (Announce("StepBegun", step.id),)
        case State.SUCCEEDED:
            return (Announce("StepFinished", f"{step.id}: {step.message}"[:1000]),)
        case State.FAILED:
            return (Announce(step.reason or "StepEnded", f"{step.id}: {step.message}"[:1000], warning=True),)
        case _:
            return ()


def ended_at(status: Status) -> datetime | None:
    return moment(status.finished_at) if status.finished_at else None
