"""The helper that puts a report into the workspace."""

from __future__ import annotations

import base64
import gzip

import pytest

from project_migration.workers import report
from project_migration.workers.report import packed
from tests.unit.workers.running import Bench


def test_the_files_lie_in_the_workspace_as_they_were_made(bench: Bench) -> None:
    files = {"report.html": packed("<h1>naïve</h1>"), "report.json": packed("{}")}
    ran = bench.start("report", files=files).wait().succeeded()
    assert (bench.workspace / "report.html").read_text() == "<h1>naïve</h1>"
    assert (bench.workspace / "report.json").read_text() == "{}"
    assert ran.counts["files"] == 2
    assert [path.name for path in bench.workspace.iterdir() if path.name.startswith(".")] == []


def test_a_later_report_takes_the_place_of_the_one_before(bench: Bench) -> None:
    for text in ("first, and longer", "second"):
        bench.start("report", files={"report.html": packed(text)}).wait().succeeded()
    assert (bench.workspace / "report.html").read_text() == "second"


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"../report.html": packed("x")},
        {"results/copy-data.json": packed("x")},
        {"report.sh": packed("x")},
        {"report.html": "no base64"},
        {"report.html": base64.b64encode(b"no gzip").decode()},
        {"report.html": base64.b64encode(gzip.compress(b"cut")[:-4]).decode()},
    ],
)
def test_what_is_no_report_is_refused_and_nothing_is_written(bench: Bench, files: dict[str, str]) -> None:
    bench.start("report", files=files).wait().failed("InvalidDocument")
    assert not [path for path in bench.home.rglob("*") if path.suffix in (".html", ".sh")]


def test_a_file_that_unpacks_to_more_than_any_report_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "LARGEST_BYTES", 1000)
    bench.start("report", files={"report.html": packed("x" * 1001)}).wait().failed("InvalidDocument")
    assert not (bench.workspace / "report.html").exists()
