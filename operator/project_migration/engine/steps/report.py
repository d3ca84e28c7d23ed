"""Writes the report into the workspace, so that it is there when the migration's object is gone.

For people's convenience: whatever keeps it from being written is a warning, and nothing waits for it for long. What it
tells is in the status too, from which `project-migration report` makes the same page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from project_migration.engine.clock import seconds_since, stamp
from project_migration.engine.effects import Effect
from project_migration.engine.platform import UnitWork
from project_migration.engine.step import Context, Outcome, View, finished, with_step
from project_migration.engine.steps.ending import remove_helpers
from project_migration.engine.units import ATTEMPTS_A_ROUND, first_units, run_units
from project_migration.engine.world import Migration, Questions
from project_migration.model.status import WARNINGS_LIMIT, State, Status, StepStatus

#: How long one of its helpers may take, from its making to its end; the migration goes on without it then.
REPORT_SECONDS = 120

ATTEMPTS = 2

UNIT = "report"
PAGE = "report.html"


@dataclass(frozen=True, slots=True)
class Report:
    id: str
    way_back: bool = False
    """Whether it stands at the end of a way back, which nothing may hold up: a suspension neither."""
    phase: str = "Reporting"
    weight: int = 1
    writes_target: bool = False
    needs_quiet: bool = False

    def ask(self, view: View) -> Questions:  # noqa: ARG002
        return Questions(namespace=True)

    def advance(self, context: Context) -> Outcome:
        hindrance = self._hindrance(context)
        if hindrance:
            return Outcome.done(_placed(context.status, ""), hindrance, remove_helpers(context))
        step = context.step(self.id)
        if not step.units:
            begun = step.model_copy(update={"units": first_units(context, [_work({})])})
            return Outcome.wait(with_step(context.status, begun), "", again_in=0.0)
        if not _helper_is_to_be_made(context, step):
            return self._write(context, step, {})
        files = context.press(_as_ended(context))
        if not files:
            return _unwritten(context, context.status, "it could not be made; the operator's log says why")
        return self._write(context, step, files)

    def _write(self, context: Context, step: StepStatus, files: Mapping[str, str]) -> Outcome:
        work = _work(files)
        outcome = run_units(context, step, [work])
        status = with_step(context.status, step.model_copy(update={"units": outcome.units}))
        unit = outcome.units[0]
        if unit.state is State.SUCCEEDED:
            where = f"{context.status.workspace_path}/{PAGE}"
            return Outcome.done(_placed(status, PAGE), f"written to {where} in the workspace", outcome.effects)
        if unit.state is State.FAILED:
            return _unwritten(context, status, unit.message, outcome.effects)
        late = unit.created_at is not None and seconds_since(unit.created_at, context.now) > REPORT_SECONDS
        if late or (unit.attempt - 1) % ATTEMPTS_A_ROUND >= ATTEMPTS:
            return _unwritten(context, status, unit.message or f"its helper did not end within {REPORT_SECONDS}s")
        return Outcome.wait(status, outcome.message, outcome.effects, again_in=outcome.again_in)

    def _hindrance(self, context: Context) -> str:
        """Why no helper is to be made for it; empty when there is no reason."""
        if context.migration.deleting_since is not None or context.world.namespace.terminating:
            return "not written: no helper is made where something is being deleted"
        if context.migration.document is None:
            return "not written: the document cannot be read"
        if not context.status.workspace_claim:
            return "left to the command that carries this document out"
        if not any(unit.counts for step in context.status.steps for unit in step.units):
            return "not written: no helper of this migration has come to its end here"
        if self.way_back and context.spec.suspend:
            return "not written: suspended"
        return ""


def _work(files: Mapping[str, str]) -> UnitWork:
    return UnitWork(UNIT, "report", mounts=(), params={"files": dict(files)})


def _helper_is_to_be_made(context: Context, step: StepStatus) -> bool:
    """Whether this pass hands out the files. Printing them takes longer than all else in a pass."""
    unit = step.units[0]
    return unit.state is State.PENDING or (unit.state is State.RUNNING and unit.helper not in context.world.helpers)


def _as_ended(context: Context) -> Migration:
    """The migration as it will stand in a moment, when what is left to do is done."""
    over = tuple(step for step in context.status.steps if finished(step) or step.state is State.FAILED)
    status = context.status.model_copy(update={"steps": over, "finished_at": stamp(context.now), "report": PAGE})
    return replace(context.migration, status=status)


def _unwritten(context: Context, status: Status, why: str, effects: tuple[Effect, ...] = ()) -> Outcome:
    words = f"the report was not written to the workspace ({why}); project-migration report shows it"
    warnings = (*(found for found in status.warnings if found != words), words[:2000])[-WARNINGS_LIMIT:]
    status = _placed(status, "").model_copy(update={"warnings": warnings})
    return Outcome.done(status, "not written; see the warnings", (*effects, *remove_helpers(context)))


def _placed(status: Status, page: str) -> Status:
    return status.model_copy(update={"report": page})
