"""Writes down what would move, with counts and sizes, from what the surveys found."""

from __future__ import annotations

from dataclasses import dataclass

from project_migration.engine.step import Context, Outcome, View
from project_migration.engine.world import Questions
from project_migration.model.quantities import human_bytes
from project_migration.model.status import PlannedUnit


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
        planned = tuple(
            PlannedUnit(
                name=unit.name,
                # of a volume its objects, of a database its rows
                items=unit.counts.get("entries", unit.counts.get("rows", 0)),
                bytes=unit.counts.get("bytes", 0),
                free_bytes=unit.counts.get("freeBytes"),
            )
            for unit in context.step("preflight").units
        )
        items, size = sum(unit.items for unit in planned), sum(unit.bytes for unit in planned)
        message = f"{items} objects, {human_bytes(size)} would move"
        return Outcome.done(context.status.model_copy(update={"plan": planned}), message)
