"""Numbers for people: percent, rate, time left; honest, and saved every few seconds at most."""

from __future__ import annotations

from datetime import datetime

from project_migration.engine.clock import seconds_since, stamp
from project_migration.engine.itinerary import STEPS, TABLES, Itinerary
from project_migration.engine.step import finished
from project_migration.model.status import Progress, State, Status, StepStatus

#: How much of a new rate counts; the rest is the rate before, so that the figure does not jump.
SMOOTHING = 0.3


def with_progress(status: Status, *, now: datetime, pace: float) -> Status:
    """The status with its progress brought up to date, unless that was done less than ``pace`` seconds ago.

    Percent never falls within a round and is 100 only when the migration succeeded (or its plan is made).
    """
    before = status.progress
    percent = max(before.percent, _percent(status))
    moved = percent != before.percent or status.finished_at is not None
    fresh = before.updated_at is not None and seconds_since(before.updated_at, now) < pace
    if fresh and not moved:
        return status
    step = next((found for found in status.steps if found.state is State.RUNNING and found.units), None)
    if step is None or status.finished_at is not None:  # what is done after the end is no part of the way there
        return status.model_copy(update={"progress": _at_rest(before, percent, status)})
    return status.model_copy(update={"progress": _at_work(before, percent, step, now)})


def _at_rest(before: Progress, percent: int, status: Status) -> Progress:
    if status.finished_at is not None:
        return before.model_copy(update={"percent": percent, "bytes_per_second": 0, "eta_seconds": None})
    return before.model_copy(update={"percent": percent})


def _at_work(before: Progress, percent: int, step: StepStatus, now: datetime) -> Progress:
    done = sum(unit.bytes_done for unit in step.units)
    total = sum(unit.bytes_total for unit in step.units)
    passed = seconds_since(before.updated_at, now)
    rate = before.bytes_per_second
    if passed > 0 and done >= before.bytes_done:
        rate = round((1 - SMOOTHING) * rate + SMOOTHING * (done - before.bytes_done) / passed)
    return Progress(
        percent=percent,
        bytes_done=done,
        bytes_total=total,
        items_done=sum(unit.items_done for unit in step.units),
        items_total=sum(unit.items_total for unit in step.units),
        bytes_per_second=rate,
        eta_seconds=round((total - done) / rate) if rate > 0 else None,
        updated_at=stamp(now),
    )


def _percent(status: Status) -> int:
    if status.itinerary is None:
        return 0
    name = Itinerary(status.itinerary.name)
    if name not in (Itinerary.MIGRATE, Itinerary.PLAN):
        return 0
    if status.finished_at is not None:
        return 100
    known = {step.id: step for step in status.steps}
    table = [known[step.id] for step in TABLES[name] if step.id in known]
    whole = sum(STEPS[step.id].weight for step in table)
    have = sum(STEPS[step.id].weight * _share(step) for step in table)
    return min(99, int(100 * have / whole))


def _share(step: StepStatus) -> float:
    """Of a step at work: the part of its bytes, or of its objects while no bytes are known."""
    if finished(step):
        return 1.0
    if not step.units:
        return 0.0
    total, done = sum(u.bytes_total for u in step.units), sum(u.bytes_done for u in step.units)
    if not total:
        total, done = sum(u.items_total for u in step.units), sum(u.items_done for u in step.units)
    over = sum(unit.state is State.SUCCEEDED for unit in step.units) / len(step.units)
    return min(0.99, max(over, done / total if total else 0.0) if over else (done / total if total else 0.0))
