"""Runs the helpers of one step: each unit from pending through attempts to a record, or to a failure with its reason.

For each unit, top to bottom (one row is one pass or none)::

    Pending    its time has come, no older helper is left  → noted as Running, then prepared
    Running    helper absent, never seen running           → prepared again (the effect may have been lost)
               helper prepared                             → started
               helper pending                              → waited for, until timeouts.helperStart
               helper running                              → progress; until silent for timeouts.silence
               helper ended with a good record             → Succeeded; removed in the next pass
               helper ended otherwise, or was lost         → next attempt after a back-off, or Failed
    Succeeded  helper still there                          → removed
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta

from project_migration.engine.clock import moment, seconds_since, stamp
from project_migration.engine.effects import (
    Effect,
    HelperSpec,
    PrepareHelper,
    RemoveHelper,
    Rights,
    StartHelper,
    volume_key,
)
from project_migration.engine.platform import CHECKS, CLIENTS, UnitWork
from project_migration.engine.step import Context, View
from project_migration.engine.world import HelperFacts, HelperPhase
from project_migration.model.document import OwnershipMode
from project_migration.model.endpoints import Volume
from project_migration.model.errors import Failure, Reason
from project_migration.model.quantities import parse_seconds
from project_migration.model.records import NAMES_LIMIT, Record, Request
from project_migration.model.status import MOST_COMPARED, ComparedStatus, State, StepStatus, UnitStatus

#: Attempts of later rounds are counted on from here, so that no two helpers ever share a name.
ATTEMPTS_A_ROUND = 100

FIRST_BACKOFF_SECONDS = 5
LONGEST_BACKOFF_SECONDS = 300

Judge = Callable[[str, Record], tuple[Failure, ...]]


def judge_by_outcome(_unit: str, record: Record) -> tuple[Failure, ...]:
    """The record's own word. Surveys are judged by what they found instead."""
    if record.succeeded:
        return ()
    known = {str(reason) for reason in Reason}
    reason = Reason(record.reason) if record.reason in known else Reason.HELPER_CRASHED
    return (Failure(reason, record.message or "the helper failed without a message", record.passing),)


@dataclass(frozen=True, slots=True)
class UnitsOutcome:
    """What one pass did for all units of a step."""

    units: tuple[UnitStatus, ...]
    effects: tuple[Effect, ...]
    message: str
    again_in: float

    @property
    def all_done(self) -> bool:
        return all(unit.state in (State.SUCCEEDED, State.FAILED, State.SKIPPED) for unit in self.units)

    @property
    def failed(self) -> tuple[UnitStatus, ...]:
        return tuple(unit for unit in self.units if unit.state is State.FAILED)


def first_units(view: View, works: Iterable[UnitWork]) -> tuple[UnitStatus, ...]:
    """The units of a step that begins now."""
    attempt = (round_of(view) - 1) * ATTEMPTS_A_ROUND + 1
    return tuple(UnitStatus(name=work.name, attempt=attempt) for work in works)


def round_of(view: View) -> int:
    """1 at first, one more with each retry."""
    return view.status.itinerary.round if view.status.itinerary else 1


def run_units(
    context: Context,
    step: StepStatus,
    works: Iterable[UnitWork],
    judge: Judge = judge_by_outcome,
) -> UnitsOutcome:
    """One pass over the units of a step. At most ``pace.parallel_helpers`` run at the same time."""
    by_name = {work.name: work for work in works}
    running = sum(unit.state is State.RUNNING for unit in step.units)
    units, effects, messages, again_in = [], [], [], context.pace.helper
    for unit in step.units:
        work = by_name.get(unit.name)
        if work is None:
            units.append(unit)
            continue
        stroke = _UnitStroke(context, step, unit, work, judge)
        stroke.run(may_begin=running < context.pace.parallel_helpers and not context.spec.suspend)
        running += stroke.unit.state is State.RUNNING and unit.state is not State.RUNNING
        units.append(stroke.unit)
        effects.extend(stroke.effects)
        again_in = min(again_in, stroke.again_in)
        if stroke.message:
            messages.append(f"{unit.name}: {stroke.message}")
    if context.spec.suspend and not running:
        messages = ["suspended: set spec.suspend to false to go on"]
    return UnitsOutcome(tuple(units), tuple(effects), "; ".join(messages[:NAMES_LIMIT]), again_in)


