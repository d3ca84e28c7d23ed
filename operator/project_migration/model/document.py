"""The document a person writes: ``ProjectMigration``, as frozen models.

The CRD is generated from these models (:mod:`project_migration.model.crd`), so every limit, default and description
stands here once. Rules between fields are CEL rules beside the model they belong to; Python repeats them in
:mod:`project_migration.model.rules`, for documents that never see an API server.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from project_migration.model.cdsw import Cdsw
from project_migration.model.endpoints import (
    DatabaseEndpoint,
    DatabaseSource,
    Duration,
    Id,
    Model,
    Moment,
    Name,
    Pattern,
    Quantity,
    TargetVolume,
    Token,
    UnitName,
    Volume,
    cel,
    once_true,
    rules,
)
from project_migration.model.mlflow import Mlflow

GROUP = "migration.mlops.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ProjectMigration"
PLURAL = "projectmigrations"

#: By name only, and cheap enough for CEL's budget; whose namespaces differ, the operator looks at.
SAME_PLACE = (
    "!has(self.source.claimName) || !has(self.target.claimName) || self.source.claimName != self.target.claimName"
    " || has(self.source.namespace) || has(self.target.namespace)"
    " || (has(self.source.subPath) && has(self.target.subPath) && self.source.subPath != self.target.subPath"
    " && !self.source.subPath.startsWith(self.target.subPath + '/')"
    " && !self.target.subPath.startsWith(self.source.subPath + '/'))"
)


class VolumePair(Model):
    """One directory to move, and where to."""

    name: UnitName
    """What the pair is called in status, helper names and the report."""
    source: Volume
    """Where the files are. It is only read."""
    target: TargetVolume
    """Where the files go. It has to be empty, unless backup names a place for what it holds, or
    waives that in words."""
    include: Annotated[tuple[Pattern, ...], Field(max_length=100)] = ()
    """Only what matches one of these patterns (gitignore semantics); everything when empty."""
    exclude: Annotated[tuple[Pattern, ...], Field(max_length=100)] = ()
    """What to leave out (gitignore semantics). A file `.exportignore` in the source's root is honoured too."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(SAME_PLACE, "source and target must be different places, neither inside the other", ".target")
        )
    )


TablePattern = Annotated[str, StringConstraints(min_length=1, max_length=256)]
TablePatterns = Annotated[tuple[TablePattern, ...], Field(max_length=100)]


class NameFilter(Model):
    """Names that are taken and names that are not; `*` and `?` stand for any letters and any one."""

    include: TablePatterns = ()
    """Only these; all when empty."""
    exclude: TablePatterns = ()
    """Without these."""


class Keeping(StrEnum):
    KEEP = "Keep"
    DROP = "Drop"


class MissingRoles(StrEnum):
    REFUSE = "Refuse"
    LEAVE_OUT = "LeaveOut"


SAME_DATABASE = (
    "!has(self.source.postgres) || self.source.postgres.host != self.target.postgres.host"
    " || self.source.postgres.port != self.target.postgres.port"
    " || self.source.postgres.database != self.target.postgres.database"
)


class Database(Model):
    """One database to copy, and where to."""

    name: UnitName
    """What the copy is called in status, helper names and the report. No pair has the same name."""
    source: DatabaseSource
    """The database to read, as it is at one moment."""
    target: DatabaseEndpoint
    """The database to fill. It has to exist and to be empty, unless replace is true."""
    schemas: NameFilter = NameFilter()
    """Which schemas move."""
    tables: NameFilter = NameFilter()
    """Which tables move: `table`, or `schema.table`. Views on tables that stay behind stay behind too."""
    exclude_table_data: TablePatterns = ()
    """Tables that come without their rows."""
    replace: bool = False
    """Whether everything that the target holds is removed before. It needs backup."""
    owners: Keeping = Keeping.KEEP
    """Drop gives everything to the target's user."""
    privileges: Keeping = Keeping.KEEP
    """Drop leaves out what was granted to whom."""
    missing_roles: MissingRoles = MissingRoles.REFUSE
    """What happens when the target's server lacks a role of the source: LeaveOut goes on without its rights."""
    accept_collation: bool = False
    """Whether text may be ordered by other rules on the target."""

    model_config = ConfigDict(
        json_schema_extra=rules(cel(SAME_DATABASE, "source and target must be different databases", ".target"))
    )


NAMED_LIST = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}


