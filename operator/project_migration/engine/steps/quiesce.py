"""Brings the workloads of one side to rest, and keeps watch that they stay so.

For each workload: recorded in the status → held (signed and scaled to 0 in one write) → no pod left → Down. The count
is recorded again for as long as nobody holds the workload, and never once it is held; what the holder wrote on the
workload itself wins over anything seen later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from project_migration.engine.effects import Effect, HoldWorkload, volume_key
from project_migration.engine.names import WorkloadRef
from project_migration.engine.platform import CLIENTS
from project_migration.engine.step import Context, Outcome, View
from project_migration.engine.world import PodFacts, Questions, WorkloadFacts
from project_migration.model.document import Side, Workload, WorkloadKind
from project_migration.model.errors import Failure, Reason
from project_migration.model.quantities import parse_seconds
from project_migration.model.status import (
    MOST_FOUND_WORKLOADS,
    FoundWorkload,
    State,
    Status,
    WorkloadState,
    WorkloadStatus,
)

#: So often a workload is scaled down again after something scaled it up, before the migration gives in.
SCALED_BACK_LIMIT = 3


@dataclass(frozen=True, slots=True)
class Quiesce:
    side: Side
    id: str
    phase: str = "Quiescing"
    weight: int = 2
    writes_target: bool = False
    needs_quiet: bool = False

    def ask(self, view: View) -> Questions:
        known = {ref_of(workload) for workload in view.status.workloads}
        listed = {WorkloadRef(w.kind, w.name) for w in view.spec.quiesce.workloads if w.side is self.side}
        return Questions(
            workloads=frozenset(known | listed), claims=claims_of(view, self.side), hosts=_clients(view, self.side)
        )

    def advance(self, context: Context) -> Outcome:
        wanted = self._wanted(context)
        status = _remembered(context, wanted)
        effects: list[Effect] = []
        waiting: list[str] = []
        for workload in wanted:
            stroke = _rest(context, status, workload)
            status = stroke.status
            effects.extend(stroke.effects)
            if stroke.failure is not None:
                return Outcome.fail(status, stroke.failure)
            if stroke.waiting:
                waiting.append(stroke.waiting)
        if not waiting:
            waiting = _mounters(context, self.side)
        if not waiting:
            return Outcome.done(status, f"{len(wanted)} workload(s) at rest")
        text = "; ".join(waiting)[:1500]
        if context.waited(self.id) > parse_seconds(context.spec.timeouts.quiesce):
            message = f"after {context.spec.timeouts.quiesce} (timeouts.quiesce) still {text}"
            return Outcome.fail(status, Failure(Reason.QUIESCE_TIMEOUT, message))
        # a hold that was decided but not yet saved is carried out after the save, by the same pass
        return Outcome.wait(status, text, effects, again_in=context.pace.wait)

    def _wanted(self, context: Context) -> tuple[Workload, ...]:
        """The listed workloads of this side, and those found by what they use when they are to be found."""
        listed = {WorkloadRef(w.kind, w.name): w for w in context.spec.quiesce.workloads if w.side is self.side}
        known = {ref_of(w): w for w in context.status.workloads if w.side is self.side}
        for ref, held in known.items():
            listed.setdefault(ref, Workload(kind=ref.kind, name=ref.name, side=held.side))
        if context.finds_users(self.side):
            others = {ref_of(w) for w in context.status.workloads if w.side is not self.side} | _stays(context)
            for pod in _users(context, self.side):
                if pod.owner and not pod.ours and pod.owner not in others:
                    listed.setdefault(pod.owner, Workload(kind=pod.owner.kind, name=pod.owner.name, side=self.side))
        return tuple(listed.values())


def _remembered(context: Context, wanted: tuple[Workload, ...]) -> Status:
    """With those on record that were found by their sessions: a later undo looks at no server before they rest."""
    found = context.status.found
    if found is None:
        return context.status
    known = {(w.kind, w.name) for w in context.spec.quiesce.workloads}
    new = (w for w in wanted if w.side is Side.TARGET and (w.kind, w.name) not in known)
    more = (FoundWorkload(kind=w.kind, name=w.name) for w in new)
    workloads = (*found.workloads, *more)[:MOST_FOUND_WORKLOADS]
    return context.status.model_copy(update={"found": found.model_copy(update={"workloads": workloads})})


def _was_only_found(context: Context, ref: WorkloadRef) -> bool:
    document = context.migration.document
    return document is not None and ref not in {WorkloadRef(w.kind, w.name) for w in document.spec.quiesce.workloads}


def _users(context: Context, side: Side) -> Iterator[PodFacts]:
    """Pods that mount a claim of this side, or have a session at its database."""
    for key in sorted(claims_of(context, side)):
        facts = context.world.claims.get(key)
        yield from facts.mounters if facts else ()
    for address in sorted(_clients(context, side)):
        yield from context.world.callers.get(address, ())


def _clients(view: View, side: Side) -> frozenset[str]:
    """Addresses from which there were sessions at the target's database, when the survey looked."""
    if side is not Side.TARGET or not view.finds_users(side):
        return frozenset()
    surveys = (step for step in view.status.steps if step.id == "preflight")
    return frozenset(name for step in surveys for unit in step.units for name in unit.names.get(CLIENTS, ()))


