"""What the target held: kept before the first write, and put back when the migration does not end well.

A unit's target is recorded once, before anything is written to it: as kept (it lies in the backup, and was compared),
as empty, or as waived. That record is what a rollback rests on. It stays until the target was proved to be as it was,
so that a second attempt never takes a half-written target for what users had.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from project_migration.engine.arrival import digests
from project_migration.engine.clock import stamp
from project_migration.engine.effects import volume_key
from project_migration.engine.platform import Backing, UnitWork
from project_migration.engine.step import Context, Outcome, Verdict, View, with_step
from project_migration.engine.steps.preflight import backup_place, place_in, places_of, platform_of
from project_migration.engine.units import Judge, first_units, judge_by_outcome, round_of, run_units
from project_migration.engine.world import Questions
from project_migration.model.document import AfterSuccess
from project_migration.model.errors import Failure, Reason
from project_migration.model.records import Record
from project_migration.model.status import (
    WARNINGS_LIMIT,
    BackupStatus,
    Keeping,
    KeptUnit,
    PlannedUnit,
    State,
    Status,
    StepStatus,
    UnitStatus,
    WorkloadState,
    WorkloadStatus,
)


def can_roll_back(status: Status) -> bool:
    """Whether all that was written to is known to have been kept, and still is, or to have been empty."""
    backup = status.backup
    if backup is None or not backup.units or backup_is_gone(status):
        return False
    return all(unit.keeping not in (Keeping.WAIVED, Keeping.LET_GO) for unit in backup.units)


def backup_is_gone(status: Status) -> bool:
    """Whether something was kept that is not there any more, or not whole."""
    backup = status.backup
    if backup is None or not (backup.removing or backup.removed_at):
        return False
    return any(unit.keeping is Keeping.KEPT for unit in backup.units)


def empty_units(status: Status) -> frozenset[str]:
    """Units whose targets were empty before the first write: whatever is there now is this migration's own."""
    units = status.backup.units if status.backup else ()
    return frozenset(unit.name for unit in units if unit.keeping is Keeping.EMPTY)


def to_be_found_empty(context: Context) -> frozenset[str]:
    """Units that a copy refuses to write to unless they are empty, but for what this migration's mark is on.

    In every round: a copy leaves its mark on them until they are settled.
    """
    return empty_units(context.status)


def begin_writing(context: Context) -> Status:
    """The status that is saved before the first helper that writes to a target is made."""
    now = {"first_write_at": stamp(context.now), "first_write_round": round_of(context), "rolled_back_at": None}
    return context.status.model_copy(update=now)


@dataclass(frozen=True, slots=True)
class BackUp:
    """Copies what the targets hold, with their workloads down."""

    id: str = "back_up"
    phase: str = "BackingUp"
    weight: int = 8
    writes_target: bool = False
    needs_quiet: bool = True

    def ask(self, view: View) -> Questions:
        return _questions(view)

    def advance(self, context: Context) -> Outcome:
        works = platform_of(context).backups(context.spec, places_of(context))
        return _run(context, context.step(self.id), works, nothing="nothing has to be kept", judge=_judge_backup)


def _judge_backup(unit: str, record: Record) -> tuple[Failure, ...]:
    """How large a dump becomes is known once it is written: what is full then is the backup, and not the target."""
    return tuple(
        Failure(Reason.BACKUP_TOO_SMALL, f"the backup's place has no room left: {failure.message}")
        if failure.reason is Reason.NO_SPACE_LEFT
        else failure
        for failure in judge_by_outcome(unit, record)
    )


@dataclass(frozen=True, slots=True)
class ProveBackup:
    """Reads the backup back, compares it with the targets, and writes down what a rollback can rest on."""

    id: str = "prove_backup"
    phase: str = "BackingUp"
    weight: int = 4
    writes_target: bool = False
    needs_quiet: bool = True

    def ask(self, view: View) -> Questions:
        return _questions(view)

    def advance(self, context: Context) -> Outcome:
        outcome = _run(
            context, context.step(self.id), platform_of(context).backup_proofs(context.spec, places_of(context))
        )
        if outcome.verdict is not Verdict.DONE:
            return outcome
        kept = any(step.id == "back_up" and step.units for step in context.status.steps)
        message = "the backup equals the target" if kept else "no backup was needed"
        return Outcome.done(_recorded(context, outcome.status), message, outcome.effects)


