"""`run` and `plan` with real helpers on real directories, each as a program of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

PROGRAM = (sys.executable, "-m", "project_migration.cli.main")
MIB = 2**20

#: A service managed by a program of the user's: it keeps its count in a file, and every call in another.
SERVICE = """#!/bin/sh
here=$(dirname "$0")
put() { echo "$1" > "$here/count.new"; mv "$here/count.new" "$here/count"; }
case $1 in
status) cat "$here/count" ;;
stop) put 0; echo "stop" >> "$here/calls" ;;
start) put "$2"; echo "start $2" >> "$here/calls" ;;
esac
"""


@dataclass(frozen=True)
class Machine:
    """Directories, a document, and the program run on them."""

    path: Path

    @property
    def old(self) -> Path:
        return self.path / "old"

    @property
    def new(self) -> Path:
        return self.path / "new"

    @property
    def state(self) -> Path:
        return self.path / "home" / "project-migration" / "ml-vision"

    @property
    def calls(self) -> list[str]:
        path = self.path / "service" / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def count(self) -> int:
        return int((self.path / "service" / "count").read_text())

    def write(self, name: str = "vision", *, source: Any = None, target: Any = None, **spec: Any) -> Path:
        pair = {
            "name": "data",
            "source": source or {"path": str(self.old)},
            "target": target or {"path": str(self.new)},
        }
        document = {
            "apiVersion": "migration.mlops.dev/v1alpha1",
            "kind": "ProjectMigration",
            "metadata": {"name": name, "namespace": "ml"},
            "spec": {"volumes": {"pairs": [pair]}, **spec},
        }
        path = self.path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    def serve(self) -> tuple[str, str]:
        """A service of three instances on the source's side. Returns the option that binds it."""
        directory = self.path / "service"
        directory.mkdir()
        (directory / "manage").write_text(SERVICE)
        (directory / "manage").chmod(0o755)
        (directory / "count").write_text("3\n")
        return "--bind", f"deployment/web=exec/{directory}/manage"

    def environment(self, **extra: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COLUMNS", "XDG"))}
        return {**kept, "XDG_STATE_HOME": str(self.path / "home"), **extra}

    def call(self, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        argv = [*PROGRAM, *map(str, arguments)]
        return subprocess.run(
            argv, capture_output=True, text=True, env=self.environment(), timeout=120, check=False, **options
        )

    def begin(self, *arguments: str | Path) -> subprocess.Popen[str]:
        argv = [*PROGRAM, *map(str, arguments)]
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, env=self.environment())

    def status(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.state / "state.json").read_text())["status"]
        return data


WEB = {"workloads": [{"kind": "Deployment", "name": "web", "side": "Source"}]}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    made.old.mkdir()
    yield made
    assert not helpers_of(tmp_path), "no helper is left alive"


def helpers_of(path: Path) -> list[int]:
    """Processes of ours that work below the directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                argv = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"project_migration.workers" in argv and os.fsencode(path) in argv:
                found.append(int(entry.name))
    return found


def fill(directory: Path) -> None:
    """A little of everything that a tree may hold."""
    (directory / "models" / "empty").mkdir(parents=True)
    (directory / "models" / "weights.bin").write_bytes(os.urandom(300_000))
    (directory / ".hidden").write_text("dot")
    (directory / "naïve \n name").write_text("odd")
    (directory / "link").symlink_to("models/weights.bin")
    (directory / "dangling").symlink_to("nowhere")
    os.link(directory / ".hidden", directory / "models" / "same")
    (directory / "run.sh").write_text("#!/bin/sh\n")
    (directory / "run.sh").chmod(0o750)
    os.utime(directory / ".hidden", (1_000_000_000, 1_000_000_000))


MARK = ".project-migration"


def picture(directory: Path) -> dict[str, tuple[object, ...]]:
    """What a person would compare: type, mode, time, content, by relative path. Not our word of what was completed."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(path for path in directory.rglob("*") if MARK not in path.parts):
        facts = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        when = None if path.is_symlink() else int(facts.st_mtime)
        found[str(path.relative_to(directory))] = (oct(facts.st_mode), when, content)
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not so within {seconds}s")


