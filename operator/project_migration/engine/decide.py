"""The heart: from a migration as it is stored and the world as it is, what shall be stored next, and done after that.

Pure. :func:`~project_migration.engine.steering.steer` chose the itinerary; :func:`ask` says what the step at work
needs to know, :func:`decide` lets that step make one stroke. Nothing here remembers anything: all memory is the status,
all else is observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from project_migration.engine import retention
from project_migration.engine.checking import ask_for_check, check_target, helpers_at_work, interrupted
from project_migration.engine.clock import moment, seconds_since, stamp
from project_migration.engine.effects import Announce, DropFinalizer, Effect, EnsureFinalizer
from project_migration.engine.itinerary import AFTERWARDS, STEPS, TABLES, THERE, Itinerary, end_of
from project_migration.engine.platform import Platform
from project_migration.engine.progress import with_progress
from project_migration.engine.queue import at_the_start, waits_its_turn
from project_migration.engine.steering import rolls_back, switch, with_failure
from project_migration.engine.step import (
    Context,
    Outcome,
    Pace,
    Press,
    Step,
    Verdict,
    View,
    begun,
    finished,
    no_press,
    with_step,
)
from project_migration.engine.steps.cutover import missed
from project_migration.engine.steps.ending import drop_locks, remove_helpers
from project_migration.engine.steps.quiesce import broken_rest, ref_of
from project_migration.engine.steps.resume import SETTLED, bring_back
from project_migration.engine.world import Migration, Questions, World
from project_migration.model.conditions import QUEUED, End, Summary, with_conditions
from project_migration.model.labels import RELEASE
from project_migration.model.status import State, Status, StepStatus

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
        return (
            ask_for_check(view)
            | Questions(
                workloads=frozenset(ref_of(w) for w in view.status.workloads if w.state not in SETTLED),
                leases=frozenset(view.status.locks),
            )
            | retention.ask(view.status)
        )
    questions = step.ask(view)
    if at_the_start(view.status):
        questions |= Questions(queue=True)
    if step.needs_quiet:
        questions |= Questions(workloads=frozenset(ref_of(w) for w in view.status.workloads))
    return questions


def decide(
    migration: Migration,
    status: Status,
    world: World,
    platform: Platform | None,
    pace: Pace,
    press: Press = no_press,
) -> Decision:
    """One stroke. ``status`` is steer() of the migration; ``world`` answers :func:`ask`."""
    if not migration.finalizer and migration.deleting_since is None:
        return Decision(migration.status, (EnsureFinalizer(),), 0.0)
    context = Context(migration, status, platform, pace, world, press)
    step = current(status)
    decision = _upkeep(context) if step is None else _stroke(context, step)
    if migration.deleting_since is not None:
        decision = _let_go(migration, decision, world.now)
    announced = _announcements(migration.status, decision.status)
    return replace(decision, effects=(*announced, *decision.effects))


def _stroke(context: Context, step: Step) -> Decision:
    """Lets the step at work advance, and enters what came of it."""
    now = stamp(context.now)
    stopped = interrupted(context)
    if stopped.status != context.status:
        return _entered(context, stopped.status, stopped.effects, 0.0)
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
        case Verdict.ALREADY:
            after = after.model_copy(
                update={"state": State.SUCCEEDED, "finished_at": now, "message": outcome.message[:2000]}
            )
            status = switch(context.migration, with_step(outcome.status, after), Itinerary.ALREADY, context.now)
            return _entered(context, status, outcome.effects, 0.0)
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
        failed = with_failure(status, outcome.failure)
        way = Itinerary.ROLLBACK if name in THERE and rolls_back(context.migration, status) else Itinerary.ABORT
        return _entered(context, switch(context.migration, failed, way, context.now), outcome.effects, 0.0)
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
        status = _with_force(context, status.model_copy(update={"finished_at": now}))
        status = retention.dated(context.migration, status)
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


def _with_force(context: Context, ended: Status) -> Status:
    """Once a migration is carried out, so is the wish to have that done again."""
    document = context.migration.document
    if document is None or end_of(ended) not in (End.SUCCEEDED, End.ALREADY_MIGRATED):
        return ended
    return ended.model_copy(update={"handled_force": document.spec.force or ""})


def _words(status: Status, end: End | None, doing: str) -> str:
    if end is not None and status.rolled_back_at is not None:
        return "; ".join(filter(None, (status.failure, "the target was put back as it was, and proved")))
    if status.failure:
        remedy = f" ({status.remedy})" if status.remedy and end is End.FAILED else ""
        return f"{status.failure}{remedy}"
    if end is End.SUCCEEDED and status.result is not None:
        return f"verified: {status.result.digest}{_kept_words(status)}"
    if end is End.ALREADY_MIGRATED:
        return next((step.message for step in status.steps if step.id == "preflight"), "")
    if end is End.PLANNED:
        return next((step.message for step in status.steps if step.id == "plan"), "")
    return doing


def _kept_words(status: Status) -> str:
    if status.backup is None or not (status.backup.kept_until or status.backup.removed_at):
        return ""
    if status.backup.removed_at:
        return f"; the backup was removed at {status.backup.removed_at}"
    return f"; the backup is kept until {status.backup.kept_until}"


def _position(status: Status) -> str:
    """``3/9``: how many steps of the itinerary are over, the one at work included."""
    if status.itinerary is None:
        return ""
    ids = [step.id for step in TABLES[Itinerary(status.itinerary.name)]]
    over = sum(_over(status, step) for step in status.steps if step.id in ids)
    return f"{min(over + 1, len(ids))}/{len(ids)}"


def _upkeep(context: Context) -> Decision:
    """What an ended migration still does: sends late helpers and locks away, brings back what is still to be,
    looks at its target again when a person asks, and removes its backup when the time has come."""
    checked = check_target(context)
    removal = retention.expire(context.with_status(checked.status))
    context = context.with_status(removal.status)
    needed = helpers_at_work(removal.status) | removal.helpers
    effects = (
        *checked.effects,
        *removal.effects,
        *remove_helpers(context, needed=needed),
        *drop_locks(context),
    )
    released = context.migration.annotations.get(RELEASE, "")
    # also where a target's workload is held: whoever scales it up is answered, as before the end
    status, back = bring_back(context, succeeded=end_of(context.status) is End.SUCCEEDED)
    effects = (*effects, *back)
    if all(w.state in SETTLED for w in status.workloads) and released != status.handled_release:
        status = _given_to_users(status.model_copy(update={"handled_release": released}))
    changed = status != context.migration.status
    decision = _entered(context, status, effects, 0.0)
    again_in = context.pace.wait if effects or changed or removal.at_work else UPKEEP_SECONDS
    if checked.again_in is not None:
        again_in = min(checked.again_in, again_in)
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
    told = {refusal.request for refusal in before.refused}
    found.extend(
        Announce("Refused", refusal.message[:1000], warning=True)
        for refusal in after.refused
        if refusal.request not in told
    )
    attempts = {(s.id, s.pass_number, unit.name): unit.attempt for s in before.steps for unit in s.units}
    for step in after.steps:
        for unit in step.units:
            if unit.attempt > attempts.get((step.id, step.pass_number, unit.name), unit.attempt):
                found.append(Announce("Retried", f"{step.id} {unit.name}: {unit.message}"[:1000], warning=True))
    checked = after.check
    if checked is not None and checked.at and (before.check is None or before.check.at != checked.at):
        found.append(Announce("Checked", checked.message[:1000], warning=checked.same is not True))
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
