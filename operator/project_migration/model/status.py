"""The status of a migration: what is known, what was done, what was recorded before anything was touched.

It is all the memory the operator has. Whatever an invariant rests on (replica counts, the first write) is saved here
before the effect that it belongs to. Frozen: a pass makes a new one from the old one with ``model_copy``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from project_migration.model.cdsw import Cdsw, WorkspaceDatabase
from project_migration.model.document import AfterSuccess, Side, Spec, Workload, WorkloadKind
from project_migration.model.endpoints import Model, SecretRef
from project_migration.model.mlflow import Via

MOST_FOUND_WORKLOADS = 50

Text = Annotated[str, StringConstraints(max_length=2048)]
Short = Annotated[str, StringConstraints(max_length=253)]
Names = Annotated[tuple[Annotated[str, StringConstraints(max_length=512)], ...], Field(max_length=20)]
Counts = Annotated[dict[Short, int], Field(max_length=40)]

WARNINGS_LIMIT = 20

#: Tables or kinds of objects that are told of one unit.
MOST_COMPARED = 80


class StatusModel(Model):
    #: A newer operator may have written fields that this one does not know.
    model_config = ConfigDict(extra="ignore")


class State(StrEnum):
    """Of a step, and of a unit within it."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SKIPPED = "Skipped"


class Progress(StatusModel):
    """Numbers only; people's words are made from them at the edge."""

    percent: Annotated[int, Field(ge=0, le=100)] = 0
    """Of the whole migration; 100 only when it is verified."""
    bytes_done: int = 0
    bytes_total: int = 0
    items_done: int = 0
    items_total: int = 0
    bytes_per_second: int = 0
    eta_seconds: int | None = None
    updated_at: Short | None = None


class ComparedStatus(StatusModel):
    """One table, or one kind of objects, on both sides."""

    name: Short
    source: int
    """How many there should be."""
    target: int
    """How many of them there are."""
    source_digest: Short = ""
    """Over the content of all of them; empty where they were only counted."""
    target_digest: Short = ""

    @property
    def same(self) -> bool:
        return (self.source, self.source_digest) == (self.target, self.target_digest)


class UnitStatus(StatusModel):
    """One helper's piece of a step, such as the pair `data` of `copy`."""

    name: Short
    state: State = State.PENDING
    attempt: int = 1
    helper: Short = ""
    """The name of the helper (a Job in a cluster)."""
    request_digest: Short = ""
    created_at: Short | None = None
    running_at: Short | None = None
    last_sign_at: Short | None = None
    """When its progress last changed."""
    not_before: Short | None = None
    """A failed attempt is followed by the next no sooner than this."""
    finished_at: Short | None = None
    bytes_done: int = 0
    bytes_total: int = 0
    items_done: int = 0
    items_total: int = 0
    reason: Short = ""
    message: Text = ""
    counts: Counts = {}
    digest: Short = ""
    names: Annotated[dict[Short, Names], Field(max_length=10)] = {}
    lists: Annotated[dict[Short, Text], Field(max_length=10)] = {}
    compared: Annotated[tuple[ComparedStatus, ...], Field(max_length=MOST_COMPARED)] = ()
    """Of a proof: both sides by table or kind of objects, those that differ first."""
    arrived: Short = ""
    """Of a survey: the digests of the document that was carried out on the target before, as its mark has them."""


class StepStatus(StatusModel):
    """One step of the itinerary."""

    id: Short
    state: State = State.PENDING
    started_at: Short | None = None
    finished_at: Short | None = None
    reason: Short = ""
    message: Text = ""
    pass_number: int = 0
    """Of warm copies: which of them is at work, or was the last."""
    units: Annotated[tuple[UnitStatus, ...], Field(max_length=100)] = ()

    def unit(self, name: str) -> UnitStatus | None:
        return next((unit for unit in self.units if unit.name == name), None)


class ItineraryStatus(StatusModel):
    """Which table the migration follows: a snapshot, so that an upgraded operator ends what an older one began."""

    name: Short
    version: int = 1
    round: int = 1
    """1 at first; a retry makes it one more."""


class WorkloadState(StrEnum):
    RECORDED = "Recorded"
    DOWN = "Down"
    HELD = "Held"
    RESTORED = "Restored"
    GONE = "Gone"
    LEFT_DOWN = "LeftDown"


