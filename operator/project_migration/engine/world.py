"""What the engine asks about the surroundings of a migration, and the facts it gets as an answer.

Facts are plain values at one moment. Whatever can be changed by somebody else carries the version it was seen at
(``version``: a resource version in a cluster), and every effect on it names that version: an effect decided from an
old view is refused by whoever keeps the thing, so a late or second operator cannot undo what was decided since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from project_migration.engine.effects import EnsureClaim, HelperSpec
from project_migration.engine.names import Key, SecretKey, Variable, WorkloadRef
from project_migration.model.document import Document
from project_migration.model.errors import Failure
from project_migration.model.records import Progress, Record
from project_migration.model.status import Status


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration as it is stored. ``document`` is None when it cannot be read; ``problems`` says why then."""

    key: Key
    uid: str
    version: str
    document: Document | None
    status: Status
    problems: tuple[str, ...] = ()
    generation: int = 1
    annotations: Mapping[str, str] = field(default_factory=dict)
    finalizer: bool = True
    deleting_since: datetime | None = None

    @property
    def holder(self) -> str:
        """How this migration signs what it holds: ``namespace/name/uid``."""
        return f"{self.key.namespace}/{self.key.name}/{self.uid}"


@dataclass(frozen=True, slots=True)
class PodFacts:
    """A pod that mounts a claim, or names a server. ``owner`` is the workload at the top of its owners, when it is one
    that we can rest."""

    name: str
    ours: bool = False
    node: str = ""
    owner: WorkloadRef | None = None
    owner_text: str = ""
    """Who owns it, in words, whatever that is: ``DaemonSet logs``, or empty for a bare pod."""


@dataclass(frozen=True, slots=True)
class ClaimFacts:
    """A claim, or on one machine the directory that stands for it."""

    exists: bool
    uid: str = ""
    """What locks are named after: the claim's UID; on one machine the directory's device and inode."""
    phase: str = "Bound"
    """Bound, Pending or Lost."""
    access_modes: tuple[str, ...] = ()
    capacity: int | None = None
    """Bytes, when known."""
    requested: int | None = None
    """Bytes that it asks for, when known."""
    storage_class: str = ""
    made_for: str = ""
    """The UID of the migration that had it made, when one did."""
    waits_for_consumer: bool = False
    """Pending, and that is in order: its first pod binds it."""
    nodes: tuple[str, ...] = ()
    """Where it can be mounted, when that is limited: the node it is attached to."""
    mounters: tuple[PodFacts, ...] = ()
    """Pods that mount it and have not ended."""


@dataclass(frozen=True, slots=True)
class WorkloadFacts:
    """A workload. ``replicas`` and ``suspended`` are what is asked for, ``pods`` those that have not ended."""

    exists: bool
    version: str = ""
    replicas: int = 0
    suspended: bool = False
    pods: tuple[str, ...] = ()
    holder: str = ""
    """Who holds it down: :attr:`Migration.holder` of a migration, or empty."""
    held_replicas: int | None = None
    """What the holder recorded on the workload itself."""
    held_suspended: bool | None = None
    released: str = ""
    """The mark that the last release left."""
    scaled_by: str = ""
    """Who last set the replica count, as the API server knows it (a field manager), or empty."""
    controllers: tuple[str, ...] = ()
    """What would scale it back: an Argo CD application that heals itself, a KEDA object, a controlling owner."""
    suspects: tuple[str, ...] = ()
    """What may scale it back, if it is set up to: what we have no right to look at."""


class HelperPhase(StrEnum):
    PREPARED = "Prepared"
    """It exists and does nothing before it is started."""
    PENDING = "Pending"
    RUNNING = "Running"
    FINISHED = "Finished"
    """Its program ended, with a record or without."""
    ENDING = "Ending"
    """It is being removed; its program may still run."""


@dataclass(frozen=True, slots=True)
class HelperFacts:
    """A helper. ``failure`` says why it cannot start, or ended without a record, diagnostics included."""

    name: str
    uid: str
    version: str
    phase: HelperPhase
    request_digest: str
    record: Record | None = None
    progress: Progress | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class LeaseFacts:
    """A lock between migrations. ``holder`` is :attr:`Migration.holder`; ``alive``: that migration still exists."""

    holder: str
    version: str
    alive: bool = True


