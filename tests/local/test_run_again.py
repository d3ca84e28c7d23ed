"""What comes after a real migration's end: the same document again, and a backup whose time has come."""

from __future__ import annotations

from pathlib import Path

from tests.local.test_run import WEB, Machine, fill, machine, picture
from tests.local.test_run_kept import backup, changing, in_use

__all__ = ["machine"]


def lost(machine: Machine) -> None:
    """This machine forgets the migration; its users go on with the target."""
    done = machine.call("forget", "--state", machine.state)
    assert done.returncode == 0, done.stderr
    (machine.new / "since").write_text("nobody else has this")


def kept_files(machine: Machine) -> list[Path]:
    return [path for path in (machine.path / "backup").rglob("*") if path.is_file()]


def test_a_document_that_was_carried_out_changes_nothing_and_stops_nothing(machine: Machine) -> None:
    fill(machine.old)
    bind = machine.serve()
    document = machine.write(quiesce=WEB)
    assert machine.call("run", document, *bind).returncode == 0
    lost(machine)
    before, calls = picture(machine.new), machine.calls
    again = machine.call("run", document, *bind)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "was carried out before, as its targets say: nothing was changed" in again.stdout
    assert "spec.force" in again.stdout
    assert picture(machine.new) == before
    assert machine.calls == calls
    assert machine.status()["phase"] == "AlreadyMigrated"
    once_more = machine.call("run", document, *bind)
    assert (once_more.returncode, "nothing was changed now" in once_more.stdout) == (0, True)


def test_a_token_carries_it_out_again_and_keeps_what_users_have(machine: Machine) -> None:
    fill(machine.old)
    assert machine.call("run", machine.write(backup=backup(machine))).returncode == 0
    lost(machine)
    document = machine.write(backup=backup(machine), force="again", transfer={"delete": False})
    done = machine.call("run", document)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "has arrived" in done.stdout
    assert [path.read_text() for path in kept_files(machine) if path.name == "since"] == ["nobody else has this"]
    lost(machine)
    again = machine.call("run", document)
    assert (again.returncode, "was carried out before" in again.stdout) == (0, True)


def test_a_token_given_to_what_is_finished_carries_it_out_once(machine: Machine) -> None:
    fill(machine.old)
    assert machine.call("run", machine.write(backup=backup(machine))).returncode == 0
    (machine.old / "new-at-the-source").write_text("1")
    document = machine.write(backup=backup(machine), force="again")
    assert machine.call("run", document).returncode == 0
    assert (machine.new / "new-at-the-source").exists()
    (machine.old / "later").write_text("1")
    done = machine.call("run", document)
    assert (done.returncode, "nothing was changed now" in done.stdout) == (0, True)
    assert not (machine.new / "later").exists()


def test_a_target_that_becomes_a_source_takes_nothing_of_ours_along(machine: Machine) -> None:
    fill(machine.old)
    assert machine.call("run", machine.write()).returncode == 0
    further = {"source": {"path": str(machine.new)}, "target": {"path": str(machine.path / "further")}}
    done = machine.call("run", machine.write("further", **further))
    assert done.returncode == 0, done.stdout + done.stderr
    copied = {path: told for path, told in picture(machine.path / "further").items() if path != ".project-migration"}
    assert not any("project-migration-tmp" in path for path in copied)
    text = (machine.path / "further" / ".project-migration" / "arrived.json").read_text()
    assert '"name": "further"' in text


def test_a_backup_is_removed_when_its_time_has_come_and_not_before(machine: Machine) -> None:
    in_use(machine)
    done = machine.call("run", machine.write(backup={**backup(machine), "keepFor": "1h"}))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "below vision-" in done.stdout
    assert "until 2" in done.stdout
    early = machine.call("expire")
    assert (early.returncode, "No backup of this machine is due" in early.stdout) == (0, True)
    asked = machine.call("expire", "--state", machine.state)
    assert (asked.returncode, "the backup is kept until 2" in asked.stderr) == (2, True)
    assert kept_files(machine)
    before = picture(machine.new)
    sooner = machine.call("run", machine.write(backup={**backup(machine), "keepFor": "0s"}))
    assert sooner.returncode == 0, sooner.stdout + sooner.stderr
    gone = machine.call("expire")
    assert gone.returncode == 0, gone.stderr
    assert "ml/vision: the backup in" in gone.stdout
    assert list((machine.path / "backup").iterdir()) == []
    assert picture(machine.new) == before
    undone = machine.call("undo", "--state", machine.state)
    assert (undone.returncode, "the backup was removed at" in undone.stderr) == (2, True)
    assert picture(machine.new) == before
    again = machine.call("expire", "--state", machine.state)
    assert (again.returncode, "was removed already" in again.stderr) == (2, True)


def test_a_backup_that_a_target_needs_is_not_removed_by_any_word(machine: Machine) -> None:
    in_use(machine)
    document = machine.write(backup={**backup(machine), "keepFor": "0s"}, retries=0, onFailure="Halt")
    with changing(machine.old / "log"):
        assert machine.call("run", document).returncode == 1
    refused = machine.call("expire", "--state", machine.state, "--now")
    assert (refused.returncode, "the target was written to and is not proved" in refused.stderr) == (2, True)
    assert "No backup of this machine is due" in machine.call("expire").stdout
    assert kept_files(machine)