class Volumes(Model):
    """The platform `volumes`: plain directories, and databases beside them."""

    pairs: Annotated[tuple[VolumePair, ...], Field(max_length=50, json_schema_extra=NAMED_LIST)] = ()
    """Directories to move; each pair is moved by a helper of its own."""
    databases: Annotated[tuple[Database, ...], Field(max_length=20, json_schema_extra=NAMED_LIST)] = ()
    """PostgreSQL databases to copy in the same steps; each by a helper of its own."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "(has(self.pairs) && self.pairs.size() > 0) || (has(self.databases) && self.databases.size() > 0)",
                "name at least one pair or database",
            )
        )
    )


class Workspace(Model):
    """Where manifests, whole lists of names, records and the report lie."""

    claim_name: Name | None = None
    """An existing claim."""
    storage_class_name: Name | None = None
    """The class of a claim that the operator makes, when claimName is left out."""
    size: Quantity | None = None
    """The size of a claim that the operator makes."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.claimName) != has(self.size)",
                "give either claimName, or size for a claim to be made",
            ),
        )
    )


class WorkloadKind(StrEnum):
    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    CRON_JOB = "CronJob"


class Side(StrEnum):
    SOURCE = "Source"
    TARGET = "Target"


class AfterSuccess(StrEnum):
    RESTORE = "Restore"
    STAY_DOWN = "StayDown"


class Workload(Model):
    """Something that writes to a volume while it runs, and therefore rests during the migration."""

    kind: WorkloadKind
    """Deployments and StatefulSets are scaled to 0; CronJobs are suspended."""
    name: Name
    """Its name, in the migration's namespace."""
    side: Side
    """Whether it uses the source or the target."""
    after_success: AfterSuccess = AfterSuccess.RESTORE
    """Whether it comes back after a migration that succeeded; after any other it always does."""


class Quiesce(Model):
    """What rests during the migration, and comes back as it was."""

    workloads: Annotated[tuple[Workload, ...], Field(max_length=50)] = ()
    """The workloads that use the source or the target."""
    discover: bool = False
    """Whether workloads whose pods mount a claim of the migration are quiesced without being listed."""


class Verify(StrEnum):
    CHECKSUM = "Checksum"
    METADATA = "Metadata"


class Transfer(Model):
    """How files are copied and proved."""

    workers: Annotated[int, Field(ge=1, le=64)] = 4
    """How many files a helper copies at the same time."""
    bandwidth: Quantity | None = None
    """At most so many bytes a second, for the whole migration."""
    verify: Verify = Verify.CHECKSUM
    """Checksum reads the content of both sides again; Metadata compares types, sizes, times, modes and owners."""
    pre_copy: Annotated[int, Field(ge=0, le=10)] = 0
    """How often, at most, files are copied while the source is still in use (warm copies): what then remains for the
    cut-over is what changed since. What changes while it is read is left to the next copy."""
    delete: bool = False
    """Whether files that only the target has are removed. Without it they are left and counted."""


class OwnershipMode(StrEnum):
    PRESERVE = "Preserve"
    SET = "Set"
    HELPER = "Helper"


class Ownership(Model):
    """Whose the files are on the target."""

    mode: OwnershipMode = OwnershipMode.PRESERVE
    """Preserve keeps owners; Set gives all to uid:gid (both need a namespace that allows privileged helpers);
    Helper leaves them to the helper's own user, which uid and gid choose."""
    uid: Id | None = None
    """The numeric user."""
    gid: Id | None = None
    """The numeric group."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.mode) || self.mode != 'Set' || (has(self.uid) && has(self.gid))",
                "mode Set needs uid and gid",
                ".uid",
            ),
            cel(
                "!has(self.mode) || self.mode != 'Helper' || !has(self.uid) || self.uid > 0",
                "a helper never runs as user 0 in mode Helper",
                ".uid",
            ),
        )
    )


class Backup(Model):
    """What happens to what the target holds already."""

    claim_name: Name | None = None
    """A claim that what the target holds is copied to, and compared with, before anything is written. It stays there
    for as long as keepFor says: a rollback, and an undo after success, come from it."""
    path: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = Field(
        default=None, json_schema_extra={"x-local-only": True}
    )
    """A directory of this machine, in documents that `project-migration run` runs. The cluster's schema has none."""
    waive: Annotated[str, StringConstraints(min_length=3, max_length=500)] | None = None
    """Why nothing on the target is needed, in words: with it a target that is not empty is written to, and cannot be
    put back. The words stand in status and report."""
    keep_for: Duration | None = None
    """How long the backup is kept after the migration has ended, such as 168h; then the operator removes it, and
    nothing can be put back any more. Left out, it stays until a person removes it. A backup that a target still needs,
    because that is half written, is never removed. It may be changed at any time."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("has(self.claimName) != has(self.waive)", "give either claimName, or waive with the reason in words"),
            cel("!has(self.keepFor) || has(self.claimName)", "keepFor needs a backup: name its claim", ".keepFor"),
        )
    )


class OnFailure(StrEnum):
    ROLLBACK = "Rollback"
    HALT = "Halt"


class CutoverMode(StrEnum):
    IMMEDIATE = "Immediate"
    MANUAL = "Manual"
    AT = "At"


class Cutover(Model):
    """When the source is taken from its users: everything before that is done while they work."""

    mode: CutoverMode = CutoverMode.IMMEDIATE
    """Immediate goes on as soon as all is ready; Manual waits until approved is true; At waits for the moment in at."""
    at: Moment | None = None
    """The earliest moment of the cut-over in mode At, such as 2026-03-01T02:00:00Z. It has to lie ahead."""
    not_after: Moment | None = None
    """The window's end: a cut-over that has not begun by then does not begin, and the migration ends CutoverMissed."""
    approved: Annotated[bool, Field(json_schema_extra=once_true("approved"))] = False
    """Whether a person lets the cut-over begin, in mode Manual. It cannot be taken back."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("!has(self.mode) || self.mode != 'At' || has(self.at)", "mode At needs a moment in at", ".at"),
        )
    )


class Timeouts(Model):
    """How long the migration waits for what is not in its hands."""

    quiesce: Duration = "15m"
    """Until the pods of quiesced workloads are gone."""
    helper_start: Duration = "10m"
    """Until a helper's pod runs."""
    silence: Duration = "15m"
    """How long a helper may run without a sign of progress."""
    lock: Duration = "24h"
    """How long to wait for another migration that holds the target."""
    resume: Duration = "15m"
    """Until workloads are back at their recorded counts."""


