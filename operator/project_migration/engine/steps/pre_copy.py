"""Warm copies: most of the files are brought over while users still work on the source, to make the stop short.

Each pass runs the platform's copies as the last one will be run, but for two things: what changes or vanishes while
it is read fails nothing, since a later copy sees it again; and the target keeps its mark, by which that later copy
knows what lies there as this migration's own.

What the source loses after a warm copy has to go from the target too, or the target would hold more than the source.
Where the target was proved empty before the first pass, all that is there is ours, and later copies may remove it (see
:func:`follow_warm`); elsewhere only ``transfer.delete`` allows that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from project_migration.engine.effects import volume_key
from project_migration.engine.platform import UnitWork
from project_migration.engine.step import Context, Outcome, View, with_step
from project_migration.engine.steps.ending import remove_helpers
from project_migration.engine.steps.keeping import begin_writing, empty_units, to_be_found_empty
from project_migration.engine.steps.preflight import platform_of
from project_migration.engine.units import ATTEMPTS_A_ROUND, first_units, judge_by_outcome, round_of, run_units
from project_migration.engine.world import Questions
from project_migration.model.errors import Failure, Reason
from project_migration.model.records import Record
from project_migration.model.status import StepStatus, UnitStatus

#: As many as a document may ask for; attempts are numbered so that no two helpers of two passes share a name.
PASSES_LIMIT = 10

#: Counts of a copy that say that another one may find something to do.
UNREST = ("copied", "changed", "vanished")


@dataclass(frozen=True, slots=True)
class PreCopy:
    id: str = "pre_copy"
    phase: str = "PreCopying"
    weight: int = 5
    writes_target: bool = True
    needs_quiet: bool = True

    def ask(self, view: View) -> Questions:
        keys = frozenset(volume_key(use.volume) for use in platform_of(view).uses(view.spec))
        return Questions(claims=keys, namespace=True)

    def advance(self, context: Context) -> Outcome:
        step, passes = context.step(self.id), context.spec.transfer.pre_copy
        if not step.pass_number and not passes:
            return Outcome.done(context.status, "no warm copy is asked for")
        if not platform_of(context).copies(context.spec, share=1, empty=frozenset(), warm=True):
            return Outcome.done(context.status, "nothing can be copied warm")
        if context.status.first_write_at is None:
            return Outcome.wait(begin_writing(context), "", again_in=0.0)
        if not step.pass_number:
            return self._begin(context, step, 1)
        return self._go_on(context, step, passes)

    def _go_on(self, context: Context, step: StepStatus, passes: int) -> Outcome:
        """One stroke of the pass at work, and the next pass once the end of this one is on record."""
        outcome = run_units(context, step, self._works(context, step), judge=judge_warm)
        recorded = outcome.units == step.units
        step = step.model_copy(update={"units": outcome.units})
        status = with_step(context.status, step)
        if outcome.failed:
            return Outcome.fail(status, _failure(outcome.failed), outcome.effects)
        if not outcome.all_done:
            message = f"warm copy {step.pass_number} of {max(passes, step.pass_number)}: {outcome.message}"
            return Outcome.wait(status, message, outcome.effects, again_in=outcome.again_in)
        if step.pass_number < passes and _moved(step):
            if not recorded:
                return Outcome.wait(status, "", outcome.effects, again_in=0.0)
            return self._begin(context.with_status(status), step, step.pass_number + 1)
        return Outcome.done(status, _summary(step), outcome.effects)

    def _begin(self, context: Context, step: StepStatus, number: int) -> Outcome:
        """The next pass, with helpers of its own; those of the pass before have ended."""
        begun = step.model_copy(update={"pass_number": number, "units": ()})
        works = self._works(context, begun)
        offset = ((round_of(context) - 1) * (PASSES_LIMIT - 1) + number - 1) * ATTEMPTS_A_ROUND
        units = tuple(
            unit.model_copy(update={"attempt": unit.attempt + offset}) for unit in first_units(context, works)
        )
        begun = begun.model_copy(update={"units": units})
        return Outcome.wait(with_step(context.status, begun), "", remove_helpers(context), again_in=0.0)

    def _works(self, context: Context, step: StepStatus) -> tuple[UnitWork, ...]:
        share = min(len(step.units) or 1, context.pace.parallel_helpers)
        empty = to_be_found_empty(context)
        works = platform_of(context).copies(context.spec, share=share, empty=empty, warm=True)
        ours = empty_units(context.status) if step.pass_number > 1 else frozenset()
        numbered = (replace(work, params={**work.params, "pass": step.pass_number}) for work in works)
        return tuple(_removing(work) if work.name in ours else work for work in numbered)


def judge_warm(unit: str, record: Record) -> tuple[Failure, ...]:
    """As any copy's record, but that the source may change: whoever uses it does that."""
    if record.reason == Reason.SOURCE_CHANGED:
        return ()
    return judge_by_outcome(unit, record)


def follow_warm(context: Context, work: UnitWork) -> UnitWork:
    """A later step's work on a target that warm copies wrote: what the source lost since is not to be there."""
    warm = next((step for step in context.status.steps if step.id == "pre_copy"), None)
    copied = warm is not None and any(unit.name == work.name for unit in warm.units)
    return _removing(work) if copied and work.name in empty_units(context.status) else work


def _removing(work: UnitWork) -> UnitWork:
    return replace(work, params={**work.params, "delete": True})


def _moved(step: StepStatus) -> bool:
    """Whether another pass may find something to do. A helper that does not count says nothing of that."""
    counted = all("copied" in unit.counts for unit in step.units)
    return not counted or any(unit.counts.get(kind) for unit in step.units for kind in UNREST)


def _failure(failed: tuple[UnitStatus, ...]) -> Failure:
    lines = [f"{unit.name}: {unit.message}" for unit in failed]
    return Failure(Reason(failed[0].reason), "\n".join(lines)[:2000])


def _summary(step: StepStatus) -> str:
    left = sum(unit.counts.get(kind, 0) for unit in step.units for kind in ("changed", "vanished"))
    words = f"; {left} object(s) changed while the last one read them" if left else ""
    return f"{step.pass_number} warm copies{words}" if step.pass_number != 1 else f"1 warm copy{words}"
