"""What a platform supplies to the engine: which volumes it uses, what its helpers do, its part of the itinerary.

A platform does no I/O. It names units of work; the engine runs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from project_migration.engine.effects import Mount, SecretMount
from project_migration.engine.names import Variable, WorkloadRef
from project_migration.model.document import Side, Spec
from project_migration.model.endpoints import NewClaim, Volume
from project_migration.model.errors import Failure
from project_migration.model.records import Record


@dataclass(frozen=True, slots=True)
class VolumeUse:
    """A volume that the migration reads (Side.SOURCE) or writes (Side.TARGET), and in which unit."""

    unit: str
    side: Side
    volume: Volume
    create: NewClaim | None = None
    """How a target's claim is made when there is none of that name."""


@dataclass(frozen=True, slots=True)
class UnitWork:
    """One helper's work within a step."""

    name: str
    worker: str
    mounts: tuple[Mount, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    secrets: tuple[SecretMount, ...] = ()
    network: bool = False
    """Whether it talks to a server. Such a helper keeps no owners of files, and gets no right to unless it says so."""
    owners: bool = False
    """Whether it gives owners to files that it has from a server."""
    client_tools: bool = False
    """Whether it runs client programs of a database's server, in the major version that the plan has for its unit."""
    client_major: int | None = None
    """That version, where the plan does not know it yet."""
    job: str = ""
    """A Job of the namespace that is run once more, in place of a program of ours."""

    def with_params(self, **more: Any) -> UnitWork:
        return replace(self, params={**self.params, **more})


@dataclass(frozen=True, slots=True)
class Backing:
    """What one unit's target is put back from: a place in the backup, or None for a target that was empty."""

    unit: str
    place: Volume | None
    root: Mapping[str, int] = field(default_factory=dict)
    """Of a target that was empty: its directory's mode, owner and time."""
    settled: bool = False
    """Whether the migration had succeeded, and what told its own work from users' was taken away."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a document leaves to be looked up around the target, before anything else is looked at."""

    job: str
    """The name of a Job, or what the name of the only one begins with."""
    password: Variable | None = None
    """Where the target's own database has its password from, when the document does not say."""
    host: str = ""
    """The database: who names it, or has a session there, rests. Empty: only what the document lists."""
    workloads: tuple[WorkloadRef, ...] = ()
    """What rests where it exists."""
    stays: frozenset[WorkloadRef] = frozenset()
    """What is never put to rest: the database itself."""


#: The names under which a survey tells who has a session at the target's database, as addresses.
CLIENTS = "clients"

#: The names under which a proof tells which checks of the end state hold.
CHECKS = "checks"

#: What the unit that looks at a unit's place in the backup is called, in preflight.
BACKUP_UNIT = "backup-"

#: What the unit that looks for client tools of a major version is called, in preflight.
CLIENT_TOOLS_UNIT = "client-tools-"

#: The count in which a database's survey says what major version the target's server is.
TARGET_MAJOR = "targetMajor"


class Platform(Protocol):
    def uses(self, spec: Spec) -> tuple[VolumeUse, ...]:
        """Every volume, in the document's order."""

    def servers(self, spec: Spec) -> tuple[str, ...]:
        """What is written that is no volume, such as ``postgres/db.new:5432/vision``: as the document names it, and the
        same text for the same name."""

    def hosts(self, spec: Spec) -> tuple[tuple[Side, str], ...]:
        """The hosts of databases on either side, whose users have to rest while they are copied."""

    def units(self, spec: Spec) -> tuple[str, ...]:
        """The names of what is moved, in the document's order."""

    def adds_only(self, spec: Spec) -> frozenset[str]:
        """Units that change nothing of what their target holds, and whose restore takes away what they added."""

    def discovery(self, spec: Spec) -> Discovery | None:
        """What has to be looked up; None where the document says it all."""

    def surveys(
        self, spec: Spec, backings: Sequence[Backing], unmade: frozenset[str] = frozenset()
    ) -> tuple[UnitWork, ...]:
        """Looks at what is there, without writing; and whether each backing has room for what the target holds.
        ``unmade``: units whose target is still to be made, so that there is only a source to look at."""

    def judge_survey(
        self, spec: Spec, unit: str, record: Record, *, written: bool, client_images: frozenset[int] = frozenset()
    ) -> tuple[Failure, ...]:
        """All that stands against the migration in what a survey found. ``written``: this migration has begun to
        write to the target, so what lies there is its own. ``client_images``: as in the world."""

    def other_way(self, spec: Spec, failed: Mapping[str, str]) -> str:
        """Another way that the document allows, when the surveys of the first failed, each unit with its reason;
        empty when there is none."""

    def tool_looks(self, spec: Spec, surveyed: Mapping[str, Mapping[str, int]]) -> tuple[UnitWork, ...]:
        """Looks for the client tools that the surveys' counts call for, in the very images that will be used."""

    def backups(self, spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
        """Copies what the targets hold to their backings."""

    def backup_proofs(self, spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
        """Reads backings and targets again, and compares them. A unit without work was proved by its backup."""

    def restores(self, spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
        """Makes the targets what they were."""

    def restore_proofs(self, spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
        """Proves that they are. A unit without work was proved by its restore."""

    def settlements(self, spec: Spec, arrived: Sequence[str]) -> tuple[UnitWork, ...]:
        """Takes away what tells this migration's own work on a target from others', once all is proved.
        ``arrived``: what each target has to say from then on, see :func:`~project_migration.engine.arrival.digests`."""

    def prove_themselves(self, spec: Spec) -> frozenset[str]:
        """Units whose restore is its own proof, and that cannot be made empty any more once they are settled."""

    def arrangements(self, spec: Spec) -> tuple[UnitWork, ...]:
        """Decides what the copies have to agree on, with both sides at rest; it lies in the workspace then."""

    def copies(self, spec: Spec, *, share: int, empty: frozenset[str], warm: bool = False) -> tuple[UnitWork, ...]:
        """Moves it. ``share``: how many of these run at the same time, for limits that they have to share.

        ``empty``: units whose targets have to be found empty but for this migration's own work, because nothing of
        them is kept. ``warm``: the source is in use, and another copy follows; only what can be copied so.
        """

    def upgrades(self, spec: Spec) -> tuple[UnitWork, ...]:
        """The target's own programs that bring what was copied to its release."""

    def adaptations(self, spec: Spec) -> tuple[UnitWork, ...]:
        """Makes what was copied, and upgraded, fit its new place."""

    def verifications(self, spec: Spec) -> tuple[UnitWork, ...]:
        """Proves that it arrived, independently of the copy."""

    def server_looks(self, spec: Spec) -> tuple[UnitWork, ...]:
        """Asks the target's own servers, once they are back, for what the verifications proved. Nothing is mounted but
        the workspace, where the verifications left what it is."""

    def checks(self, spec: Spec, digests: Mapping[str, str]) -> tuple[UnitWork, ...]:
        """Compares each target with what its verification proved, without the source. ``digests``: of that, by unit.
        Nothing is mounted to be written but the workspace, where the verifications' manifests lie."""
