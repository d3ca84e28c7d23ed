"""Migrations as the engine leaves them, made by hand: what displays and reports have to show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from project_migration.engine.clock import stamp
from project_migration.engine.names import Key
from project_migration.engine.world import Migration
from project_migration.model.conditions import End, Summary, with_conditions
from project_migration.model.document import AfterSuccess, Document, Mode, Side, WorkloadKind
from project_migration.model.errors import REMEDIES, Reason
from project_migration.model.status import (
    BackupStatus,
    CheckStatus,
    ItineraryStatus,
    PlannedUnit,
    Progress,
    Result,
    State,
    Status,
    StepStatus,
    UnitStatus,
    WorkloadState,
    WorkloadStatus,
)

BEGIN = datetime(2026, 3, 7, 20, 15, 0, tzinfo=UTC)
GIB = 2**30
DIGEST = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

DOCUMENT = Document.model_validate(
    {
        "metadata": {"name": "vision", "namespace": "ml"},
        "spec": {
            "volumes": {
                "pairs": [
                    {
                        "name": "data",
                        "source": {"claimName": "data-old"},
                        "target": {"claimName": "data-new", "subPath": "vision/data"},
                        "exclude": ["*.tmp", "__pycache__/"],
                    },
                    {"name": "models", "source": {"path": "/srv/old/models"}, "target": {"path": "/srv/new/models"}},
                ]
            },
            "quiesce": {
                "workloads": [
                    {"kind": "Deployment", "name": "web", "side": "Target"},
                    {"kind": "StatefulSet", "name": "trainer", "side": "Source", "afterSuccess": "StayDown"},
                    {"kind": "CronJob", "name": "nightly", "side": "Source"},
                ]
            },
            "ownership": {"mode": "Set", "uid": 8536, "gid": 8536},
        },
    }
)


def at(seconds: float) -> str:
    return stamp(BEGIN + timedelta(seconds=seconds))


def unit(name: str, begin: float, end: float | None, **fields: Any) -> UnitStatus:
    state = fields.pop("state", State.SUCCEEDED if end is not None else State.RUNNING)
    return UnitStatus(
        name=name,
        state=state,
        created_at=at(begin),
        running_at=at(begin),
        finished_at=at(end) if end is not None else None,
        **fields,
    )


def step(name: str, begin: float | None, end: float | None = None, **fields: Any) -> StepStatus:
    default = State.PENDING if begin is None else State.RUNNING if end is None else State.SUCCEEDED
    return StepStatus(
        id=name,
        state=fields.pop("state", default),
        started_at=at(begin) if begin is not None else None,
        finished_at=at(end) if end is not None else None,
        **fields,
    )


def workload(kind: WorkloadKind, name: str, side: Side, state: WorkloadState, **fields: Any) -> WorkloadStatus:
    return WorkloadStatus(kind=kind, name=name, side=side, state=state, **fields)


def workloads(web: WorkloadState, trainer: WorkloadState, nightly: WorkloadState) -> tuple[WorkloadStatus, ...]:
    return (
        workload(WorkloadKind.DEPLOYMENT, "web", Side.TARGET, web, replicas=3),
        workload(
            WorkloadKind.STATEFUL_SET, "trainer", Side.SOURCE, trainer, replicas=1, after_success=AfterSuccess.STAY_DOWN
        ),
        workload(WorkloadKind.CRON_JOB, "nightly", Side.SOURCE, nightly),
    )


def migration(status: Status, document: Document | None = DOCUMENT) -> Migration:
    return Migration(Key("ml", "vision"), "5e0e7a62-4a3f-4f37-9f0a-0a6a3fb64ec1", "7.0", document, status)


DATA = {"entries": 224_333, "bytes": int(41.7 * GIB), "files": 171_021, "directories": 12_411, "symlinks": 801,
        "hardLinks": 12, "excluded": 40_112}  # fmt: skip
MODELS = {"entries": 212, "bytes": int(18.2 * GIB), "files": 200, "directories": 12}
COPIED = {"copied": 184_000, "metadataFixed": 12_411, "owned": 184_233}


def preflight() -> StepStatus:
    units = (
        unit("data", 2, 9, counts={**DATA, "freeBytes": 900 * GIB}),
        unit("models", 2, 4, counts={**MODELS, "freeBytes": 900 * GIB}),
    )
    return step("preflight", 1, 10, message="everything is in order", units=units)


def first_steps() -> tuple[StepStatus, ...]:
    return (
        step("lock", 0, 1, message="2 target(s) locked"),
        preflight(),
        step("plan", 10, 10, message="184445 objects, 59.9 GiB would move"),
        step("quiesce_target", 10, 22, message="1 workload(s) at rest"),
        step("quiesce_source", 22, 41, message="2 workload(s) at rest"),
    )


def succeeded() -> Migration:
    copied = (
        unit(
            "data",
            41,
            262,
            counts={**DATA, **COPIED, "notPreserved": 2},
            attempt=2,
            names={"notPreserved": ("cache/acl-a", "cache/acl-b")},
            lists={"notPreserved": "lists/copy-data-notPreserved.txt"},
        ),
        unit("models", 41, 139, counts=MODELS),
    )
    proved = (
        unit("data", 263, 371, counts=DATA, digest=DIGEST),
        unit("models", 263, 310, counts=MODELS, digest=DIGEST),
    )
    status = Status(
        phase="Succeeded",
        itinerary=ItineraryStatus(name="Migrate"),
        steps=(
            *first_steps(),
            step("copy", 41, 263, message="2 unit(s) done", units=copied),
            step("verify", 263, 372, message="2 unit(s) done", units=proved),
            step("resume", 372, 380, message="3 workload(s) as they were"),
            step("clean_up", 380, 381, message="nothing is left behind"),
        ),
        step="9/9",
        progress=Progress(percent=100),
        workloads=workloads(WorkloadState.RESTORED, WorkloadState.LEFT_DOWN, WorkloadState.RESTORED),
        backup=BackupStatus(waived="It is a fresh installation; what is there are its examples."),
        first_write_at=at(41),
        started_at=at(0),
        finished_at=at(381),
        result=Result(counts={"entries": 184_445}, digest=DIGEST),
    )
    return ended(status, End.SUCCEEDED, "Succeeded", f"verified: {DIGEST}")


def looked_at_again() -> Migration:
    """One that arrived, with a backup of what was there, and a target that its users worked on since."""
    found = succeeded()
    differences = (
        "data: 2 different: models/weights.bin (size, content), notes.md (content); 184231 as they were proved"
    )
    update = {
        "backup": BackupStatus(
            claim="migration-backup", path="vision-5e0e7a62", taken_at=at(30), kept_until=at(604_800)
        ),
        "workspace_claim": "migration-work",
        "workspace_path": "vision-5e0e7a62",
        "report": "report.html",
        "check": CheckStatus(
            asked="1", state=State.SUCCEEDED, at=at(90_000), same=False, differences=2, message=differences
        ),
    }
    return migration(found.status.model_copy(update=update))


def failed(reason: Reason = Reason.NO_SPACE_LEFT) -> Migration:
    message = "data: archive/2019/run-77/weights.bin: no space left on the target (41.7 GiB needed, 12.0 MiB free)"
    copied = (
        unit(
            "data",
            41,
            190,
            state=State.FAILED,
            reason=str(reason),
            message=message,
            counts={"entries": 90_011, "bytes": 20 * GIB, "files": 90_000, "failed": 3},
            names={"failed": ("archive/2019/run-77/weights.bin", "archive/2019/<b>run-78</b>", "z\\x1b[31m")},
            lists={"failed": "lists/copy-data-failed.txt"},
        ),
        unit("models", 41, 139, counts=MODELS),
    )
    status = Status(
        phase="Failed",
        itinerary=ItineraryStatus(name="Abort", round=2),
        steps=(
            *first_steps(),
            step("copy", 41, 191, state=State.FAILED, reason=str(reason), message=message, units=copied),
            step("stop", 191, 192, message="no helper is left"),
            step(
                "bring_back", 192, 199, message="TargetHeld: Deployment web stay down, since the target is not in order"
            ),
            step("tidy_up", 199, 200, message="nothing is left behind"),
        ),
        step="3/3",
        progress=Progress(percent=47),
        workloads=workloads(WorkloadState.HELD, WorkloadState.RESTORED, WorkloadState.RESTORED),
        first_write_at=at(41),
        started_at=at(0),
        finished_at=at(200),
        failure=message,
        failure_reason=str(reason),
        remedy=REMEDIES[reason],
    )
    return ended(status, End.FAILED, str(reason), message)


def at_work(document: Document | None = DOCUMENT) -> Migration:
    units = (
        unit(
            "data",
            41,
            None,
            bytes_done=int(17.9 * GIB),
            bytes_total=int(41.7 * GIB),
            items_done=80_000,
            items_total=224_333,
        ),
        unit("models", 41, 139, counts=MODELS, bytes_done=MODELS["bytes"], bytes_total=MODELS["bytes"]),
    )
    status = Status(
        phase="Copying",
        itinerary=ItineraryStatus(name="Migrate"),
        steps=(
            *first_steps(),
            step("copy", 41, units=units),
            *(step(name, None) for name in ("verify", "resume", "clean_up")),
        ),
        step="6/9",
        progress=Progress(
            percent=43,
            bytes_done=int(36.1 * GIB),
            bytes_total=int(59.9 * GIB),
            bytes_per_second=220 * 2**20,
            eta_seconds=110,
            updated_at=at(150),
        ),
        workloads=workloads(WorkloadState.DOWN, WorkloadState.DOWN, WorkloadState.DOWN),
        first_write_at=at(41),
        started_at=at(0),
    )
    summary = Summary(None, "Copying", "")
    return migration(with_conditions(status, summary, generation=1, now=at(150)), document)


def planned() -> Migration:
    spec = DOCUMENT.spec.model_copy(update={"mode": Mode.PLAN})
    status = Status(
        phase="Planned",
        itinerary=ItineraryStatus(name="Plan"),
        steps=(preflight(), step("plan", 10, 10, message="would move"), step("clean_up", 10, 11)),
        progress=Progress(percent=100),
        plan=(PlannedUnit(name="data", items=184_233, bytes=DATA["bytes"], free_bytes=900 * GIB),),
        started_at=at(0),
        finished_at=at(11),
    )
    found = ended(status, End.PLANNED, "Planned", "59.9 GiB would move")
    return migration(found.status, DOCUMENT.model_copy(update={"spec": spec}))


def ended(status: Status, end: End, reason: str, message: str) -> Migration:
    summary = Summary(end, reason, message)
    return migration(with_conditions(status, summary, generation=1, now=status.finished_at or at(0)))