@dataclass(slots=True)
class _UnitStroke:
    """One unit in one pass. ``unit`` is replaced as the pass goes on; nothing else is changed."""

    context: Context
    step: StepStatus
    unit: UnitStatus
    work: UnitWork
    judge: Judge
    effects: list[Effect] = field(default_factory=list)
    message: str = ""
    again_in: float = 30.0

    def run(self, *, may_begin: bool) -> None:
        facts = self.context.world.helpers.get(self.unit.helper)
        if self.unit.state in (State.SUCCEEDED, State.FAILED):
            self._remove(facts)
        elif self.unit.state is State.PENDING:
            self._begin(may_begin)
        elif facts is None:
            self._absent()
        elif facts.phase is HelperPhase.PREPARED:
            self._start(facts)
        elif facts.phase is HelperPhase.PENDING:
            self._pending(facts)
        elif facts.phase is HelperPhase.RUNNING:
            self._running(facts)
        elif facts.phase is HelperPhase.FINISHED:
            self._ended(facts)
        else:
            self._ending()

    def _begin(self, may_begin: bool) -> None:
        if self.unit.not_before and moment(self.unit.not_before) > self.context.now:
            left = (moment(self.unit.not_before) - self.context.now).total_seconds()
            self.message = f"attempt {self.unit.attempt} in {left:.0f}s after: {self.unit.message}"
            self.again_in = left
            return
        older = self.context.world.helpers.get(self.unit.helper) if self.unit.helper else None
        if older is not None:
            self._remove(older)
            self.message = "waiting until the helper of the attempt before is gone"
            self.again_in = self.context.pace.wait
            return
        if not may_begin:
            self.message = "waiting its turn"
            return
        spec = helper_spec(self.context, self.step.id, self.work, self.unit.attempt)
        self._update(
            state=State.RUNNING,
            helper=spec.name,
            request_digest=spec.request.digest,
            created_at=stamp(self.context.now),
            running_at=None,
            last_sign_at=None,
            message="",
            reason="",
        )
        self.effects.append(PrepareHelper(spec))
        self.again_in = 0.0

    def _absent(self) -> None:
        if self.unit.running_at is not None:
            self._attempt_failed(Failure(Reason.HELPER_LOST, f"helper {self.unit.helper} disappeared", passing=True))
            return
        denied = self.context.world.denied.get(self.unit.helper)
        self.message = denied.message if denied else ""
        if self._too_long_pending():
            self._attempt_failed(
                denied or Failure(Reason.HELPER_NOT_STARTED, f"helper {self.unit.helper} could not be made in time")
            )
            return
        spec = helper_spec(self.context, self.step.id, self.work, self.unit.attempt)
        self._update(request_digest=spec.request.digest)  # limits such as workers may have been changed meanwhile
        self.effects.append(PrepareHelper(spec))
        self.again_in = self.context.pace.wait

    def _start(self, facts: HelperFacts) -> None:
        if facts.request_digest != self.unit.request_digest:
            self._remove(facts)
        else:
            # one machine puts an interrupted helper back to its start: its silence begins anew
            self._update(running_at=None, last_sign_at=None)
            self.effects.append(StartHelper(facts.name, facts.uid, facts.version))
        self.again_in = min(0.2, self.context.pace.wait)

    def _pending(self, facts: HelperFacts) -> None:
        why = facts.failure or Failure(
            Reason.HELPER_NOT_STARTED, f"helper {facts.name} has not started: its pod is not running yet"
        )
        if self._too_long_pending():
            limit = self.context.spec.timeouts.helper_start
            self._attempt_failed(Failure(why.reason, f"{why.message} (waited {limit}, timeouts.helperStart)"))
        else:
            self.message = why.message if facts.failure else "helper is starting"
            self.again_in = self.context.pace.wait

    def _too_long_pending(self) -> bool:
        limit = parse_seconds(self.context.spec.timeouts.helper_start)
        return seconds_since(self.unit.created_at, self.context.now) > limit

    def _running(self, facts: HelperFacts) -> None:
        now = stamp(self.context.now)
        if self.unit.running_at is None:
            self._update(running_at=now, last_sign_at=now)
        progress = facts.progress
        self.again_in = self.context.pace.helper
        if progress is not None:
            done = (progress.bytes_done, progress.items_done)
            moved = done != (self.unit.bytes_done, self.unit.items_done)
            # each figure only grows within an attempt: a helper's lines may be read out of order
            self._update(
                bytes_done=max(progress.bytes_done, self.unit.bytes_done),
                items_done=max(progress.items_done, self.unit.items_done),
                bytes_total=max(progress.bytes_total, progress.bytes_done, self.unit.bytes_total),
                items_total=max(progress.items_total, progress.items_done, self.unit.items_total),
                **({"last_sign_at": now} if moved else {}),
            )
        silence = parse_seconds(self.context.spec.timeouts.silence)
        if seconds_since(self.unit.last_sign_at, self.context.now) > silence:
            self._attempt_failed(self._silent(facts))

    def _silent(self, facts: HelperFacts) -> Failure:
        """A program of somebody else's tells nothing on its way, and is not run again by itself."""
        limit = self.context.spec.timeouts.silence
        if self.work.job:
            words = f"the run {facts.name} of Job {self.work.job} has not ended within {limit} (timeouts.silence)"
            return Failure(Reason.JOB_FAILED, words)
        words = f"helper {facts.name} made no progress for {limit} (timeouts.silence)"
        return Failure(Reason.HELPER_SILENT, words, passing=True)

    def _ending(self) -> None:
        self.message = f"waiting until helper {self.unit.helper}, which somebody removes, is gone"
        self.again_in = self.context.pace.wait
        since = self.unit.last_sign_at or self.unit.created_at
        if seconds_since(since, self.context.now) > parse_seconds(self.context.spec.timeouts.silence):
            self._attempt_failed(Failure(Reason.HELPER_STUCK, f"helper {self.unit.helper} does not end"))

    def _ended(self, facts: HelperFacts) -> None:
        record = facts.record
        if record is None:
            self._attempt_failed(
                facts.failure or Failure(Reason.HELPER_CRASHED, f"helper {facts.name} left no record", passing=True)
            )
        elif record.request_digest != self.unit.request_digest:
            self._attempt_failed(
                Failure(Reason.HELPER_CRASHED, f"helper {facts.name} answered another request", passing=True)
            )
        else:
            self._keep(record)
            failures = self.judge(self.unit.name, record)
            if failures:
                self._attempt_failed(*failures)
            else:
                self._update(state=State.SUCCEEDED, finished_at=stamp(self.context.now), reason="")
                self.again_in = 0.0

    def _keep(self, record: Record) -> None:
        done_bytes = max(self.unit.bytes_done, self.unit.bytes_total, record.counts.get("bytes", 0))
        done_items = max(self.unit.items_done, self.unit.items_total)
        self._update(
            message=record.message,
            counts=dict(list(record.counts.items())[:40]),
            digest=record.digest,
            arrived=str(record.facts.get("target", {}).get("arrived", ""))[:253],
            names={kind: tuple(found)[:NAMES_LIMIT] for kind, found in _names(record).items() if found},
            lists=dict(record.lists),
            compared=tuple(ComparedStatus(**asdict(one)) for one in record.compared[:MOST_COMPARED]),
            **(
                {
                    "bytes_done": done_bytes,
                    "bytes_total": done_bytes,
                    "items_done": done_items,
                    "items_total": done_items,
                }
                if record.succeeded
                else {}
            ),
        )

    def _attempt_failed(self, *failures: Failure) -> None:
        """The next attempt after a back-off if all that failed may pass, else the unit's end."""
        tries = (self.unit.attempt - 1) % ATTEMPTS_A_ROUND
        text = "\n".join(f"{failure.message}" for failure in failures)[:2000]
        facts = self.context.world.helpers.get(self.unit.helper)
        if facts is not None:
            self.effects.append(RemoveHelper(facts.name, facts.uid))
        if all(failure.passing for failure in failures) and tries < self.context.spec.retries:
            pause = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**tries)
            self._update(
                state=State.PENDING,
                attempt=self.unit.attempt + 1,
                not_before=stamp(self.context.now + timedelta(seconds=pause)),
                reason=str(failures[0].reason),
                message=text,
                bytes_done=0,
                items_done=0,
            )
        else:
            self._update(
                state=State.FAILED,
                finished_at=stamp(self.context.now),
                reason=str(failures[0].reason),
                message=text,
            )
        self.again_in = self.context.pace.wait

    def _remove(self, facts: HelperFacts | None) -> None:
        if facts is not None and facts.phase is not HelperPhase.ENDING:
            self.effects.append(RemoveHelper(facts.name, facts.uid))

    def _update(self, **fields: object) -> None:
        self.unit = self.unit.model_copy(update=fields)