def _stays(context: Context) -> frozenset[WorkloadRef]:
    """The target's own database, which is written to."""
    sought = context.platform.discovery(context.spec) if context.platform is not None else None
    return sought.stays if sought is not None else frozenset()


@dataclass(frozen=True, slots=True)
class _Stroke:
    status: Status
    effects: tuple[Effect, ...] = ()
    waiting: str = ""
    failure: Failure | None = None


def _rest(context: Context, status: Status, workload: Workload) -> _Stroke:
    """One pass for one workload."""
    ref = WorkloadRef(workload.kind, workload.name)
    record = next((w for w in status.workloads if ref_of(w) == ref), None)
    facts = context.world.workloads.get(ref)
    if facts is None:  # just discovered: the next pass asks for it
        record = record or _recorded(workload, WorkloadFacts(exists=True))
        return _Stroke(_with(status, record), waiting=f"looking at {ref}")
    if not facts.exists:
        return _absent(context, status, record, ref)
    ours = facts.holder == context.migration.holder
    if facts.holder and not ours:
        name = "/".join(facts.holder.split("/")[:2])
        return _Stroke(status, waiting=f"{Reason.WORKLOAD_HELD}: {ref} is held by migration {name}")
    if not ours:
        if record is None or record.state is WorkloadState.RECORDED:
            record = _recorded(workload, facts)
        denied = context.world.denied.get(str(ref))
        doing = f"scaling {ref} down" + (f", which is refused: {denied.message}" if denied else "")
        return _Stroke(_with(status, record), (hold(context, record, facts),), doing)
    record = record if record is not None else _from_signature(workload, facts)
    return _held(context, status, record, facts)


def _absent(context: Context, status: Status, record: WorkloadStatus | None, ref: WorkloadRef) -> _Stroke:
    if record is not None and record.state is not WorkloadState.RECORDED:
        return _Stroke(_with(status, record.model_copy(update={"state": WorkloadState.GONE})))
    if record is None and _was_only_found(context, ref):  # on the way there; it went since
        return _Stroke(status)
    return _Stroke(status, failure=Failure(Reason.WORKLOAD_NOT_FOUND, f"{ref} does not exist"))


