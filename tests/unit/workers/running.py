"""Runs workers as they are run in a helper: in a process of their own, with a request, to a record.

The process is a fork of the test's, which saves the start of an interpreter a test, and lets it be another user:
root's tests try what an ordinary user may do, too.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sqlite3
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pathspec  # noqa: F401 - a forked ordinary user may not be able to import it any more

from project_migration.model.records import Progress, Record, Request
from project_migration.workers import flushing, harness

assert sqlite3
IS_ROOT = os.geteuid() == 0

#: Somebody without rights. Where the tests are not run by root, whoever runs them.
NOBODY = 8536 if IS_ROOT else os.geteuid()

MODULES = {
    name: importlib.import_module(f"project_migration.workers.{name}")
    for name in (
        "copy_tree",
        "survey",
        "manifest",
        "release",
        "clear_tree",
        "report",
        "mlflow.artifacts.copy",
        "mlflow.artifacts.verify",
    )
}
WORK = {
    "copy_tree": (("source", "target"), "copy"),
    "survey": (("source", "target"), "survey"),
    "manifest": ((), "prove"),
    "release": (("target",), "release"),
    "clear_tree": (("target",), "clear"),
    "report": ((), "work"),
    "mlflow.artifacts.copy": (("source", "target"), "copy"),
    "mlflow.artifacts.verify": (("source", "target"), "verify"),
}


#: Whether workers wait for the disk in the end. They need not for most tests, and disks may be slow.
DISK = False


@dataclass
class Ran:
    code: int
    record: Record | None
    progress: list[Progress]
    log: str

    @property
    def counts(self) -> Mapping[str, int]:
        assert self.record is not None, self.log
        return self.record.counts

    @property
    def reason(self) -> str:
        assert self.record is not None, self.log
        return self.record.reason

    def succeeded(self) -> Ran:
        assert self.record is not None, self.log
        assert self.record.succeeded, (self.record.reason, self.record.message, self.log[-3000:])
        assert self.code == 0
        return self

    def failed(self, reason: str) -> Ran:
        assert self.record is not None, self.log
        assert self.reason == reason, (self.record.reason, self.record.message, self.log[-3000:])
        assert not self.record.succeeded
        assert self.code == (2 if reason == "InvalidDocument" else 1)
        return self


@dataclass
class Bench:
    """A source, a target and a workspace, and what workers do with them."""

    home: Path
    user: int | None = None
    """Whom workers run as; None for whoever runs the tests."""
    uid: str = "11111111-2222"
    serial: int = field(default=0, init=False)
    source: Path = field(init=False)
    target: Path = field(init=False)

    def __post_init__(self) -> None:
        self.source, self.target = self.home / "source", self.home / "target"
        for path in (self.source, self.target, self.workspace):
            path.mkdir(exist_ok=True)
        if self.user is not None and IS_ROOT:
            for path in (self.home, self.source, self.target, self.workspace):
                os.chown(path, self.user, self.user)

    @property
    def workspace(self) -> Path:
        return self.home / "workspace"

    def request(self, worker: str, step: str = "", **params: Any) -> Request:
        places = {"source": self.source, "target": self.target, "workspace": self.workspace}
        # as backends do: a root is a real place
        roots = {name: os.path.realpath(place) for name, place in places.items()}
        return Request(worker, self.uid, "vision", "ml", step or worker, "data", 1, roots, params)

    def copy(self, **params: Any) -> Ran:
        return self.start("copy_tree", **{"workers": 2, **params}).wait()

    def verify(self, **params: Any) -> Ran:
        return self.start("manifest", **{"workers": 2, **params}).wait()

    def survey(self, **params: Any) -> Ran:
        return self.start("survey", **{"workers": 2, **params}).wait()

    def release(self, **params: Any) -> Ran:
        return self.start("release", **params).wait()

    def clear(self, **params: Any) -> Ran:
        return self.start("clear_tree", **params).wait()

    def start(self, worker: str, **params: Any) -> Running:
        """Each run is a step of its own, so that no kept record answers it."""
        self.serial += 1
        return self.start_request(self.request(worker, f"{worker}{self.serial}", **params))

    def start_request(self, request: Request) -> Running:
        self.serial += 1
        out = self.home / f"out-{self.uid}-{self.serial}"
        out.mkdir()
        (out / "request.json").write_text(request.to_json(), encoding="utf-8")
        if self.user is not None and IS_ROOT:
            os.chown(out, self.user, self.user)
        pid = os.fork()
        if pid == 0:
            _be_the_worker(request.worker, out, self.user)
        return Running(pid, out, request)


def _be_the_worker(worker: str, out: Path, user: int | None) -> None:
    code = 70
    try:
        for number, name in ((1, "stdout"), (2, "stderr")):
            descriptor = os.open(out / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            os.dup2(descriptor, number)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        if user is not None and IS_ROOT:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        if not DISK:
            for module in (*MODULES.values(), flushing):
                if hasattr(module, "sync"):
                    module.sync = lambda _: None  # type: ignore[attr-defined]
        sys.argv = [worker, "--request", str(out / "request.json"), "--termination-log", str(out / "termination.json")]
        roots, function = WORK[worker]
        harness.main(worker, MODULES[worker].HELP, roots, getattr(MODULES[worker], function))
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@dataclass
class Running:
    pid: int
    out: Path
    request: Request
    code: int | None = None

    def wait(self) -> Ran:
        if self.code is None:
            _, status = os.waitpid(self.pid, 0)
            self.code = os.waitstatus_to_exitcode(status)
        record = None
        path = harness.result_path(self.request)
        if path.exists() and self.code in (0, 1, 2):
            record = Record.from_json(path.read_text(encoding="utf-8"))
        lines = (self.out / "stdout").read_text(encoding="utf-8").splitlines()
        progress = [found for line in lines if (found := Progress.from_line(line)) is not None]
        return Ran(self.code, record, progress, (self.out / "stderr").read_text(encoding="utf-8"))

    def is_over(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def children(self) -> list[int]:
        """Processes whose parent it is."""
        return [pid for pid in _processes() if _parent(pid) == self.pid]

    def wait_for_children(self) -> list[int]:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if found := self.children():
                return found
            time.sleep(0.002)
        raise AssertionError("it never had children")

    def kill(self) -> None:
        if not self.is_over():
            os.kill(self.pid, signal.SIGKILL)
            _, status = os.waitpid(self.pid, 0)
            self.code = os.waitstatus_to_exitcode(status)


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return -1


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def names_of(ran: Ran, bench: Bench, kind: str) -> list[str]:
    """The whole list of a kind, without causes."""
    assert ran.record is not None
    text = (bench.workspace / ran.record.lists[kind]).read_text(encoding="utf-8")
    return [line.split("\t")[0] for line in text.splitlines()]


def owner_json(bench: Bench) -> Any:
    return json.loads((bench.target / ".project-migration" / "owner.json").read_text())
