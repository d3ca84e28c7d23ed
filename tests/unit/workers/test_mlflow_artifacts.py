"""The files of a tracking server, with other names for the directories of experiments that get another id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workers.running import Bench, Ran


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    for name in ("1/run-a/artifacts/model/MLmodel", "1/run-a/artifacts/loss.csv", "2/run-b/artifacts/x", "notes.txt"):
        put(bench.source / name, name)
    return bench


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def arrange(bench: Bench, *moves: tuple[str, str], **more: Any) -> None:
    data = {"version": 1, "moves": [{"from": old, "to": new} for old, new in moves], **more}
    put(bench.workspace / "mlflow" / "moves.json", json.dumps(data))


def copy(bench: Bench, **params: Any) -> Ran:
    return bench.start("mlflow.artifacts.copy", workers=2, **params).wait()


def verify(bench: Bench, **params: Any) -> Ran:
    return bench.start("mlflow.artifacts.verify", workers=2, **params).wait()


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_an_experiment_with_another_id_gets_its_directory_and_the_others_keep_theirs(bench: Bench) -> None:
    put(bench.target / "1/run-of-another/x", "theirs")
    arrange(bench, ("1", "7"))
    copied = copy(bench, release=True).succeeded()
    assert files(bench.target) == {
        "1/run-of-another/x",
        "7/run-a/artifacts/model/MLmodel",
        "7/run-a/artifacts/loss.csv",
        "2/run-b/artifacts/x",
        "notes.txt",
    }
    assert copied.counts["files"] == 4
    proved = verify(bench).succeeded()
    assert proved.record is not None
    assert proved.record.digest.startswith("sha256:")
    assert not list(bench.target.rglob(".project-migration*")), "nothing of ours is left"


def test_two_experiments_that_change_places_do_not_meet(bench: Bench) -> None:
    arrange(bench, ("1", "2"), ("2", "1"))
    copy(bench, release=True).succeeded()
    assert files(bench.target) == {
        "2/run-a/artifacts/model/MLmodel",
        "2/run-a/artifacts/loss.csv",
        "1/run-b/artifacts/x",
        "notes.txt",
    }
    verify(bench).succeeded()


def test_runs_move_out_of_an_experiment_that_stays_and_what_is_made_for_them_belongs_to_its_owner(bench: Bench) -> None:
    for run in ("a", "b", "c"):
        put(bench.source / f"0/run-{run}/artifacts/x", run)
    (bench.source / "0").chmod(0o775)
    put(bench.target / "5/run-of-another/x", "theirs")
    arrange(
        bench,
        ("0/run-a", "9/run-a"),
        ("0/run-b", "9/run-b"),
        ("0/run-c", "5/run-c"),
        only=["0/run-a", "0/run-b", "0/run-c"],
    )
    copied = copy(bench, release=True).succeeded()
    assert files(bench.target) == {
        "9/run-a/artifacts/x",
        "9/run-b/artifacts/x",
        "5/run-c/artifacts/x",
        "5/run-of-another/x",
    }
    assert copied.counts["files"] == 3
    assert (bench.target / "9").stat().st_mode & 0o7777 == 0o775
    verify(bench).succeeded()


def test_only_chosen_experiments_come(bench: Bench) -> None:
    arrange(bench, only=["2"])
    copy(bench, release=True).succeeded()
    assert files(bench.target) == {"2/run-b/artifacts/x"}
    verify(bench).succeeded()


def test_chosen_experiments_that_all_get_other_ids_bring_nothing_else(bench: Bench) -> None:
    arrange(bench, ("2", "9"), only=["2"])
    copy(bench, release=True).succeeded()
    assert files(bench.target) == {"9/run-b/artifacts/x"}


def test_an_experiment_without_files_is_no_fault(bench: Bench) -> None:
    arrange(bench, ("5", "8"))
    copy(bench, release=True).succeeded()
    verify(bench).succeeded()


def test_a_file_that_differs_is_named_with_its_experiment(bench: Bench) -> None:
    arrange(bench, ("1", "7"))
    copy(bench, release=True).succeeded()
    (bench.target / "7/run-a/artifacts/loss.csv").write_text("other")
    failed = verify(bench).failed("VerifyFailed")
    assert failed.record is not None
    assert failed.record.names["different"] == ("1/run-a/artifacts/loss.csv",)


def test_without_an_arrangement_nothing_is_copied(bench: Bench) -> None:
    copy(bench).failed("InvalidDocument")
    assert files(bench.target) == set()


@pytest.mark.parametrize("name", ["..", ".", "a//b", "", "a/../b", "/a", "a/"])
def test_a_directory_never_leads_out_of_the_tree(bench: Bench, name: str) -> None:
    arrange(bench, ("1", name))
    copy(bench).failed("InvalidDocument")
    assert files(bench.target) == set()


def test_a_copy_that_is_repeated_changes_nothing(bench: Bench) -> None:
    arrange(bench, ("1", "7"))
    copy(bench, release=True).succeeded()
    again = copy(bench, release=True).succeeded()
    assert again.counts["bytesCopied"] == 0


def test_single_runs_are_taken_out_of_a_directory_that_keeps_its_name_and_of_one_that_does_not(bench: Bench) -> None:
    put(bench.source / "1/run-c/x", "not wanted")
    put(bench.source / "2/run-d/x", "not wanted")
    put(bench.source / "3/run-e/x", "nothing of it is wanted")
    arrange(bench, ("1", "7"), ("3", "8"), only=["1/run-a", "2/run-b"])
    copy(bench, release=True).succeeded()
    assert files(bench.target) == {
        "7/run-a/artifacts/model/MLmodel",
        "7/run-a/artifacts/loss.csv",
        "2/run-b/artifacts/x",
    }
    verify(bench).succeeded()


def test_an_experiment_of_a_workspace_gets_its_directory_within_that(bench: Bench) -> None:
    put(bench.source / "workspaces/team/1/run-f/x", "f")
    arrange(bench, ("workspaces/team/1", "workspaces/team/7"))
    copy(bench, release=True).succeeded()
    assert "workspaces/team/7/run-f/x" in files(bench.target)
    assert "workspaces/team/1/run-f/x" not in files(bench.target)
    verify(bench).succeeded()
