"""From server to server: what arrives, what a second run does, what is found by the real client."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow import MlflowClient

from tests.local.mlflow_api.case import Case
from tests.local.mlflow_api.conftest import Servers
from tests.local.mlflow_api.servers import ADMIN, PASSWORD

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


def _run(client: MlflowClient, source: str) -> Any:
    names = ("vision/a", "other ünïcode", "gone")
    ids = [one.experiment_id for one in client.search_experiments(view_type=3) if one.name in names]
    found = client.search_runs(ids, f"tags.`project_migration.source_run_id` = '{source}'", run_view_type=3)
    assert len(found) == 1
    return found[0]


def test_everything_arrives_and_is_proved(moved: Case) -> None:
    record = moved.good("verify")
    kinds = record.facts["kinds"]
    assert kinds["runs"] == [7, 7, 7]
    assert kinds["logged models"] == [1, 1, 1]
    assert kinds["model versions"] == [13, 13, 13]
    assert kinds["traces"] == [2, 2, 2]
    assert kinds["evaluation datasets"] == [1, 1, 1]
    assert kinds["scorers"] == [1, 1, 1]
    assert record.counts["filesRead"] == 6


def test_the_real_client_finds_times_status_user_history_and_files(
    servers: Servers, moved: Case, tmp_path: Path
) -> None:
    client, here = servers.client, MlflowClient(servers.source.url)
    source = here.get_run(servers.population.runs["first"])
    run = _run(client, source.info.run_id)
    for name in ("status", "start_time", "end_time", "user_id", "run_name", "lifecycle_stage"):
        assert getattr(source.info, name) == getattr(run.info, name)
    assert source.data.params == run.data.params
    own = {key: value for key, value in run.data.tags.items() if not key.startswith("project_migration.")}
    assert source.data.tags == own
    history = client.get_metric_history(run.info.run_id, "accuracy")
    assert [(i / 7, 1_000 + i, i) for i in range(2_300)] == [(m.value, m.timestamp, m.step) for m in history]
    assert math.isnan(run.data.metrics["odd/nan"])
    assert len(client.get_metric_history(run.info.run_id, "odd/twice")) == 2
    place = client.download_artifacts(run.info.run_id, "deep", str(tmp_path))
    assert [path.name for path in Path(place).rglob("*") if path.is_file()] == ["fü ?.bin"]


def test_nested_runs_deleted_ones_and_missing_parents_are_as_they_were(servers: Servers, moved: Case) -> None:
    client, runs = servers.client, servers.population.runs
    child = _run(client, runs["child"])
    assert _run(client, runs["parent"]).info.run_id == child.data.tags["mlflow.parentRunId"]
    orphan = _run(client, runs["orphan"])
    assert "mlflow.parentRunId" not in orphan.data.tags
    assert orphan.data.tags["project_migration.source_parent_run_id"] == "f" * 32
    assert _run(client, runs["deleted"]).info.lifecycle_stage == "deleted"
    assert _run(client, runs["running"]).info.status == "RUNNING"
    assert _run(client, runs["running"]).info.end_time is None
    gone = client.get_experiment_by_name("gone")
    assert gone is not None
    assert gone.lifecycle_stage == "deleted"


def test_versions_keep_numbers_stages_and_aliases_and_lead_to_what_moved(servers: Servers, moved: Case) -> None:
    client = servers.client
    versions = {v.version: v for v in client.search_model_versions("name = 'fraud'")}
    assert {"1", "3"} == {str(number) for number in versions}
    first, third = client.get_model_version("fraud", "1"), client.get_model_version("fraud", "3")
    assert first.current_stage == "Production"
    assert client.get_model_version_by_alias("fraud", "champion").version == third.version
    model = client.get_logged_model(third.source.removeprefix("models:/"))
    assert model.status == "READY"
    assert model.params == {"depth": "3"}
    text = requests.get(
        f"{servers.target.url}/api/2.0/mlflow-artifacts/artifacts/"
        f"{model.artifact_location.removeprefix('mlflow-artifacts:/')}/MLmodel",
        timeout=30,
    ).text
    assert model.model_id in text
    assert _run(client, servers.population.runs["parent"]).info.run_id in text
    assert servers.population.model not in text


def test_prompts_of_more_than_ten_versions_keep_their_order(servers: Servers, moved: Case) -> None:
    answer = requests.get(
        f"{servers.target.url}/api/2.0/mlflow/model-versions/get", {"name": "greeting", "version": "10"}, timeout=30
    ).json()["model_version"]
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
    assert len(servers.client.search_experiments(view_type=3)) == 5


def test_a_change_of_the_target_is_found(servers: Servers, moved: Case) -> None:
    run = _run(servers.client, servers.population.runs["first"])
    servers.client.set_tag(run.info.run_id, "t5", "other")
    servers.client.log_metric(run.info.run_id, "accuracy", 9.5, timestamp=1, step=99_999)
    place = servers.target.artifacts / run.info.artifact_uri.removeprefix("mlflow-artifacts:/") / "note.txt"
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
    case.good("verify")
    headers = {"name": "fraud new", "version": "3"}
    url = f"{servers.guarded.url}/api/2.0/mlflow/model-versions/get"
    found = requests.get(url, headers, auth=(ADMIN, PASSWORD), timeout=30).json()["model_version"]
    assert found["version"] == "3"
    assert PASSWORD not in case.said
    for path in case.workspace.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes()


def test_what_a_migration_made_is_removed_and_a_later_one_takes_it_up_again(
    servers: Servers, moved: Case, tmp_path: Path
) -> None:
    mine = Case(tmp_path, moved.source, moved.target, uid="cleared")
    mine.select = {"experiments": {"include": ["vision/*"]}, "models": {"include": ["no"]}}
    mine.more = {"rename": {"experiments": {"vision/a": "for a while"}}}
    before = len(servers.client.search_experiments())
    copied = mine.run("copy")
    # its traces are in the target already, in another experiment, and are left there
    failed = mine.listed(copied, "failed")
    assert len(failed) == 2
    assert all(line.startswith("trace ") and "in its experiment" in line for line in failed)
    cleared = mine.good("clear", what="Everything")
    assert cleared.counts["experiments"] == 1
    assert "mlflow gc" in cleared.message
    assert before == len(servers.client.search_experiments())
    assert _run(servers.client, servers.population.runs["parent"]).info.lifecycle_stage == "active"
