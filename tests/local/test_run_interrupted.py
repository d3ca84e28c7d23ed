"""Whatever ends a `run` half-way: the same command goes on, no helper stays alive, and workloads come back."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
from pathlib import Path

import pytest

from .test_run import MIB, WEB, Machine, copying, fill, helpers_of, machine, picture, wait_for

__all__ = ["machine"]

#: Three seconds for what is on the source: long enough to be met half-way.
SLOW = {"bandwidth": "2Mi", "workers": 2}


@pytest.fixture
def slow(machine: Machine) -> Machine:
    fill(machine.old)
    for number in range(6):
        (machine.old / f"shard-{number}").write_bytes(os.urandom(MIB))
    return machine


def test_a_killed_run_goes_on_where_it_was(slow: Machine) -> None:
    document, bind = slow.write(transfer=SLOW, quiesce=WEB), slow.serve()
    run = slow.begin("run", document, *bind)
    wait_for(copying(slow))
    uid = (slow.state / "state.json").read_text().split('"uid": "')[1][:36]
    run.kill()
    run.communicate()
    wait_for(lambda: not helpers_of(slow.path), 5)
    assert slow.count == 0, "killed, so nobody could bring it back"
    done = slow.call("run", document, *bind)
    assert done.returncode == 0, done.stdout + done.stderr
    assert picture(slow.new) == picture(slow.old)
    assert slow.calls == ["stop", "start 3"]
    assert uid in (slow.state / "state.json").read_text()


def test_ctrl_c_says_what_is_down_and_the_same_command_goes_on(slow: Machine) -> None:
    document, bind = slow.write(transfer=SLOW, quiesce=WEB), slow.serve()
    run = slow.begin("run", document, *bind)
    wait_for(copying(slow))
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=30)
    assert run.returncode == 130, out + err
    assert "Nothing is lost: the same command goes on where it was." in out
    assert "Still down: Deployment web (3)." in out
    assert f"project-migration cancel --state {slow.state}" in out
    assert "Traceback" not in out + err
    assert not helpers_of(slow.path)
    done = slow.call("run", document, *bind)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "attempt 2" not in done.stdout, "an interruption is no failure"
    assert picture(slow.new) == picture(slow.old)
    assert slow.calls == ["stop", "start 3"]


def test_a_second_ctrl_c_leaves_at_once(slow: Machine) -> None:
    document = slow.write(transfer=SLOW)
    run = slow.begin("run", document)
    wait_for(copying(slow))
    helper = next(pid for pid in helpers_of(slow.path) if os.getpgid(pid) == pid)
    os.kill(helper, signal.SIGSTOP)  # it will not end when it is told to
    run.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(1)
    run.send_signal(signal.SIGINT)
    assert run.wait(5) == 130
    run.communicate()
    wait_for(lambda: not helpers_of(slow.path), 5)
    assert slow.call("run", document).returncode == 0


def test_cancel_after_an_interruption_brings_workloads_back(slow: Machine) -> None:
    document, bind = slow.write(transfer=SLOW, quiesce=WEB), slow.serve()
    run = slow.begin("run", document, *bind)
    wait_for(copying(slow))
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=30)
    done = slow.call("cancel", "--state", slow.state)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "was cancelled" in done.stdout
    assert slow.calls == ["stop", "start 3"]
    again = slow.call("run", document, *bind)
    assert (again.returncode, "forget --state" in again.stderr) == (1, True)


def test_cancel_reaches_a_run_that_is_at_work(slow: Machine) -> None:
    document, bind = slow.write(transfer={"bandwidth": "300Ki"}, quiesce=WEB), slow.serve()
    run = slow.begin("run", document, *bind)
    wait_for(copying(slow))
    assert slow.call("cancel", "--state", slow.state).returncode == 0
    out, _ = run.communicate(timeout=60)
    assert (run.returncode, "was cancelled" in out) == (1, True)
    assert slow.calls == ["stop", "start 3"]


def test_a_second_run_of_the_same_is_refused_and_may_watch(slow: Machine) -> None:
    document = slow.write(transfer={"bandwidth": "500Ki"})
    run = slow.begin("run", document)
    wait_for(copying(slow))
    second = slow.call("run", document)
    assert (second.returncode, f"process {run.pid} is at work on" in second.stderr) == (1, True)
    watched = slow.call("watch", "--state", slow.state)
    assert (watched.returncode, "has arrived" in watched.stdout) == (0, True)
    run.communicate(timeout=60)
    assert run.returncode == 0


def test_a_target_that_was_left_half_written_is_nobody_else_s(slow: Machine) -> None:
    """A migration killed half-way still owns its target; the next one says so, and how to end that."""
    run = slow.begin("run", slow.write(transfer=SLOW))
    wait_for(copying(slow))
    run.kill()
    run.communicate()
    other = slow.write("other", target={"path": str(slow.new / "inside")})
    waiting = slow.begin("run", other)
    assert waiting.stdout is not None
    told = next(line for line in waiting.stdout if "forget --state" in line)
    assert str(slow.state) in told
    assert "ml/vision owns the target" in told
    assert slow.call("forget", "--state", slow.state).returncode == 0
    waiting.communicate(timeout=60)
    assert waiting.returncode == 0


def test_a_helper_that_somebody_kills_is_started_again(slow: Machine) -> None:
    run = slow.begin("run", slow.write(transfer=SLOW))
    wait_for(copying(slow))
    for helper in helpers_of(slow.path):
        os.kill(helper, signal.SIGKILL)
    out, err = run.communicate(timeout=90)
    assert run.returncode == 0, out + err
    assert re.search(r"attempt 2 in \d+s after: helper copy-data-1-.* was killed", out)
    assert picture(slow.new) == picture(slow.old)


def test_what_helpers_said_is_kept_in_the_workspace(slow: Machine) -> None:
    slow.call("run", slow.write())
    logs = Path(slow.state, "workspace", "logs")
    assert any("copy" in path.name for path in logs.iterdir())


def test_workloads_come_back_however_often_a_run_is_killed(slow: Machine) -> None:
    """Killed at moments that meet every step; the count that was recorded first is the one that comes back."""
    document, bind = slow.write(transfer=SLOW, quiesce=WEB), slow.serve()
    moments = random.Random(7)
    for _ in range(6):
        run = slow.begin("run", document, *bind)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(moments.uniform(0.5, 4.0))
        run.kill()
        run.communicate()
        wait_for(lambda: not helpers_of(slow.path), 5)
    ends = [slow.call("run", document, *bind) for _ in range(2)]
    assert ends[-1].returncode == 0, ends[-1].stdout
    assert slow.count == 3
    assert slow.calls.count("stop") >= 1
    assert picture(slow.new) == picture(slow.old)
