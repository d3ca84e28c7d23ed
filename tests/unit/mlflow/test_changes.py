"""What a row becomes: numbers, names, versions and locations, and nothing else of it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from project_migration.workers.mlflow.database.changes import Changes, changer, named_uri
from project_migration.workers.mlflow.database.uris import Rewriter, Root

CHANGES = Changes(
    experiments={1: 7},
    experiment_names={1: "new"},
    models={("default", "old"): "renamed"},
    versions={("default", "old", 1): 4},
    datasets={"d1": "d9"},
    uris=Rewriter((Root("mlflow-artifacts:/", "s3://b"),), {1: 7}),
)


def changed(table: str, **values: object) -> dict[str, object]:
    change = changer(table, tuple(values), CHANGES)
    assert change is not None
    return dict(zip(values, change(tuple(values.values())), strict=True))


def test_rows_that_stay_as_they_are_are_not_looked_at() -> None:
    for table, columns in {
        "metrics": ("key", "value", "run_uuid"),
        "params": ("key", "value", "run_uuid"),
        "tags": ("key", "value", "run_uuid"),
    }.items():
        assert changer(table, columns, CHANGES) is None
    assert changer("runs", ("run_uuid", "artifact_uri", "experiment_id"), Changes()) is None


@given(st.dictionaries(st.integers(0, 50), st.integers(51, 99)), st.lists(st.integers(0, 99), max_size=6))
def test_numbers_in_a_models_tag_change_each_by_itself(moved: dict[int, int], numbers: list[int]) -> None:
    change = changer("registered_model_tags", ("key", "value"), Changes(experiments=moved))
    text = "," + "".join(f"{number}," for number in numbers)
    expected = "," + "".join(f"{moved.get(number, number)}," for number in numbers)
    row = ("_mlflow_experiment_ids", text)
    assert (change(row) if change else row) == ("_mlflow_experiment_ids", expected)


def test_an_experiment_takes_number_name_and_place() -> None:
    found = changed("experiments", experiment_id=1, name="old", artifact_location="mlflow-artifacts:/1")
    assert found == {"experiment_id": 7, "name": "new", "artifact_location": "s3://b/7"}
    assert changed("experiments", experiment_id=2, name="old", artifact_location=None)["name"] == "old"


def test_a_version_takes_name_number_and_source() -> None:
    found = changed("model_versions", workspace="default", name="old", version=1, source="models:/old/1")
    assert found == {"workspace": "default", "name": "renamed", "version": 4, "source": "models:/renamed/4"}
    other = changed("model_versions", workspace="other", name="old", version=1, source="mlflow-artifacts:/1/r/m")
    assert other == {"workspace": "other", "name": "old", "version": 1, "source": "s3://b/7/r/m"}


def test_names_within_uris_and_json_change() -> None:
    assert named_uri("models:/m-abc", CHANGES, "default") == "models:/m-abc"
    assert named_uri("models:/old/2/path", CHANGES, "default") == "models:/renamed/2/path"
    tag = changed("trace_tags", key="mlflow.linkedPrompts", value=json.dumps([{"name": "old", "version": "1"}]))
    assert json.loads(str(tag["value"])) == [{"name": "renamed", "version": "4"}]
    own = changed("logged_model_tags", tag_key="mlflow.modelVersions", tag_value="not json")
    assert own["tag_value"] == "not json"


def test_an_association_takes_both_ends() -> None:
    found = changed(
        "entity_associations",
        source_type="experiment",
        source_id="1",
        destination_type="prompt_version",
        destination_id="old/1",
    )
    assert (found["source_id"], found["destination_id"]) == ("7", "renamed/4")


def test_a_span_takes_its_experiments_number_and_stays_what_it_is() -> None:
    content = {"name": "é", "attributes": {"mlflow.experimentId": '"1"', "other": "1"}}
    found = json.loads(str(changed("spans", content=json.dumps(content), experiment_id=1)["content"]))
    assert found == {"name": "é", "attributes": {"mlflow.experimentId": '"7"', "other": "1"}}


def test_an_input_follows_a_dataset_that_the_target_has_under_another_id() -> None:
    assert changed("inputs", source_type="DATASET", source_id="d1")["source_id"] == "d9"
    assert changed("inputs", source_type="RUN_OUTPUT", source_id="d1")["source_id"] == "d1"


def test_a_webhook_arrives_switched_off() -> None:
    assert changed("webhooks", webhook_id="w", status="ACTIVE")["status"] == "DISABLED"