class Toleration(Model):
    """As in a pod."""

    key: Annotated[str, StringConstraints(max_length=316)] | None = None
    operator: Annotated[str, StringConstraints(pattern="^(Exists|Equal)$")] | None = None
    value: Annotated[str, StringConstraints(max_length=63)] | None = None
    effect: Annotated[str, StringConstraints(pattern="^(NoSchedule|PreferNoSchedule|NoExecute)$")] | None = None
    toleration_seconds: Annotated[int, Field(ge=0, le=2_000_000_000)] | None = None


class Compute(Model):
    """An amount of processor and memory."""

    cpu: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,6}(\.[0-9]{1,3})?m?$", max_length=12)] | None = None
    """Processors, such as 2 or 500m."""
    memory: Quantity | None = None
    """Bytes, such as 1Gi."""


class Resources(Model):
    """As in a container."""

    requests: Compute = Compute(cpu="100m", memory="128Mi")
    """What the scheduler reserves."""
    limits: Compute = Compute(memory="1Gi")
    """What the helper may use at most."""


class Helper(Model):
    """Where helpers run, and with how much."""

    resources: Resources = Resources()
    """Resources of each helper."""
    node_selector: Annotated[
        dict[
            Annotated[str, StringConstraints(max_length=316)],
            Annotated[str, StringConstraints(max_length=63)],
        ],
        Field(max_length=20),
    ] = {}
    """Labels of the nodes that helpers may run on."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=20)] = ()
    """Taints that helpers tolerate."""


class Mode(StrEnum):
    MIGRATE = "Migrate"
    PLAN = "Plan"


PLATFORMS = ("clearml", "cdsw", "cml", "mlflow", "volumes")

#: A platform whose block is known by name and refused until a release carries it.
LaterPlatform = Annotated[dict[str, Any] | None, Field(json_schema_extra={"x-later": True, "maxProperties": 50})]

#: What may not change any more once something was written to the target. Each is compared by a CEL rule.
FIXED_AFTER_FIRST_WRITE = ("volumes", "mlflow", "cdsw", "workspace", "ownership", "quiesce", "backup")


#: Of those, the fields that may: they decide nothing about what is written.
CHANGEABLE_ALWAYS: dict[str, tuple[str, ...]] = {"backup": ("keep_for",)}


def _fixed(field: str) -> dict[str, str]:
    free = CHANGEABLE_ALWAYS.get(field)
    if free is None:
        same = _same(f"spec.{field}")
    else:
        kept = (to_camel(name) for name, found in Backup.model_fields.items() if name not in (*free, "path"))
        both = " && ".join(f"({_same(f'spec.{field}.{name}')})" for name in kept)
        same = f"has(self.spec.{field}) == has(oldSelf.spec.{field}) && (!has(self.spec.{field}) || {both})"
    return cel(
        f"!has(oldSelf.status) || !has(oldSelf.status.firstWriteAt) || ({same})",
        f"{field} cannot change any more: the migration has begun to write (status.firstWriteAt)",
        f".spec.{field}",
    )


def _same(path: str) -> str:
    """CEL: the field is as it was, or still left out."""
    return f"has(self.{path}) == has(oldSelf.{path}) && (!has(self.{path}) || self.{path} == oldSelf.{path})"


#: Rules at the root of the schema, where both spec and status are in sight.
ROOT_RULES = tuple(_fixed(field) for field in FIXED_AFTER_FIRST_WRITE)


class Spec(Model):
    """What is to be moved, and how."""

    clearml: LaterPlatform = None
    """ClearML projects. Refused as NotSupportedYet in this release."""
    cdsw: Cdsw | None = None
    """The whole of a CDSW into a CML workspace, at database level."""
    cml: LaterPlatform = None
    """CDSW or CML projects through the workspace API. Refused as NotSupportedYet in this release."""
    mlflow: Mlflow | None = None
    """An MLflow tracking server, or part of it, to another one."""
    volumes: Volumes | None = None
    """Plain volumes, and databases beside them."""
    workspace: Workspace | None = None
    """Where manifests, whole lists of names, records and the report lie. One machine uses its state directory."""
    quiesce: Quiesce = Quiesce()
    """What rests during the migration, and comes back as it was."""
    transfer: Transfer = Transfer()
    """How files are copied and proved."""
    ownership: Ownership = Ownership()
    """Whose the files are on the target."""
    backup: Backup | None = None
    """What happens to what the target holds already."""
    on_failure: OnFailure = OnFailure.ROLLBACK
    """Rollback puts the target back as it was when the migration fails or is cancelled after it began to write;
    Halt leaves the target as it is, with its workloads down, until a retry, a rollback or a release."""
    cutover: Cutover = Cutover()
    """When the source is taken from its users."""
    timeouts: Timeouts = Timeouts()
    """How long the migration waits for what is not in its hands."""
    retries: Annotated[int, Field(ge=0, le=20)] = 3
    """How often a helper that failed for a passing reason is started again."""
    mode: Mode = Mode.MIGRATE
    """Plan changes nothing and says what would move. It may be changed to Migrate, once."""
    suspend: bool = False
    """Whether the migration pauses before its next helper. What runs already runs to its end."""
    cancel: Annotated[bool, Field(json_schema_extra=once_true("cancel"))] = False
    """Whether the migration stops, and brings workloads back. It cannot be taken back."""
    undo: Annotated[bool, Field(json_schema_extra=once_true("undo"))] = False
    """Whether a migration that succeeded is taken back: the target becomes what its backup holds, or empty again if
    it was. What users wrote to the target since is lost. It cannot be taken back."""
    force: Token | None = None
    """Runs a document again that was carried out already, although its targets say so (AlreadyMigrated): any text that
    was not given before. What the targets hold by then is treated as at the first time: it needs a backup, or has to go
    first."""
    helper: Helper = Helper()
    """Where helpers run, and with how much."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                f"[{', '.join(f'has(self.{platform})' for platform in PLATFORMS)}].filter(given, given).size() == 1",
                f"give exactly one platform: {', '.join(PLATFORMS)}",
            ),
            cel("has(self.workspace)", "name the workspace claim, or a size for one to be made", ".workspace"),
            cel(
                "has(self.backup) || !has(self.volumes) || !has(self.volumes.databases)"
                " || self.volumes.databases.all(database, !has(database.replace) || !database.replace)",
                "a database with replace needs backup: what its target holds is removed",
                ".backup",
            ),
            cel(
                "has(self.backup) || !has(self.cdsw) || has(self.cdsw.target.archive)",
                "a workspace that a CDSW moves into needs backup: its database is replaced",
                ".backup",
            ),
            cel(
                "!has(oldSelf.mode) || oldSelf.mode != 'Migrate' || self.mode == 'Migrate'",
                "mode may go from Plan to Migrate, never back",
                ".mode",
            ),
        )
    )

    @property
    def platform(self) -> str:
        """The platform block that the document gives. The rules see that it is exactly one."""
        return next(name for name in PLATFORMS if getattr(self, name) is not None)


def fixed_part(spec: Spec, field: str) -> object:
    """What of a field of :data:`FIXED_AFTER_FIRST_WRITE` may not change any more."""
    found = getattr(spec, field)
    free = CHANGEABLE_ALWAYS.get(field, ())
    return found.model_copy(update=dict.fromkeys(free)) if found is not None and free else found


class Metadata(BaseModel):
    """What we read of an object's metadata; everything else there is the API server's affair."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    name: Name
    namespace: Name = "default"
    uid: str = ""
    generation: int = 1
    annotations: dict[str, str] = {}


class Document(Model):
    """A whole ProjectMigration as a person writes it."""

    api_version: Annotated[str, StringConstraints(pattern=f"^{API_VERSION}$")] = API_VERSION
    kind: Annotated[str, StringConstraints(pattern=f"^{KIND}$")] = KIND
    metadata: Metadata
    spec: Spec
