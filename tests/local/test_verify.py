"""`verify REPORT` on this machine: a real target, looked at again by the programs that proved it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.local.test_run import Machine, fill, machine, picture

__all__ = ["machine"]


@pytest.fixture
def moved(machine: Machine) -> Path:
    """A migration that arrived; its report."""
    fill(machine.old)
    report = machine.path / "vision.html"
    done = machine.call("run", machine.write(), "--report", report)
    assert done.returncode == 0, done.stdout + done.stderr
    return report


def test_a_target_that_nobody_touched_is_what_the_report_says(machine: Machine, moved: Path) -> None:
    before = picture(machine.new)
    for report in (moved, machine.state / "workspace" / "report.json"):
        done = machine.call("verify", report)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "ml/vision: all that was proved is on the target unchanged." in done.stdout
        assert "the same" in done.stdout
    assert picture(machine.new) == before
    assert not list((machine.state / "helpers").iterdir()), "nothing is left of it"


def test_what_users_changed_is_named_and_what_they_added_is_counted(machine: Machine, moved: Path) -> None:
    (machine.new / "models" / "weights.bin").write_bytes(b"x" * 300_000)
    (machine.new / "link").unlink()
    (machine.new / "theirs").write_text("new")
    done = machine.call("verify", moved)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "ml/vision: the target is not any more what was proved." in done.stdout
    assert "data: missing: link" in done.stdout
    assert "data: different: models/weights.bin" in done.stdout
    assert "theirs" not in done.stdout
    status = machine.status()
    assert (status["phase"], status["check"]["same"], status["check"]["differences"]) == ("Succeeded", False, 2)
    (machine.new / "models" / "weights.bin").write_bytes((machine.old / "models" / "weights.bin").read_bytes())
    (machine.new / "link").symlink_to("models/weights.bin")
    again = machine.call("verify", moved)
    assert again.returncode == 0, "what was mended, and what was added, is no difference"
    assert "1 more on the target" in machine.call("status", "--state", machine.state).stdout
    machine.new.rename(machine.path / "away")
    gone = machine.call("verify", moved)
    assert (gone.returncode, "does not exist any more" in gone.stdout) == (1, True), gone.stdout + gone.stderr


def test_without_the_list_it_is_said_that_something_differs_and_why_not_what(machine: Machine, moved: Path) -> None:
    shutil.rmtree(machine.state / "workspace" / "manifests")
    assert machine.call("verify", moved).returncode == 0, "the digest is in the report"
    (machine.new / "run.sh").write_text("theirs")
    shutil.rmtree(machine.state / "workspace" / "manifests")
    done = machine.call("verify", moved)
    assert (done.returncode, "which objects differ cannot be told" in done.stdout) == (1, True)


def test_a_report_of_a_migration_that_is_not_there_any_more_says_what_is_left_to_do(
    machine: Machine, moved: Path
) -> None:
    machine.call("forget", "--state", machine.state)
    done = machine.call("verify", moved)
    assert done.returncode == 1
    assert "there is no migration in" in done.stderr
    assert "mode: Plan" in done.stderr
    shutil.rmtree(machine.new)
    assert machine.call("run", machine.path / "vision.yaml").returncode == 0
    done = machine.call("verify", moved, "--state", machine.state)
    assert (done.returncode, "the report is of another migration of that name" in done.stderr) == (1, True)


def test_a_report_of_what_was_taken_back_is_refused(machine: Machine, moved: Path) -> None:
    assert machine.call("undo", "--state", machine.state).returncode == 0
    done = machine.call("verify", moved)
    assert (done.returncode, "has ended since: Undone" in done.stderr) == (1, True)
    done = machine.call("verify", machine.state / "workspace" / "report.html")
    assert (done.returncode, "has no proof" in done.stderr) == (1, True)
