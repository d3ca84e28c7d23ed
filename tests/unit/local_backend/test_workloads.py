from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from project_migration.backends.local.backend import LocalBackend
from project_migration.backends.local.workloads import Workloads
from project_migration.engine.effects import HoldWorkload, ReleaseWorkload
from project_migration.engine.names import WorkloadRef
from project_migration.engine.world import Questions, WorkloadFacts
from project_migration.model.document import WorkloadKind
from project_migration.model.errors import PassingError

from .conftest import wait_for

WEB = WorkloadRef(WorkloadKind.DEPLOYMENT, "web")
NIGHTLY = WorkloadRef(WorkloadKind.CRON_JOB, "nightly")
Open = Callable[..., LocalBackend]

PROGRAM = """#!/bin/sh
here=$(dirname "$0")
[ ! -e "$here/broken" ] || { echo "the disk is full" >&2; exit 1; }
put() { echo "$1" > "$here/count.new"; mv "$here/count.new" "$here/count"; }
case $1 in
status) cat "$here/count" || exit 4 ;;
stop) [ ! -e "$here/slow" ] || sleep 1; put 0; echo stop >> "$here/calls" ;;
start) put "$2"; echo "start $2" >> "$here/calls" ;;
esac
"""


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """A service of three instances, managed by a program of the user's. Returns the directory of its files."""
    (tmp_path / "service").mkdir()
    program = tmp_path / "service" / "manage"
    program.write_text(PROGRAM)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "service" / "count").write_text("3\n")
    return tmp_path / "service"


@pytest.fixture
def open_with_web(open_backend: Open, web: Path) -> Open:
    def make(ref: WorkloadRef = WEB, **options) -> LocalBackend:
        kind = str(ref.kind)
        quiesce = {"workloads": [{"kind": kind, "name": ref.name, "side": "Source"}]}
        return open_backend(f"{kind.lower()}/{ref.name}=exec/{web}/manage", quiesce=quiesce, **options)

    return make


def facts(backend: LocalBackend, ref: WorkloadRef = WEB) -> WorkloadFacts:
    migration = backend.load(backend.key)
    return backend.observe(migration, Questions(workloads=frozenset({ref}))).workloads[ref]


def holder(backend: LocalBackend) -> str:
    return backend.load(backend.key).holder


def hold(backend: LocalBackend, ref: WorkloadRef = WEB, *, version: str | None = None) -> None:
    seen = facts(backend, ref)
    effect = HoldWorkload(ref, version or seen.version, holder(backend), seen.replicas, seen.suspended)
    backend.apply(backend.load(backend.key), [effect])


def release(backend: LocalBackend, replicas: int | None, *, version: str | None = None, mark: str = "uid/1") -> None:
    effect = ReleaseWorkload(WEB, version or facts(backend).version, mark, replicas, None)
    backend.apply(backend.load(backend.key), [effect])


def down(backend: LocalBackend) -> WorkloadFacts:
    return wait_for(lambda: not (f := facts(backend)).pods and f)


def calls(web: Path) -> list[str]:
    return (web / "calls").read_text().splitlines() if (web / "calls").exists() else []


def test_a_running_workload_is_seen_as_it_is(open_with_web: Open) -> None:
    seen = facts(open_with_web())
    assert (seen.exists, seen.replicas, seen.holder, len(seen.pods)) == (True, 3, "", 3)


def test_a_held_workload_says_who_holds_it_and_what_it_was(open_with_web: Open, web: Path) -> None:
    backend = open_with_web()
    hold(backend)
    seen = down(backend)
    assert (seen.replicas, seen.holder, seen.held_replicas) == (0, holder(backend), 3)
    assert (web / "count").read_text() == "0\n"


def test_a_release_brings_back_the_count_and_leaves_the_mark(open_with_web: Open, web: Path) -> None:
    backend = open_with_web()
    hold(backend)
    down(backend)
    release(backend, 3)
    seen = wait_for(lambda: (f := facts(backend)).released == "uid/1" and f)
    assert (seen.replicas, seen.holder, seen.held_replicas) == (3, "", None)
    assert calls(web) == ["stop", "start 3"]


def test_a_release_of_what_stays_down_starts_nothing(open_with_web: Open, web: Path) -> None:
    backend = open_with_web()
    hold(backend)
    down(backend)
    release(backend, None)
    seen = facts(backend)
    assert (seen.replicas, seen.holder, seen.released) == (0, "", "uid/1")
    assert calls(web) == ["stop"]


def test_a_hold_that_was_decided_before_somebody_scaled_is_refused(open_with_web: Open, web: Path) -> None:
    backend = open_with_web()
    version = facts(backend).version
    (web / "count").write_text("5\n")
    hold(backend, version=version)
    assert facts(backend).holder == ""
    assert calls(web) == []


def test_a_hold_that_was_decided_before_a_release_is_refused(open_with_web: Open, web: Path) -> None:
    backend = open_with_web()
    version = facts(backend).version
    release(backend, None)
    hold(backend, version=version)
    assert facts(backend).holder == ""
    assert (web / "count").read_text() == "3\n"