def copying(machine: Machine) -> Callable[[], bool]:
    """Whether a copy is under way, with something on the target already."""

    def found() -> bool:
        try:
            steps = {step["id"]: step for step in machine.status()["steps"]}
        except (OSError, ValueError):
            return False
        units = steps.get("copy", {}).get("units", [])
        return any(unit.get("bytesDone", 0) > 0 for unit in units)

    return found


def test_a_tree_arrives_whole_and_the_end_is_told(machine: Machine) -> None:
    fill(machine.old)
    done = machine.call("run", machine.write())
    assert done.returncode == 0, done.stdout + done.stderr
    assert picture(machine.new) == picture(machine.old)
    assert (machine.new / "models" / "same").samefile(machine.new / ".hidden")
    assert "ml/vision has arrived, and was proved equal to its source." in done.stdout
    assert "Proof: sha256:" in done.stdout
    report = machine.state / "workspace" / "report.html"
    assert f"Report: {report}" in done.stdout
    assert "has arrived" in report.read_text()


def test_a_log_gets_one_plain_line_a_transition(machine: Machine) -> None:
    fill(machine.old)
    done = machine.call("run", machine.write())
    lines = [line[10:] for line in done.stdout.splitlines()]
    assert "\x1b" not in done.stdout
    assert done.stderr == ""
    for step in ("lock", "preflight", "copy", "verify", "resume", "clean up"):
        assert sum(line.startswith(f"{step} done") for line in lines) == 1, done.stdout


def test_the_same_command_after_success_changes_nothing(machine: Machine) -> None:
    fill(machine.old)
    document = machine.write()
    machine.call("run", document)
    (machine.new / "mine").write_text("written since")
    before, version = picture(machine.new), (machine.state / "state.json").read_text()
    done = machine.call("run", document)
    assert (done.returncode, "has ended already" in done.stdout) == (0, True)
    assert picture(machine.new) == before
    assert (machine.state / "state.json").read_text() == version


def test_json_output_is_one_document_and_nothing_else(machine: Machine) -> None:
    fill(machine.old)
    done = machine.call("run", machine.write(), "--output", "json")
    data = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert data["status"]["phase"] == "Succeeded"
    assert data["status"]["progress"]["percent"] == 100
    assert data["status"]["result"]["digest"].startswith("sha256:")


def test_quiet_says_only_how_it_ended(machine: Machine) -> None:
    fill(machine.old)
    done = machine.call("run", machine.write(), "--quiet", "--report", machine.path / "here.html")
    assert done.stdout.startswith("✓ ml/vision has arrived")
    assert (machine.path / "here.html").read_text().startswith("<!doctype html>")


def test_claims_and_workloads_are_what_they_are_bound_to(machine: Machine) -> None:
    fill(machine.old)
    document = machine.write(
        source={"claimName": "data-old", "subPath": "models"},
        target={"claimName": "data-new", "subPath": "a/b"},
        workspace={"claimName": "work"},
        quiesce=WEB,
    )
    binds = ["--bind", f"claim/data-old={machine.old}", "--bind", f"claim/data-new={machine.new}", *machine.serve()]
    done = machine.call("run", document, *binds)
    assert done.returncode == 0, done.stdout + done.stderr
    assert picture(machine.new / "a" / "b") == picture(machine.old / "models")
    assert machine.calls == ["stop", "start 3"]
    assert "Deployment web (3): back as it was" in done.stdout


