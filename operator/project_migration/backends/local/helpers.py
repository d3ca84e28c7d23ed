"""Helpers as child processes, with everything that is known of them in files: a killed `run` finds them again.

``helpers/NAME/`` belongs to the helper (request, progress, record, log); ``helpers/NAME.json`` beside it is ours.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from project_migration.backends.local import processes
from project_migration.backends.local.bindings import Bindings
from project_migration.backends.local.diagnosis import crashed, refusal
from project_migration.backends.local.files import read_json, write_json, write_whole
from project_migration.engine.effects import HelperSpec, SecretMount
from project_migration.engine.world import HelperFacts, HelperPhase
from project_migration.model.errors import Failure, PassingError
from project_migration.model.records import Progress, Record

#: How long a helper may take to end by itself when it is told to; then it is killed.
GRACE_SECONDS = 10.0

#: Progress is read from so much of the end of a helper's output.
TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """What we know of one helper. ``count`` makes its versions."""

    name: str
    uid: str
    worker: str
    request_digest: str
    count: int = 1
    user: int | None = None
    group: int | None = None
    started: bool = False
    process: processes.Identity | None = None
    kills_before: int | None = None
    """The kernel's count of processes killed for want of memory when it was started."""
    exit_code: int | None = None
    """As Popen has it: negative for a signal. None when nobody saw it end."""
    told_to_end: float | None = None
    """When, in seconds of time.time()."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Kept:
        process = data.get("process")
        fields = {name: data[name] for name in cls.__slots__ if name in data}
        return cls(**{**fields, "process": processes.Identity(**process) if process else None})

    def as_json(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in self.__slots__}
        if self.process:
            data["process"] = {name: getattr(self.process, name) for name in self.process.__slots__}
        return data


@dataclass(slots=True)
class Helpers:
    """The helpers of one migration. Only the main thread may start one: see the launcher."""

    directory: Path
    workspace: Path
    bindings: Bindings
    package: str = "project_migration.workers"
    """Where the programs are."""
    _children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def facts(self) -> dict[str, HelperFacts]:
        """Every helper that exists; those that were told to end and have ended are removed on the way."""
        found = {}
        for path in sorted(self.directory.glob("*.json")):
            kept = self._look(path)
            if kept is not None:
                found[kept.name] = self._facts(kept)
        return found

    def refuse(self, spec: HelperSpec) -> Failure | None:
        """What would keep such a helper from being started here."""
        return refusal(spec)

    def prepare(self, spec: HelperSpec) -> None:
        if self._file(spec.name).exists():
            return
        directory = self.directory / spec.name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o711)
        roots = {mount.root: str(self.bindings.directory(mount.volume)) for mount in spec.mounts}
        roots |= {secret.root: self._secret(secret, directory) for secret in spec.secrets}
        roots |= self._program(spec.job) if spec.job else {}
        request = replace(spec.request, roots={**roots, "workspace": str(self.workspace)})
        write_whole(directory / "request.json", request.to_json(), 0o644)
        kept = Kept(
            name=spec.name,
            uid=secrets.token_hex(8),
            worker=spec.request.worker,
            request_digest=spec.request.digest,
            user=spec.user if os.geteuid() == 0 else None,
            group=spec.group if os.geteuid() == 0 else None,
        )
        self._hand_over(kept, directory)
        self._write(kept)

    def _program(self, job: str) -> dict[str, str]:
        means = self.bindings.jobs[job]
        return {} if means.how == "none" else {"program": means.name}

    def _secret(self, secret: SecretMount, directory: Path) -> str:
        """A directory of links: nothing of a Secret is ever copied into ours."""
        place = directory / secret.root
        place.mkdir(mode=0o711)
        bound = self.bindings.secrets[secret.secret]
        keys = secret.keys or tuple((path.name, path.name) for path in bound.iterdir())
        for key, file in keys:
            (place / file).symlink_to(bound / key)
        return str(place)

    def start(self, name: str, uid: str, version: str) -> None:
        """Noted as started before it is: one that was noted only is lost, and never runs twice."""
        kept = self._read(self._file(name))
        if kept is None or kept.uid != uid or str(kept.count) != version or kept.started:
            return
        before = processes.out_of_memory_kills()
        kept = replace(kept, started=True, count=kept.count + 1, kills_before=before)
        self._write(kept)
        child = self._spawn(kept)
        self._children[name] = child
        self._write(replace(kept, process=processes.identify(child.pid)))

    def remove(self, name: str, uid: str) -> None:
        kept = self._read(self._file(name))
        if kept is None or kept.uid != uid:
            return
        if kept.process is not None and processes.runs(kept.process):
            processes.end(kept.process, signal.SIGTERM)
        if kept.told_to_end is None:
            self._write(replace(kept, told_to_end=time.time(), count=kept.count + 1))
        self._look(self._file(name))

    def interrupt(self) -> tuple[str, ...]:
        """Ends what runs, and has it prepared again, to be started by the next run. Returns their names."""
        running = [kept for path in self.directory.glob("*.json") if (kept := self._look(path)) and self._at_work(kept)]
        for kept in running:
            assert kept.process is not None  # noqa: S101 - it is at work
            processes.end(kept.process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while any(self._at_work(kept) for kept in running) and time.monotonic() < deadline:
            time.sleep(0.05)
        for kept in running:
            assert kept.process is not None  # noqa: S101 - as above
            processes.end(kept.process, signal.SIGKILL)
            if self._children.get(kept.name) is not None:
                self._children.pop(kept.name).wait()
            if self._record(kept) is None and kept.told_to_end is None:
                self._prepare_again(kept)
        return tuple(kept.name for kept in running)

    def _prepare_again(self, kept: Kept) -> None:
        directory = self.directory / kept.name
        for name in ("progress.jsonl", "termination.json"):
            (directory / name).unlink(missing_ok=True)
        self._write(replace(kept, started=False, process=None, exit_code=None, count=kept.count + 1))

    def _spawn(self, kept: Kept) -> subprocess.Popen[bytes]:
        directory = self.directory / kept.name
        worker = (sys.executable, "-m", f"{self.package}.{kept.worker}")
        files = ("--request", str(directory / "request.json"), "--termination-log", str(directory / "termination.json"))
        who = ("-" if number is None else str(number) for number in (kept.user, kept.group))
        launcher = (sys.executable, "-m", "project_migration.backends.local.launcher", str(os.getpid()), *who)
        with (directory / "progress.jsonl").open("ab") as out, (directory / "log.txt").open("ab") as log:
            try:
                return subprocess.Popen(
                    (*launcher, *worker, *files),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=log,
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                raise PassingError(f"helper {kept.name} cannot be started: {error.strerror}") from error

    def _look(self, path: Path) -> Kept | None:
        """What is on disk, brought up to date: an exit that is seen is noted, an end that is due is forced."""
        kept = self._read(path)
        if kept is None:
            return None
        child = self._children.get(kept.name)
        if child is not None and kept.exit_code is None and child.poll() is not None:
            kept = replace(kept, exit_code=child.returncode, count=kept.count + 1)
            self._write(kept)
        if kept.told_to_end is None:
            return kept
        if kept.process is not None and processes.runs(kept.process):
            if time.time() - kept.told_to_end > GRACE_SECONDS:
                processes.end(kept.process, signal.SIGKILL)
            return kept
        self._discard(kept)
        return None

    def _discard(self, kept: Kept) -> None:
        """The log stays in the workspace: it is what is asked for when something went wrong."""
        self._children.pop(kept.name, None)
        directory = self.directory / kept.name
        log = directory / "log.txt"
        if log.is_file() and log.stat().st_size:
            logs = self.workspace / "logs"
            logs.mkdir(exist_ok=True)
            shutil.move(log, logs / f"{kept.name}.log")
        shutil.rmtree(directory, ignore_errors=True)
        self._file(kept.name).unlink(missing_ok=True)

    def _facts(self, kept: Kept) -> HelperFacts:
        phase = self._phase(kept)
        # after that: a record that was not there a moment before its program ended may be there now
        record = self._record(kept) if phase is HelperPhase.FINISHED else None
        failure = None
        if phase is HelperPhase.FINISHED and record is None:
            log = self.directory / kept.name / "log.txt"
            failure = crashed(kept.name, self._exit_code(kept), log, kept.kills_before)
        return HelperFacts(
            name=kept.name,
            uid=kept.uid,
            version=str(kept.count),
            phase=phase,
            request_digest=kept.request_digest,
            record=record,
            progress=last_progress(self.directory / kept.name / "progress.jsonl"),
            failure=failure,
        )

    def _exit_code(self, kept: Kept) -> int | None:
        """It may have ended since it was looked at a moment ago."""
        child = self._children.get(kept.name)
        return kept.exit_code if kept.exit_code is not None or child is None else child.poll()

    def _phase(self, kept: Kept) -> HelperPhase:
        if kept.told_to_end is not None:
            return HelperPhase.ENDING
        if not kept.started:
            return HelperPhase.PREPARED
        return HelperPhase.RUNNING if self._at_work(kept) else HelperPhase.FINISHED

    def _at_work(self, kept: Kept) -> bool:
        child = self._children.get(kept.name)
        if child is not None:
            child.poll()  # a child that nobody waits for stays in the process table
        return kept.process is not None and processes.runs(kept.process)

    def _record(self, kept: Kept) -> Record | None:
        """A cut or half-written record is none."""
        try:
            return Record.from_json((self.directory / kept.name / "termination.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _hand_over(self, kept: Kept, directory: Path) -> None:
        """A helper that runs as somebody else has to own what it writes."""
        if kept.user is None and kept.group is None:
            return
        user = -1 if kept.user is None else kept.user
        group = -1 if kept.group is None else kept.group
        for top in (directory, self.workspace):
            for path in (top, *top.rglob("*")):
                os.chown(path, user, group, follow_symlinks=False)

    def _file(self, name: str) -> Path:
        return self.directory / f"{name}.json"

    def _read(self, path: Path) -> Kept | None:
        data = read_json(path)
        return Kept.from_json(data) if data else None

    def _write(self, kept: Kept) -> None:
        write_json(self._file(kept.name), kept.as_json())


def last_progress(path: Path) -> Progress | None:
    """The newest whole progress line of a helper's output."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    return next((found for line in reversed(lines) if (found := Progress.from_line(line)) is not None), None)