class WorkloadStatus(StatusModel):
    """A quiesced workload and what it was before. Written before it is touched, and never overwritten after."""

    kind: WorkloadKind
    name: Short
    side: Side
    after_success: AfterSuccess = AfterSuccess.RESTORE
    replicas: int = 0
    """Of a Deployment or StatefulSet, before."""
    suspended: bool = False
    """Of a CronJob, before."""
    state: WorkloadState = WorkloadState.RECORDED
    scaled_back: int = 0
    """How often something scaled it up while it was to rest."""


class Condition(StatusModel):
    """As every Kubernetes condition."""

    type: Short
    status: Annotated[str, StringConstraints(pattern="^(True|False|Unknown)$")]
    reason: Short
    message: Text = ""
    last_transition_time: Short
    observed_generation: int = 0


class Keeping(StrEnum):
    """What is known of what a target held before it was written to."""

    KEPT = "Kept"
    """It lies in the backup, and was compared with it."""
    EMPTY = "Empty"
    """It was proved empty."""
    WAIVED = "Waived"
    """Nobody needs it, says the document."""
    SETTLED = "Settled"
    """It was empty; users have what was proved there, and only an undo takes it from them."""
    LET_GO = "LetGo"
    """It was empty, and cannot be made so again: what told this migration's own work from users' is gone."""


class PlannedUnit(StatusModel):
    """What one pair would move."""

    name: Short
    items: int = 0
    bytes: int = 0
    free_bytes: int | None = None
    target_empty: bool = False
    root: Counts = {}
    """Mode, owner and time of the target's own directory, as the survey found it."""
    client_major: int | None = None
    """Of a database: the target's major version, which is that of its helpers' client tools until the next plan."""


class ClaimStatus(StatusModel):
    """A target claim that the document wants made."""

    name: Short
    size: Short
    """A quantity."""
    storage_class: Short = ""
    """Empty: the cluster's default."""
    access_modes: Annotated[tuple[Short, ...], Field(max_length=3)] = ()
    uid: Short = ""
    """Of the claim, once it is made and locked; empty until then."""


class Result(StatusModel):
    """What arrived, and the proof of it."""

    counts: Counts = {}
    digest: Short = ""
    """sha256 over the digests of all units, in the document's order."""


class KeptUnit(StatusModel):
    """One unit's target as it was before the migration."""

    name: Short
    keeping: Keeping
    digest: Short = ""
    """Of the proof that the backup equals the target; it is what a rollback has to come to again."""
    items: int = 0
    bytes: int = 0
    root: Counts = {}
    """Of a target that was empty: its directory's mode, owner and time."""


class BackupStatus(StatusModel):
    waived: Text = ""
    """The document's words, when it waives a backup."""
    claim: Text = ""
    """The claim that holds it, or on one machine the directory."""
    path: Text = ""
    """The directory in that claim; one below it for each unit."""
    units: Annotated[tuple[KeptUnit, ...], Field(max_length=50)] = ()
    """Written down before the first write, and kept until the target is as it was."""
    taken_at: Short | None = None
    kept_until: Short | None = None
    """When it is removed, once the migration has ended and backup.keepFor says how long it stays."""
    removing: bool = False
    """Whether its removal has begun: nothing can be put back from there any more."""
    removed_at: Short | None = None


class Refusal(StatusModel):
    """A person's request that nothing was done for, as long as it stands."""

    request: Short
    """Which it is, such as `undo` or `retry again`: each is told of once."""
    reason: Short
    message: Text


class CheckStatus(StatusModel):
    """The last time that the target of a migration that succeeded was compared with what was proved then."""

    asked: Text = ""
    """The value of the annotation migration.mlops.dev/verify that asked for it."""
    number: int = 1
    """1 at first, one more each time."""
    state: State = State.RUNNING
    """Succeeded when every unit was looked at, whatever was found; Failed when one could not be."""
    started_at: Short | None = None
    at: Short | None = None
    """When it ended."""
    same: bool | None = None
    """Whether all that was proved is there unchanged; None as long as that is not known."""
    differences: int = 0
    """How many objects are missing or different."""
    message: Text = ""
    units: Annotated[tuple[UnitStatus, ...], Field(max_length=100)] = ()


class FoundWorkload(StatusModel):
    kind: WorkloadKind
    name: Short


class FoundStatus(StatusModel):
    """What the document leaves to be looked up in the target's namespace, as it was found."""

    job: Short = ""
    """The schema Job."""
    secret: Short = ""
    """The Secret that the database's password comes from, and its key. Nothing of it is read."""
    secret_key: Short = ""
    workloads: Annotated[tuple[FoundWorkload, ...], Field(max_length=MOST_FOUND_WORKLOADS)] = ()
    """What uses the target, and rests without being listed."""