def test_a_run_killed_between_signature_and_stop_stops_in_its_next_pass(
    open_with_web: Open, web: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_with_web()
    with monkeypatch.context() as killed:
        killed.setattr(Workloads, "_begin", lambda *_: None)
        hold(backend)
        seen = facts(backend)
    assert (seen.replicas, len(seen.pods)) == (0, 3), "asked to be at 0, and not there yet"
    again = open_with_web()
    seen = down(again)
    assert (seen.replicas, seen.held_replicas, seen.holder) == (0, 3, holder(backend))
    assert calls(web) == ["stop"]


def test_a_run_killed_between_start_and_signing_off_still_holds_it(
    open_with_web: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = open_with_web()
    hold(backend)
    down(backend)
    with monkeypatch.context() as killed:
        killed.setattr(Workloads, "_sign_off", lambda *_: None)
        release(backend, 3)
        again = open_with_web()
        seen = wait_for(lambda: (f := facts(again)).replicas == 3 and f)
    assert (seen.holder, seen.released) == (holder(backend), "")
    release(again, 3)
    assert wait_for(lambda: facts(again).released == "uid/1")


def test_what_somebody_starts_while_it_is_held_is_seen_as_up(open_with_web: Open, web: Path) -> None:
    backend = open_with_web()
    hold(backend)
    down(backend)
    (web / "count").write_text("1\n")
    seen = wait_for(lambda: (f := facts(backend)).replicas and f)
    assert (seen.replicas, seen.holder, seen.held_replicas) == (1, holder(backend), 3)


def test_a_slow_stop_does_not_block_the_pass(open_with_web: Open, web: Path) -> None:
    (web / "slow").touch()
    backend = open_with_web()
    hold(backend)
    assert len(facts(backend).pods) == 3
    down(backend)


def test_a_failing_command_is_named_beside_what_still_runs(open_with_web: Open, web: Path) -> None:
    backend = open_with_web()
    (web / "manage").write_text(PROGRAM.replace("stop)", "stop) echo 'cannot stop' >&2; exit 7 ;; never)"))
    hold(backend)
    pods = wait_for(lambda: [pod for pod in facts(backend).pods if "cannot stop" in pod])
    assert "`" in pods[0]
    assert "ended with 7" in pods[0]


def test_a_manager_that_does_not_answer_is_a_passing_error(open_with_web: Open, web: Path) -> None:
    backend = open_with_web()
    (web / "broken").touch()
    with pytest.raises(PassingError, match="the disk is full"):
        facts(backend)


def test_a_workload_that_its_manager_does_not_know_does_not_exist(open_with_web: Open, web: Path) -> None:
    (web / "count").unlink()
    assert not facts(open_with_web()).exists


def test_another_migration_sees_who_holds_the_same_program(open_with_web: Open, tmp_path: Path) -> None:
    first = open_with_web()
    second = open_with_web(state="other", target=tmp_path / "elsewhere")
    hold(first)
    down(first)
    assert facts(second).holder == holder(first)


def test_a_workload_whose_migration_was_removed_by_hand_counts_as_what_it_was(
    open_with_web: Open, tmp_path: Path
) -> None:
    first = open_with_web()
    hold(first)
    down(first)
    shutil.rmtree(first.state.path)
    seen = facts(open_with_web(state="other"))
    assert (seen.holder, seen.replicas) == ("", 3), "so that it is brought back to 3, not to 0"


def test_a_cron_job_is_suspended_and_resumed(open_with_web: Open, web: Path) -> None:
    (web / "count").write_text("1\n")
    backend = open_with_web(NIGHTLY)
    hold(backend, NIGHTLY)
    seen = wait_for(lambda: not (f := facts(backend, NIGHTLY)).pods and f)
    assert (seen.suspended, seen.replicas, seen.held_suspended) == (True, 0, False)
    effect = ReleaseWorkload(NIGHTLY, seen.version, "uid/1", None, False)
    backend.apply(backend.load(backend.key), [effect])
    assert wait_for(lambda: not (f := facts(backend, NIGHTLY)).suspended and f.released == "uid/1" and f)
    assert calls(web) == ["stop", "start 1"]


def test_what_a_person_stopped_by_hand_is_held_at_nothing(open_backend: Open) -> None:
    quiesce = {"workloads": [{"kind": "Deployment", "name": "web", "side": "Source"}]}
    backend = open_backend("deployment/web=none", quiesce=quiesce)
    hold(backend)
    seen = down(backend)
    assert (seen.replicas, seen.held_replicas, seen.holder) == (0, 0, holder(backend))


def test_forgetting_takes_the_signature_off_and_starts_nothing(open_with_web: Open, web: Path) -> None:
    backend = open_with_web()
    hold(backend)
    down(backend)
    assert backend.workloads.forget() == (WEB,)
    assert replace(facts(backend), version="") == WorkloadFacts(exists=True)
    assert calls(web) == ["stop"]
