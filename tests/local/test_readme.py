"""The first commands that a reader of the README types do what it says."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.local.test_run import PROGRAM, Machine
from tests.pages import README, assert_shown, file_in, sections


def test_the_readme_s_commands_move_what_its_document_says(tmp_path: Path) -> None:
    old, new = tmp_path / "srv" / "old", tmp_path / "srv" / "new"
    (old / "scratch").mkdir(parents=True)
    (old / "weights").write_text("of a model")
    (old / "scratch" / "x").write_text("not this")
    document = file_in(README, "research-files.yaml").replace("/srv/", f"{tmp_path}/srv/")
    (tmp_path / "research-files.yaml").write_text(document)
    plan, run = sections(README, in_a_cluster=False)["On one machine"]
    for command in (plan, run):
        assert not new.exists(), "a plan changes nothing"
        argv = (*PROGRAM, *command.argv[1:])
        environment = Machine(tmp_path).environment(COLUMNS="200")
        done = subprocess.run(
            argv, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == command.exit_code, done.stdout + done.stderr
        assert_shown(command, done.stdout + done.stderr)
    assert (new / "weights").read_text() == "of a model"
    assert not (new / "scratch" / "x").exists()
    assert "research-files" in (tmp_path / "moved.html").read_text()
