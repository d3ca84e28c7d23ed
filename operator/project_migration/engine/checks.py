"""What preflight can know without mounting anything: an ordered chain of pure checks, each naming all that it finds.

A check returns findings; a finding belongs to a unit when only that unit suffers, so that the others are still
looked at and a person sees everything that is wrong at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from project_migration.engine.claims import made_on_request, to_be_made
from project_migration.engine.effects import volume_key
from project_migration.engine.names import WorkloadRef
from project_migration.engine.platform import BACKUP_UNIT, VolumeUse
from project_migration.engine.step import Context
from project_migration.engine.windows import in_the_past
from project_migration.engine.world import ClaimFacts, PodFacts
from project_migration.model.document import Side
from project_migration.model.errors import Failure, Reason
from project_migration.model.status import WARNINGS_LIMIT

#: How far two clocks may differ before a person is told.
CLOCK_SKEW_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Finding:
    failure: Failure
    unit: str = ""
    """The unit that suffers; empty when the whole migration does."""


Check = Callable[[Context], Iterator[Finding]]


def found(reason: Reason, message: str, unit: str = "") -> Finding:
    return Finding(Failure(reason, message), unit)


def other_namespaces_consent(context: Context) -> Iterator[Finding]:
    own = context.migration.key.namespace
    for use in _uses(context):
        other = use.volume.namespace
        if other in (None, own):
            continue
        if other not in context.world.consenting:
            message = f"{_name(use)}: namespace {other} does not allow migrations from {own}"
            yield found(Reason.NAMESPACE_NOT_ALLOWED, message, use.unit)
        else:
            message = f"{_name(use)}: claims of another namespace ({other}) do not work in this release"
            yield found(Reason.NOT_SUPPORTED_YET, message, use.unit)


def claims_exist(context: Context) -> Iterator[Finding]:
    made = made_on_request(context)
    for use in _uses(context):
        facts = _facts(context, use)
        if use.side is Side.TARGET and volume_key(use.volume) in made:
            continue
        if facts is None or facts.exists or use.volume.namespace not in (None, context.migration.key.namespace):
            continue
        if use.volume.path is not None:
            if use.side is Side.SOURCE:
                yield found(Reason.SOURCE_NOT_FOUND, f"{_name(use)} does not exist", use.unit)
            continue
        yield found(Reason.CLAIM_NOT_FOUND, f"{_name(use)} does not exist", use.unit)


def claims_to_make_have_sizes(context: Context) -> Iterator[Finding]:
    for claim in to_be_made(context, context.world):
        if not claim.size:
            message = f"target.create: the size of what claim {claim.name} is made for is not known: give it in size"
            yield found(Reason.CLAIM_NOT_MADE, message)


def claims_have_volumes(context: Context) -> Iterator[Finding]:
    for use in _uses(context):
        facts = _facts(context, use)
        if facts is not None and facts.exists and facts.phase == "Lost":
            yield found(Reason.CLAIM_LOST, f"{_name(use)} has lost its volume", use.unit)


def workspace_exists(context: Context) -> Iterator[Finding]:
    claim = context.status.workspace_claim
    facts = context.world.claims.get(f"claim/{claim}") if claim else None
    if facts is not None and not facts.exists:
        yield found(Reason.CLAIM_NOT_FOUND, f"workspace: claim {claim} does not exist")
    elif facts is not None and facts.phase == "Lost":
        yield found(Reason.CLAIM_LOST, f"workspace: claim {claim} has lost its volume")


def backup_exists(context: Context) -> Iterator[Finding]:
    """Each unit's place is looked at by a helper of its own, which could not start without the claim."""
    backup = context.spec.backup
    facts = context.world.claims.get(f"claim/{backup.claim_name}") if backup and backup.claim_name else None
    if backup is None or facts is None or (facts.exists and facts.phase != "Lost"):
        return
    for unit in context.platform.units(context.spec) if context.platform else ():
        if facts.exists:
            message = f"backup: claim {backup.claim_name} has lost its volume"
            yield found(Reason.CLAIM_LOST, message, f"{BACKUP_UNIT}{unit}")
        else:
            message = f"backup: claim {backup.claim_name} does not exist"
            yield found(Reason.CLAIM_NOT_FOUND, message, f"{BACKUP_UNIT}{unit}")


def workloads_exist(context: Context) -> Iterator[Finding]:
    for workload in context.spec.quiesce.workloads:
        facts = context.world.workloads.get(WorkloadRef(workload.kind, workload.name))
        if facts is not None and not facts.exists:
            message = f"quiesce.workloads: {workload.kind} {workload.name} does not exist"
            yield found(Reason.WORKLOAD_NOT_FOUND, message)


def nothing_scales_back(context: Context) -> Iterator[Finding]:
    for workload in context.spec.quiesce.workloads:
        facts = context.world.workloads.get(WorkloadRef(workload.kind, workload.name))
        if facts is not None and facts.controllers:
            who = ", ".join(facts.controllers)
            message = f"{workload.kind} {workload.name} would be scaled back by {who}"
            yield found(Reason.SCALED_BACK, message)


