"""Looks at everything before anything is written, and reports all that is wrong at once.

First what the API server knows (:mod:`project_migration.engine.checks`, with the exact helpers offered to admission
as a dry run); then one survey helper a unit, for what only a mounted volume can tell. Units that failed the first
look are not surveyed; the others are, so that their faults are in the same message.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from project_migration.engine.arrival import is_here
from project_migration.engine.checks import Finding, doubts, run_checks
from project_migration.engine.claims import ensure, noted, to_be_made, too_small, units_without_target, unmade
from project_migration.engine.clock import stamp
from project_migration.engine.effects import EnsureClaim, volume_key
from project_migration.engine.names import WorkloadRef
from project_migration.engine.platform import Backing, Platform, UnitWork
from project_migration.engine.step import Context, Outcome, View, with_step
from project_migration.engine.units import UnitsOutcome, first_units, helper_spec, run_units, workspace_path
from project_migration.engine.world import Offered, Questions, World
from project_migration.model.endpoints import Volume
from project_migration.model.errors import Failure, Reason
from project_migration.model.quantities import parse_seconds
from project_migration.model.records import Record
from project_migration.model.status import BackupStatus, ClaimStatus, State, Status, StepStatus, UnitStatus

ALREADY_HERE = (
    "the targets say that this document was carried out on them before: nothing was changed; to have it carried out"
    " again, give a new text in spec.force"
)

#: The unit that stands for what concerns the migration as a whole.
WHOLE = "migration"


@dataclass(frozen=True, slots=True)
class Preflight:
    id: str = "preflight"
    phase: str = "Preflight"
    weight: int = 4
    writes_target: bool = False
    needs_quiet: bool = False

    def ask(self, view: View) -> Questions:
        uses = platform_of(view).uses(view.spec)
        claims = {volume_key(use.volume) for use in uses}
        workspace = workspace_claim(view)
        if workspace:
            claims.add(f"claim/{workspace}")
        backup = backup_place(view)
        if backup is not None:
            claims.add(volume_key(backup))
        own = view.migration.key.namespace
        return Questions(
            claims=frozenset(claims),
            workloads=frozenset(WorkloadRef(w.kind, w.name) for w in view.spec.quiesce.workloads),
            namespace=True,
            dry_run=() if _begun(view, self.id) else (partial(self._to_offer, view),),
            hosts=frozenset(host for _, host in platform_of(view).hosts(view.spec)),
            other_namespaces=frozenset(use.volume.namespace for use in uses if use.volume.namespace) - {own},
        )

    def _to_offer(self, view: View, world: World) -> tuple[Offered, ...]:
        """One helper of each kind that the migration will make, and each claim, as they will be made."""
        platform = platform_of(view)
        claims = to_be_made(view, world)
        works = (
            *((self.id, work) for work in _one_of_each(_at_home(view, _surveys(view, claims)))),
            *(
                ("copy", work)
                for work in _one_of_each(_at_home(view, platform.copies(view.spec, share=1, empty=frozenset())))
            ),
        )
        context = Context(view.migration, view.status, view.platform, view.pace, world)
        helpers = (helper_spec(context, step, work, 1) for step, work in works)
        return (*helpers, *(ensure(claim) for claim in claims if claim.size))

    def advance(self, context: Context) -> Outcome:
        made = self._workspace(context)
        if made is not None:
            return made
        step = context.step(self.id)
        if not step.units:
            return self._first_look(context, step)
        works = (*_surveys(context, unmade(context.status)), *_tool_looks(context, step))
        outcome = run_units(context, step, works, judge=lambda unit, record: _judge(context, unit, record))
        step = step.model_copy(update={"units": outcome.units})
        status = with_step(context.status, step)
        if not outcome.all_done:
            return Outcome.wait(status, outcome.message, outcome.effects, again_in=outcome.again_in)
        return self._looked(context.with_status(status), step, outcome)

    def _looked(self, context: Context, step: StepStatus, outcome: UnitsOutcome) -> Outcome:
        """What comes of the surveys, once all have ended."""
        status = context.status
        if _carried_out_before(context, outcome.units):
            return Outcome.already(_without_faults(status, step), ALREADY_HERE, outcome.effects)
        if outcome.failed:
            way = platform_of(context).other_way(context.spec, {unit.name: unit.reason for unit in outcome.failed})
            if way:
                return self._otherwise(context, way, step, outcome)
            return Outcome.fail(status, _together(outcome.failed), outcome.effects)
        looks = [work for work in _tool_looks(context, step) if step.unit(work.name) is None]
        if looks:
            step = step.model_copy(update={"units": (*step.units, *first_units(context, looks))})
            return Outcome.wait(with_step(status, step), "looking for client tools", outcome.effects, again_in=0.0)
        return Outcome.done(status, "everything is in order", outcome.effects)

    def _otherwise(self, context: Context, way: str, step: StepStatus, outcome: UnitsOutcome) -> Outcome:
        """Looks anew at what the other way needs, once the helpers of the first are gone."""
        if any(unit.helper in context.world.helpers for unit in outcome.units):
            message = "waiting until the first helpers are gone"
            return Outcome.wait(context.status, message, outcome.effects, again_in=context.pace.wait)
        reason = f"the migration goes via {way}, since {_together(outcome.failed).message}"[:2000]
        chosen = context.status.model_copy(update={"way": way, "way_reason": reason})
        return Outcome.wait(with_step(chosen, step.model_copy(update={"units": ()})), reason, again_in=0.0)

    def _workspace(self, context: Context) -> Outcome | None:
        """Has the workspace claim noted, and made when the document asks for that."""
        name = workspace_claim(context)
        if name != context.status.workspace_claim:
            noted = {"workspace_claim": name, "workspace_path": workspace_path(context)}
            return Outcome.wait(context.status.model_copy(update=noted), "", again_in=0.0)
        workspace = context.spec.workspace
        facts = context.world.claims.get(f"claim/{name}")
        if workspace and workspace.size and facts is not None and not facts.exists:
            denied = context.world.denied.get(name)
            limit = context.spec.timeouts.helper_start
            if context.waited(self.id) > parse_seconds(limit):
                why = denied.message if denied else f"claim {name} could not be made"
                failure = Failure(Reason.HELPER_REFUSED, f"workspace: {why} (waited {limit}, timeouts.helperStart)")
                return Outcome.fail(context.status, failure)
            effect = EnsureClaim(name, workspace.size, workspace.storage_class_name)
            message = denied.message if denied else f"making claim {name}"
            return Outcome.wait(context.status, message, [effect], again_in=context.pace.wait)
        return None

    def _first_look(self, context: Context, step: StepStatus) -> Outcome:
        findings = run_checks(context)
        claims = noted(context, context.world)
        works = _surveys(context, (claim for claim in claims if not claim.uid))
        units = [_marked(unit, findings, context) for unit in first_units(context, works)]
        whole = [finding for finding in findings if finding.unit not in {unit.name for unit in units}]
        if whole:
            units.append(_failed(UnitStatus(name=WHOLE), whole, context))
        step = step.model_copy(update={"units": tuple(units)})
        status = context.status.model_copy(update={"warnings": doubts(context), "claims": claims})
        return Outcome.wait(with_step(status, step), "looking at the volumes", again_in=0.0)


def _surveys(view: View, claims: Iterable[ClaimStatus]) -> tuple[UnitWork, ...]:
    """``claims``: those that are still to be made. They hold nothing that a backup would need room for."""
    missing = units_without_target(view, claims)
    backings = tuple(backing for backing in places_of(view) if backing.unit not in missing)
    return platform_of(view).surveys(view.spec, backings, missing)


def _at_home(view: View, works: tuple[UnitWork, ...]) -> tuple[UnitWork, ...]:
    """Those whose volumes a pod in the migration's namespace can mount; the checks speak of the others."""
    own = (None, view.migration.key.namespace)
    return tuple(work for work in works if all(mount.volume.namespace in own for mount in work.mounts))


