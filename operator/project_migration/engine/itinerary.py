"""The itineraries: tables, read top to bottom. What a migration does, in which order, stands here and nowhere else."""

from __future__ import annotations

from enum import StrEnum

from project_migration.engine.step import Step
from project_migration.engine.steps.ask_server import AskServer
from project_migration.engine.steps.cutover import AwaitCutover
from project_migration.engine.steps.discover import Discover
from project_migration.engine.steps.ending import CleanUp, Stop
from project_migration.engine.steps.keeping import BackUp, ProveBackup, ProveRollBack, RollBack, Settle
from project_migration.engine.steps.lock import Lock
from project_migration.engine.steps.make_target import MakeTarget
from project_migration.engine.steps.plan import Plan
from project_migration.engine.steps.pre_copy import PreCopy
from project_migration.engine.steps.preflight import Preflight
from project_migration.engine.steps.quiesce import Quiesce
from project_migration.engine.steps.report import Report
from project_migration.engine.steps.resume import Resume
from project_migration.engine.steps.transfer import ADAPT, ARRANGE, UPGRADE, Copy, Verify
from project_migration.model.conditions import End
from project_migration.model.document import Side
from project_migration.model.status import Status

#: Rises when a table changes, so that a status says which one it follows.
VERSION = 6


class Itinerary(StrEnum):
    MIGRATE = "Migrate"
    PLAN = "Plan"
    ABORT = "Abort"
    ROLLBACK = "Rollback"
    CANCEL = "Cancel"
    CANCEL_ROLLBACK = "CancelRollback"
    UNDO = "Undo"
    ROLLBACK_AGAIN = "RollbackAgain"
    ALREADY = "Already"
    DELETE = "Delete"


#: From the document to workloads on a verified target.
MIGRATE: tuple[Step, ...] = (
    Lock(),  # nobody else writes the target from here on
    Discover(),  # what the document leaves to be looked up is on record
    Preflight(),  # everything that can be known is in order
    Plan(),  # what would move is written down
    Quiesce(Side.TARGET, "quiesce_target"),  # nothing uses the target
    MakeTarget(),  # claims that the document wants made are there
    BackUp(),  # what the target holds lies in the backup
    ProveBackup(),  # and was read back; what a rollback can rest on is written down
    PreCopy(),  # most of it is on the target, while users still work on the source
    AwaitCutover(),  # a person, or the clock, lets the stop begin
    Quiesce(Side.SOURCE, "quiesce_source"),  # nothing changes the source: the stop begins for users
    ARRANGE,  # what the copies have to agree on is decided
    Copy(),  # everything is on the target
    UPGRADE,  # and of the target's release
    ADAPT,  # and fits its new place
    Verify(),  # and it is the same, seen with fresh eyes
    Resume("resume", succeeded=True),  # users have it back
    Settle(),  # what was on the target for a way back is gone
    AskServer(),  # and its own server gives what was proved
    Report("report"),  # what happened is written down
    CleanUp("clean_up"),  # nothing of ours is left
)

#: The same, up to where something would be changed.
PLAN: tuple[Step, ...] = (Discover(), Preflight(), Plan(), CleanUp("clean_up"))

#: After a failure, a cancel, or a deletion: the way back, which does without a document and helpers where it has to.
ENDING: tuple[Step, ...] = (
    Stop(),  # nothing of ours writes any more
    Resume("bring_back", succeeded=False),  # the source's users have it back; the target's if it is in order
    Report("report_end", way_back=True),  # what happened is written down, where that can be
    CleanUp("tidy_up"),  # nothing of ours is left
)

#: After a failure or a cancel, when the target was written to and can be put back.
ROLLBACK: tuple[Step, ...] = (
    Stop(),  # nothing of ours writes any more
    Resume("bring_back_source", succeeded=False, side=Side.SOURCE),  # the source's users do not wait for the rest
    Quiesce(Side.TARGET, "rest_target"),  # nothing uses the target, even if something scaled it up
    RollBack(),  # the target is what it was
    ProveRollBack(),  # and was compared
    Resume("bring_back", succeeded=False),  # the target's users have it back, if it is in order
    Report("report_end", way_back=True),
    CleanUp("tidy_up"),  # nothing of ours is left
)

#: After an end, when a person wants the target as it was.
UNDO: tuple[Step, ...] = (
    Lock(),  # nobody else writes the target from here on
    Quiesce(Side.TARGET, "quiesce_target"),  # nothing uses the target
    RollBack(),
    ProveRollBack(),
    Resume("bring_back", succeeded=False),
    Report("report_end", way_back=True),
    CleanUp("tidy_up"),
)

#: When the first look finds that the document was carried out before: nothing was touched.
ALREADY: tuple[Step, ...] = (CleanUp("tidy_up"),)

TABLES: dict[Itinerary, tuple[Step, ...]] = {
    Itinerary.MIGRATE: MIGRATE,
    Itinerary.PLAN: PLAN,
    Itinerary.ABORT: ENDING,
    Itinerary.ROLLBACK: ROLLBACK,
    Itinerary.CANCEL: ENDING,
    Itinerary.CANCEL_ROLLBACK: ROLLBACK,
    Itinerary.UNDO: UNDO,
    Itinerary.ROLLBACK_AGAIN: UNDO,
    Itinerary.ALREADY: ALREADY,
    Itinerary.DELETE: ENDING,
}

#: What a migration follows on its way there; a failure on it leads to a way back.
THERE = (Itinerary.MIGRATE, Itinerary.PLAN)

#: What begins after an end, with locks and workloads to be taken anew.
AFTERWARDS = (Itinerary.UNDO, Itinerary.ROLLBACK_AGAIN)

#: How a migration has ended that followed it to the end.
ENDS: dict[Itinerary, End] = {
    Itinerary.MIGRATE: End.SUCCEEDED,
    Itinerary.PLAN: End.PLANNED,
    Itinerary.ABORT: End.FAILED,
    Itinerary.ROLLBACK: End.FAILED,
    Itinerary.ROLLBACK_AGAIN: End.FAILED,
    Itinerary.CANCEL: End.CANCELLED,
    Itinerary.CANCEL_ROLLBACK: End.CANCELLED,
    Itinerary.DELETE: End.CANCELLED,
    Itinerary.UNDO: End.UNDONE,
    Itinerary.ALREADY: End.ALREADY_MIGRATED,
}

STEPS: dict[str, Step] = {step.id: step for table in TABLES.values() for step in table}


#: What has to be done before a step writes a target: on the way there, on the way back from it (where the target's
#: workloads rest already), and on the way back from its end.
BEFORE_WRITING = (
    {"lock", "preflight", "quiesce_target", "back_up", "prove_backup"},
    {"stop", "rest_target"},
    {"lock", "quiesce_target"},
)


def end_of(status: Status) -> End | None:
    """None while it is at work."""
    if status.finished_at is None or status.itinerary is None:
        return None
    return ENDS[Itinerary(status.itinerary.name)]


def check_tables() -> None:
    """No step may write a target before it is locked, its workloads rest, and what it held is known to be kept."""
    for name, table in TABLES.items():
        ids = [step.id for step in table]
        if len(set(ids)) != len(ids):
            raise AssertionError(f"{name}: a step stands twice")
        for position, step in enumerate(table):
            before = ids[:position]
            if step.writes_target and not any(needed <= set(before) for needed in BEFORE_WRITING):
                raise AssertionError(f"{name}: {step.id} writes the target too early")


check_tables()
