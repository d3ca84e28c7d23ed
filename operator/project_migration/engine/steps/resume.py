"""Brings workloads back: to what was recorded, and with a mark that makes every earlier decision about them too late.

Every recorded workload is written to once, even one that nobody scaled down: that write changes its version, so an
operator that decided to scale it down a moment ago, and is late, is refused by the API server.
"""

from __future__ import annotations

from dataclasses import dataclass

from project_migration.engine.effects import Effect, HoldWorkload, ReleaseWorkload
from project_migration.engine.step import Context, Outcome, View, finished
from project_migration.engine.steps.quiesce import SCALED_BACK_LIMIT, hold, is_up, ref_of
from project_migration.engine.units import round_of
from project_migration.engine.world import Questions, WorkloadFacts
from project_migration.model.document import AfterSuccess, Side, WorkloadKind
from project_migration.model.errors import Failure, Reason
from project_migration.model.labels import RELEASE
from project_migration.model.quantities import parse_seconds
from project_migration.model.status import Status, WorkloadState, WorkloadStatus

#: Nothing more is done for a workload in one of these.
SETTLED = (WorkloadState.RESTORED, WorkloadState.LEFT_DOWN, WorkloadState.GONE)


@dataclass(frozen=True, slots=True)
class Resume:
    id: str
    succeeded: bool
    """Whether it ends a migration that arrived; then the document's afterSuccess counts."""
    side: Side | None = None
    """Only the workloads of this side; all when None."""
    phase: str = "Resuming"
    weight: int = 2
    writes_target: bool = False
    needs_quiet: bool = False

    def ask(self, view: View) -> Questions:
        return Questions(workloads=frozenset(ref_of(workload) for workload in view.status.workloads))

    def advance(self, context: Context) -> Outcome:
        status, effects = bring_back(context, succeeded=self.succeeded, side=self.side)
        open_ = (w for w in status.workloads if w.state not in (*SETTLED, WorkloadState.HELD))
        left = [w for w in open_ if self.side in (None, w.side)]
        if not left:
            return Outcome.done(status, _summary(status), effects)
        names = ", ".join(str(ref_of(workload)) for workload in left)
        limit = _limit(context)
        if context.waited(self.id) > limit:
            message = f"{names} could not be brought back within {limit:.0f}s"
            return Outcome.fail(status, Failure(Reason.RESUME_TIMEOUT, message), effects)
        return Outcome.wait(status, f"bringing back {names}", effects, again_in=min(0.3, context.pace.wait))


def bring_back(context: Context, *, succeeded: bool, side: Side | None = None) -> tuple[Status, tuple[Effect, ...]]:
    """One pass over all workloads that are not settled yet."""
    workloads: list[WorkloadStatus] = []
    effects: list[Effect] = []
    for record in context.status.workloads:
        if side not in (None, record.side):
            workloads.append(record)
            continue
        changed, effect = _release(context, record, succeeded=succeeded)
        workloads.append(changed)
        effects.extend((effect,) if effect else ())
    return context.status.model_copy(update={"workloads": tuple(workloads)}), tuple(effects)


def target_is_in_order(context: Context) -> bool:
    """Whether users may have the target: it was never written to, or it is verified (put back, and proved), or a person
    lets it go."""
    verified = any(step.id == "verify" and finished(step) for step in context.status.steps)
    released = context.migration.annotations.get(RELEASE, "") != context.status.handled_release
    deleted = context.migration.deleting_since is not None
    if released or deleted:
        return True
    return context.status.first_write_at is None or (verified and not context.status.half_back)


def _release(
    context: Context, record: WorkloadStatus, *, succeeded: bool
) -> tuple[WorkloadStatus, ReleaseWorkload | HoldWorkload | None]:
    facts = context.world.workloads.get(ref_of(record))
    if record.state in SETTLED or facts is None:
        return record, None
    if not facts.exists:
        return _in(record, WorkloadState.GONE), None
    stays_down = succeeded and record.after_success is AfterSuccess.STAY_DOWN
    mark = f"{context.migration.uid}/{round_of(context)}"
    ours = facts.holder == context.migration.holder
    if not ours and facts.released == mark:
        return _in(record, WorkloadState.LEFT_DOWN if stays_down else WorkloadState.RESTORED), None
    if facts.holder and not ours:  # somebody else holds it, and brings it back
        return _in(record, WorkloadState.RESTORED), None
    if not succeeded and record.side is Side.TARGET and not target_is_in_order(context):
        return _keep_down(context, record, facts)
    was_down = ours or record.state in (WorkloadState.DOWN, WorkloadState.HELD)
    return record, _effect(record, facts, mark, restore=was_down and not stays_down)


def _keep_down(
    context: Context, record: WorkloadStatus, facts: WorkloadFacts
) -> tuple[WorkloadStatus, HoldWorkload | None]:
    """Users must not have a target that is half written: what scaled it up meanwhile is answered a few times."""
    if is_up(record, facts) and record.scaled_back <= SCALED_BACK_LIMIT:
        again = record.model_copy(update={"scaled_back": record.scaled_back + 1})
        return again, hold(context, record, facts)
    return _in(record, WorkloadState.HELD), None


def _effect(record: WorkloadStatus, facts: WorkloadFacts, mark: str, *, restore: bool) -> ReleaseWorkload:
    """Back to what it was if it was taken down; else only the mark."""
    cron = record.kind is WorkloadKind.CRON_JOB
    return ReleaseWorkload(
        ref=ref_of(record),
        version=facts.version,
        released=mark,
        replicas=record.replicas if restore and not cron else None,
        suspended=record.suspended if restore and cron else None,
    )


def _in(record: WorkloadStatus, state: WorkloadState) -> WorkloadStatus:
    return record.model_copy(update={"state": state})


def _limit(context: Context) -> float:
    document = context.migration.document
    return parse_seconds(document.spec.timeouts.resume if document else "15m")


def _summary(status: Status) -> str:
    held = [str(ref_of(w)) for w in status.workloads if w.state is WorkloadState.HELD]
    if held:
        return f"{Reason.TARGET_HELD}: {', '.join(held)} stay down, since the target is not in order"
    return f"{len(status.workloads)} workload(s) as they were"