def _held(context: Context, status: Status, record: WorkloadStatus, facts: WorkloadFacts) -> _Stroke:
    """A workload that carries our signature: down, on its way there, or scaled back by somebody."""
    ref = ref_of(record)
    if not is_up(record, facts):
        if facts.pods:
            return _Stroke(_with(status, record), waiting=f"waiting for pods of {ref}: {', '.join(facts.pods[:5])}")
        return _Stroke(_with(status, record.model_copy(update={"state": WorkloadState.DOWN})))
    record = record.model_copy(update={"scaled_back": record.scaled_back + 1})
    if record.scaled_back > SCALED_BACK_LIMIT:
        return _Stroke(_with(status, record), failure=scaled_back(record, facts))
    return _Stroke(
        _with(status, record),
        (hold(context, record, facts),),
        f"{ref} was scaled back{_by(facts)}; scaling it down again",
    )


def hold(context: Context, record: WorkloadStatus, facts: WorkloadFacts) -> HoldWorkload:
    return HoldWorkload(ref_of(record), facts.version, context.migration.holder, record.replicas, record.suspended)


def _recorded(workload: Workload, facts: WorkloadFacts) -> WorkloadStatus:
    return WorkloadStatus(
        kind=workload.kind,
        name=workload.name,
        side=workload.side,
        after_success=workload.after_success,
        replicas=facts.replicas,
        suspended=facts.suspended,
    )


def _from_signature(workload: Workload, facts: WorkloadFacts) -> WorkloadStatus:
    """What the workload itself says it was, when it carries our signature and the status has no record of it."""
    return _recorded(workload, facts).model_copy(
        update={
            "replicas": facts.held_replicas if facts.held_replicas is not None else facts.replicas,
            "suspended": facts.held_suspended if facts.held_suspended is not None else facts.suspended,
        }
    )


def is_up(record: WorkloadStatus, facts: WorkloadFacts) -> bool:
    return not facts.suspended if record.kind is WorkloadKind.CRON_JOB else facts.replicas > 0


def scaled_back(record: WorkloadStatus, facts: WorkloadFacts) -> Failure:
    return Failure(Reason.SCALED_BACK, f"{ref_of(record)} was scaled back{_by(facts)} while it was to rest")


def _by(facts: WorkloadFacts) -> str:
    who = facts.scaled_by or ", ".join(facts.controllers)
    return f" by {who}" if who else ""


def _mounters(context: Context, side: Side) -> list[str]:
    """Pods that still mount a claim of this side, whoever owns them."""
    found = {
        f"claim in use by pod {pod.name}"
        for key in claims_of(context, side)
        if (facts := context.world.claims.get(key))
        for pod in facts.mounters
        if not pod.ours
    }
    return sorted(found)


def claims_of(view: View, side: Side) -> frozenset[str]:
    if view.platform is None:
        return frozenset()
    return frozenset(volume_key(use.volume) for use in view.platform.uses(view.spec) if use.side is side)


def ref_of(workload: WorkloadStatus) -> WorkloadRef:
    return WorkloadRef(workload.kind, workload.name)


def _with(status: Status, changed: WorkloadStatus) -> Status:
    """The status with that workload's record replaced, or added."""
    others = tuple(w for w in status.workloads if ref_of(w) != ref_of(changed))
    known = any(ref_of(w) == ref_of(changed) for w in status.workloads)
    if not known:
        return status.model_copy(update={"workloads": (*others, changed)})
    kept = tuple(changed if ref_of(w) == ref_of(changed) else w for w in status.workloads)
    return status.model_copy(update={"workloads": kept})


def broken_rest(context: Context) -> Failure | None:
    """What is wrong when a workload that has to be at rest is not: looked at in every step that relies on it.

    Before the cut-over the source's need not rest, also where an earlier round failed to bring one back.
    """
    in_use = any(step.id == "quiesce_source" and step.state is State.PENDING for step in context.status.steps)
    for record in context.status.workloads:
        if in_use and record.side is Side.SOURCE:
            continue
        facts = context.world.workloads.get(ref_of(record))
        if facts is None or not facts.exists or record.state is not WorkloadState.DOWN:
            continue
        if facts.holder != context.migration.holder or is_up(record, facts):
            return scaled_back(record, facts)
    return None
