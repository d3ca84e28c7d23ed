"""The backend for one document on one machine.

Nothing is remembered in the object: all that matters lies in the state directory and in the register of this machine
(locks and workload signatures), so that a new process goes on where a killed one was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from project_migration.backends.local import bindings as bound
from project_migration.backends.local import places, processes
from project_migration.backends.local.bindings import Bindings
from project_migration.backends.local.helpers import Helpers
from project_migration.backends.local.leases import Lease, Leases
from project_migration.backends.local.state import StateDirectory, Stored, Wishes, version_of
from project_migration.backends.local.workloads import Workloads
from project_migration.engine.effects import (
    Announce,
    DropLease,
    Effect,
    HelperSpec,
    HoldWorkload,
    PrepareHelper,
    ReleaseWorkload,
    RemoveHelper,
    StartHelper,
    TakeLease,
    volume_key,
)
from project_migration.engine.names import Key
from project_migration.engine.world import ClaimFacts, Migration, NamespaceFacts, Offered, Questions, World
from project_migration.model import mentions
from project_migration.model.document import Document
from project_migration.model.errors import DocumentError, Failure, Gone
from project_migration.model.status import Status


@dataclass(frozen=True, slots=True)
class Told:
    """An event, with the moment it happened."""

    at: datetime
    event: Announce


class LocalBackend:
    """One migration in one state directory. Raises DocumentError when document, bindings and directory do not agree.

    ``home`` holds what the migrations of this machine share; every one of them has to be given the same.
    """

    def __init__(
        self,
        document: Document,
        state_dir: Path,
        bindings: Sequence[str] = (),
        *,
        home: Path | None = None,
        reopened: bool = False,
    ) -> None:
        self.bindings = Bindings.parse(bindings, secrets_are_there=not reopened)
        self.document = document
        self.home = (home or places.home()).absolute()
        self.state = StateDirectory(Path(state_dir).absolute())
        workspace = self._workspace()
        own = (self.state.path, self.home, workspace)
        problems = bound.check(document, self.bindings, keep_apart=own, secrets_are_there=not reopened)
        if problems:
            raise DocumentError(problems)
        stored = self.state.begin(document, self.bindings.texts)
        self.key = Key(document.metadata.namespace, document.metadata.name)
        self.told: list[Told] = []
        holder = as_migration(self.key, stored, Wishes()).holder
        locks, signatures = self.home / "locks", self.home / "workloads"
        for directory in (locks, signatures):
            directory.mkdir(parents=True, exist_ok=True)
        self.helpers = Helpers(self.state.helpers, workspace, self.bindings)
        self.workloads = Workloads(self.bindings.workloads, signatures, holder, self.state.path)
        self.leases = Leases(locks, holder, self.state.path, self._written())

    @classmethod
    def reopen(cls, state_dir: Path, *, home: Path | None = None) -> LocalBackend:
        """The migration that a state directory holds, to end it: Secrets may be gone by then. Raises Gone."""
        stored = StateDirectory(state_dir).read()
        return cls(stored.document, state_dir, stored.bindings, home=home, reopened=True)

    def keys(self) -> Sequence[Key]:
        return (self.key,) if self.state.exists else ()

    def load(self, key: Key) -> Migration:
        if key != self.key:
            raise Gone(f"this state directory holds {self.key}, not {key}")
        return as_migration(key, self.state.read(), self.state.wishes())

    def save(self, migration: Migration, status: Status) -> Migration:
        stored = self.state.save(status, uid=migration.uid, version=migration.version)
        return as_migration(migration.key, stored, self.state.wishes())

    def observe(self, migration: Migration, questions: Questions) -> World:  # noqa: ARG002 - there is one only
        world = World(
            now=datetime.now(UTC),
            claims={key: self._claim(key) for key in questions.claims},
            workloads={ref: self.workloads.facts(ref) for ref in questions.workloads},
            helpers=self.helpers.facts(),
            leases=self.leases.facts(questions.leases),
            namespace=NamespaceFacts(privileged_helpers=processes.may_give_files_away()),
            jobs={name: (name,) for name in questions.jobs if name in self.bindings.jobs},
        )
        return world.with_refusals(questions, self._refusals)

    def _refusals(self, specs: Sequence[Offered]) -> Mapping[str, Failure]:
        found = {spec.name: self.helpers.refuse(spec) for spec in specs if isinstance(spec, HelperSpec)}
        return {name: failure for name, failure in found.items() if failure is not None}

    def apply(self, migration: Migration, effects: Sequence[Effect]) -> None:  # noqa: ARG002 - as above
        if not self.state.exists:
            raise Gone(f"{self.state.path} was removed")
        for effect in effects:
            self._apply(effect)

    def interrupt(self) -> tuple[str, ...]:
        """Ends the helpers so that the next run starts them again, and waits for workloads' commands."""
        ended = self.helpers.interrupt()
        self.workloads.close()
        return ended

    def blocker(self) -> Lease | None:
        """The migration of this machine that writes where this one wants to."""
        return self.leases.in_the_way(self.state.read().status.locks)

    def _apply(self, effect: Effect) -> None:
        match effect:
            case PrepareHelper(spec):
                self.helpers.prepare(spec)
            case StartHelper(name, uid, version):
                self.helpers.start(name, uid, version)
            case RemoveHelper(name, uid):
                self.helpers.remove(name, uid)
            case HoldWorkload():
                self.workloads.hold(effect)
            case ReleaseWorkload():
                self.workloads.release(effect)
            case TakeLease(name, holder, version):
                self.leases.take(name, holder, version)
            case DropLease(name, version):
                self.leases.drop(name, version)
            case Announce():
                self.told.append(Told(datetime.now(UTC), effect))
            case _:
                pass  # finalizers and claims of the operator's own: a directory needs neither

    def _claim(self, key: str) -> ClaimFacts:
        """A directory. A target may be missing: the copy makes it; a source may not. The workspace is always there."""
        uses = [use for use in mentions.volumes(self.document.spec) if volume_key(use.volume) == key]
        root = self.bindings.root(uses[0].volume) if uses else self.helpers.workspace
        exists = root.is_dir() or all(use.writes for use in uses)
        return ClaimFacts(exists=exists, uid=places.place_of(root).uid)

    def _workspace(self) -> Path:
        """The state directory's own, unless the document's workspace claim is bound to a larger place."""
        workspace = self.document.spec.workspace
        name = (workspace.claim_name if workspace else None) or ""
        return self.bindings.claims.get(name, self.state.workspace)

    def _written(self) -> tuple[places.Place, ...]:
        written = (
            use.volume for use in mentions.volumes(self.document.spec) if use.writes and use.field != "spec.backup"
        )
        return tuple(places.place_of(self.bindings.directory(volume)) for volume in written)


#: The wish that is not a field of the spec itself.
APPROVED = "cutover.approved"


def as_migration(key: Key, stored: Stored, wishes: Wishes) -> Migration:
    """What lies on disk, with what people asked for since, as the engine sees it."""
    spec = stored.document.spec
    wished: dict[str, object] = {name: True for name in wishes.once if name != APPROVED and not getattr(spec, name)}
    if APPROVED in wishes.once and not spec.cutover.approved:
        wished["cutover"] = spec.cutover.model_copy(update={"approved": True})
    document = stored.document.model_copy(update={"spec": spec.model_copy(update=wished)})
    return Migration(
        key=key,
        uid=stored.uid,
        version=version_of(stored, wishes),
        document=document,
        status=stored.status,
        generation=stored.generation + len(wished),
        annotations={**document.metadata.annotations, **wishes.annotations},
    )
