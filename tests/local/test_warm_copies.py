"""Warm copies of real files that change meanwhile: what arrives in the end is what the source is at the cut-over."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

from .test_run import WEB, Machine, fill, machine, picture, wait_for

__all__ = ["machine"]


def phase(machine: Machine) -> str:
    try:
        return str(machine.status()["phase"])
    except (OSError, ValueError, KeyError):
        return ""


class Users:
    """Write to the source for as long as they are at work: files grow, appear, vanish and are replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        number = 0
        while not self._stop.wait(0.002):
            number += 1
            with (self._path / "journal").open("a") as stream:
                stream.write(f"{number}\n")
            (self._path / f"run-{number}").write_bytes(os.urandom(2000))
            (self._path / f"run-{number - 20}").unlink(missing_ok=True)

    def go_home(self) -> None:
        self._stop.set()
        self._thread.join()


def change_everything(directory: Path) -> None:
    """What may happen to a tree between two copies."""
    (directory / "models" / "weights.bin").write_bytes(os.urandom(1000))
    (directory / ".hidden").unlink()
    shutil.rmtree(directory / "models" / "empty")
    (directory / "models" / "empty").write_text("a file now")
    (directory / "run.sh").chmod(0o700)
    (directory / "link").unlink()
    (directory / "link").mkdir()
    (directory / "link" / "inside").write_text("a directory now")
    (directory / "new").mkdir()
    (directory / "new" / "file").write_text("new")


def test_the_target_is_the_source_of_the_cut_over_whatever_was_copied_before(machine: Machine) -> None:
    fill(machine.old)
    bind = machine.serve()
    document = machine.write(quiesce=WEB, transfer={"preCopy": 3}, cutover={"mode": "Manual"})
    users = Users(machine.old)
    running = machine.begin("run", document, *bind)
    try:
        wait_for(lambda: phase(machine) == "AwaitingCutover")
    finally:
        users.go_home()
    assert machine.calls == [], "users had the source all the time"
    warm = next(step for step in machine.status()["steps"] if step["id"] == "pre_copy")
    assert warm["passNumber"] >= 2
    assert (machine.new / "models" / "weights.bin").read_bytes() == (
        machine.old / "models" / "weights.bin"
    ).read_bytes()
    change_everything(machine.old)
    approved = machine.call("approve", "--state", machine.state)
    assert approved.returncode == 0, approved.stdout + approved.stderr
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, out + err
    assert picture(machine.new) == picture(machine.old)
    assert [path.name for path in (machine.new / ".project-migration").iterdir()] == ["arrived.json"]
    assert machine.calls == ["stop", "start 3"]