@dataclass(frozen=True, slots=True)
class NamespaceFacts:
    """What the administrator of the migration's namespace allows."""

    privileged_helpers: bool = False
    terminating: bool = False


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """Who else there is, where the operator limits how many migrations run at the same time."""

    limit: int
    running: int
    """Others that are under way and count."""
    ahead: int
    """Others that have not begun and were made before this one."""


Offered = HelperSpec | EnsureClaim
Offer = Callable[["World"], tuple[Offered, ...]]


@dataclass(frozen=True, slots=True)
class Questions:
    """What one pass needs to know; helpers of the migration are always observed."""

    claims: frozenset[str] = frozenset()
    """Volume keys, see :func:`project_migration.engine.effects.volume_key`."""
    workloads: frozenset[WorkloadRef] = frozenset()
    leases: frozenset[str] = frozenset()
    namespace: bool = False
    dry_run: tuple[Offer, ...] = ()
    """Helpers and claims to offer to admission, without making them, as they will be in the world that was found."""
    other_namespaces: frozenset[str] = frozenset()
    """Namespaces whose consent is in question."""
    hosts: frozenset[str] = frozenset()
    """Servers whose callers are sought, as the document names them; or addresses of pods."""
    jobs: frozenset[str] = frozenset()
    """Beginnings of names of Jobs."""
    variables: frozenset[Variable] = frozenset()
    """Variables that are sought for the Secrets they come from."""
    queue: bool = False
    """Whether it may begin, beside the others that there are."""

    def __or__(self, other: Questions) -> Questions:
        return Questions(
            claims=self.claims | other.claims,
            workloads=self.workloads | other.workloads,
            leases=self.leases | other.leases,
            namespace=self.namespace or other.namespace,
            dry_run=self.dry_run + other.dry_run,
            other_namespaces=self.other_namespaces | other.other_namespaces,
            hosts=self.hosts | other.hosts,
            jobs=self.jobs | other.jobs,
            variables=self.variables | other.variables,
            queue=self.queue or other.queue,
        )


@dataclass(frozen=True, slots=True)
class World:
    """The answers."""

    now: datetime
    claims: Mapping[str, ClaimFacts] = field(default_factory=dict)
    workloads: Mapping[WorkloadRef, WorkloadFacts] = field(default_factory=dict)
    helpers: Mapping[str, HelperFacts] = field(default_factory=dict)
    """By name: every helper of this migration that exists, asked for or not."""
    leases: Mapping[str, LeaseFacts] = field(default_factory=dict)
    """Those asked for that exist."""
    namespace: NamespaceFacts = NamespaceFacts()
    refused: Mapping[str, Failure] = field(default_factory=dict)
    """By the name of the helper or claim: what admission said against a dry run."""
    denied: Mapping[str, Failure] = field(default_factory=dict)
    """What was refused when it was last tried in earnest: by the name of the helper, claim or lock, or by a
    workload's reference in words. Known to this operator only, and for some minutes."""
    consenting: frozenset[str] = frozenset()
    """Of the other namespaces asked about, those that allow this one."""
    clock_skew: float | None = None
    """Seconds by which the operator's clock is ahead of the API server's; None where there is none to compare."""
    client_images: frozenset[int] = frozenset()
    """Major versions of PostgreSQL for which the installation names an image for helpers."""
    callers: Mapping[str, tuple[PodFacts, ...]] = field(default_factory=dict)
    """By host: pods of the namespace that name it in their commands or environment, or have that address, and have not
    ended."""
    jobs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the beginning asked for: names of Jobs that are no helpers, in order."""
    secret_keys: Mapping[Variable, SecretKey] = field(default_factory=dict)
    """Of the variables asked about, those that come from a Secret."""
    queue: QueueFacts | None = None
    """None where nothing limits how many run, or nobody asked."""

    def with_refusals(
        self, questions: Questions, refuse: Callable[[tuple[Offered, ...]], Mapping[str, Failure]]
    ) -> World:
        """What a backend answers once it knows all else: who a helper runs as depends on its namespace."""
        return replace(self, refused=refuse(tuple(spec for offer in questions.dry_run for spec in offer(self))))
