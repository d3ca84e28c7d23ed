"""The tags in which an object says what it was on the source."""

from __future__ import annotations

from project_migration.workers.mlflow.api import marks
from project_migration.workers.mlflow.api.entities import Experiment, Owner, Place, RegisteredModel, Run, Version

RUN = Run(
    id="r1",
    experiment="3",
    name="first",
    user="ana",
    status="FAILED",
    start=5,
    end=9,
    active=False,
    place=Place(Owner.RUN, "r1", "s3://old/3/r1/artifacts"),
    tags={"mlflow.source.name": "train.py", "team": "a"},
)


def test_a_run_says_where_it_came_from_and_no_more_unless_it_is_asked_to() -> None:
    assert marks.of_run(RUN, "uid", fields=False) == {marks.RUN_ID: "r1", marks.MIGRATION: "uid"}


def test_with_source_tags_a_run_keeps_every_field_and_every_tag_of_mlflow_s() -> None:
    tags = marks.of_run(RUN, "uid", fields=True)
    kept = {name.removeprefix(marks.FIELD): value for name, value in tags.items() if name.startswith(marks.FIELD)}
    assert kept == {
        "run_name": "first",
        "experiment_id": "3",
        "artifact_uri": "s3://old/3/r1/artifacts",
        "status": "FAILED",
        "user_id": "ana",
        "start_time": "5",
        "end_time": "9",
        "lifecycle_stage": "deleted",
    }
    assert tags[f"{marks.MLFLOW_TAG}source.name"] == "train.py"
    assert marks.without(tags | RUN.tags) == RUN.tags, "they are no part of what is compared"


def test_with_source_tags_names_stages_and_places_of_the_others_are_kept_too() -> None:
    experiment = marks.of_experiment(Experiment("3", "old", "s3://old/3", True, updated=7), "uid", fields=True)
    assert (experiment[f"{marks.FIELD}name"], experiment[f"{marks.FIELD}last_update_time"]) == ("old", "7")
    model = marks.of_registered_model(RegisteredModel("fraud", "", prompt=False), "uid", fields=True)
    assert model[f"{marks.FIELD}name"] == "fraud"
    version = marks.of_version(Version("fraud", 2, "s3://x", "r1", "", "Staging", "READY"), "uid", fields=True)
    assert (version[f"{marks.FIELD}version"], version[f"{marks.FIELD}current_stage"]) == ("2", "Staging")