class Status(StatusModel):
    """Everything the operator knows of one migration."""

    observed_generation: int = 0
    phase: Short = "Pending"
    """For people; no logic reads it."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=20)] = ()
    itinerary: ItineraryStatus | None = None
    steps: Annotated[tuple[StepStatus, ...], Field(max_length=60)] = ()
    """The steps of the itinerary that is followed now, then those of earlier ones that ended early."""
    step: Short = ""
    """n/m, the step that is at work."""
    progress: Progress = Progress()
    workloads: Annotated[tuple[WorkloadStatus, ...], Field(max_length=100)] = ()
    plan: Annotated[tuple[PlannedUnit, ...], Field(max_length=50)] = ()
    claims: Annotated[tuple[ClaimStatus, ...], Field(max_length=50)] = ()
    """Target claims that are to be made in this round, or were made in it."""
    locks: Annotated[tuple[Short, ...], Field(max_length=100)] = ()
    way: Short = ""
    """Of a platform with several ways: the one that preflight chose instead of the document's first."""
    way_reason: Text = ""
    """Why it did."""
    found: FoundStatus | None = None
    """What was looked up, where the document leaves that to the operator."""
    workspace_claim: Short = ""
    """Where manifests, lists, records and the report lie, in the directory workspacePath."""
    workspace_path: Short = ""
    backup: BackupStatus | None = None
    first_write_at: Short | None = None
    """When the migration began to write to the target; None again once the target is as it was."""
    first_write_round: int = 0
    half_back: bool = False
    """Whether a rollback has begun and is not proved: what is on the target is neither what was nor what came."""
    rolled_back_at: Short | None = None
    """When the target was proved to be as it was before the migration."""
    started_at: Short | None = None
    finished_at: Short | None = None
    failure: Text = ""
    """Why the migration ended as it did, in words that name the object."""
    failure_reason: Short = ""
    remedy: Text = ""
    """What a person can do about it."""
    handled_retry: Text = ""
    """The last value of the annotation migration.mlops.dev/retry that was acted on."""
    handled_rollback: Text = ""
    """The last value of the annotation migration.mlops.dev/rollback that was acted on."""
    handled_release: Text = ""
    """The last value of the annotation migration.mlops.dev/release that was acted on."""
    handled_expire: Text = ""
    """The last value of the annotation migration.mlops.dev/expire that was acted on."""
    handled_force: Short = ""
    """The last value of spec.force with which the migration was carried out: it does not run again for it."""
    refused: Annotated[tuple[Refusal, ...], Field(max_length=10)] = ()
    """What people ask for that cannot be done, and why."""
    warnings: Annotated[tuple[Text, ...], Field(max_length=WARNINGS_LIMIT)] = ()
    """What a person should know and that stops nothing."""
    result: Result | None = None
    report: Short = ""
    """Where the report lies, below workspacePath; empty when it could not be written there."""
    check: CheckStatus | None = None


def along(spec: Spec, status: Status) -> Spec:
    """The spec as it is carried out: with the way that preflight chose, and with what was found."""
    if status.way and spec.mlflow is not None:
        spec = spec.model_copy(update={"mlflow": spec.mlflow.model_copy(update={"via": Via(status.way)})})
    if status.found is not None and spec.cdsw is not None:
        spec = _as_found(spec, spec.cdsw, status.found)
    return spec


def _as_found(spec: Spec, cdsw: Cdsw, found: FoundStatus) -> Spec:
    target = cdsw.target.model_copy(update={"schema_job": found.job})
    if target.database is None and found.secret:
        login = {"credentials_ref": SecretRef(name=found.secret), "password_key": found.secret_key}
        target = target.model_copy(update={"database": WorkspaceDatabase(**login)})
    listed = {(workload.kind, workload.name) for workload in spec.quiesce.workloads}
    more = (one for one in found.workloads if (one.kind, one.name) not in listed)
    workloads = (*spec.quiesce.workloads, *(Workload(kind=one.kind, name=one.name, side=Side.TARGET) for one in more))
    return spec.model_copy(
        update={
            "cdsw": cdsw.model_copy(update={"target": target}),
            "quiesce": spec.quiesce.model_copy(update={"workloads": workloads}),
        }
    )
