"""Every form of the archive that a release wrote is read, with what is missing or odd in it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from project_migration.workers.mlflow.api.failures import Refused
from project_migration.workers.mlflow.archive.reader import Archive

EXPERIMENT = {"experiment_id": "7", "name": "vision", "artifact_location": "s3://b/7", "lifecycle_stage": "active"}
INFO = {"run_id": "r1", "experiment_id": "7", "status": "FAILED", "start_time": 5, "end_time": 6, "user_id": "me"}
INFO |= {"lifecycle_stage": "active", "artifact_uri": "s3://b/7/r1/artifacts", "run_name": "one"}
RUN = {
    "info": INFO,
    "params": {"p": "1"},
    "tags": {"t": "v"},
    "metrics": {"m": [{"value": float("nan"), "timestamp": 2, "step": 1}, {"value": 1.5, "timestamp": 1, "step": 0}]},
}
MODEL = {"name": "fraud", "description": "d", "tags": [{"key": "a", "value": "b"}], "creation_timestamp": 9}
VERSION = {"name": "fraud", "version": "10", "source": "s3://b/7/r1/artifacts/model", "run_id": "r1"}
VERSION |= {"current_stage": "Production", "tags": {}, "_experiment_name": "vision"}


def put(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def wrapped(content: Any, info: Any = None) -> dict[str, Any]:
    return {"system": {}, "mlflow": content, **({"info": info} if info else {})}


def form_0(root: Path) -> None:
    listed = {"experiments": [{"id": "7", "name": "vision", "ok_runs": 1, "failed_runs": 0}]}
    put(root / "manifest.json", {"info": {}})
    put(root / "experiments" / "manifest.json", listed)
    told = {"experiment": EXPERIMENT, "export_info": {"ok_runs": ["r1"], "failed_runs": []}}
    put(root / "experiments" / "7" / "manifest.json", told)
    put(root / "experiments" / "7" / "r1" / "run.json", RUN)
    put(root / "models" / "manifest.json", {"ok_models": ["fraud"]})
    put(root / "models" / "fraud" / "model.json", {"registered_model": {**MODEL, "latest_versions": [VERSION]}})


def form_1(root: Path) -> None:
    told = {"experiment": EXPERIMENT, "export_info": {"ok_runs": ["r1"], "failed_runs": []}}
    put(root / "7" / "experiment.json", told)
    put(root / "7" / "r1" / "run.json", RUN)
    put(root / "models" / "fraud" / "model.json", {"registered_model": {**MODEL, "latest_versions": [VERSION]}})


def form_2(root: Path) -> None:
    put(root / "experiments" / "experiments.json", wrapped({"experiments": [{"id": "7", "name": "vision"}]}))
    put(root / "experiments" / "7" / "experiment.json", wrapped({"experiment": EXPERIMENT, "runs": ["r1", "r1"]}))
    put(root / "experiments" / "7" / "r1" / "run.json", wrapped(RUN))
    content = wrapped({"registered_model": {**MODEL, "versions": [VERSION]}})
    put(root / "models" / "fraud" / "model.json", content)


def form_3(root: Path) -> None:
    put(root / "experiments" / "experiments.json", wrapped({"experiments": [{"id": "7", "name": "vision"}]}))
    put(root / "experiments" / "7" / "experiment.json", wrapped({"experiment": EXPERIMENT, "runs": ["r1"]}))
    put(root / "experiments" / "7" / "runs" / "r1" / "run.json", wrapped({**RUN, "inputs": {}, "outputs": {}}))
    content = wrapped({"registered_model": {**MODEL, "versions": [VERSION]}})
    put(root / "models" / "fraud" / "model.json", content)


FORMS = [form_0, form_1, form_2, form_3]


def opened(root: Path) -> tuple[Archive, list[tuple[str, str]]]:
    archive, broken = Archive.opened(str(root), "source"), []  # type: tuple[Archive, list[tuple[str, str]]]
    archive.on_broken = lambda what, cause: broken.append((what, cause))
    return archive, broken


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_run_and_version(form: Any, tmp_path: Path) -> None:
    form(tmp_path)
    archive, broken = opened(tmp_path)
    assert [one.name for one in archive.experiments()] == ["vision"]
    (run,) = archive.runs(["7"], deleted=False)
    assert (run.id, run.status, run.start, run.end, run.user) == ("r1", "FAILED", 5, 6, "me")
    assert math.isnan(run.latest["m"].value)
    assert [metric.step for page in archive.history("r1", "m") for metric in page] == [1, 0]
    (version,) = archive.versions()
    assert (version.number, version.stage, version.run) == (10, "Production", "r1")
    assert [(m.name, m.description, m.tags) for m in archive.registered_models()] == [("fraud", "d", {"a": "b"})]
    assert not broken


@pytest.mark.parametrize("form", FORMS)
def test_a_run_without_its_folder_is_told_and_the_rest_is_given(form: Any, tmp_path: Path) -> None:
    form(tmp_path)
    for path in list(tmp_path.rglob("run.json")):
        path.rename(path.with_name("other.json"))
    archive, broken = opened(tmp_path)
    assert not list(archive.runs(["7"], deleted=False))
    assert broken == [("run r1", "the archive lists it, and has no folder for it")]
    assert len(list(archive.versions())) == 1


def test_a_listed_experiment_without_its_folder_and_a_failed_run_are_told(tmp_path: Path) -> None:
    form_3(tmp_path)
    listed = [{"id": "7", "name": "vision"}, {"id": "9", "name": "lost"}]
    put(tmp_path / "experiments" / "experiments.json", wrapped({"experiments": listed}))
    content = wrapped({"experiment": EXPERIMENT, "runs": ["r1"]}, {"failed_runs": ["r2"]})
    put(tmp_path / "experiments" / "7" / "experiment.json", content)
    archive, broken = opened(tmp_path)
    list(archive.experiments())
    list(archive.runs(["7"], deleted=False))
    assert [what for what, _ in broken] == ["experiment lost", "run r2"]


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"mlflow": {}}', '{"mlflow": {"info": {"run_id": "r1"}, "metrics": 3}}']
)
def test_a_file_that_no_release_writes_is_told_with_its_run(content: str, tmp_path: Path) -> None:
    form_3(tmp_path)
    (tmp_path / "experiments" / "7" / "runs" / "r1" / "run.json").write_text(content)
    archive, broken = opened(tmp_path)
    assert not list(archive.runs(["7"], deleted=False))
    assert [what for what, _ in broken] == ["run r1"]


def test_links_are_not_followed_and_ids_do_not_lead_away(tmp_path: Path) -> None:
    form_3(tmp_path / "a")
    run = tmp_path / "a" / "experiments" / "7" / "runs" / "r1" / "run.json"
    (tmp_path / "secret.json").write_text(json.dumps(wrapped(RUN)))
    run.unlink()
    run.symlink_to(tmp_path / "secret.json")
    content = wrapped({"experiment": EXPERIMENT, "runs": ["r1", "../../../../x"]})
    put(tmp_path / "a" / "experiments" / "7" / "experiment.json", content)
    archive, broken = opened(tmp_path / "a")
    assert not list(archive.runs(["7"], deleted=False))
    assert [what for what, _ in broken] == ["run r1", "run ../../../../x"]


def test_another_directory_is_no_archive(tmp_path: Path) -> None:
    put(tmp_path / "x" / "y.json", {})
    with pytest.raises(Refused) as refused:
        Archive.opened(str(tmp_path), "source")
    assert refused.value.reason == "ArchiveUnreadable"
