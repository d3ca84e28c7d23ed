"""What the engine wants done: each effect may be applied twice, late, or not at all, and harms nothing.

An effect that would harm when late names the version of the thing it was decided on (``version``); the backend passes
that on, and whoever keeps the thing refuses an old one. Helpers are made in two strokes for the same reason: a
prepared helper does nothing, and starting it names its version.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from project_migration.engine.names import WorkloadRef
from project_migration.model.document import Helper
from project_migration.model.endpoints import AccessMode, Volume
from project_migration.model.records import Request


def volume_key(volume: Volume) -> str:
    """How a volume is called in questions and facts: ``claim/data-old``, or ``path//srv/old`` on one machine."""
    return f"claim/{volume.claim_name}" if volume.claim_name else f"path/{volume.path}"


class Rights(StrEnum):
    """What a helper may do."""

    NONE = "None"
    """An ordinary user: Pod Security `restricted`."""
    OWNERS = "Owners"
    """Read everything, and give files any owner: root with CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD only."""
    WORKSPACE = "Workspace"
    """Write where helpers with OWNERS wrote, and give nothing away: root with DAC_OVERRIDE only."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume as the helper sees it: ``root`` is its name in the request."""

    root: str
    volume: Volume
    read_only: bool


@dataclass(frozen=True, slots=True)
class SecretMount:
    """Keys of a Secret as files below a root of the request. Whoever makes the helper never reads them."""

    root: str
    secret: str
    keys: tuple[tuple[str, str], ...]
    """Each key, and the name of its file; all keys under their own names when empty."""


@dataclass(frozen=True, slots=True)
class HelperSpec:
    """A helper to make. The backend adds the workspace to the mounts, and the roots to the request."""

    name: str
    request: Request
    mounts: tuple[Mount, ...]
    rights: Rights
    user: int | None = None
    group: int | None = None
    nodes: tuple[str, ...] = ()
    """Where it has to run, when a volume is attached there already."""
    helper: Helper = field(default_factory=Helper)
    workspace: Volume | None = None
    secrets: tuple[SecretMount, ...] = ()
    network: bool = False
    """Whether it talks to a server; the others need no network at all."""
    client_major: int | None = None
    """The major version of PostgreSQL whose client programs it runs. None: it runs none, or any will do."""
    job: str = ""
    """A Job of the namespace that is run once more, as a copy, in place of a program of ours."""


@dataclass(frozen=True, slots=True)
class EnsureFinalizer:
    """Have the migration's object wait for us when it is deleted."""


@dataclass(frozen=True, slots=True)
class DropFinalizer:
    """Let the migration's object go."""


@dataclass(frozen=True, slots=True)
class EnsureClaim:
    """Have a claim made, unless one of that name exists."""

    name: str
    size: str
    storage_class: str | None
    access_modes: tuple[str, ...] = (AccessMode.READ_WRITE_ONCE,)
    stays: bool = False
    """Whether it outlives the migration's object, as a target does and a workspace does not."""


@dataclass(frozen=True, slots=True)
class PrepareHelper:
    """Have a helper that does nothing yet, unless one of that name exists."""

    spec: HelperSpec


@dataclass(frozen=True, slots=True)
class StartHelper:
    """Let a prepared helper run."""

    name: str
    uid: str
    version: str


@dataclass(frozen=True, slots=True)
class RemoveHelper:
    """End a helper and remove it; it is gone only when its program has ended."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class HoldWorkload:
    """Sign the workload as held, note on it what it was, and scale it to 0 (a CronJob: suspend it), in one write."""

    ref: WorkloadRef
    version: str
    holder: str
    replicas: int
    suspended: bool


@dataclass(frozen=True, slots=True)
class ReleaseWorkload:
    """Take the signature off, leave the mark ``released``, and bring the workload back, in one write.

    ``replicas`` None leaves the count as it is (a workload that is to stay down).
    """

    ref: WorkloadRef
    version: str
    released: str
    replicas: int | None
    suspended: bool | None


@dataclass(frozen=True, slots=True)
class TakeLease:
    """Take a lock: make it where ``version`` is None, else take it over from a holder that is gone."""

    name: str
    holder: str
    version: str | None


@dataclass(frozen=True, slots=True)
class DropLease:
    """Give a lock back."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Announce:
    """One event for people."""

    reason: str
    message: str
    warning: bool = False


Effect = (
    EnsureFinalizer
    | DropFinalizer
    | EnsureClaim
    | PrepareHelper
    | StartHelper
    | RemoveHelper
    | HoldWorkload
    | ReleaseWorkload
    | TakeLease
    | DropLease
    | Announce
)