def _one_of_each(works: tuple[UnitWork, ...]) -> tuple[UnitWork, ...]:
    """The first for each program: the others differ in nothing that admission looks at."""
    return tuple({work.worker: work for work in reversed(works)}.values())[::-1]


def platform_of(view: View) -> Platform:
    assert view.platform is not None  # noqa: S101 - decide() sends a migration without one to its ending
    return view.platform


def workspace_claim(view: View) -> str:
    workspace = view.spec.workspace
    if workspace is None:
        return ""
    return workspace.claim_name or f"pmig-{view.name}-workspace"[:253]


def backup_place(view: View) -> Volume | None:
    """The directory that this migration's backups lie in; None when the document names no place."""
    backup = view.spec.backup
    if backup is None or backup.waive is not None:
        return None
    return Volume(claim_name=backup.claim_name, path=backup.path, sub_path=workspace_path(view))


def place_in(backup: BackupStatus, unit: str) -> Volume:
    """Where a unit's backup lies, as the status has it."""
    is_path = backup.claim.startswith("/")
    return Volume(
        claim_name=None if is_path else backup.claim,
        path=backup.claim if is_path else None,
        sub_path=f"{backup.path}/{unit}",
    )


def places_of(view: View) -> tuple[Backing, ...]:
    """A place for each unit that has none on record, when the document names one for backups.

    Once it is planned: for each whose target was not found empty.
    """
    place = backup_place(view)
    if place is None:
        return ()
    known = {unit.name for unit in (view.status.backup.units if view.status.backup else ())}
    known |= {planned.name for planned in view.status.plan if planned.target_empty}
    return tuple(
        Backing(unit, place.model_copy(update={"sub_path": f"{place.sub_path}/{unit}"}))
        for unit in platform_of(view).units(view.spec)
        if unit not in known
    )


