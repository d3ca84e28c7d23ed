"""Takes the locks on what the migration will write, so that no two migrations write the same claim or
database.

One Lease a claim, named after the claim's UID, not after its sub-directory: two sub-directories of one claim can lie
inside each other, and a claim is the unit that quotas, backups and detaching know. One a database, named after what
the document calls it: it makes a second migration wait, in words. Two names may lead to one server, and another
namespace has Leases of its own; there the lock decides that the worker takes in the database itself.

Taken in sorted order, so that two migrations with several targets each cannot wait for one another for ever. Held to
the end of the ending.

A claim that is still to be made has no UID: until it has, and beside it then, its name is locked. Names come first, so
that who waits for a claim to be made does not hold it against its maker.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from project_migration.engine.claims import made_on_request
from project_migration.engine.effects import Effect, TakeLease, volume_key
from project_migration.engine.step import Context, Outcome, View
from project_migration.engine.world import ClaimFacts, Questions
from project_migration.model.document import Side
from project_migration.model.errors import Failure, Reason
from project_migration.model.quantities import parse_seconds


def lease_name(identity: str) -> str:
    """Of a claim by its UID, of a database as :meth:`~project_migration.engine.platform.Platform.servers` has it."""
    return "pmig-" + hashlib.sha256(identity.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Lock:
    id: str = "lock"
    phase: str = "Locking"
    weight: int = 1
    writes_target: bool = False
    needs_quiet: bool = False

    def ask(self, view: View) -> Questions:
        return Questions(claims=_target_keys(view), leases=frozenset(view.status.locks))

    def advance(self, context: Context) -> Outcome:
        status = context.status
        found = {key: context.world.claims.get(key) for key in _target_keys(context)}
        # any other missing claim is preflight's to report; there is nothing to lock
        claims = {lease_name(facts.uid) for facts in found.values() if facts and facts.exists}
        wanted = (
            *sorted(lease_name(key) for key in made_on_request(context) if _has_no_owner(found[key])),
            *sorted(claims | {lease_name(server) for server in _target_servers(context)}),
        )
        if wanted != status.locks:
            # noted before they are taken, so that whatever happens next they are given back
            return Outcome.wait(status.model_copy(update={"locks": wanted}), "", again_in=0.0)
        for name in wanted:
            lease = context.world.leases.get(name)
            if lease is not None and lease.holder == context.migration.holder:
                continue
            if lease is not None and lease.alive:
                return self._wait(context, lease.holder)
            effect: Effect = TakeLease(name, context.migration.holder, lease.version if lease else None)
            return Outcome.wait(status, "taking the locks", [effect], again_in=0.0)
        return Outcome.done(status, f"{len(found)} target(s) locked")

    def _wait(self, context: Context, holder: str) -> Outcome:
        name = "/".join(holder.split("/")[:2])
        limit = context.spec.timeouts.lock
        if context.waited(self.id) > parse_seconds(limit):
            message = f"migration {name} still holds the target after {limit} (timeouts.lock)"
            return Outcome.fail(context.status, Failure(Reason.LOCK_TIMEOUT, message))
        message = f"{Reason.TARGET_LOCKED}: migration {name} holds the target"
        return Outcome.wait(context.status, message, again_in=context.pace.lock)


def _has_no_owner(facts: ClaimFacts | None) -> bool:
    """Whether the claim is to be made, or another migration may be at making it."""
    return facts is not None and (not facts.exists or bool(facts.made_for))


def _target_keys(view: View) -> frozenset[str]:
    if view.platform is None:
        return frozenset()
    uses = view.platform.uses(view.spec)
    return frozenset(volume_key(use.volume) for use in uses if use.side is Side.TARGET)


def _target_servers(view: View) -> tuple[str, ...]:
    return view.platform.servers(view.spec) if view.platform is not None else ()
