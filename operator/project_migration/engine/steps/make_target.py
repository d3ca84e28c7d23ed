"""Makes the target claims that the document wants made.

After the target's workloads rest: a pod that waits for the claim would start, and write to it, the moment it is there.
A claim is ours when it carries this migration's UID. It gets a lock of its own then, since whoever finds it from now
on locks it by its UID; that lock is never waited for, as this migration holds others.
"""

from __future__ import annotations

from dataclasses import dataclass

from project_migration.engine.claims import ensure, unmade, words
from project_migration.engine.effects import TakeLease
from project_migration.engine.step import Context, Outcome, View
from project_migration.engine.steps.lock import lease_name
from project_migration.engine.world import ClaimFacts, Questions
from project_migration.model.errors import Failure, Reason
from project_migration.model.quantities import parse_seconds
from project_migration.model.status import ClaimStatus


@dataclass(frozen=True, slots=True)
class MakeTarget:
    id: str = "make_target"
    phase: str = "MakingTarget"
    weight: int = 1
    writes_target: bool = False
    needs_quiet: bool = True

    def ask(self, view: View) -> Questions:
        claims = frozenset(f"claim/{claim.name}" for claim in view.status.claims)
        return Questions(claims=claims, leases=frozenset(view.status.locks))

    def advance(self, context: Context) -> Outcome:
        for claim in unmade(context.status):
            facts = context.world.claims.get(f"claim/{claim.name}", ClaimFacts(exists=False))
            return self._locked(context, claim, facts) if facts.exists else self._make(context, claim)
        if not context.status.claims:
            return Outcome.done(context.status, "no claim has to be made")
        return Outcome.done(context.status, "; ".join(words(claim) for claim in context.status.claims))

    def _make(self, context: Context, claim: ClaimStatus) -> Outcome:
        denied = context.world.denied.get(claim.name)
        limit = context.spec.timeouts.helper_start
        if context.waited(self.id) > parse_seconds(limit):
            why = denied.message if denied else "it did not appear"
            message = f"claim {claim.name} could not be made: {why} (waited {limit}, timeouts.helperStart)"
            return Outcome.fail(context.status, Failure(Reason.CLAIM_NOT_MADE, message))
        message = f"making {words(claim)}" + (f", which is refused: {denied.message}" if denied else "")
        return Outcome.wait(context.status, message, [ensure(claim)], again_in=context.pace.wait)

    def _locked(self, context: Context, claim: ClaimStatus, facts: ClaimFacts) -> Outcome:
        status = context.status
        if facts.made_for != context.migration.uid:
            message = f"claim {claim.name} was made by somebody else since preflight looked for it"
            return Outcome.fail(status, Failure(Reason.CLAIM_TAKEN, message))
        name = lease_name(facts.uid)
        if name not in status.locks:
            # noted before it is taken, so that whatever happens next it is given back
            locks = (*status.locks, name)
            return Outcome.wait(status.model_copy(update={"locks": locks}), "", again_in=0.0)
        lease = context.world.leases.get(name)
        if lease is not None and lease.holder == context.migration.holder:
            made = tuple(
                known.model_copy(update={"uid": facts.uid}) if known.name == claim.name else known
                for known in status.claims
            )
            return Outcome.wait(status.model_copy(update={"claims": made}), "", again_in=0.0)
        if lease is not None and lease.alive:
            other = "/".join(lease.holder.split("/")[:2])
            message = f"claim {claim.name}, which this migration has just made, was taken by migration {other}"
            return Outcome.fail(status, Failure(Reason.CLAIM_TAKEN, message))
        take = TakeLease(name, context.migration.holder, lease.version if lease else None)
        return Outcome.wait(status, "locking the new claim", [take], again_in=0.0)