def _begun(view: View, step_id: str) -> bool:
    return any(step.id == step_id and step.units for step in view.status.steps)


def _carried_out_before(context: Context, units: tuple[UnitStatus, ...]) -> bool:
    """A migration that has written itself knows better than any mark how far it is."""
    document = context.migration.document
    if document is None or context.status.first_write_at is not None:
        return False
    return is_here(document, platform_of(context).units(context.spec), units)


def _without_faults(status: Status, step: StepStatus) -> Status:
    """What would stand against doing it again is no fault where it is not done."""
    units = tuple(
        unit.model_copy(update={"state": State.SKIPPED, "reason": ""}) if unit.state is State.FAILED else unit
        for unit in step.units
    )
    return with_step(status, step.model_copy(update={"units": units}))


def _tool_looks(context: Context, step: StepStatus) -> tuple[UnitWork, ...]:
    """Into images that the installation names: so a wrong one fails here, and not between stop and copy.

    A look that has begun stays one when the operator is started again with other images.
    """
    counts = {unit.name: unit.counts for unit in step.units}
    return tuple(
        work
        for work in platform_of(context).tool_looks(context.spec, counts)
        if work.client_major in context.world.client_images or step.unit(work.name) is not None
    )


def _marked(unit: UnitStatus, findings: tuple[Finding, ...], context: Context) -> UnitStatus:
    own = [finding for finding in findings if finding.unit == unit.name]
    return _failed(unit, own, context) if own else unit


def _failed(unit: UnitStatus, findings: list[Finding], context: Context) -> UnitStatus:
    return unit.model_copy(
        update={
            "state": State.FAILED,
            "reason": str(findings[0].failure.reason),
            "message": "\n".join(finding.failure.message for finding in findings)[:2000],
            "finished_at": stamp(context.now),
        }
    )


def _judge(context: Context, unit: str, record: Record) -> tuple[Failure, ...]:
    written = context.status.first_write_at is not None
    images = context.world.client_images
    found = platform_of(context).judge_survey(context.spec, unit, record, written=written, client_images=images)
    small = too_small(context, UnitStatus(name=unit, counts=dict(record.counts)))
    return (*found, small) if small else found


def _together(failed: tuple[UnitStatus, ...]) -> Failure:
    return joined(Failure(Reason(unit.reason), unit.message) for unit in failed)


def joined(failures: Iterable[Failure]) -> Failure:
    """All that is wrong as one failure: the first reason, every message."""
    found = tuple(failures)
    return Failure(found[0].reason, "\n".join(failure.message for failure in found)[:2000])
