"""From server to server: what arrives, what a second run does, what is found by the real client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.local.mlflow_api.case import Case
from tests.local.mlflow_api.conftest import ADMIN, PASSWORD, Servers

EVERYTHING: dict[str, Any] = {
    "experiments": {"include": ["*"], "lifecycle": "All"},
    "models": {"include": ["*"]},
}


@pytest.fixture(scope="module")
def moved(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Case:
    case = Case(
        tmp_path_factory.mktemp("moved"),
        {"trackingUri": servers.source.url},
        {"trackingUri": servers.target.url},
        select=EVERYTHING,
    )
    survey = case.good("survey")
    assert survey.facts["problems"]["count"] == 0, survey.facts
    assert survey.counts["targetEmpty"] == 1
    case.good("copy")
    return case


NAMES = ("vision/a", "other ünïcode", "gone")


@pytest.fixture(scope="module")
def seen(servers: Servers, moved: Case, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The target, with MLflow's own client; runs by the source's ids."""
    found = servers.look(servers.target, tmp_path_factory.mktemp("seen"))
    found["runs"] = {
        run["tags"]["project_migration.source_run_id"]: run | {"id": i} for i, run in found["runs"].items()
    }
    return found


def test_everything_arrives_and_is_proved(moved: Case) -> None:
    record = moved.good("verify")
    kinds = record.facts["kinds"]
    assert kinds["runs"] == [7, 7, 7]
    assert kinds["logged models"] == [1, 1, 1]
    assert kinds["model versions"] == [13, 13, 13]
    assert kinds["traces"] == [2, 2, 2]
    assert kinds["evaluation datasets"] == [1, 1, 1]
    assert kinds["scorers"] == [1, 1, 1]
    assert record.counts["filesRead"] == 7


def test_the_real_client_finds_times_status_user_history_and_files(
    servers: Servers, seen: dict[str, Any], tmp_path: Path
) -> None:
    source = servers.look(servers.source, tmp_path)["runs"]
    for identity, here in source.items():
        there = seen["runs"][identity]
        assert here["info"] | {"experiment_id": ""} == there["info"] | {"experiment_id": ""}
        assert here["params"] == there["params"]
        assert here["histories"] == there["histories"]
        assert here["files"] == there["files"]
    first = servers.population.runs["first"]
    assert len(seen["runs"][first]["histories"]["accuracy"]) == 2300
    assert seen["runs"][first]["files"] == ["deep/er/still/fü b.bin", "empty.txt", "large.bin", "note.txt"]
    own = {key: value for key, value in seen["runs"][first]["tags"].items() if not key.startswith("project_migration.")}
    assert source[first]["tags"] == own


def test_nested_runs_deleted_ones_and_missing_parents_are_as_they_were(servers: Servers, seen: dict[str, Any]) -> None:
    runs = {name: seen["runs"][identity] for name, identity in servers.population.runs.items()}
    assert runs["parent"]["id"] == runs["child"]["tags"]["mlflow.parentRunId"]
    assert "mlflow.parentRunId" not in runs["orphan"]["tags"]
    assert runs["orphan"]["tags"]["project_migration.source_parent_run_id"] == "f" * 32
    assert runs["deleted"]["info"]["lifecycle_stage"] == "deleted"
    assert (runs["running"]["info"]["status"], runs["running"]["info"]["end_time"]) == ("RUNNING", None)
    assert seen["experiments"]["gone"] == "deleted"


def test_versions_keep_numbers_stages_and_aliases_and_lead_to_what_moved(
    servers: Servers, seen: dict[str, Any]
) -> None:
    first, third = sorted((one for one in seen["versions"] if one["name"] == "fraud"), key=lambda v: v["version"])
    assert (first["version"], third["version"]) == ("1", "3")
    assert first["stage"] == "Production"
    assert third["aliases"] == ["champion"]
    model = third["model"]
    assert model["params"] == {"depth": "3"}
    path = model["place"].removeprefix("mlflow-artifacts:/")
    text = servers.target.text(f"api/2.0/mlflow-artifacts/artifacts/{path}/MLmodel")
    assert model["id"] in text
    assert seen["runs"][servers.population.runs["parent"]]["id"] in text
    assert servers.population.model not in text


