"""What a target holds is put back when a real migration does not end well, and when a person undoes one that did."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.local.test_run import MIB, Machine, copying, fill, machine, picture, wait_for

__all__ = ["machine"]


def in_use(machine: Machine) -> dict[str, tuple[object, ...]]:
    """A target that users have worked with; some of it would be written over. What it looks like."""
    fill(machine.old)
    (machine.new / "theirs").mkdir(parents=True)
    (machine.new / "theirs" / "notes").write_text("nobody else has this")
    (machine.new / "run.sh").write_text("#!/bin/sh\necho theirs\n")
    (machine.new / "models").symlink_to("theirs")
    os.utime(machine.new / "run.sh", (1_100_000_000, 1_100_000_000))
    return picture(machine.new)


@contextlib.contextmanager
def changing(path: Path) -> Iterator[None]:
    """A large file of the source that never is the same twice."""
    path.write_bytes(bytes(40 * MIB))
    over = threading.Event()

    def change() -> None:
        while not over.wait(0.001):
            path.touch()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def backup(machine: Machine) -> dict[str, str]:
    return {"path": str(machine.path / "backup")}


def test_a_migration_that_fails_leaves_the_target_as_it_was(machine: Machine) -> None:
    before = in_use(machine)
    with changing(machine.old / "log"):
        done = machine.call("run", machine.write(backup=backup(machine), retries=0))
    assert done.returncode == 1
    assert "log" in done.stdout
    assert "The target was put back as it was, and proved to be" in done.stdout, done.stdout + done.stderr
    assert picture(machine.new) == before
    # what is kept for a later look, and the same command again
    assert any((machine.path / "backup").rglob("notes"))
    again = machine.call("run", machine.path / "vision.yaml")
    assert again.returncode == 0, again.stdout + again.stderr
    assert (machine.new / "theirs" / "notes").exists()
    assert (machine.new / "run.sh").read_text() == "#!/bin/sh\n"


def test_a_target_that_was_empty_is_empty_again(machine: Machine) -> None:
    fill(machine.old)
    machine.new.mkdir(mode=0o751)
    os.utime(machine.new, (1_200_000_000, 1_200_000_000))
    with changing(machine.old / "log"):
        done = machine.call("run", machine.write(retries=0))
    assert done.returncode == 1
    assert list(machine.new.iterdir()) == []
    status = machine.new.stat()
    assert (oct(status.st_mode & 0o7777), status.st_mtime) == ("0o751", 1_200_000_000)


def test_halt_keeps_what_was_copied_until_a_person_rolls_back(machine: Machine) -> None:
    before = in_use(machine)
    with changing(machine.old / "log"):
        done = machine.call("run", machine.write(backup=backup(machine), retries=0, onFailure="Halt"))
    assert done.returncode == 1
    assert picture(machine.new) != before
    refused = machine.call("undo", "--state", machine.state)
    assert (refused.returncode, "see `rollback`" in refused.stderr) == (2, True)
    back = machine.call("rollback", "--state", machine.state)
    assert back.returncode == 0, back.stdout + back.stderr
    assert picture(machine.new) == before
    nothing = machine.call("rollback", "--state", machine.state)
    assert (nothing.returncode, "there is nothing to do" in nothing.stderr) == (2, True)


def test_an_undo_after_success_gives_users_back_what_they_had(machine: Machine) -> None:
    before = in_use(machine)
    done = machine.call("run", machine.write(backup=backup(machine)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert picture(machine.new) != before
    undone = machine.call("undo", "--state", machine.state)
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert "was taken back: the target is as it was before" in undone.stdout
    assert picture(machine.new) == before
    again = machine.call("run", machine.path / "vision.yaml")
    assert (again.returncode, "was taken back" in again.stderr) == (1, True)


def test_a_cancelled_migration_leaves_the_target_as_it_was(machine: Machine) -> None:
    before = in_use(machine)
    for number in range(30):
        (machine.old / f"part-{number}").write_bytes(os.urandom(MIB))
    document = machine.write(backup=backup(machine), transfer={"bandwidth": "4Mi"})
    running = machine.begin("run", document)
    wait_for(copying(machine))
    machine.call("cancel", "--state", machine.state)
    out, err = running.communicate(timeout=60)
    assert "a person cancelled the migration" in out, out + err
    assert picture(machine.new) == before


def test_a_backup_in_a_place_of_its_own_is_demanded(machine: Machine) -> None:
    in_use(machine)
    inside = machine.call("run", machine.write(backup={"path": str(machine.new / "backup")}))
    assert (inside.returncode, "a backup needs a place of its own" in inside.stderr) == (2, True)
    unbound = machine.call("run", machine.write(backup={"claimName": "vault"}))
    assert (unbound.returncode, "--bind claim/vault=DIRECTORY" in unbound.stderr) == (2, True)
