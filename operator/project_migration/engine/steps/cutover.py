"""The last look before the source is taken from its users: waits until a person, or the clock, lets the stop begin.

While it waits nothing of the source rests, and the targets stay locked with their workloads down. The wait has no
time-out of its own, as a suspended migration has none: a person decides, within the window that the document gives.
"""

from __future__ import annotations

from dataclasses import dataclass

from project_migration.engine.clock import stamp
from project_migration.engine.step import Context, Outcome, View, finished
from project_migration.engine.steps.ending import remove_helpers
from project_migration.engine.windows import in_the_past
from project_migration.engine.world import Questions
from project_migration.model.conditions import AWAITING_CUTOVER
from project_migration.model.document import Cutover, CutoverMode
from project_migration.model.errors import Failure, Reason
from project_migration.model.status import State, Status


@dataclass(frozen=True, slots=True)
class AwaitCutover:
    id: str = "await_cutover"
    phase: str = AWAITING_CUTOVER
    weight: int = 1
    writes_target: bool = False
    needs_quiet: bool = True

    def ask(self, view: View) -> Questions:  # noqa: ARG002
        return Questions()

    def advance(self, context: Context) -> Outcome:
        message, seconds = _held_by(context)
        if not message:
            return Outcome.done(context.status, "the cut-over begins")
        # helpers of earlier steps have ended: this wait may last days, and they would lie about as long
        again_in = min(context.pace.lock, max(0.0, seconds))
        return Outcome.wait(context.status, message, remove_helpers(context), again_in=again_in)


def _held_by(context: Context) -> tuple[str, float]:
    """What the cut-over waits for, in words, and how long at least; nothing when it may begin."""
    cutover = context.spec.cutover
    if context.spec.suspend:
        return "suspended: set spec.suspend to false to go on", context.pace.lock
    if cutover.mode is CutoverMode.MANUAL and not cutover.approved:
        words = f"waiting for approval: project-migration approve {context.name}, or spec.cutover.approved: true"
        return f"{words}{_until(cutover)}", context.pace.lock
    if cutover.mode is CutoverMode.AT and cutover.at is not None and context.now < cutover.at:
        left = (cutover.at - context.now).total_seconds()
        return f"the cut-over begins at {stamp(cutover.at)} (spec.cutover.at){_until(cutover)}", left
    return "", 0.0


def _until(cutover: Cutover) -> str:
    return f", until {stamp(cutover.not_after)} (spec.cutover.notAfter)" if cutover.not_after else ""


def missed(context: Context) -> Failure | None:
    """Why the cut-over does not take place any more: its window is over, and the source was not touched yet."""
    document = context.migration.document
    if document is None or document.spec.cutover.not_after is None or not _lies_ahead(context.status):
        return None
    not_after = document.spec.cutover.not_after
    if context.now <= not_after:
        return None
    over = in_the_past(context)
    if over is not None:
        # the first look says so with all else that it finds, unless there is nothing to do at all
        return over if any(step.id == "preflight" and finished(step) for step in context.status.steps) else None
    message = f"the cut-over had not begun by {stamp(not_after)} (cutover.notAfter); the source was not touched"
    return Failure(Reason.CUTOVER_MISSED, message)


def _lies_ahead(status: Status) -> bool:
    """Whether the step that takes the source from its users is still to come."""
    return any(step.id == "quiesce_source" and step.state is State.PENDING for step in status.steps)