def users_of_claims_will_rest(context: Context) -> Iterator[Finding]:
    """A pod that mounts a claim and is not going to be quiesced would make the quiesce wait for ever."""
    listed = {WorkloadRef(w.kind, w.name) for w in context.spec.quiesce.workloads}
    for use in _uses(context):
        facts = _facts(context, use)
        for pod in facts.mounters if facts else ():
            if pod.ours or pod.owner in listed or (pod.owner and context.finds_users(use.side)):
                continue
            yield found(Reason.CLAIM_IN_USE, f"{_name(use)} is mounted by {_user(pod)}", use.unit)


def one_node_can_mount_both(context: Context) -> Iterator[Finding]:
    for unit in dict.fromkeys(use.unit for use in _uses(context)):
        places = [
            (use, facts)
            for use in _uses(context)
            if use.unit == unit and (facts := _facts(context, use)) and facts.exists
        ]
        for use, facts in places:
            if "ReadWriteOncePod" in facts.access_modes and any(not pod.ours for pod in facts.mounters):
                pods = ", ".join(pod.name for pod in facts.mounters)
                message = f"{_name(use)} is ReadWriteOncePod and used by {pods}: no helper can look at it"
                yield found(Reason.CLAIM_NOT_MOUNTABLE, message, unit)
        limits = [set(facts.nodes) for _, facts in places if facts.nodes]
        if len(limits) > 1 and not set.intersection(*limits):
            where = "; ".join(f"{_name(use)} on {', '.join(facts.nodes)}" for use, facts in places)
            yield found(Reason.CLAIM_NOT_MOUNTABLE, f"no node can mount both sides now: {where}", unit)


def admission_takes_helpers(context: Context) -> Iterator[Finding]:
    for failure in dict.fromkeys(context.world.refused.values()):
        yield Finding(failure)


def cutover_lies_ahead(context: Context) -> Iterator[Finding]:
    failure = in_the_past(context)
    if failure is not None:
        yield Finding(failure)


CHAIN: tuple[Check, ...] = (
    other_namespaces_consent,
    claims_exist,
    claims_to_make_have_sizes,
    claims_have_volumes,
    workspace_exists,
    backup_exists,
    workloads_exist,
    nothing_scales_back,
    users_of_claims_will_rest,
    one_node_can_mount_both,
    admission_takes_helpers,
    cutover_lies_ahead,
)


def doubts(context: Context) -> tuple[str, ...]:
    """What stops nothing now, and may later: said as warnings."""
    told = [context.status.way_reason] if context.status.way_reason else []
    for workload in context.spec.quiesce.workloads:
        facts = context.world.workloads.get(WorkloadRef(workload.kind, workload.name))
        for suspect in facts.suspects if facts else ():
            told.append(f"{workload.kind} {workload.name} may be scaled back by {suspect}")
    if context.spec.transfer.pre_copy and context.spec.backup is not None and not context.spec.transfer.delete:
        told.append(
            "what goes from the source after a warm copy stays on a target that was not empty: set transfer.delete,"
            " or leave transfer.preCopy out"
        )
    told.extend(callers_will_rest(context))
    told.extend(clock_agrees(context))
    return tuple(told[:WARNINGS_LIMIT])


def callers_will_rest(context: Context) -> Iterator[str]:
    """Who names a database and is not going to rest. It may only read, or be the database itself: a person knows."""
    listed = {WorkloadRef(w.kind, w.name) for w in context.spec.quiesce.workloads}
    for side, host in context.platform.hosts(context.spec) if context.platform else ():
        users = {_user(pod, short=True) for pod in context.world.callers.get(host, ()) if not _rests(pod, listed)}
        where = "source" if side is Side.SOURCE else "target"
        for user in sorted(users):
            yield (
                f"{user} names {host}, where the {where}'s database is, and is not in quiesce.workloads: what it writes"
                " there meanwhile is lost, or fails the migration"
            )


def _rests(pod: PodFacts, listed: set[WorkloadRef]) -> bool:
    return pod.ours or pod.owner in listed


def clock_agrees(context: Context) -> Iterator[str]:
    """Waits, windows and the moments in a status are told by the operator's clock, everything else by the cluster's."""
    skew = context.world.clock_skew
    if skew is not None and abs(skew) > CLOCK_SKEW_SECONDS:
        way = "ahead of" if skew > 0 else "behind"
        yield (
            f"the operator's clock is {abs(skew):.0f}s {way} the API server's: moments in the status, and those of"
            " cutover, are told by the operator's"
        )


def run_checks(context: Context) -> tuple[Finding, ...]:
    """Everything that the chain finds, each thing once."""
    return tuple(dict.fromkeys(finding for check in CHAIN for finding in check(context)))


def _uses(context: Context) -> tuple[VolumeUse, ...]:
    return context.platform.uses(context.spec) if context.platform else ()


def _facts(context: Context, use: VolumeUse) -> ClaimFacts | None:
    return context.world.claims.get(volume_key(use.volume))


def _name(use: VolumeUse) -> str:
    volume = use.volume
    what = f"claim {volume.claim_name}" if volume.claim_name else f"directory {volume.path}"
    return f"{use.unit}: {'source' if use.side is Side.SOURCE else 'target'} {what}"


def _user(pod: PodFacts, *, short: bool = False) -> str:
    """``short``: the owner alone, if it has one."""
    owner = str(pod.owner) if pod.owner else pod.owner_text
    if short and owner:
        return owner
    return f"pod {pod.name} of {owner}" if owner else f"pod {pod.name}, which nothing owns"