def test_what_is_not_bound_ends_with_2_before_anything_is_done(machine: Machine) -> None:
    fill(machine.old)
    document = machine.write(source={"claimName": "data-old"}, quiesce=WEB)
    done = machine.call("run", document)
    assert done.returncode == 2
    assert "--bind claim/data-old=DIRECTORY" in done.stderr
    assert "--bind deployment/web=" in done.stderr
    assert not machine.state.exists()
    assert not machine.new.exists()


def test_a_target_in_use_is_not_written_and_its_workloads_were_never_touched(machine: Machine) -> None:
    fill(machine.old)
    machine.new.mkdir()
    (machine.new / "precious").write_text("keep")
    document, bind = machine.write(quiesce=WEB), machine.serve()
    done = machine.call("run", document, *bind)
    assert done.returncode == 1
    assert "TargetNotEmpty" in done.stdout
    assert "Nothing was written to the target." in done.stdout
    assert "What to do: " in done.stdout
    assert machine.calls == []
    assert list(picture(machine.new)) == ["precious"]
    (machine.new / "precious").unlink()
    again = machine.call("run", document, *bind)
    assert again.returncode == 0, again.stdout
    assert machine.calls == ["stop", "start 3"]


def test_a_target_directory_that_is_missing_is_made_as_a_claim_would_be(machine: Machine) -> None:
    fill(machine.old)
    target = {"claimName": "data-new", "create": {"size": "1Gi", "storageClassName": "fast"}}
    document = machine.write(target=target)
    bind = ("--bind", f"claim/data-new={machine.path}/made/here")
    planned = machine.call("plan", document, *bind)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert not (machine.path / "made").exists()
    done = machine.call("run", document, *bind)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (machine.path / "made" / "here" / "run.sh").exists()


def test_a_source_that_is_not_there_is_named_with_what_helps_here(machine: Machine) -> None:
    machine.old.rmdir()
    done = machine.call("run", machine.write())
    assert done.returncode == 1
    assert f"source directory {machine.old} does not exist" in done.stdout
    assert "--bind" in done.stdout


def test_a_plan_tells_everything_and_leaves_nothing(machine: Machine) -> None:
    fill(machine.old)
    document = machine.write(quiesce=WEB, transfer={"bandwidth": "10Mi"})
    before = picture(machine.old)
    done = machine.call("plan", document, *machine.serve())
    assert done.returncode == 0, done.stdout + done.stderr
    words = " ".join(done.stdout.split())
    assert "nothing stands against it, and nothing was changed" in words
    assert "Rests meanwhile: Deployment web (source)" in words
    assert "at most 10.0 MiB a second by transfer.bandwidth" in words
    assert machine.calls == []
    assert not machine.new.exists()
    assert not machine.state.exists()
    assert picture(machine.old) == before


def test_a_plan_names_everything_that_is_wrong_at_once(machine: Machine) -> None:
    fill(machine.old)
    pairs = [
        {"name": "gone", "source": {"path": f"{machine.path}/nope"}, "target": {"path": f"{machine.path}/a"}},
        {"name": "full", "source": {"path": str(machine.old)}, "target": {"path": f"{machine.path}/used"}},
    ]
    (machine.path / "used").mkdir()
    (machine.path / "used" / "file").touch()
    document = machine.write(volumes={"pairs": pairs})
    done = machine.call("plan", document)
    assert done.returncode == 1
    assert "nope does not exist" in done.stdout
    assert "the target holds" in done.stdout
    data = json.loads(machine.call("plan", document, "--output", "json").stdout)
    assert data["status"]["phase"] == "Failed"
    assert shutil.which("true")


def test_a_plan_may_be_followed_by_the_run_in_the_same_directory(machine: Machine) -> None:
    fill(machine.old)
    planned = machine.call("run", machine.write(mode="Plan"))
    assert (planned.returncode, machine.new.exists()) == (0, False)
    assert "can be migrated" in planned.stdout
    done = machine.call("run", machine.write())
    assert done.returncode == 0, done.stdout
    assert picture(machine.new) == picture(machine.old)
