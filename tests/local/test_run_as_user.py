"""`run` as an ordinary user: what works without root works, and the rest says so before anything is written."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.local_backend.conftest import for_everybody, python_for_everybody

from .test_run import MARK, Machine, fill, machine, picture

__all__ = ["machine", "python_for_everybody"]

tmp_path = for_everybody

USER = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as an ordinary user already")


@pytest.fixture
def as_user(machine: Machine, python_for_everybody: str) -> Any:
    """Runs the program as nobody, in a machine that belongs to nobody."""
    os.chown(machine.path, USER, USER)

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        argv = [python_for_everybody, "-m", "project_migration.cli.main", *map(str, arguments)]
        return subprocess.run(
            argv,
            user=USER,
            group=USER,
            extra_groups=[],
            cwd="/",
            env=machine.environment(HOME=str(machine.path), PYTHONDONTWRITEBYTECODE="1"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call


def give(path: Path, user: int = USER) -> None:
    for found in (path, *path.rglob("*")):
        os.chown(found, user, user, follow_symlinks=False)


def test_an_ordinary_user_moves_what_is_theirs(machine: Machine, as_user: Any) -> None:
    fill(machine.old)
    give(machine.old)
    done = as_user("run", machine.write())
    assert done.returncode == 0, done.stdout + done.stderr
    assert picture(machine.new) == picture(machine.old)
    assert (machine.new / ".hidden").stat().st_uid == USER


def test_foreign_owners_are_refused_before_anything_is_written(machine: Machine, as_user: Any) -> None:
    fill(machine.old)
    (machine.old / "run.sh").chmod(0o644)
    done = as_user("run", machine.write())
    assert done.returncode == 1, done.stdout
    assert "PrivilegeDenied" in done.stdout
    assert "as root, or set ownership.mode to Helper" in done.stdout
    assert "Nothing was written to the target." in done.stdout
    assert not machine.new.exists()


def test_in_mode_helper_files_belong_to_whoever_runs_it(machine: Machine, as_user: Any) -> None:
    fill(machine.old)
    (machine.old / "run.sh").chmod(0o644)
    done = as_user("run", machine.write(ownership={"mode": "Helper"}))
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.lstat().st_uid for path in machine.new.rglob("*")} == {USER}


def test_another_user_s_uid_is_refused_before_anything_is_written(machine: Machine, as_user: Any) -> None:
    fill(machine.old)
    give(machine.old)
    done = as_user("run", machine.write(ownership={"mode": "Helper", "uid": 4711}))
    assert done.returncode == 1, done.stdout
    assert "ownership.uid is 4711" in done.stdout
    assert not machine.new.exists()


def test_an_unreadable_file_is_named(machine: Machine, as_user: Any) -> None:
    fill(machine.old)
    give(machine.old)
    secret = machine.old / "models" / "secret"
    secret.touch(mode=0o600)
    done = as_user("run", machine.write(ownership={"mode": "Helper"}))
    assert done.returncode == 1, done.stdout
    assert "SourceUnreadable" in done.stdout
    assert "models/secret" in done.stdout


def test_root_gives_files_to_the_user_that_the_document_names(machine: Machine) -> None:
    fill(machine.old)
    done = machine.call("run", machine.write(ownership={"mode": "Set", "uid": 8536, "gid": 8537}))
    assert done.returncode == 0, done.stdout + done.stderr
    files = (path.lstat() for path in machine.new.rglob("*") if MARK not in path.parts)
    assert {(found.st_uid, found.st_gid) for found in files} == {(8536, 8537)}
