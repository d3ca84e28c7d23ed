"""What every migration ends with: no helper left, no lock held."""

from __future__ import annotations

from dataclasses import dataclass

from project_migration.engine.effects import DropLease, Effect, RemoveHelper
from project_migration.engine.step import Context, Outcome, View
from project_migration.engine.world import HelperPhase, Questions
from project_migration.model.errors import Failure, Reason

#: How long helpers may take to end before the migration goes on without them. A pod's grace period is 30 s.
STOP_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Stop:
    """Ends every helper and waits until it is gone, so that nothing of ours writes when workloads come back."""

    id: str = "stop"
    phase: str = "Stopping"
    weight: int = 1
    writes_target: bool = False
    needs_quiet: bool = False

    def ask(self, view: View) -> Questions:  # noqa: ARG002
        return Questions()

    def advance(self, context: Context) -> Outcome:
        effects = remove_helpers(context)
        if not context.world.helpers:
            return Outcome.done(context.status, "no helper is left")
        names = ", ".join(sorted(context.world.helpers))
        if context.waited(self.id) > STOP_SECONDS:
            message = f"helpers {names} did not end within {STOP_SECONDS}s"
            return Outcome.fail(context.status, Failure(Reason.HELPER_STUCK, message), effects)
        return Outcome.wait(context.status, f"ending {names}", effects, again_in=context.pace.wait)


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Removes what helpers are left, and gives the locks back."""

    id: str
    phase: str = "CleaningUp"
    weight: int = 1
    writes_target: bool = False
    needs_quiet: bool = False

    def ask(self, view: View) -> Questions:
        claims = frozenset(f"claim/{claim.name}" for claim in view.status.claims)
        return Questions(leases=frozenset(view.status.locks), claims=claims)

    def advance(self, context: Context) -> Outcome:
        effects = (*remove_helpers(context), *drop_locks(context))
        if not effects and not context.world.helpers:
            return Outcome.done(context.status, _what_stays(context) or "nothing is left behind")
        if context.waited(self.id) > STOP_SECONDS:
            names = ", ".join([*sorted(context.world.helpers), *context.status.locks])
            return Outcome.fail(context.status, Failure(Reason.HELPER_STUCK, f"still there: {names}"), effects)
        return Outcome.wait(context.status, "removing helpers and locks", effects, again_in=context.pace.wait / 2)


def _what_stays(context: Context) -> str:
    """Claims are never removed: nobody could tell what came there in the meantime."""
    uid = context.migration.uid
    made = sorted(key for key, facts in context.world.claims.items() if facts.exists and facts.made_for == uid)
    return f"{', '.join(made)}, made for this migration, stays" if made else ""


def remove_helpers(context: Context, *, needed: frozenset[str] = frozenset()) -> tuple[Effect, ...]:
    return tuple(
        RemoveHelper(facts.name, facts.uid)
        for facts in context.world.helpers.values()
        if facts.phase is not HelperPhase.ENDING and facts.name not in needed
    )


def drop_locks(context: Context) -> tuple[Effect, ...]:
    found = ((name, context.world.leases.get(name)) for name in context.status.locks)
    return tuple(
        DropLease(name, lease.version)
        for name, lease in found
        if lease is not None and lease.holder == context.migration.holder
    )
