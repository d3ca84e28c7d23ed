"""A whole cluster in memory, in which time passes only when told, and everything can be made to fail at will.

It keeps the promises that the engine relies on and no others: versions refuse late writes, a removed helper is gone
only when its program has ended, a prepared helper does nothing. Its clock, its pods and its helpers move with
:meth:`FakeCluster.tick`. :class:`FakeBackend` is one operator looking at it; there can be several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from project_migration.engine.effects import (
    Announce,
    DropFinalizer,
    DropLease,
    Effect,
    EnsureClaim,
    EnsureFinalizer,
    HelperSpec,
    HoldWorkload,
    PrepareHelper,
    ReleaseWorkload,
    RemoveHelper,
    StartHelper,
    TakeLease,
)
from project_migration.engine.names import Key, SecretKey, Variable, WorkloadRef
from project_migration.engine.platform import TARGET_MAJOR
from project_migration.engine.queue import QueueEntry, place, standing
from project_migration.engine.world import (
    ClaimFacts,
    HelperFacts,
    HelperPhase,
    LeaseFacts,
    Migration,
    NamespaceFacts,
    Offered,
    PodFacts,
    Questions,
    QueueFacts,
    WorkloadFacts,
    World,
)
from project_migration.model.document import Document, WorkloadKind
from project_migration.model.errors import Conflict, Failure, Gone, Reason
from project_migration.model.quantities import parse_bytes
from project_migration.model.records import Outcome, Progress, Record
from project_migration.model.status import Status


class Behaviour(StrEnum):
    """What a helper does once it is started."""

    SUCCEED = "succeed"
    FAIL = "fail"
    FAIL_PASSING = "fail passing"
    FULL = "full"
    """There is no room where it writes to."""
    CHANGED = "changed"
    """Something wrote to the source while it was read."""
    DIFFERENT = "different"
    """What it compares is not the same."""
    CRASH = "crash"
    """Its program exits, with 0 even, and leaves no record."""
    LIE = "lie"
    """It leaves the record of another request."""
    OUT_OF_MEMORY = "out of memory"
    NEVER_START = "never start"
    SILENT = "silent"


#: Workers that change what a target holds, from the moment they run.
WRITERS = ("copy_tree", "clear_tree", "postgres.copy", "postgres.dumped.copy", "postgres.restore", "cdsw.load")


@dataclass
class FakeWorkload:
    replicas: int = 1
    suspended: bool = False
    pods: int = 1
    version: int = 1
    holder: str = ""
    held_replicas: int | None = None
    held_suspended: bool | None = None
    released: str = ""
    claims: tuple[str, ...] = ()
    stuck: bool = False
    """Whether its pods never end."""
    controllers: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()


@dataclass
class FakeHelper:
    spec: HelperSpec
    owner: str
    uid: str
    version: int = 1
    phase: HelperPhase = HelperPhase.PREPARED
    age: float = 0.0
    record: Record | None = None
    failure: Failure | None = None


@dataclass
class FakeLease:
    holder: str
    version: int = 1


@dataclass
class FakeMigration:
    document: Document
    uid: str
    version: int = 1
    status: Status = field(default_factory=Status)
    annotations: dict[str, str] = field(default_factory=dict)
    finalizer: bool = False
    deleting_since: datetime | None = None
    generation: int = 1


def _target(helper: FakeHelper) -> str:
    """``claim/data-new``, with the directory where there is one, or ``new/shop`` of a database."""
    for mount in helper.spec.mounts:
        if mount.root == "target":
            return "/".join(filter(None, (f"claim/{mount.volume.claim_name}", mount.volume.sub_path)))
    server = helper.spec.request.params.get("target") or {}
    inner = server.get("backend") or server.get("database")
    server = inner if isinstance(inner, Mapping) else server
    return f"{server.get('host')}/{server.get('database')}"


Watcher = Callable[["FakeCluster", str, object], None]


@dataclass
class FakeCluster:
    """Everything there is. Tests reach in and change what they like; ``version`` is theirs to raise then."""

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    migrations: dict[Key, FakeMigration] = field(default_factory=dict)
    claims: dict[str, ClaimFacts] = field(default_factory=dict)
    workloads: dict[WorkloadRef, FakeWorkload] = field(default_factory=dict)
    helpers: dict[str, FakeHelper] = field(default_factory=dict)
    leases: dict[str, FakeLease] = field(default_factory=dict)
    namespace: NamespaceFacts = field(default_factory=lambda: NamespaceFacts(privileged_helpers=True))
    clock_skew: float | None = None
    client_images: frozenset[int] = frozenset()
    """Major versions of PostgreSQL for which the settings name an image."""
    limit: int = 0
    """How many migrations may run at the same time; 0 is no limit."""
    copied: dict[str, int] = field(default_factory=dict)
    """By step: how many objects a helper says that it copied; unsaid when left out."""
    behaviours: dict[tuple[str, str], list[Behaviour]] = field(default_factory=dict)
    """By step and unit: what the next attempts do; when the list is empty they succeed."""
    facts: dict[str, Mapping[str, Mapping[str, object]]] = field(default_factory=dict)
    """By unit, or by program: what a survey finds, beside the defaults."""
    arrived: dict[str, str] = field(default_factory=dict)
    """By target, a claim or a database: what its mark says was carried out there."""
    backups: set[str] = field(default_factory=set)
    """Directories that hold a backup: of a migration, below the claim."""
    refused: dict[str, Failure] = field(default_factory=dict)
    """What admission says against every helper; under ``claim/NAME`` against that claim."""
    consenting: frozenset[str] = frozenset()
    """Other namespaces that allow migrations from here."""
    callers: dict[str, tuple[WorkloadRef, ...]] = field(default_factory=dict)
    """By host or address: workloads whose pods name it, or have it."""
    jobs: tuple[str, ...] = ()
    """Names of Jobs that are no helpers."""
    secret_keys: dict[Variable, SecretKey] = field(default_factory=dict)
    """Variables that come from a Secret."""
    denied: dict[str, Failure] = field(default_factory=dict)
    """By name: what is refused in earnest, such as a claim over quota."""
    offered: list[HelperSpec] = field(default_factory=list)
    """What was offered to admission as a dry run."""
    offered_claims: list[EnsureClaim] = field(default_factory=list)
    events: list[tuple[Key, Announce]] = field(default_factory=list)
    watcher: Watcher | None = None
    """Told of helpers that begin and of saves, for tests that hold invariants against them."""
    serial: int = 0

    def add(self, document: Document) -> Key:
        key = Key(document.metadata.namespace, document.metadata.name)
        self.serial += 1
        self.migrations[key] = FakeMigration(document, uid=f"{self.serial:08x}-0000-4000-8000-000000000000")
        return key

    def next_uid(self) -> str:
        self.serial += 1
        return f"uid-{self.serial}"

    def tick(self, seconds: float = 1.0) -> None:
        """Lets time pass: pods follow their workloads, helpers go on, what is being removed goes."""
        self.now += timedelta(seconds=seconds)
        for workload in self.workloads.values():
            wanted = 0 if workload.suspended else workload.replicas
            workload.pods = workload.pods if workload.stuck and workload.pods > wanted else wanted
        for name, helper in list(self.helpers.items()):
            helper.age += seconds
            self._advance(name, helper)

    def _advance(self, name: str, helper: FakeHelper) -> None:
        if helper.phase is HelperPhase.ENDING:
            del self.helpers[name]
        elif helper.phase is HelperPhase.PENDING:
            if self._behaviour(helper) is not Behaviour.NEVER_START and self._can_mount(helper):
                helper.phase = HelperPhase.RUNNING
                helper.version += 1
                if helper.spec.request.worker in WRITERS and helper.spec.request.step != "back_up":
                    self.arrived.pop(_target(helper), None)
                self._tell("runs", helper)
        elif helper.phase is HelperPhase.RUNNING:
            self._end(helper)

    def _can_mount(self, helper: FakeHelper) -> bool:
        """A pod waits for a claim that does not exist."""
        names = (mount.volume.claim_name for mount in helper.spec.mounts if mount.volume.claim_name)
        return all(self.claims.get(f"claim/{name}", ClaimFacts(exists=False)).exists for name in names)

    def _behaviour(self, helper: FakeHelper) -> Behaviour:
        request = helper.spec.request
        return next(iter(self.behaviours.get((request.step, request.unit), [])), Behaviour.SUCCEED)

    def _end(self, helper: FakeHelper) -> None:
        behaviour = self._behaviour(helper)
        if behaviour is Behaviour.SILENT:
            return
        request = helper.spec.request
        planned = self.behaviours.get((request.step, request.unit))
        if planned:
            planned.pop(0)
        helper.phase = HelperPhase.FINISHED
        helper.version += 1
        helper.record, helper.failure = self._result(helper, behaviour)
        self._tell("ended", helper)

    def _result(self, helper: FakeHelper, behaviour: Behaviour) -> tuple[Record | None, Failure | None]:
        match behaviour:
            case Behaviour.SUCCEED | Behaviour.CHANGED:
                self._leave(helper)
                changed = behaviour is Behaviour.CHANGED
                return self._changed(helper) if changed else self._record(helper), None
            case Behaviour.LIE:
                return replace(self._record(helper), request_digest="sha256:another"), None
            case Behaviour.FAIL | Behaviour.FAIL_PASSING | Behaviour.DIFFERENT | Behaviour.FULL:
                return self._failed(helper, behaviour), None
            case Behaviour.OUT_OF_MEMORY:
                return None, Failure(Reason.HELPER_OUT_OF_MEMORY, "killed for memory")
            case _:
                return None, Failure(Reason.HELPER_CRASHED, "exit code 0, no record", passing=True)

    def _record(self, helper: FakeHelper) -> Record:
        request = helper.spec.request
        facts: dict[str, dict[str, object]] = {}
        if request.worker == "survey":
            facts = {
                "source": {"exists": True, "isDirectory": True, "readable": True, "entries": 3, "diskBytes": 30},
                "target": {"exists": True, "isDirectory": True, "writable": True, "empty": True, "canChown": True},
            }
        elif request.worker.endswith(".survey"):
            facts = {"source": {"reachable": True}, "target": {"empty": True}, "problems": {"found": [], "count": 0}}
            if request.worker in ("postgres.survey", "cdsw.survey"):
                facts["tools"] = {"needed": 15, "found": {"15": "/usr/bin"}}
        if facts:
            told = {**self.facts.get(request.unit, {}), **self.facts.get(request.worker, {})}
            for root, found in told.items():
                facts.setdefault(root, {}).update(found)
            facts["target"]["arrived"] = self.arrived.get(_target(helper), "")
        needed = facts.get("tools", {}).get("needed")
        major = {TARGET_MAJOR: needed} if isinstance(needed, int) else {}
        copied = {"copied": self.copied[request.step]} if request.step in self.copied else {}
        return Record(
            request.digest,
            Outcome.SUCCEEDED,
            counts={
                "entries": 3,
                "bytes": 30,
                "targetEmpty": int(bool(facts.get("target", {}).get("empty"))),
                **copied,
                **major,
            },
            digest=f"sha256:{request.unit}",
            facts=facts,
        )

    def _failed(self, helper: FakeHelper, behaviour: Behaviour) -> Record:
        digest = helper.spec.request.digest
        if behaviour is Behaviour.FULL:
            return Record(digest, Outcome.FAILED, str(Reason.NO_SPACE_LEFT), "No space left on device")
        if behaviour is Behaviour.DIFFERENT:
            counts = {**self._record(helper).counts, "different": 2, "verified": 1}
            return Record(digest, Outcome.FAILED, str(Reason.VERIFY_FAILED), "2 different: a, b", counts=counts)
        if behaviour is Behaviour.FAIL_PASSING:
            return Record(digest, Outcome.FAILED, str(Reason.IO_ERROR), "the disk stuttered", passing=True)
        return Record(
            digest,
            Outcome.FAILED,
            str(Reason.COPY_INCOMPLETE),
            "2 objects failed",
            counts={"failed": 2},
            names={"failed": ("models/one", "models/two")},
            lists={"failed": "lists/failed.txt"},
        )

    def _leave(self, helper: FakeHelper) -> None:
        """What a worker that did well leaves behind, as far as anything here looks at it."""
        request, target = helper.spec.request, _target(helper)
        if request.step == "back_up":
            self.backups.add(target)
        elif request.step == "expire":
            self.backups = {place for place in self.backups if not place.startswith(f"{target}/")}
        elif (request.worker == "release" or request.worker.endswith(".clear")) and request.params.get("arrived"):
            self.arrived[target] = " ".join(request.params["arrived"])

    def _changed(self, helper: FakeHelper) -> Record:
        counts = {**self._record(helper).counts, "changed": 1}
        digest = helper.spec.request.digest
        return Record(digest, Outcome.FAILED, str(Reason.SOURCE_CHANGED), "1 changed", passing=True, counts=counts)

    def _tell(self, what: str, thing: object) -> None:
        if self.watcher is not None:
            self.watcher(self, what, thing)

    def made(self, key: Key, effect: EnsureClaim) -> None:
        self._tell("claim made", (key, effect))

    def saved(self, key: Key, before: Status, after: Status) -> None:
        self._tell("saved", (key, before, after))


class FakeBackend:
    """One operator's hands on the cluster."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster

    def keys(self) -> Sequence[Key]:
        return tuple(self.cluster.migrations)

    def load(self, key: Key) -> Migration:
        found = self._found(key)
        return Migration(
            key=key,
            uid=found.uid,
            version=str(found.version),
            document=found.document,
            status=found.status,
            generation=found.generation,
            annotations=dict(found.annotations),
            finalizer=found.finalizer,
            deleting_since=found.deleting_since,
        )

    def _found(self, key: Key) -> FakeMigration:
        if key not in self.cluster.migrations:
            raise Gone(str(key))
        return self.cluster.migrations[key]

    def observe(self, migration: Migration, questions: Questions) -> World:
        cluster = self.cluster
        world = World(
            now=cluster.now,
            denied=cluster.denied,
            client_images=cluster.client_images,
            consenting=cluster.consenting & questions.other_namespaces,
            claims={key: self._claim(migration, key) for key in questions.claims},
            workloads={ref: self._workload(ref) for ref in questions.workloads},
            helpers={
                name: self._helper(helper) for name, helper in cluster.helpers.items() if helper.owner == migration.uid
            },
            leases={
                name: LeaseFacts(
                    cluster.leases[name].holder, str(cluster.leases[name].version), self._alive(cluster.leases[name])
                )
                for name in questions.leases
                if name in cluster.leases
            },
            namespace=cluster.namespace,
            clock_skew=cluster.clock_skew,
            callers={
                host: tuple(PodFacts(f"{ref.name}-0", owner=ref) for ref in cluster.callers.get(host, ()))
                for host in questions.hosts
            },
            jobs={beginning: tuple(j for j in cluster.jobs if j.startswith(beginning)) for beginning in questions.jobs},
            secret_keys={
                variable: key for variable, key in cluster.secret_keys.items() if variable in questions.variables
            },
            queue=self._queue(migration) if questions.queue and cluster.limit else None,
        )
        return world.with_refusals(questions, self._refusals)

    def _queue(self, migration: Migration) -> QueueFacts:
        others = (
            QueueEntry(
                other.uid,
                other.uid,  # made in this order
                standing(
                    other.status,
                    suspended=other.document.spec.suspend,
                    given_up=other.document.spec.cancel or other.deleting_since is not None,
                ),
            )
            for other in self.cluster.migrations.values()
        )
        return place(migration.uid, others, self.cluster.limit)

    def _refusals(self, specs: Sequence[Offered]) -> Mapping[str, Failure]:
        helpers = [spec for spec in specs if isinstance(spec, HelperSpec)]
        claims = [spec for spec in specs if isinstance(spec, EnsureClaim)]
        self.cluster.offered.extend(helpers)
        self.cluster.offered_claims.extend(claims)
        found = {key: failure for key, failure in self.cluster.refused.items() if not key.startswith("claim/")}
        by_claim = {claim.name: self.cluster.refused.get(f"claim/{claim.name}") for claim in claims}
        return {
            **{spec.name: failure for spec in helpers for failure in found.values()},
            **{name: failure for name, failure in by_claim.items() if failure is not None},
        }

    def _alive(self, lease: FakeLease) -> bool:
        namespace, name, uid = lease.holder.split("/")
        found = self.cluster.migrations.get(Key(namespace, name))
        return found is not None and found.uid == uid

    def _claim(self, migration: Migration, key: str) -> ClaimFacts:
        facts = self.cluster.claims.get(key, ClaimFacts(exists=False))
        pods = [
            PodFacts(f"{ref.name}-{number}", owner=ref)
            for ref, workload in self.cluster.workloads.items()
            if key in workload.claims
            for number in range(workload.pods)
        ]
        ours = [PodFacts(name, ours=h.owner == migration.uid) for name, h in self._mounting(key)]
        return replace(facts, mounters=(*pods, *ours))

    def _mounting(self, key: str) -> list[tuple[str, FakeHelper]]:
        return [
            (name, helper)
            for name, helper in self.cluster.helpers.items()
            if helper.phase in (HelperPhase.RUNNING, HelperPhase.PENDING)
            and any(f"claim/{mount.volume.claim_name}" == key for mount in helper.spec.mounts)
        ]

    def _workload(self, ref: WorkloadRef) -> WorkloadFacts:
        found = self.cluster.workloads.get(ref)
        if found is None:
            return WorkloadFacts(exists=False)
        return WorkloadFacts(
            exists=True,
            version=str(found.version),
            replicas=found.replicas,
            suspended=found.suspended,
            pods=tuple(f"{ref.name}-{number}" for number in range(found.pods)),
            holder=found.holder,
            held_replicas=found.held_replicas,
            held_suspended=found.held_suspended,
            released=found.released,
            controllers=found.controllers,
            suspects=found.suspects,
        )

    @staticmethod
    def _helper(helper: FakeHelper) -> HelperFacts:
        running = helper.phase is HelperPhase.RUNNING
        return HelperFacts(
            name=helper.spec.name,
            uid=helper.uid,
            version=str(helper.version),
            phase=helper.phase,
            request_digest=helper.spec.request.digest,
            record=helper.record,
            progress=Progress(10, 30, 1, 3) if running else None,
            failure=helper.failure,
        )

    def save(self, migration: Migration, status: Status) -> Migration:
        found = self._found(migration.key)
        if str(found.version) != migration.version or found.uid != migration.uid:
            raise Conflict(str(migration.key))
        before, found.status = found.status, status
        found.version += 1
        self.cluster.saved(migration.key, before, status)
        return self.load(migration.key)

    def apply(self, migration: Migration, effects: Sequence[Effect]) -> None:
        for effect in effects:
            self.apply_one(migration, effect)

    def apply_one(self, migration: Migration, effect: Effect) -> None:
        match effect:
            case EnsureFinalizer() | DropFinalizer():
                self._finalizer(migration, effect)
            case EnsureClaim(name=name) if name not in self.cluster.denied:
                self._make_claim(migration, effect)
            case PrepareHelper() | StartHelper() | RemoveHelper():
                self._apply_helper(migration, effect)
            case HoldWorkload() | ReleaseWorkload():
                self._apply_workload(effect)
            case TakeLease() | DropLease():
                self._apply_lease(effect)
            case Announce():
                self.cluster.events.append((migration.key, effect))

    def _make_claim(self, migration: Migration, effect: EnsureClaim) -> None:
        key, cluster = f"claim/{effect.name}", self.cluster
        if cluster.claims.get(key, ClaimFacts(exists=False)).exists:
            return
        cluster.claims[key] = ClaimFacts(
            exists=True,
            uid=cluster.next_uid(),
            capacity=parse_bytes(effect.size),
            requested=parse_bytes(effect.size),
            storage_class=effect.storage_class or "",
            access_modes=effect.access_modes,
            made_for=migration.uid,
        )
        cluster.made(migration.key, effect)

    def _finalizer(self, migration: Migration, effect: EnsureFinalizer | DropFinalizer) -> None:
        found = self.cluster.migrations.get(migration.key)
        if found is None or str(found.version) != migration.version:
            return
        found.finalizer = isinstance(effect, EnsureFinalizer)
        found.version += 1
        if not found.finalizer and found.deleting_since is not None:
            del self.cluster.migrations[migration.key]

    def _apply_helper(self, migration: Migration, effect: PrepareHelper | StartHelper | RemoveHelper) -> None:
        helpers = self.cluster.helpers
        if isinstance(effect, PrepareHelper):
            if effect.spec.name not in helpers:
                helpers[effect.spec.name] = FakeHelper(effect.spec, migration.uid, self.cluster.next_uid())
            return
        helper = helpers.get(effect.name)
        if helper is None or helper.uid != effect.uid:
            return
        if isinstance(effect, RemoveHelper):
            helper.phase = HelperPhase.ENDING
            helper.version += 1
        elif str(helper.version) == effect.version and helper.phase is HelperPhase.PREPARED:
            helper.phase = HelperPhase.PENDING
            helper.version += 1

    def _apply_workload(self, effect: HoldWorkload | ReleaseWorkload) -> None:
        found = self.cluster.workloads.get(effect.ref)
        if found is None or str(found.version) != effect.version:
            return
        found.version += 1
        if isinstance(effect, HoldWorkload):
            found.holder, found.released = effect.holder, ""
            found.held_replicas, found.held_suspended = effect.replicas, effect.suspended
            if effect.ref.kind is WorkloadKind.CRON_JOB:
                found.suspended = True
            else:
                found.replicas = 0
            return
        found.holder, found.held_replicas, found.held_suspended = "", None, None
        found.released = effect.released
        found.replicas = found.replicas if effect.replicas is None else effect.replicas
        found.suspended = found.suspended if effect.suspended is None else effect.suspended

    def _apply_lease(self, effect: TakeLease | DropLease) -> None:
        leases = self.cluster.leases
        found = leases.get(effect.name)
        if isinstance(effect, DropLease):
            if found is not None and str(found.version) == effect.version:
                del leases[effect.name]
        elif effect.version is None:
            leases.setdefault(effect.name, FakeLease(effect.holder))
        elif found is not None and str(found.version) == effect.version:
            leases[effect.name] = FakeLease(effect.holder, found.version + 1)
