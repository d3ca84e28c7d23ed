"""Artifact locations: rewritten by the longest root, at a name's end, and moved with their experiment's number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_migration.workers.mlflow.database.uris import (
    Rewriter,
    Root,
    Standing,
    directory_of,
    scheme_of,
)

ROOTS = (
    "mlflow-artifacts:/",
    "s3://bucket/prefix",
    "s3://bucket/prefix/inner",
    "file:///srv/mlartifacts",
    "/srv/mlartifacts",
    "gs://models/artifacts/1",
    "mlruns",
)
names = st.text(st.characters(blacklist_characters="/?#\0", blacklist_categories=("Cs",)), min_size=1, max_size=8)
paths = st.lists(names.filter(lambda name: name not in {".", ".."}), min_size=1, max_size=4).map("/".join)
numbers = st.dictionaries(st.integers(0, 30), st.integers(31, 60), max_size=4)


@given(st.sampled_from(ROOTS), st.sampled_from(ROOTS), paths)
def test_what_lies_below_a_root_lies_as_deep_below_the_other(old: str, new: str, below: str) -> None:
    uri = f"{old.rstrip('/')}/{below}"
    rewritten = Rewriter((Root(old, new),)).of(uri)
    assert rewritten == f"{new.rstrip('/')}/{below}"


@given(st.sampled_from(ROOTS), paths, numbers)
def test_a_rewriting_back_gives_what_was_there(root: str, below: str, moved: dict[int, int]) -> None:
    if len(set(moved.values())) < len(moved):
        return
    there = Rewriter((Root(root, "s3://new/place"),), moved)
    back = Rewriter((Root("s3://new/place", root),), {new: old for old, new in moved.items()})
    number = directory_of(below)[1]
    if number in moved.values():
        return  # it would be taken for one that moved
    uri = f"{root.rstrip('/')}/{below}"
    assert back.of(there.of(uri)) == uri


@given(st.sampled_from(ROOTS), names, paths)
def test_a_name_that_only_begins_like_a_root_stays(root: str, more: str, below: str) -> None:
    head = root.rstrip("/")
    if not head or head.endswith(":"):
        return
    uri = f"{head}x{more}/{below}"
    assert Rewriter((Root(root, "s3://new"),)).of(uri) == uri


@given(st.integers(0, 99), st.integers(0, 99), st.integers(100, 200), names)
def test_only_the_directory_of_the_experiment_takes_its_new_number(one: int, other: int, new: int, run: str) -> None:
    uri = f"mlflow-artifacts:/{one}/{run}/artifacts/{one}/{other}"
    rewritten = Rewriter((Root("mlflow-artifacts:/", "s3://b"),), {one: new}).of(uri)
    assert rewritten == f"s3://b/{new}/{run}/artifacts/{one}/{other}"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://bucket/prefix/inner/1/r", "gs://deep/1/r"),
        ("s3://bucket/prefix/1/r", "gs://flat/1/r"),
        ("s3://bucket/prefix", "gs://flat"),
        ("s3://bucket/prefixes/1", "s3://bucket/prefixes/1"),
        ("s3://other/bucket/prefix/1", "s3://other/bucket/prefix/1"),
        ("s3://bucket/prefix/a?versionId=3", "gs://flat/a?versionId=3"),
        ("runs:/abc/model", "runs:/abc/model"),
    ],
)
def test_the_longest_root_wins_at_a_boundary(uri: str, expected: str) -> None:
    roots = (Root("s3://bucket/prefix", "gs://flat"), Root("s3://bucket/prefix/inner", "gs://deep"))
    assert Rewriter(roots).of(uri) == expected


def test_a_directory_is_one_whether_by_path_or_by_uri() -> None:
    rewriter = Rewriter((Root("file:///srv/a", "/data/b"),), {1: 7})
    for uri in ("/srv/a/1/r", "file:///srv/a/1/r", "file:/srv/a/1/r", "file://localhost/srv/a/1/r"):
        assert rewriter.of(uri) == "/data/b/7/r"


def test_workspaces_have_a_level_of_their_own() -> None:
    rewriter = Rewriter((Root("mlflow-artifacts:/", "mlflow-artifacts:/"),), {3: 9})
    assert rewriter.of("mlflow-artifacts:/workspaces/team/3/r") == "mlflow-artifacts:/workspaces/team/9/r"
    assert rewriter.of("mlflow-artifacts:/03/r") == "mlflow-artifacts:/03/r"


def test_standing_tells_references_from_places() -> None:
    rewriter = Rewriter((Root("mlflow-artifacts:/", "s3://b"),))
    found = {
        uri: rewriter.standing(uri)
        for uri in ("mlflow-artifacts:/1/r", "s3://x/y", "runs:/r/m", "models:/m-1", "dummy-source", "")
    }
    assert list(found.values()) == [
        Standing.INSIDE,
        Standing.OUTSIDE,
        Standing.REFERENCE,
        Standing.REFERENCE,
        Standing.NOTHING,
        Standing.NOTHING,
    ]
    assert scheme_of("S3://x") == "s3"
    assert scheme_of("/srv/x") == "file"
