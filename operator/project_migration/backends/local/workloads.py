"""Holds workloads down and releases them, with the signatures that a cluster would keep on the workload itself.

A cluster signs a workload and scales it in one write, and a controller then brings reality there. Here the signature
is a file beside the locks, for all migrations of this machine, and this module is the controller:

- **Hold**: the signature (who, and what it was) is on disk before anything is stopped. Until everything is seen to have
  stopped, the workload counts as asked to be at 0 with its instances still ending; a run that was killed in between
  stops them in its next pass.
- **Release**: the workload is started first and the signature goes after, so that a run that was killed in between
  still holds it and releases it again.

Commands run in threads: a service that takes a minute to stop must not stop the display, nor Ctrl-C.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from project_migration.backends.local.bindings import Means
from project_migration.backends.local.controllers import Controller, Running, controller_for
from project_migration.backends.local.files import held, read_json, write_json
from project_migration.backends.local.state import is_kept
from project_migration.engine.effects import HoldWorkload, ReleaseWorkload
from project_migration.engine.names import WorkloadRef
from project_migration.engine.world import WorkloadFacts
from project_migration.model.document import WorkloadKind
from project_migration.model.errors import PassingError

#: A command that failed is given again after so many seconds.
AGAIN_SECONDS = 5.0

#: A workload that rests is looked at no more often: each look is a command, and a copy may take a day.
LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Signature:
    """What is written down about one workload. ``count`` makes versions; ``stopping``: it may not have stopped yet."""

    count: int = 0
    holder: str = ""
    state_dir: str = ""
    replicas: int = 0
    suspended: bool = False
    stopping: bool = False
    released: str = ""

    @classmethod
    def read(cls, path: Path) -> Signature:
        data = read_json(path)
        return cls(**{name: data[name] for name in cls.__slots__ if name in data}) if data else cls()

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Workloads:
    """The workloads that a document's bindings name, as one migration sees and changes them."""

    means: Mapping[WorkloadRef, Means]
    directory: Path
    holder: str
    state_dir: Path
    notices: dict[WorkloadRef, str] = field(default_factory=dict)
    """What went wrong with a command and is tried again, for people."""
    _controllers: dict[WorkloadRef, Controller] = field(default_factory=dict)
    _commands: dict[WorkloadRef, Future[None]] = field(default_factory=dict)
    _not_before: dict[tuple[WorkloadRef, str], float] = field(default_factory=dict)
    _seen: dict[WorkloadRef, tuple[float, Running | None]] = field(default_factory=dict)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "workload"))

    def facts(self, ref: WorkloadRef) -> WorkloadFacts:
        """What is asked for and what still runs. Raises PassingError when its manager does not answer."""
        if ref not in self.means:
            return WorkloadFacts(exists=False)
        signature = Signature.read(self._path(ref))
        ours = signature.holder == self.holder
        resting = ours and not signature.stopping
        running = self._running(ref, LOOK_SECONDS if resting else 0.0)
        if running is None:
            return WorkloadFacts(exists=False)
        if ours and signature.stopping:
            return self._stopping(ref, signature, running)
        if signature.holder and not ours and not _alive(signature):
            return self._orphaned(ref, signature, running)
        return _facts(ref, signature, running)

    def hold(self, effect: HoldWorkload) -> None:
        """Signs, then stops. Passed over when the workload is not what it was when this was decided."""
        with held(self.directory):
            if self.facts(effect.ref).version != effect.version:
                return
            before = Signature.read(self._path(effect.ref))
            signature = Signature(
                count=before.count + 1,
                holder=effect.holder,
                state_dir=str(self.state_dir),
                replicas=effect.replicas,
                suspended=effect.suspended,
                stopping=True,
                released=before.released,
            )
            write_json(self._path(effect.ref), signature.as_json())
        self._begin(effect.ref, "stop", self._controller(effect.ref).stop)

    def release(self, effect: ReleaseWorkload) -> None:
        """Starts what shall run, then takes the signature off and leaves the mark."""
        if self.facts(effect.ref).version != effect.version:
            return
        count = _instances(effect)
        if count:
            self._begin(effect.ref, "start", lambda: self._start_and_sign_off(effect, count))
        else:
            self._sign_off(effect)

    def _start_and_sign_off(self, effect: ReleaseWorkload, count: int) -> None:
        self._controller(effect.ref).start(count)
        self._sign_off(effect)

    def _sign_off(self, effect: ReleaseWorkload) -> None:
        with held(self.directory):
            before = Signature.read(self._path(effect.ref))
            if before.holder in ("", self.holder) or not _alive(before):
                after = Signature(count=before.count + 1, released=effect.released)
                write_json(self._path(effect.ref), after.as_json())

    def forget(self) -> tuple[WorkloadRef, ...]:
        """Takes this migration's signatures off without starting anything. Returns what they were on."""
        found = []
        with held(self.directory):
            for ref in self.means:
                before = Signature.read(self._path(ref))
                if before.holder == self.holder:
                    write_json(self._path(ref), Signature(count=before.count + 1).as_json())
                    found.append(ref)
        return tuple(found)

    def close(self) -> None:
        """Waits for commands under way: half a stop is worse than a short wait."""
        self._threads.shutdown(wait=True)

    def _stopping(self, ref: WorkloadRef, signature: Signature, running: Running) -> WorkloadFacts:
        command = self._commands.get(ref)
        if not any(running) and (command is None or command.done()):
            signature = replace(signature, stopping=False)
            write_json(self._path(ref), signature.as_json())
            return _facts(ref, signature, running)
        self._begin(ref, "stop", self._controller(ref).stop)
        note = self.notices.get(ref)
        names = tuple(f"{name} ({note})" if note else name for name in running.names or (ref.name,))
        facts = _facts(ref, signature, running)
        return replace(facts, replicas=0, suspended=ref.kind is WorkloadKind.CRON_JOB, pods=names)

    def _orphaned(self, ref: WorkloadRef, signature: Signature, running: Running) -> WorkloadFacts:
        """Held down by a migration that was removed by hand: what it noted is what the workload ought to be."""
        facts = _facts(ref, signature, running)
        return replace(
            facts,
            holder="",
            replicas=max(facts.replicas, signature.replicas),
            suspended=facts.suspended and signature.suspended,
        )

    def _begin(self, ref: WorkloadRef, verb: str, command: Callable[[], None]) -> None:
        """Has a command run, unless one runs for this workload already, or the same one ended a moment ago."""
        under_way = self._commands.get(ref)
        if under_way is not None and not under_way.done():
            return
        if time.monotonic() < self._not_before.get((ref, verb), 0.0):
            return

        def run() -> None:
            try:
                command()
                self.notices.pop(ref, None)
            except PassingError as error:
                self.notices[ref] = str(error)
            self._not_before[ref, verb] = time.monotonic() + AGAIN_SECONDS

        self._commands[ref] = self._threads.submit(run)

    def _running(self, ref: WorkloadRef, seconds: float) -> Running | None:
        """What runs, as it was seen at most so many seconds ago."""
        at, seen = self._seen.get(ref, (0.0, None))
        if seen is None or time.monotonic() - at >= seconds:
            seen = self._controller(ref).running()
            self._seen[ref] = time.monotonic(), seen
        return seen

    def _controller(self, ref: WorkloadRef) -> Controller:
        if ref not in self._controllers:
            self._controllers[ref] = controller_for(self.means[ref])
        return self._controllers[ref]

    def _path(self, ref: WorkloadRef) -> Path:
        """One file for one thing of this machine, whatever documents call it."""
        means = self.means[ref]
        thing = f"{self.state_dir} {ref}" if means.how == "none" else str(means)
        return self.directory / f"{hashlib.sha256(thing.encode()).hexdigest()[:32]}.json"


def _alive(signature: Signature) -> bool:
    return is_kept(Path(signature.state_dir), signature.holder)


def _facts(ref: WorkloadRef, signature: Signature, running: Running) -> WorkloadFacts:
    cron = ref.kind is WorkloadKind.CRON_JOB
    is_held = bool(signature.holder)
    return WorkloadFacts(
        exists=True,
        # what runs is part of the version: a count that somebody changed makes every decision about it late
        version=f"{signature.count}:{running.asked}",
        replicas=0 if cron else running.asked,
        suspended=cron and running.asked == 0,
        pods=running.names,
        holder=signature.holder,
        held_replicas=signature.replicas if is_held else None,
        held_suspended=signature.suspended if is_held else None,
        released=signature.released,
    )


def _instances(effect: ReleaseWorkload) -> int:
    """How many are to run after the release; 0 when nothing is to be started."""
    if effect.suspended is not None:
        return 0 if effect.suspended else 1
    return effect.replicas or 0