def _names(record: Record) -> Mapping[str, Sequence[str]]:
    """Those of clients and of checks are facts, which a record keeps longer than names."""
    addresses = [str(address) for address in record.facts.get("target", {}).get("addresses", ())]
    checks = [title for title, wrong in record.facts.get(CHECKS, {}).items() if not wrong]
    return {**record.names, CLIENTS: addresses, CHECKS: checks}


def helper_spec(context: Context, step_id: str, work: UnitWork, attempt: int) -> HelperSpec:
    """The helper for one attempt at one unit, from what the document and the namespace allow now."""
    migration = context.migration
    request = Request(
        worker=work.worker,
        migration_uid=migration.uid,
        migration_name=migration.key.name,
        namespace=migration.key.namespace,
        step=step_id,
        unit=work.name,
        attempt=attempt,
        params={**work.params, "round": round_of(context)},
    )
    ownership = context.spec.ownership
    as_helper = ownership.mode is OwnershipMode.HELPER
    privileged = context.world.namespace.privileged_helpers and not as_helper
    return HelperSpec(
        name=helper_name(step_id, work.name, attempt, migration.uid),
        request=request,
        mounts=work.mounts,
        rights=_rights(work) if privileged else Rights.NONE,
        user=ownership.uid if as_helper else None,
        group=ownership.gid if as_helper else None,
        nodes=_nodes(context, work),
        helper=context.spec.helper,
        workspace=workspace_of(context),
        secrets=work.secrets,
        network=work.network,
        client_major=_client_major(context, work),
        job=work.job,
    )


