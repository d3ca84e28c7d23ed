"""Looks again, when a person asks, whether what was proved is still on the target.

No itinerary of its own: a migration that succeeded stays so meanwhile and afterwards, whatever is found, since its
users work on the target. Nothing is locked, stopped or written; what else a person asks for goes before.
"""

from __future__ import annotations

from dataclasses import dataclass

from project_migration.engine.clock import stamp
from project_migration.engine.effects import Effect, RemoveHelper, volume_key
from project_migration.engine.itinerary import end_of
from project_migration.engine.platform import UnitWork
from project_migration.engine.step import Context, View
from project_migration.engine.units import ATTEMPTS_A_ROUND, UnitsOutcome, run_units
from project_migration.engine.world import Questions
from project_migration.model.conditions import End
from project_migration.model.document import Side
from project_migration.model.errors import Reason
from project_migration.model.labels import VERIFY
from project_migration.model.status import CheckStatus, State, Status, StepStatus, UnitStatus

STEP = "check"

#: Kinds of objects that are not any more what was proved.
DIFFERENCES = ("missing", "different")


@dataclass(frozen=True, slots=True)
class Checked:
    """What one pass did. ``again_in`` is None when no check is at work."""

    status: Status
    effects: tuple[Effect, ...] = ()
    again_in: float | None = None


def helpers_at_work(status: Status) -> frozenset[str]:
    """Names of helpers that an ended migration has for a reason."""
    check = status.check
    return frozenset(unit.helper for unit in check.units) if check and check.state is State.RUNNING else frozenset()


def ask_for_check(view: View) -> Questions:
    """What has to be known of the surroundings for a check that is at work, or is about to begin."""
    check = view.status.check
    at_work = check is not None and check.state is State.RUNNING
    if view.platform is None or view.migration.document is None or not (at_work or _asked(view)):
        return Questions()
    targets = (use for use in view.platform.uses(view.spec) if use.side is Side.TARGET)
    return Questions(claims=frozenset(volume_key(use.volume) for use in targets), namespace=True)


def check_target(context: Context) -> Checked:
    """One stroke of a check, of a migration that has ended."""
    status = context.status
    if _asked(context):
        return Checked(status.model_copy(update={"check": _begun(context)}), again_in=0.0)
    check = status.check
    if check is None or check.state is not State.RUNNING:
        return Checked(status)
    works = _works(context, check)
    if works is None:
        return interrupted(context)
    outcome = run_units(context, StepStatus(id=STEP, units=check.units), works)
    after = _entered(context, check, outcome)
    again_in = outcome.again_in if after.state is State.RUNNING else 0.0
    return Checked(status.model_copy(update={"check": after}), outcome.effects, again_in)


def interrupted(context: Context) -> Checked:
    """Ends a check that is at work, because the migration goes on, or cannot be read any more."""
    check = context.status.check
    if check is None or check.state is not State.RUNNING:
        return Checked(context.status)
    over = _over(context, check, State.FAILED, "the migration went on, or its document changed: ask again")
    effects = tuple(
        RemoveHelper(facts.name, facts.uid)
        for name in sorted(helpers_at_work(context.status))
        if (facts := context.world.helpers.get(name)) is not None
    )
    return Checked(context.status.model_copy(update={"check": over}), effects)


def _asked(view: View) -> bool:
    wanted = view.migration.annotations.get(VERIFY, "")
    return wanted not in ("", view.status.check.asked if view.status.check else "")


def _begun(context: Context) -> CheckStatus:
    """A check with its units; one that is over already when there is nothing to check."""
    before = context.status.check
    check = CheckStatus(
        asked=context.migration.annotations[VERIFY],
        number=before.number + 1 if before else 1,
        started_at=stamp(context.now),
    )
    if end_of(context.status) is not End.SUCCEEDED:
        why = "only a migration that succeeded has a proof that its target can be compared with"
        return _over(context, check, State.FAILED, why)
    works, digests = _works(context, check), _digests(context)
    if works is None or not digests:
        return _over(
            context, check, State.FAILED, "nothing is known of what was proved, or the document cannot be read"
        )
    # attempts are counted on, so that no two helpers ever share a name
    attempt = check.number * ATTEMPTS_A_ROUND + 1
    names = {work.name for work in works}
    units = tuple(
        UnitStatus(name=name, attempt=attempt) if name in names else _unseen(context, name) for name in digests
    )
    return check.model_copy(update={"units": units})


def _unseen(context: Context, name: str) -> UnitStatus:
    """What was proved and cannot be looked at alone makes the answer no answer for the whole."""
    words = "this release cannot compare such a target with its proof without the source"
    return UnitStatus(
        name=name,
        state=State.FAILED,
        reason=str(Reason.NOT_SUPPORTED_YET),
        message=words,
        finished_at=stamp(context.now),
    )


def _digests(view: View) -> dict[str, str]:
    """What the verification proved, by unit."""
    proved = next((step for step in view.status.steps if step.id == "verify"), None)
    return {unit.name: unit.digest for unit in proved.units if unit.digest} if proved else {}


def _works(context: Context, check: CheckStatus) -> tuple[UnitWork, ...] | None:
    """None when it is not known any more what to compare, and with what."""
    if context.platform is None or context.migration.document is None:
        return None
    works = context.platform.checks(context.spec, _digests(context))
    # a record that an earlier check left must not answer this one
    return tuple(work.with_params(check=check.number) for work in works)


def _entered(context: Context, check: CheckStatus, outcome: UnitsOutcome) -> CheckStatus:
    check = check.model_copy(update={"units": outcome.units, "message": outcome.message[:2000]})
    if not outcome.all_done:
        return check
    blind = [unit for unit in outcome.failed if unit.reason != Reason.VERIFY_FAILED]
    if blind:
        words = "; ".join(f"{unit.name}: {unit.message}" for unit in blind)
        return _over(context, check, State.FAILED, f"the target could not be checked: {words}")
    differences = sum(unit.counts.get(kind, 0) for unit in outcome.units for kind in DIFFERENCES)
    same = not outcome.failed
    extra = sum(unit.counts.get("extra", 0) for unit in outcome.units)
    words = "all that was proved is there unchanged" + (f"; {extra} more on the target" if extra else "")
    if not same:
        words = "; ".join(f"{unit.name}: {unit.message}" for unit in outcome.failed)
    over = _over(context, check, State.SUCCEEDED, words)
    return over.model_copy(update={"same": same, "differences": differences})


def _over(context: Context, check: CheckStatus, state: State, words: str) -> CheckStatus:
    return check.model_copy(update={"state": state, "at": stamp(context.now), "message": words[:2000]})
