"""What every worker owes to who started it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from project_migration.model.errors import Reason
from project_migration.model.records import NAMES_LIMIT, Progress, Record
from project_migration.workers import harness, reasons
from project_migration.workers.harness import Job
from project_migration.workers.lists import NameLists
from tests.unit.workers.running import Bench, names_of
from tests.unit.workers.test_copy_conflicts import fill


def run(bench: Bench, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "project_migration.workers.copy_tree", "--request", "-", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_the_program_reads_a_request_tells_progress_and_leaves_its_record(bench: Bench) -> None:
    fill(bench.source, {"a": "12345"})
    request = bench.request("copy_tree", "cdsw/copy")
    log = bench.home / "termination.json"

    ran = run(bench, request.to_json(), "--termination-log", str(log))

    assert ran.returncode == 0, ran.stderr
    lines = [Progress.from_line(line) for line in ran.stdout.splitlines()]
    assert lines[-1] == Progress(5, 5, 1, 1)
    assert None not in lines
    assert "copied" in ran.stderr
    kept = (bench.workspace / "results" / "cdsw%2Fcopy-data.json").read_text()
    assert kept == log.read_text()
    record = Record.from_json(kept)
    assert record.succeeded
    assert record.request_digest == request.digest
    assert record.seconds > 0


@pytest.mark.parametrize(
    "text",
    ["", "{}", "nonsense", json.dumps({"version": 2}), json.dumps({"version": 1, "worker": "copy_tree"})],
)
def test_what_is_no_request_ends_with_2_and_a_reason(bench: Bench, text: str) -> None:
    ran = run(bench, text)
    assert ran.returncode == 2
    assert "wrong request" in ran.stderr


def test_a_request_for_another_worker_is_refused(bench: Bench) -> None:
    ran = run(bench, bench.request("survey").to_json())
    assert ran.returncode == 2
    assert "survey" in ran.stderr


@pytest.mark.parametrize(
    "params",
    [
        {"workers": 0},
        {"workers": "four"},
        {"workers": True},
        {"delete": 1},
        {"bandwidth": -1},
        {"include": "*.py"},
        {"include": [1]},
        {"specials": "Maybe"},
        {"ignoreFile": "a/b"},
        {"ownership": {"mode": "Set"}},
        {"ownership": {"mode": "Set", "uid": -1, "gid": 0}},
        {"ownership": {"mode": "Yours"}},
    ],
)
def test_a_wrong_param_is_named_before_anything_is_written(bench: Bench, params: dict[str, object]) -> None:
    fill(bench.source, {"a": "1"})

    ran = bench.start("copy_tree", **params).wait().failed("InvalidDocument")

    assert ran.record is not None
    assert next(iter(params)) in ran.record.message
    assert list(bench.target.iterdir()) == []


def test_a_root_that_is_no_absolute_path_is_refused(bench: Bench) -> None:
    text = bench.request("copy_tree").to_json().replace(str(bench.source), "relative")
    assert run(bench, text).returncode == 2


def test_every_reason_is_one_that_the_operator_knows() -> None:
    words = {value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)}
    assert words <= {str(reason) for reason in Reason}


def make_job(bench: Bench) -> Job:
    return Job(bench.request("copy_tree"), NameLists(bench.workspace, "copy-data"))


def test_an_error_of_the_program_becomes_a_record_that_names_its_object(bench: Bench) -> None:
    def broken(job: Job) -> Record:
        raise KeyError(job.request.unit)

    record = harness._attempt(make_job(bench), broken)

    assert (record.succeeded, record.reason) == (False, "HelperCrashed")
    assert "copy_tree/data" in record.message
    assert "KeyError" in record.message


@pytest.mark.parametrize(
    ("number", "reason", "passing"),
    [
        (28, "NoSpaceLeft", False),
        (122, "NoSpaceLeft", False),
        (30, "TargetReadOnly", False),
        (13, "PermissionDenied", False),
        (1, "PermissionDenied", False),
        (5, "IOError", True),
        (116, "IOError", True),
        (110, "IOError", True),
        (22, "IOError", False),
    ],
)
def test_system_errors_have_reasons(bench: Bench, number: int, reason: str, passing: bool) -> None:
    def failing(job: Job) -> Record:
        raise OSError(number, os.strerror(number), f"{job.root('target')}/d/file")

    record = harness._attempt(make_job(bench), failing)

    assert (record.reason, record.passing) == (reason, passing)
    assert "target: " in record.message
    assert "d/file" in record.message


def test_progress_is_told_once_a_second_and_once_at_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(1000, 2000))
    monkeypatch.setattr(harness.time, "monotonic", lambda: next(clock) / 10)
    job = make_job(bench)
    for number in range(30):
        job.tell(Progress(number, 30, 0, 0))
    job.tell_last()

    told = [Progress.from_line(line) for line in capsys.readouterr().out.splitlines()]
    assert len(told) == 4
    assert told[-1] == Progress(29, 30, 0, 0)


def test_nobody_has_to_read_progress(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Broken())
    harness.print_line("{}")
    harness.print_line("{}")


def test_a_workspace_that_cannot_be_written_makes_no_success(plain: Bench) -> None:
    fill(plain.source, {"a": "1"})
    request = plain.request("copy_tree")
    plain.workspace.chmod(0o555)

    running = plain.start_request(request)
    ran = running.wait()

    plain.workspace.chmod(0o755)
    assert ran.code == 1
    record = Record.from_json((running.out / "termination.json").read_text())
    assert record.reason == "PermissionDenied"
    assert "workspace" in record.message


def test_lists_are_whole_and_names_survive_in_them_while_the_record_keeps_twenty(bench: Bench) -> None:
    for number in range(30):
        os.mkfifo(os.path.join(os.fsencode(bench.source), b"odd \xff\n\\ %02d" % number))

    ran = bench.copy(specials="Skip").succeeded()

    assert ran.record is not None
    assert len(ran.record.names["skipped"]) == NAMES_LIMIT
    whole = names_of(ran, bench, "skipped")
    assert len(whole) == ran.counts["skipped"] == 30
    assert "odd \\xff\\x0a\\\\ 00" in whole


def test_lists_of_an_earlier_attempt_are_gone(bench: Bench) -> None:
    os.mkfifo(bench.source / "pipe")
    request = bench.request("copy_tree", specials="Skip", requireEmpty=True)
    fill(bench.target, {"x": ""})
    bench.start_request(request).wait()
    lists = NameLists(bench.workspace, harness.stem(request))
    lists.add("failed", "of an earlier attempt")
    lists.close()
    (bench.target / "x").unlink()

    ran = bench.start_request(request).wait().succeeded()

    assert ran.record is not None
    assert set(ran.record.lists) == {"skipped"}
    assert sorted(path.name for path in (bench.workspace / "lists").iterdir()) == ["copy_tree-data-skipped.txt"]


def test_nothing_is_left_in_the_workspace_but_results_and_lists(bench: Bench) -> None:
    fill(bench.source, {"a/b": "1", "c": "2"})
    os.link(bench.source / "c", bench.source / "d")
    bench.copy().succeeded()
    bench.verify().succeeded()
    bench.survey().succeeded()

    assert {path.name for path in bench.workspace.iterdir()} == {"results", "manifests"}


def test_a_helper_starts_without_the_operators_models() -> None:
    """They take a second to import on a small node."""
    code = (
        "import sys, project_migration.workers.copy_tree, project_migration.workers.manifest\n"
        "import project_migration.workers.survey, project_migration.workers.release\n"
        "heavy = ('pydantic', 'kopf', 'kubernetes', 'pathspec', 'yaml', 'asyncio')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_results_are_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    harness.write_durably(path, "one")
    harness.write_durably(path, "two")
    assert path.read_text() == "two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]


SWALLOWING = """
import signal, sys, time
from project_migration.workers import harness

class Swallower:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)

def work(job):
    Swallower()
    time.sleep(60)

sys.argv = ["survey", "--request", "-"]
harness.main("survey", "", (), work)
"""


def test_an_end_that_comes_where_python_drops_exceptions_is_an_end_all_the_same(bench: Bench) -> None:
    request = bench.request("survey").to_json()
    ran = subprocess.run([sys.executable, "-c", SWALLOWING], input=request, text=True, check=False, timeout=30)
    assert ran.returncode == 143