@dataclass(frozen=True, slots=True)
class Settle:
    """Takes away what tells this migration's own work on a target from others', a mark or a database's note, and leaves
    word of which document was carried out there.

    After the workloads are back: a retry of what failed before would not know its own work any more.
    """

    id: str = "settle"
    phase: str = "CleaningUp"
    weight: int = 1
    writes_target: bool = False
    needs_quiet: bool = False

    def ask(self, view: View) -> Questions:
        return _questions(view)

    def advance(self, context: Context) -> Outcome:
        settled = _settled(context)
        if settled != context.status:  # before the first mark goes: a rollback would not know any more what is whose
            return Outcome.wait(settled, "", again_in=0.0)
        document = context.migration.document
        works = platform_of(context).settlements(context.spec, digests(document) if document else ())
        outcome = _run(context, context.step(self.id), works, nothing="nothing is left to settle")
        if outcome.verdict is Verdict.WAIT:
            return outcome
        units = next(step.units for step in outcome.status.steps if step.id == self.id)
        may_fail = _only_to_be_told(context)
        if any(unit.state is State.FAILED and unit.name not in may_fail for unit in units):
            return outcome
        return Outcome.done(_warned(outcome.status, units), f"{len(units)} unit(s) settled", outcome.effects)


def _only_to_be_told(context: Context) -> frozenset[str]:
    """Units on whose targets nothing of ours is left: only the word of what was carried out is wanting.

    Their users are back, and may keep a helper from mounting what only one pod can mount: that is no failure.
    """
    backup = context.status.backup or BackupStatus()
    released = (unit.name for unit in backup.units if unit.keeping in (Keeping.KEPT, Keeping.WAIVED))
    return frozenset(released) - platform_of(context).prove_themselves(context.spec)


def _warned(status: Status, units: Iterable[UnitStatus]) -> Status:
    """With a warning for each target that could not take the word of what was carried out there."""
    untold = (unit for unit in units if unit.counts.get("unmarked") or unit.state is State.FAILED)
    told = [f"{unit.name}: the target does not say what was carried out there: {unit.message}" for unit in untold]
    return status.model_copy(update={"warnings": (*status.warnings, *told)[:WARNINGS_LIMIT]})


def _settled(context: Context) -> Status:
    """The status in which nothing is taken back any more but by an undo."""
    backup = context.status.backup
    if backup is None:
        return context.status
    gone = platform_of(context).prove_themselves(context.spec)
    units = tuple(
        unit.model_copy(update={"keeping": Keeping.LET_GO if unit.name in gone else Keeping.SETTLED})
        if unit.keeping is Keeping.EMPTY
        else unit
        for unit in backup.units
    )
    return context.status.model_copy(update={"backup": backup.model_copy(update={"units": units})})


@dataclass(frozen=True, slots=True)
class RollBack:
    """Makes every target what it was."""

    id: str = "roll_back"
    phase: str = "RollingBack"
    weight: int = 60
    writes_target: bool = True
    needs_quiet: bool = True

    def ask(self, view: View) -> Questions:
        return _questions(view)

    def advance(self, context: Context) -> Outcome:
        if not context.status.half_back:
            return Outcome.wait(context.status.model_copy(update={"half_back": True}), "", again_in=0.0)
        works = platform_of(context).restores(context.spec, _kept(context))
        return _explained(context, _run(context, context.step(self.id), works))


@dataclass(frozen=True, slots=True)
class ProveRollBack:
    """Compares every target with its backup; once they are equal, it is as if nothing had been written."""

    id: str = "prove_roll_back"
    phase: str = "RollingBack"
    weight: int = 30
    writes_target: bool = False
    needs_quiet: bool = True

    def ask(self, view: View) -> Questions:
        return _questions(view)

    def advance(self, context: Context) -> Outcome:
        broken = _not_restored(context)
        if broken:
            return _explained(context, Outcome.fail(context.status, _failure(broken)))
        works = platform_of(context).restore_proofs(context.spec, _kept(context))
        outcome = _explained(context, _run(context, context.step(self.id), works))
        if outcome.verdict is not Verdict.DONE:
            return outcome
        backup = context.status.backup or BackupStatus()
        as_it_was = {
            "first_write_at": None,
            "first_write_round": 0,
            "half_back": False,
            "workloads": tuple(_to_come_back(workload) for workload in outcome.status.workloads),
            "rolled_back_at": stamp(context.now),
            "result": None,
            "backup": backup.model_copy(update={"units": ()}),
        }
        status = outcome.status.model_copy(update=as_it_was)
        return Outcome.done(status, "the target is as it was before", outcome.effects)


def _recorded(context: Context, status: Status) -> Status:
    """The status with every unit's record; those of an earlier round stay as they are."""
    before = status.backup or BackupStatus()
    known = {unit.name for unit in before.units}
    new = tuple(_record(status, planned) for planned in status.plan if planned.name not in known)
    place = backup_place(context)
    backup = before.model_copy(update={"units": (*before.units, *new)})
    if place is not None and not before.units:
        where = {"claim": place.claim_name or place.path, "path": place.sub_path, "taken_at": stamp(context.now)}
        backup = backup.model_copy(update=where)
    return status.model_copy(update={"backup": backup})


