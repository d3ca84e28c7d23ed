"""Archives: ours read back whole, ours read by the package itself, the package's read by us."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.local.mlflow_api import peer
from tests.local.mlflow_api.case import Case
from tests.local.mlflow_api.conftest import Servers

CHOSEN: dict[str, Any] = {"experiments": {"include": ["vision/*", "other*"]}, "models": {"include": ["*"]}}


@pytest.fixture(scope="module")
def written(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """An archive of the chosen part, which is proved."""
    place = tmp_path_factory.mktemp("archive")
    case = Case(place, {"trackingUri": servers.source.url}, {"archive": {"root": "target-archive"}}, select=CHOSEN)
    case.roots["target-archive"] = str(place / "archive")
    assert case.good("survey").counts["targetEmpty"] == 1
    copied = case.good("copy")
    # a prompt's aliases have no place in the layout, a parent that never was is told wherever a run goes
    assert [line.partition("\t")[0] for line in case.listed(copied, "notPreserved")] == ["prompt greeting"]
    return case


def root(case: Case) -> Path:
    return Path(case.roots["target-archive"])


def test_an_archive_holds_all_and_is_proved(written: Case) -> None:
    kinds = written.good("verify").facts["kinds"]
    assert kinds["runs"] == [5, 5, 5]
    assert kinds["model versions"] == [13, 13, 13]
    assert kinds["traces"] == [2, 2, 2]


def test_writing_it_again_changes_no_file_of_a_run(written: Case) -> None:
    def content() -> dict[str, bytes]:
        paths = (path for path in root(written).rglob("artifacts/**/*") if path.is_file() and not path.is_symlink())
        return {str(path): path.read_bytes() for path in paths}

    before = content()
    written.good("copy")
    assert before == content()


def test_a_directory_that_holds_something_else_is_left_alone(written: Case, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "mine.txt").write_text("mine")
    other = Case(tmp_path, written.source, written.target, select=CHOSEN)
    other.roots["target-archive"] = str(tmp_path / "archive")
    assert other.run("copy").reason == "TargetNotEmpty"
    other.roots["target-archive"] = str(root(written))
    assert other.run("copy").reason == "TargetNotEmpty"
    assert other.good("clear").counts == {}
    assert (root(written) / "experiments").is_dir()


def test_an_archive_moves_into_a_server(servers: Servers, written: Case, tmp_path: Path) -> None:
    case = Case(tmp_path, {"archive": {"root": "source-archive"}}, {"trackingUri": servers.second.url}, select=CHOSEN)
    case.roots["source-archive"] = str(root(written))
    case.more = {
        "rename": {
            "experiments": {"vision/a": "unpacked", "other ünïcode": "unpacked too"},
            "models": {name: f"unpacked {name}" for name in ("fraud", "bare")} | {"greeting": "unpacked.greeting"},
        }
    }
    copied = case.run("copy")
    assert all(line.startswith("trace ") for line in case.listed(copied, "failed")), copied.message
    verified = case.run("verify")
    assert all(line.startswith("trace ") for line in case.listed(verified, "missing")), verified.message
    assert "different" not in verified.lists
    assert verified.facts["kinds"]["runs"] == [5, 5, 5]
    child = servers.second.moved(servers.population.runs["child"], "unpacked")
    tags = {tag["key"]: tag["value"] for tag in child["data"]["tags"]}
    assert (
        tags["mlflow.parentRunId"]
        == servers.second.moved(servers.population.runs["parent"], "unpacked")["info"]["run_id"]
    )


def test_the_package_imports_what_we_wrote(servers: Servers, written: Case) -> None:
    peer.run("bulk.import_experiments", servers.second.url, "--input-dir", str(root(written) / "experiments"))
    assert servers.second.names("vision/a") == ["child", "first", "parent"]
    assert servers.second.names("other ünïcode") == ["orphan", "running"]
    (first,) = servers.second.runs("vision/a", filter_text="attributes.run_name = 'first'")
    assert len(first["data"]["metrics"]) == 5
    files = servers.second.get("artifacts/list", run_id=first["info"]["run_id"]).get("files")
    assert sorted(file["path"] for file in files) == ["deep", "empty.txt", "large.bin", "note.txt"]


def test_we_import_what_the_package_wrote(servers: Servers, tmp_path: Path) -> None:
    out = tmp_path / "out"
    peer.run("bulk.export_experiments", servers.source.url, "--output-dir", str(out), "--experiments", "all")
    case = Case(tmp_path, {"archive": {"root": "source-archive"}}, {"trackingUri": servers.second.url})
    case.roots["source-archive"] = str(out)
    case.select = {"experiments": {"include": ["vision/*"]}, "models": {"include": ["none"]}}
    case.more = {"rename": {"experiments": {"vision/a": "from the package"}}}
    survey = case.good("survey")
    assert survey.facts["problems"]["count"] == 0, survey.facts
    case.good("copy")
    case.good("verify")
    assert servers.second.names("from the package") == ["child", "first", "parent"]
    first = servers.second.moved(servers.population.runs["first"], "from the package")
    assert (first["info"]["status"], first["info"]["start_time"]) == ("FAILED", 1_000_000)
    history = servers.second.get(
        "metrics/get-history", run_id=first["info"]["run_id"], metric_key="accuracy", max_results="5000"
    )
    assert len(history["metrics"]) == 2300


def test_what_an_archive_lacks_is_told_and_the_rest_moves(servers: Servers, written: Case, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "archive"
    shutil.copytree(root(written), copy, symlinks=True)
    vision = copy / "experiments" / servers.population.experiments["vision/a"]
    shutil.rmtree(vision / "runs" / servers.population.runs["parent"])
    (vision / "runs" / servers.population.runs["child"] / "run.json").write_text("{")
    case = Case(tmp_path, {"archive": {"root": "source-archive"}}, {"trackingUri": servers.second.url})
    case.roots["source-archive"] = str(copy)
    case.select = {"experiments": {"include": ["vision/*"]}, "models": {"include": ["none"]}}
    case.more = {"rename": {"experiments": {"vision/a": "from a torn one"}}}
    survey = case.good("survey")
    assert [one["reason"] for one in survey.facts["problems"]["found"]] == ["ArchiveUnreadable"]
    record = case.run("copy")
    assert record.reason == "CopyIncomplete"
    failed = {line.partition("\t")[0] for line in case.listed(record, "failed")}
    runs = {f"run {servers.population.runs[name]}" for name in ("parent", "child")}
    assert runs <= failed
    assert servers.second.names("from a torn one") == ["first"]


def test_clearing_takes_an_archive_away(servers: Servers, tmp_path: Path) -> None:
    case = Case(tmp_path, {"trackingUri": servers.source.url}, {"archive": {"root": "target-archive"}})
    case.roots["target-archive"] = str(tmp_path / "archive")
    case.select = {"experiments": {"include": ["other*"]}, "models": {"include": ["none"]}}
    case.good("copy")
    listed = json.loads((tmp_path / "archive" / "experiments" / "experiments.json").read_text())
    assert [one["name"] for one in listed["mlflow"]["experiments"]] == ["other ünïcode"]
    case.good("clear", what="Everything")
    assert list((tmp_path / "archive").iterdir()) == []
