from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from project_migration.backends.local import helpers as module
from project_migration.backends.local.backend import LocalBackend
from project_migration.engine.effects import HelperSpec, PrepareHelper, RemoveHelper, StartHelper
from project_migration.engine.world import HelperFacts, HelperPhase, Questions
from project_migration.model.errors import Reason
from project_migration.model.records import Progress

from .conftest import REPOSITORY, look, wait_for

Open = Callable[..., LocalBackend]
Spec = Callable[..., HelperSpec]


def start(backend: LocalBackend, spec: HelperSpec) -> None:
    migration = backend.load(backend.key)
    backend.apply(migration, [PrepareHelper(spec)])
    facts = look(backend)[spec.name]
    backend.apply(migration, [StartHelper(spec.name, facts.uid, facts.version)])


def finished(backend: LocalBackend, name: str) -> HelperFacts:
    return wait_for(lambda: (f := look(backend)[name]).phase is HelperPhase.FINISHED and f)


def test_a_prepared_helper_does_nothing(open_backend: Open, helper_spec: Spec) -> None:
    backend, spec = open_backend(), helper_spec()
    backend.apply(backend.load(backend.key), [PrepareHelper(spec)])
    facts = look(backend)[spec.name]
    assert facts.phase is HelperPhase.PREPARED
    assert facts.request_digest == spec.request.digest
    assert not (backend.state.workspace / "mine").exists()


def test_a_helper_that_ended_well_has_progress_and_record(open_backend: Open, helper_spec: Spec, old: Path) -> None:
    backend, spec = open_backend(), helper_spec()
    start(backend, spec)
    facts = finished(backend, spec.name)
    assert facts.record is not None
    assert facts.record.request_digest == spec.request.digest
    assert facts.progress == Progress(3, 10, 1, 2)
    assert facts.failure is None
    assert (backend.state.workspace / "mine").read_text() == "written by the helper"
    assert f"'source': '{old}'" in (backend.state.helpers / spec.name / "log.txt").read_text()


def test_starting_twice_or_from_an_old_view_starts_once(open_backend: Open, helper_spec: Spec) -> None:
    backend, spec = open_backend(), helper_spec(sleep=30)
    migration = backend.load(backend.key)
    backend.apply(migration, [PrepareHelper(spec)])
    facts = look(backend)[spec.name]
    effect = StartHelper(spec.name, facts.uid, facts.version)
    backend.apply(migration, [effect, effect, PrepareHelper(spec)])
    log = backend.state.helpers / spec.name / "log.txt"
    wait_for(lambda: log.read_text().count("roots") == 1)
    assert look(backend)[spec.name].phase is HelperPhase.RUNNING
    backend.interrupt()


def test_a_crash_says_the_exit_code_and_the_last_lines(open_backend: Open, helper_spec: Spec) -> None:
    backend, spec = open_backend(), helper_spec(exit=3)
    start(backend, spec)
    facts = finished(backend, spec.name)
    assert facts.record is None
    assert facts.failure is not None
    assert facts.failure.reason is Reason.HELPER_CRASHED
    assert "exit code 3" in facts.failure.message
    assert "something broke" in facts.failure.message


def test_a_killed_helper_may_be_tried_again(open_backend: Open, helper_spec: Spec) -> None:
    backend, spec = open_backend(), helper_spec(sleep=30)
    start(backend, spec)
    pid = running_pid(backend, spec.name)
    os.kill(pid, signal.SIGKILL)
    failure = finished(backend, spec.name).failure
    assert failure is not None
    assert failure.passing
    assert failure.reason in (Reason.HELPER_CRASHED, Reason.HELPER_OUT_OF_MEMORY)
    assert "SIGKILL" in failure.message