def _record(status: Status, planned: PlannedUnit) -> KeptUnit:
    steps = {step.id: step for step in status.steps}
    proof = steps["prove_backup"].unit(planned.name) or steps["back_up"].unit(planned.name)
    if proof is None:
        keeping = Keeping.EMPTY if planned.target_empty else Keeping.WAIVED
        return KeptUnit(name=planned.name, keeping=keeping, root=planned.root)
    return KeptUnit(
        name=planned.name,
        keeping=Keeping.KEPT,
        digest=proof.digest,
        items=proof.counts.get("verified", 0),
        bytes=proof.counts.get("bytes", 0),
    )


def _kept(context: Context) -> tuple[Backing, ...]:
    """What every target is put back from. A database that nothing was written to is left alone."""
    status = context.status
    backup = status.backup or BackupStatus()
    alone = platform_of(context).prove_themselves(context.spec) - _begun_units(context)
    return tuple(
        Backing(
            unit.name,
            place_in(backup, unit.name) if unit.keeping is Keeping.KEPT else None,
            unit.root,
            settled=unit.keeping is Keeping.SETTLED,
        )
        for unit in backup.units
        if unit.name not in alone
    )


def _begun_units(context: Context) -> frozenset[str]:
    """Units that a copy may have written to: all of them, once the round of the first write is over."""
    status = context.status
    if round_of(context) != status.first_write_round:
        return frozenset(unit.name for unit in (status.backup.units if status.backup else ()))
    copies = (step for step in status.steps if step.id == "copy")
    return frozenset(unit.name for step in copies for unit in step.units if unit.helper)


def _not_restored(context: Context) -> tuple[UnitStatus, ...]:
    """Failed restores that no comparison comes after."""
    alone = platform_of(context).prove_themselves(context.spec)
    units = (unit for step in context.status.steps if step.id == "roll_back" for unit in step.units)
    return tuple(unit for unit in units if unit.state is not State.SUCCEEDED and unit.name in alone)


def _to_come_back(workload: WorkloadStatus) -> WorkloadStatus:
    """What stayed down after a success comes back with everything else: the migration did not happen."""
    if workload.state is not WorkloadState.LEFT_DOWN:
        return workload
    return workload.model_copy(update={"state": WorkloadState.DOWN, "after_success": AfterSuccess.RESTORE})


def _run(
    context: Context,
    step: StepStatus,
    works: tuple[UnitWork, ...],
    nothing: str = "",
    judge: Judge = judge_by_outcome,
) -> Outcome:
    """As other steps' units, but a failed one ends nothing before the others have ended too."""
    if not works:
        return Outcome.done(context.status, nothing)
    if not step.units:
        begun = step.model_copy(update={"units": first_units(context, works)})
        return Outcome.wait(with_step(context.status, begun), "", again_in=0.0)
    outcome = run_units(context, step, works, judge)
    status = with_step(context.status, step.model_copy(update={"units": outcome.units}))
    if not outcome.all_done:
        return Outcome.wait(status, outcome.message, outcome.effects, again_in=outcome.again_in)
    if outcome.failed:
        return Outcome.fail(status, _failure(outcome.failed), outcome.effects)
    return Outcome.done(status, f"{len(outcome.units)} unit(s) done", outcome.effects)


def _failure(failed: Iterable[UnitStatus]) -> Failure:
    units = tuple(failed)
    return Failure(Reason(units[0].reason), "\n".join(f"{unit.name}: {unit.message}" for unit in units)[:2000])


def _explained(context: Context, outcome: Outcome) -> Outcome:
    """A rollback that fails says what lies where."""
    if outcome.failure is None:
        return outcome
    backup = context.status.backup or BackupStatus()
    where = f"; what it held lies in {backup.claim}, below {backup.path}" if backup.claim else ""
    units = [unit for step in outcome.status.steps if step.id == "roll_back" for unit in step.units]
    done = ", ".join(unit.name for unit in units if unit.state is State.SUCCEEDED) or "none"
    words = f"the target could not be put back: {outcome.failure.message} (put back: {done}){where}"
    return Outcome.fail(outcome.status, Failure(Reason.ROLLBACK_FAILED, words[:2000]), outcome.effects)


def _questions(view: View) -> Questions:
    keys = {volume_key(use.volume) for use in platform_of(view).uses(view.spec)}
    place = backup_place(view)
    if place is not None:
        keys.add(volume_key(place))
    return Questions(claims=frozenset(keys), namespace=True)
