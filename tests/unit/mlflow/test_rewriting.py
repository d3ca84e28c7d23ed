"""Ids and addresses inside texts."""

from __future__ import annotations

from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_migration.workers.mlflow.api import rewriting
from project_migration.workers.mlflow.api.artifacts import below, cannot_pass
from project_migration.workers.mlflow.api.entities import Version
from project_migration.workers.mlflow.api.failures import ObjectFailed
from project_migration.workers.mlflow.api.ids import Kind, Mapped
from project_migration.workers.mlflow.archive.spans import from_file, to_file

RUN, OTHER, GONE = "a" * 32, "b" * 32, "c" * 32
MODEL = "m-" + "d" * 32


class Ids:
    """Knows one run, one logged model, one experiment and one version."""

    found: ClassVar[dict[tuple[Kind, str], Mapped]] = {
        (Kind.RUN, RUN): Mapped(OTHER, f"mlflow-artifacts:/1/{RUN}/artifacts", f"s3://b/7/{OTHER}/artifacts"),
        (Kind.LOGGED_MODEL, MODEL): Mapped("m-" + "e" * 32, f"s3://models/1/models/{MODEL}/artifacts", "s3://n/m"),
        (Kind.EXPERIMENT, "1"): Mapped("7"),
        (Kind.VERSION, "fraud/3"): Mapped("fraud new/4"),
    }

    def get(self, kind: Kind, source: str) -> Mapped | None:
        return self.found.get((kind, source))

    def target(self, kind: Kind, source: str) -> str:
        found = self.get(kind, source)
        return found.target if found else ""


def version(source: str, run: str = "") -> Version:
    return Version("fraud", 1, source, run, "", "None", "READY")


@pytest.mark.parametrize(
    ("source", "run", "expected"),
    [
        (f"mlflow-artifacts:/1/{RUN}/artifacts/model", RUN, (f"s3://b/7/{OTHER}/artifacts/model", OTHER, "")),
        (f"mlflow-artifacts:/1/{RUN}/artifacts", RUN, (f"s3://b/7/{OTHER}/artifacts", OTHER, "")),
        (f"runs:/{RUN}/model", RUN, (f"runs:/{OTHER}/model", OTHER, "")),
        (f"models:/{MODEL}", RUN, ("models:/m-" + "e" * 32, OTHER, "m-" + "e" * 32)),
        ("models:/fraud/3", "", ("models:/fraud new/4", "", "")),
        (f"s3://models/1/models/{MODEL}/artifacts/x", "", ("s3://n/m/x", "", "m-" + "e" * 32)),
        ("s3://elsewhere/artifacts/models/x", RUN, ("s3://elsewhere/artifacts/models/x", OTHER, "")),
        ("dummy-source", "", ("dummy-source", "", "")),
    ],
)
def test_a_version_leads_to_what_moved(source: str, run: str, expected: tuple[str, str, str]) -> None:
    found = rewriting.origin(version(source, run), Ids(), rename={"fraud": "fraud new"})
    assert expected == (found.source, found.run, found.model)


@pytest.mark.parametrize(
    "source", [f"runs:/{GONE}/model", "models:/m-" + "0" * 32, f"mlflow-artifacts:/1/{GONE}/artifacts/model"]
)
def test_a_version_of_what_did_not_move_is_refused(source: str) -> None:
    with pytest.raises(ObjectFailed, match="did not move"):
        rewriting.origin(version(source, GONE), Ids(), rename={})


def test_an_mlmodel_names_the_new_run_model_and_place() -> None:
    here, there = f"s3://models/1/models/{MODEL}/artifacts", "s3://n/m"
    text = f"artifact_path: {here}\nmodel_id: {MODEL}\nrun_id: {RUN}\nuuid: {GONE}\n"
    expected = f"artifact_path: {there}\nmodel_id: m-{'e' * 32}\nrun_id: {OTHER}\nuuid: {GONE}\n"
    assert expected == rewriting.mlmodel(text, here, there, Ids())


def test_a_parent_that_is_nowhere_is_left_out_and_known_ones_change() -> None:
    tags = {"mlflow.parentRunId": RUN, "mlflow.rootRunId": GONE, "note": RUN}
    assert rewriting.run_tags(tags, Ids()) == {"mlflow.parentRunId": OTHER, "note": RUN}


@pytest.mark.parametrize(
    ("uri", "prefix", "expected"),
    [
        ("mlflow-artifacts:/1/x", "mlflow-artifacts:/", "1/x"),
        ("mlflow-artifacts:/12/x", "mlflow-artifacts:/1", None),
        ("file:///srv/a/1", "/srv/a", "1"),
        ("/srv/a", "file:///srv/a/", ""),
        ("s3://bucket-2/a", "s3://bucket", None),
        ("s3://bucket/a", "gs://bucket", None),
    ],
)
def test_an_address_lies_below_another_at_a_boundary_of_the_path_only(
    uri: str, prefix: str, expected: str | None
) -> None:
    assert expected == below(uri, prefix)


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=12))
def test_a_part_of_a_path_never_counts_as_a_boundary(name: str) -> None:
    assert below(f"s3://bucket/a{name}", "s3://bucket/a") is None or name[0] in "?#"


@pytest.mark.parametrize(
    ("name", "passes"),
    [
        ("a b/ü?;:*~.txt", True),
        ("50%.txt", True),
        ("a%20b", False),
        ("a#b", False),
        ("a\nb", False),
        ("a//b", False),
        ("../b", False),
    ],
)
def test_names_that_a_server_would_change_do_not_pass(name: str, passes: bool) -> None:
    assert passes is (cannot_pass(name) == "")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=4), values, max_size=4))
def test_a_span_of_a_file_survives_the_way_through_otlp(attributes: dict[str, object]) -> None:
    import json

    span = {
        "trace_id": "bvew2qiRVnz1A74mIYk6qQ==",
        "span_id": "T5ICF9B0B1s=",
        "parent_span_id": None,
        "name": "x",
        "start_time_unix_nano": 1795281883298072755,
        "end_time_unix_nano": 1795281883298072756,
        "events": [],
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": {key: json.dumps(value) for key, value in attributes.items()},
        "links": [],
    }
    assert span == to_file(from_file(span))