def test_a_kill_counts_as_want_of_memory_only_when_the_kernel_says_so(
    open_backend: Open, helper_spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = iter([4, *[5] * 100])
    monkeypatch.setattr("project_migration.backends.local.processes.out_of_memory_kills", lambda: next(kills))
    backend, spec = open_backend(), helper_spec(sleep=30)
    start(backend, spec)
    os.kill(running_pid(backend, spec.name), signal.SIGKILL)
    failure = finished(backend, spec.name).failure
    assert failure is not None
    assert failure.reason is Reason.HELPER_OUT_OF_MEMORY


def test_a_removed_helper_is_gone_only_when_its_program_has_ended(
    open_backend: Open, helper_spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.5)
    backend, spec = open_backend(), helper_spec(sleep=60, deaf=True)
    start(backend, spec)
    pid = running_pid(backend, spec.name)
    wait_for(lambda: "roots" in (backend.state.helpers / spec.name / "log.txt").read_text())
    wait_for(lambda: ignores_term(pid))
    facts = look(backend)[spec.name]
    backend.apply(backend.load(backend.key), [RemoveHelper(spec.name, facts.uid)])
    assert look(backend)[spec.name].phase is HelperPhase.ENDING
    wait_for(lambda: spec.name not in look(backend))
    assert not Path(f"/proc/{pid}").exists()
    assert "roots" in (backend.state.workspace / "logs" / f"{spec.name}.log").read_text()


def test_a_helper_is_at_work_while_a_child_of_it_is_left(open_backend: Open, helper_spec: Spec) -> None:
    backend, spec = open_backend(), helper_spec(leaves_child=True)
    start(backend, spec)
    pid = running_pid(backend, spec.name)
    wait_for(lambda: backend.helpers._children[spec.name].poll() is not None)
    facts = look(backend)[spec.name]
    assert facts.phase is HelperPhase.RUNNING
    backend.apply(backend.load(backend.key), [RemoveHelper(spec.name, facts.uid)])
    wait_for(lambda: spec.name not in look(backend))
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)


def test_removing_under_another_uid_does_nothing(open_backend: Open, helper_spec: Spec) -> None:
    backend, spec = open_backend(), helper_spec()
    backend.apply(backend.load(backend.key), [PrepareHelper(spec), RemoveHelper(spec.name, "somebody else's")])
    assert look(backend)[spec.name].phase is HelperPhase.PREPARED


def test_an_interrupted_helper_is_prepared_again(open_backend: Open, helper_spec: Spec) -> None:
    backend, spec = open_backend(), helper_spec(sleep=60)
    start(backend, spec)
    pid = running_pid(backend, spec.name)
    before = look(backend)[spec.name]
    assert backend.interrupt() == (spec.name,)
    after = look(open_backend())[spec.name]
    assert after.phase is HelperPhase.PREPARED
    assert after.uid == before.uid
    assert after.version != before.version
    assert not Path(f"/proc/{pid}").exists()


def test_a_killed_run_leaves_no_helper_alive_and_the_next_one_sees_it_as_lost(
    open_backend: Open, helper_spec: Spec, tmp_path: Path, old: Path, new: Path
) -> None:
    program = f"""
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {str(REPOSITORY)!r})
from tests.unit.local_backend.conftest import document, look
from tests.unit.local_backend.test_helpers import start
from project_migration.backends.local.backend import LocalBackend
from project_migration.engine.effects import HelperSpec, Mount, Rights
from project_migration.model.endpoints import (Volume)
from project_migration.model.records import Request
tmp = Path({str(tmp_path)!r})
backend = LocalBackend(document(tmp / "old", tmp / "new"), tmp / "state", (), home=tmp / "home")
backend.helpers.package = "tests.unit.local_backend.workers"
request = Request("stand_in", "uid", "vision", "ml", "copy", "data", params={{"sleep": 600, "deaf": True}})
mounts = (Mount("source", Volume(path=str(tmp / "old")), True), Mount("target", Volume(path=str(tmp / "new")), False))
start(backend, HelperSpec("copy-data-1-abcd", request, mounts, Rights.NONE))
time.sleep(0.5)
print(backend.helpers._children["copy-data-1-abcd"].pid, flush=True)
time.sleep(600)
"""
    run = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    pid = int(run.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    run.kill()
    run.wait()
    backend = open_backend()
    facts = finished(backend, "copy-data-1-abcd")
    assert facts.failure is not None
    assert facts.failure.reason is Reason.HELPER_LOST
    assert facts.failure.passing
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2])


def test_an_ordinary_user_cannot_run_a_helper_as_somebody_else(
    open_backend: Open, helper_spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    backend, spec = open_backend(), helper_spec(user=4711)
    world = backend.observe(backend.load(backend.key), Questions(dry_run=(lambda _: (spec,),)))
    assert world.refused[spec.name].reason is Reason.PRIVILEGE_DENIED
    assert "run it as root" in world.refused[spec.name].message


def running_pid(backend: LocalBackend, name: str) -> int:
    wait_for(lambda: look(backend)[name].phase is HelperPhase.RUNNING)
    return backend.helpers._children[name].pid


def ignores_term(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    ignored = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn")), 16)
    return bool(ignored >> (signal.SIGTERM - 1) & 1)
