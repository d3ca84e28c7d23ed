"""The window of a cut-over, held against the clock and against what the migration may take."""

from __future__ import annotations

from datetime import datetime

from project_migration.engine.clock import moment, stamp
from project_migration.engine.estimate import reckon
from project_migration.engine.step import Context
from project_migration.model.document import Cutover, CutoverMode
from project_migration.model.errors import Failure, Reason
from project_migration.model.quantities import human_seconds


def in_the_past(context: Context) -> Failure | None:
    """Whether the document asked for a moment that was over already when the migration was first seen.

    A later round, such as a retry, may find ``at`` over: it goes on when the window is still open, and only then.
    """
    cutover = context.spec.cutover
    status = context.status
    first_seen = moment(status.started_at) if status.started_at else context.now
    over = past(cutover, first_seen)
    if not over and status.itinerary is not None and status.itinerary.round > 1:
        begun = next((step.started_at for step in status.steps if step.started_at), None)
        open_still = cutover.not_after is not None and context.now <= cutover.not_after
        over = "" if open_still else past(cutover, moment(begun) if begun else context.now)
    return Failure(Reason.CUTOVER_IN_THE_PAST, over) if over else None


def past(cutover: Cutover, now: datetime) -> str:
    """Which moment of the document is over by ``now``, in words; nothing when none is."""
    if cutover.mode is CutoverMode.AT and cutover.at is not None and cutover.at < now:
        return f"cutover.at {stamp(cutover.at)} was over when the migration began ({stamp(now)})"
    if cutover.not_after is not None and cutover.not_after < now:
        return f"cutover.notAfter {stamp(cutover.not_after)} was over when the migration began ({stamp(now)})"
    return ""


def too_long_for_window(context: Context, items: int, size: int) -> str:
    """A warning when what comes after the cut-over may take longer than the window is open."""
    cutover = context.spec.cutover
    found = reckon(items, size, context.spec.transfer)
    if cutover.not_after is None or found is None:
        return ""
    opens = max(context.now, cutover.at) if cutover.mode is CutoverMode.AT and cutover.at else context.now
    left = (cutover.not_after - opens).total_seconds()
    if found.longest <= left:
        return ""
    return (
        f"copy and proof may take up to {human_seconds(found.longest)}, and the window of the cut-over"
        f" is open for {human_seconds(max(0.0, left))} (cutover.notAfter)"
    )