def _client_major(view: View, work: UnitWork) -> int | None:
    """From the saved plan, so that another operator, or this one after a restart, comes to the same."""
    if not work.client_tools or work.client_major is not None:
        return work.client_major
    return next((unit.client_major for unit in view.status.plan if unit.name == work.name), None)


def _rights(work: UnitWork) -> Rights:
    """Of a helper in a namespace that allows privileged ones. Whoever shares their workspace has to write there."""
    if work.owners:
        return Rights.OWNERS
    return Rights.WORKSPACE if work.network or not work.mounts else Rights.OWNERS


def workspace_of(view: View) -> Volume | None:
    """A directory of the migration's own: several migrations may share a claim for their workspaces."""
    name = view.status.workspace_claim
    return Volume(claim_name=name, sub_path=view.status.workspace_path or None) if name else None


def workspace_path(view: View) -> str:
    """``vision-3f9a1c22``: at most 209 characters, where a name in a directory may have 255."""
    return f"{view.name[:200]}-{short(view.migration.uid)}"


def _nodes(context: Context, work: UnitWork) -> tuple[str, ...]:
    """Where all claims of the unit can be mounted; empty when nothing limits that."""
    found: set[str] | None = None
    for mount in work.mounts:
        facts = context.world.claims.get(volume_key(mount.volume))
        if facts is not None and facts.nodes:
            found = set(facts.nodes) if found is None else found & set(facts.nodes)
    return tuple(sorted(found or ()))


def helper_name(step_id: str, unit: str, attempt: int, uid: str) -> str:
    """``copy-data-1-3f9a1c22``: at most 9 + 30 + 4 + 8 characters and three dashes, within a label's 63."""
    return f"{step_id.replace('_', '-')}-{unit}-{attempt}-{short(uid)}"


def short(uid: str) -> str:
    """Enough of a UID to tell one migration from another."""
    return uid.replace("-", "")[:8]
