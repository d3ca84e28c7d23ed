"""Writes down what would move, with counts and sizes, from what the surveys found."""

from __future__ import annotations

from dataclasses import dataclass

from project_migration.engine.claims import sized, unmade, words
from project_migration.engine.platform import TARGET_MAJOR
from project_migration.engine.step import Context, Outcome, View
from project_migration.engine.steps.preflight import joined, platform_of
from project_migration.engine.windows import too_long_for_window
from project_migration.engine.world import Questions
from project_migration.model.quantities import human_bytes
from project_migration.model.status import WARNINGS_LIMIT, PlannedUnit, UnitStatus

#: What a survey says of the target's own directory.
ROOT = ("rootMode", "rootUid", "rootGid", "rootMtimeNs")


@dataclass(frozen=True, slots=True)
class Plan:
    id: str = "plan"
    phase: str = "Planning"
    weight: int = 1
    writes_target: bool = False
    needs_quiet: bool = False

    def ask(self, view: View) -> Questions:  # noqa: ARG002
        return Questions()

    def advance(self, context: Context) -> Outcome:
        names = frozenset(platform_of(context).units(context.spec))
        adding = platform_of(context).adds_only(context.spec)
        units = (unit for unit in context.step("preflight").units if unit.name in names)
        planned = tuple(_planned(unit, unit.name in adding) for unit in units)
        items, size = sum(unit.items for unit in planned), sum(unit.bytes for unit in planned)
        claims, too_small = sized(context, context.step("preflight").units)
        if too_small:
            return Outcome.fail(context.status, joined(too_small))
        status = context.status.model_copy(update={"plan": planned, "claims": claims})
        message = f"{items} objects, {human_bytes(size)} would move"
        message += "".join(f"; {words(claim)}, would be made" for claim in unmade(status))
        doubt = too_long_for_window(context, items, size)
        if doubt:
            status = status.model_copy(update={"warnings": (*status.warnings, doubt)[:WARNINGS_LIMIT]})
        return Outcome.done(status, message)


def _planned(unit: UnitStatus, adds_only: bool) -> PlannedUnit:
    return PlannedUnit(
        name=unit.name,
        # of a volume its objects, of a database its rows
        items=unit.counts.get("entries", unit.counts.get("rows", 0)),
        bytes=unit.counts.get("bytes", 0),
        free_bytes=unit.counts.get("freeBytes"),
        # a target that is only added to has nothing that would have to be kept
        target_empty=adds_only or bool(unit.counts.get("targetEmpty", 0)),
        root={name: unit.counts[name] for name in ROOT if name in unit.counts},
        client_major=unit.counts.get(TARGET_MAJOR),
    )
