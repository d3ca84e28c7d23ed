"""Conditions, written in one place: what people and kstatus read, summarised from the rest of the status.

Ready True: it has arrived (or a plan is made). Stalled True: it ended otherwise and waits for a person. Reconciling
True: it is at work. https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from project_migration.model.errors import Reason
from project_migration.model.status import Condition, Status, WorkloadState

#: The phase, the reason and the condition of a migration that waits for its cut-over.
AWAITING_CUTOVER = "AwaitingCutover"

#: The same of one that has not begun, since as many run as the operator allows.
QUEUED = "Queued"


class End(StrEnum):
    """How a migration ended; the reason of its Ready condition."""

    SUCCEEDED = "Succeeded"
    PLANNED = "Planned"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    UNDONE = "Undone"
    ALREADY_MIGRATED = "AlreadyMigrated"
    """The targets carry the mark of this very document: nothing was done."""


#: Ends with which everything is as the document asks.
GOOD_ENDS = (End.SUCCEEDED, End.PLANNED, End.ALREADY_MIGRATED)


@dataclass(frozen=True, slots=True)
class Summary:
    """What the conditions are made from: how it ended, or the reason and words of what it does now."""

    end: End | None
    reason: str
    message: str


def with_conditions(status: Status, summary: Summary, *, generation: int, now: str) -> Status:
    """The status with its conditions as the summary says; a transition time changes only with its status."""
    ready = summary.end in GOOD_ENDS
    stalled = summary.end in (End.FAILED, End.CANCELLED, End.UNDONE)
    wanted = {
        "Ready": (ready, summary.reason, summary.message),
        "Reconciling": (summary.end is None, summary.reason, summary.message),
        "Stalled": (stalled, summary.reason, summary.message if stalled else ""),
    }
    held = [f"{w.kind} {w.name}" for w in status.workloads if w.state is WorkloadState.HELD]
    if held:
        wanted["TargetHeld"] = (True, str(Reason.TARGET_HELD), f"{', '.join(held)} stay down")
    if Reason.TARGET_LOCKED in summary.message and summary.end is None:
        wanted["TargetLocked"] = (True, str(Reason.TARGET_LOCKED), summary.message)
    if summary.reason in (AWAITING_CUTOVER, QUEUED) and summary.message and summary.end is None:
        wanted[summary.reason] = (True, summary.reason, summary.message)
    if status.refused:
        told = status.refused[-1]
        wanted["Refused"] = (True, told.reason, "; ".join(refusal.message for refusal in status.refused))
    before = {condition.type: condition for condition in status.conditions}
    conditions = tuple(
        _condition(name, value, reason, message, before.get(name), generation, now)
        for name, (value, reason, message) in wanted.items()
    )
    return status.model_copy(update={"conditions": conditions, "observed_generation": generation})


def _condition(
    name: str, value: bool, reason: str, message: str, before: Condition | None, generation: int, now: str
) -> Condition:
    word = "True" if value else "False"
    same = before is not None and before.status == word
    return Condition(
        type=name,
        status=word,
        reason=reason,
        message=message[:2000],
        last_transition_time=before.last_transition_time if before is not None and same else now,
        observed_generation=generation,
    )
