"""The steps in which helpers work on both sides: what is arranged before, the copy, the proof that it arrived."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from project_migration.engine.effects import volume_key
from project_migration.engine.platform import Platform, UnitWork
from project_migration.engine.step import Context, Outcome, View, with_step
from project_migration.engine.steps.keeping import begin_writing, empty_units, to_be_found_empty
from project_migration.engine.steps.pre_copy import follow_warm
from project_migration.engine.steps.preflight import platform_of
from project_migration.engine.units import first_units, run_units
from project_migration.engine.world import Questions
from project_migration.model.document import Spec
from project_migration.model.errors import Failure, Reason
from project_migration.model.status import Result, Status, StepStatus, UnitStatus


@dataclass(frozen=True, slots=True)
class PlatformsOwn:
    """A step that a platform may have work for; where it has none, the step is done at once."""

    id: str
    phase: str
    weight: int
    writes_target: bool
    works: Callable[[Platform, Spec], tuple[UnitWork, ...]]
    nothing: str
    """What is said where there is none."""
    needs_quiet: bool = True

    def ask(self, view: View) -> Questions:
        return _questions(view)

    def advance(self, context: Context) -> Outcome:
        works = self.works(platform_of(context), context.spec)
        if not works:
            return Outcome.done(context.status, self.nothing)
        return run_step(context, context.step(self.id), works)


#: What the copies have to agree on, such as new ids, is decided once nothing changes any more.
ARRANGE = PlatformsOwn(
    id="arrange",
    phase="Arranging",
    weight=1,
    writes_target=False,
    works=lambda platform, spec: platform.arrangements(spec),
    nothing="nothing has to be arranged",
)

#: The target's own program brings what was copied to the release that runs there.
UPGRADE = PlatformsOwn(
    id="upgrade",
    phase="Upgrading",
    weight=3,
    writes_target=True,
    works=lambda platform, spec: platform.upgrades(spec),
    nothing="what was copied is of the target's release",
)

#: What was copied is made to fit its new place: owners, addresses, settings.
ADAPT = PlatformsOwn(
    id="adapt",
    phase="Adapting",
    weight=3,
    writes_target=True,
    works=lambda platform, spec: platform.adaptations(spec),
    nothing="what was copied fits as it is",
)


@dataclass(frozen=True, slots=True)
class Copy:
    """Moves every unit. The moment of the first write is saved before the first helper that writes is made."""

    id: str = "copy"
    phase: str = "Copying"
    weight: int = 60
    writes_target: bool = True
    needs_quiet: bool = True

    def ask(self, view: View) -> Questions:
        return _questions(view)

    def advance(self, context: Context) -> Outcome:
        step = context.step(self.id)
        if context.status.first_write_at is None:
            return Outcome.wait(begin_writing(context), "", again_in=0.0)
        # also after a warm copy: a helper knows this migration's own work by its mark
        # what an earlier round wrote is ours; the first round of this migration found the target empty
        empty = to_be_found_empty(context)
        share = min(len(step.units) or 1, context.pace.parallel_helpers)
        works = platform_of(context).copies(context.spec, share=share, empty=empty)
        works = tuple(_marked(context, follow_warm(context, work)) for work in works)
        return run_step(context, step, tuple(_with_totals(context, work) for work in works))


def _marked(context: Context, work: UnitWork) -> UnitWork:
    """A target that was empty keeps the mark until the end: a rollback removes nothing from one without it."""
    if work.name not in empty_units(context.status):
        return work
    return replace(work, params={**work.params, "release": False})


def _with_totals(context: Context, work: UnitWork) -> UnitWork:
    """What the plan found, so that progress has honest totals from the start."""
    planned = next((unit for unit in context.status.plan if unit.name == work.name), None)
    if planned is None:
        return work
    totals = {"expectedEntries": planned.items, "expectedBytes": planned.bytes}
    return replace(work, params={**work.params, **totals})


@dataclass(frozen=True, slots=True)
class Verify:
    """Reads both sides again, independently of the copy, and keeps the digest of what was proved."""

    id: str = "verify"
    phase: str = "Verifying"
    weight: int = 30
    writes_target: bool = False
    needs_quiet: bool = True

    def ask(self, view: View) -> Questions:
        return _questions(view)

    def advance(self, context: Context) -> Outcome:
        step = context.step(self.id)
        works = platform_of(context).verifications(context.spec)
        outcome = run_step(context, step, tuple(follow_warm(context, work) for work in works))
        if outcome.verdict.name != "DONE":
            return outcome
        result = _result(outcome.status)
        status = outcome.status.model_copy(update={"result": result, "half_back": False})
        return Outcome.done(status, outcome.message, outcome.effects)


def _questions(view: View) -> Questions:
    keys = frozenset(volume_key(use.volume) for use in platform_of(view).uses(view.spec))
    return Questions(claims=keys, namespace=True)


def run_step(context: Context, step: StepStatus, works: tuple[UnitWork, ...]) -> Outcome:
    """One pass over a step whose units are these; one that failed fails the step."""
    if not step.units:
        begun = step.model_copy(update={"units": first_units(context, works)})
        return Outcome.wait(with_step(context.status, begun), "", again_in=0.0)
    outcome = run_units(context, step, works)
    status = with_step(context.status, step.model_copy(update={"units": outcome.units}))
    if outcome.failed:
        return Outcome.fail(status, _failure(outcome.failed), outcome.effects)
    if not outcome.all_done:
        return Outcome.wait(status, outcome.message, outcome.effects, again_in=outcome.again_in)
    return Outcome.done(status, f"{len(outcome.units)} unit(s) done", outcome.effects)


def _failure(failed: tuple[UnitStatus, ...]) -> Failure:
    lines = []
    for unit in failed:
        where = "".join(f" (whole list of {kind}: {path})" for kind, path in unit.lists.items())
        lines.append(f"{unit.name}: {unit.message}{where}")
    return Failure(Reason(failed[0].reason), "\n".join(lines)[:2000])


def _result(status: Status) -> Result:
    """Counts of the copy by kind, and one digest over the units' digests in the document's order."""
    units = {step.id: step.units for step in status.steps}
    counts: Counter[str] = Counter()
    for unit in units.get("copy", ()):
        counts.update(unit.counts)
    digest = hashlib.sha256()
    for unit in units["verify"]:
        digest.update(f"{unit.name} {unit.digest}\n".encode())
    return Result(counts=dict(counts), digest=f"sha256:{digest.hexdigest()}")