def test_prompts_of_more_than_ten_versions_keep_their_order(servers: Servers, moved: Case) -> None:
    answer = servers.target.get("model-versions/get", name="greeting", version="10")["model_version"]
    tags = {tag["key"]: tag["value"] for tag in answer["tags"]}
    assert tags["mlflow.prompt.text"] == "Hello {{x}} 10"
    assert answer["description"] == "commit 10"


def test_a_second_run_and_a_second_migration_change_nothing(servers: Servers, moved: Case, tmp_path: Path) -> None:
    again = Case(tmp_path, moved.source, moved.target, select=EVERYTHING)
    for case in (moved, again):
        record = case.good("copy")
        made = {name for name in record.counts if not name.endswith("There")}
        assert made <= {"metrics", "runsResumed", "notPreserved", "filesThere", "skipped"}, record.counts
        # a run that is not over is looked at again, and what it has is sent again
        assert record.counts["runsResumed"] <= 2
    assert len(servers.target.experiments()) == 5


def test_a_change_of_the_target_is_found(servers: Servers, moved: Case) -> None:
    info = servers.target.moved(servers.population.runs["first"], *NAMES)["info"]
    servers.target.post("runs/set-tag", {"run_id": info["run_id"], "key": "t5", "value": "other"})
    point = {"run_id": info["run_id"], "key": "accuracy", "value": 9.5, "timestamp": 1, "step": 99_999}
    servers.target.post("runs/log-metric", point)
    place = servers.artifacts("target") / info["artifact_uri"].removeprefix("mlflow-artifacts:/") / "note.txt"
    place.write_bytes(b"olleh")
    record = moved.run("verify")
    assert record.reason == "VerifyFailed"
    assert moved.listed(record, "different") == [
        f"run {servers.population.runs['first']}\ttags, metrics",
        f"run {servers.population.runs['first']}: note.txt\tits content",
    ]


def test_only_what_is_chosen_moves_to_a_server_behind_a_login(servers: Servers, tmp_path: Path) -> None:
    select = {
        "experiments": {"include": ["nothing at all"]},
        "models": {"include": ["fr*"], "aliases": ["champion"], "withRuns": "Versions"},
        "sourceTags": True,
    }
    case = Case(tmp_path, {"trackingUri": servers.source.url}, {"trackingUri": servers.guarded.url}, select=select)
    case.more = {"rename": {"models": {"fraud": "fraud new"}, "experiments": {"vision/a": "seen"}}}
    case.secret("target", username=ADMIN, password=PASSWORD)
    record = case.good("copy")
    assert record.counts["runs"] == 1
    assert record.counts["versions"] == 1
    assert "traces" not in record.counts
    assert "evaluationDatasets" not in record.counts
    case.good("verify")
    found = servers.guarded.get("model-versions/get", name="fraud new", version="3")["model_version"]
    assert found["version"] == "3"
    tags = {tag["key"]: tag["value"] for tag in found["tags"]}
    assert (tags["project_migration.field.name"], tags["project_migration.field.version"]) == ("fraud", "3")
    run = servers.guarded.get("runs/get", run_id=found["run_id"])["run"]
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    assert tags["project_migration.field.user_id"] == run["info"]["user_id"], "what a run was is in its tags"
    assert tags["project_migration.field.start_time"] == str(run["info"]["start_time"])
    assert PASSWORD not in case.said
    for path in case.workspace.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes()


def test_what_a_migration_made_is_removed_and_a_later_one_takes_it_up_again(
    servers: Servers, moved: Case, tmp_path: Path
) -> None:
    mine = Case(tmp_path, moved.source, moved.target, uid="cleared")
    mine.select = {"experiments": {"include": ["vision/*"]}, "models": {"include": ["no"]}}
    mine.more = {"rename": {"experiments": {"vision/a": "for a while"}}}
    before = len(servers.target.experiments("ACTIVE_ONLY"))
    copied = mine.run("copy")
    # its traces are in the target already, in another experiment, and are left there
    failed = mine.listed(copied, "failed")
    assert len(failed) == 2
    assert all(line.startswith("trace ") and "in its experiment" in line for line in failed)
    cleared = mine.good("clear", what="Everything")
    assert cleared.counts["experiments"] == 1
    assert "mlflow gc" in cleared.message
    assert before == len(servers.target.experiments("ACTIVE_ONLY"))
    kept = servers.target.moved(servers.population.runs["parent"], *NAMES)
    assert kept["info"]["lifecycle_stage"] == "active"
