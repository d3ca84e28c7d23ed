"""The itineraries: tables, read top to bottom. What a migration does, in which order, stands here and nowhere else."""

from __future__ import annotations

from enum import StrEnum

from project_migration.engine.step import Step
from project_migration.engine.steps.cutover import AwaitCutover
from project_migration.engine.steps.ending import CleanUp, Stop
from project_migration.engine.steps.lock import Lock
from project_migration.engine.steps.plan import Plan
from project_migration.engine.steps.pre_copy import PreCopy
from project_migration.engine.steps.preflight import Preflight
from project_migration.engine.steps.quiesce import Quiesce
from project_migration.engine.steps.resume import Resume
from project_migration.engine.steps.transfer import Copy, Verify
from project_migration.model.document import Side

#: Rises when a table changes, so that a status says which one it follows.
VERSION = 2


class Itinerary(StrEnum):
    MIGRATE = "Migrate"
    PLAN = "Plan"
    ABORT = "Abort"
    CANCEL = "Cancel"
    DELETE = "Delete"


#: From the document to workloads on a verified target.
MIGRATE: tuple[Step, ...] = (
    Lock(),  # nobody else writes the target from here on
    Preflight(),  # everything that can be known is in order
    Plan(),  # what would move is written down
    Quiesce(Side.TARGET, "quiesce_target"),  # nothing uses the target
    PreCopy(),  # most of it is on the target, while users still work on the source
    AwaitCutover(),  # a person, or the clock, lets the stop begin
    Quiesce(Side.SOURCE, "quiesce_source"),  # nothing changes the source: the stop begins for users
    Copy(),  # everything is on the target
    Verify(),  # and it is the same, seen with fresh eyes
    Resume("resume", succeeded=True),  # users have it back
    CleanUp("clean_up"),  # nothing of ours is left
)

#: The same, up to where something would be changed.
PLAN: tuple[Step, ...] = (Preflight(), Plan(), CleanUp("clean_up"))

#: After a failure, a cancel, or a deletion: the way back, which needs no document and no helper.
ENDING: tuple[Step, ...] = (
    Stop(),  # nothing of ours writes any more
    Resume("bring_back", succeeded=False),  # the source's users have it back; the target's if it is in order
    CleanUp("tidy_up"),  # nothing of ours is left
)

TABLES: dict[Itinerary, tuple[Step, ...]] = {
    Itinerary.MIGRATE: MIGRATE,
    Itinerary.PLAN: PLAN,
    Itinerary.ABORT: ENDING,
    Itinerary.CANCEL: ENDING,
    Itinerary.DELETE: ENDING,
}

STEPS: dict[str, Step] = {step.id: step for table in TABLES.values() for step in table}


def check_tables() -> None:
    """No step may write a target before preflight passed and the target's workloads are at rest."""
    for name, table in TABLES.items():
        ids = [step.id for step in table]
        if len(set(ids)) != len(ids):
            raise AssertionError(f"{name}: a step stands twice")
        for position, step in enumerate(table):
            before = ids[:position]
            if step.writes_target and not {"lock", "preflight", "quiesce_target"} <= set(before):
                raise AssertionError(f"{name}: {step.id} writes the target too early")


check_tables()
