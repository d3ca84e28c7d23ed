"""Which names move, and what they are called then."""

from __future__ import annotations

from typing import Any

import pytest

from project_migration.workers.harness import WrongRequest
from project_migration.workers.mlflow.api import registry
from project_migration.workers.mlflow.api.entities import RegisteredModel, Version
from project_migration.workers.mlflow.renames import Renames
from project_migration.workers.mlflow.selection import Lifecycle, Selection


def selection(**select: Any) -> Selection:
    return Selection.from_params({"select": select})


@pytest.mark.parametrize(
    ("chosen", "name", "expected"),
    [
        ({}, "anything", True),
        ({"include": ["vision/*"]}, "vision/a/b", True),
        ({"include": ["vision/*"]}, "Vision/a", False),
        ({"include": ["*"], "exclude": ["*/tmp"]}, "a/tmp", False),
        ({"ids": ["7"]}, "anything", False),
        ({"ids": ["1"]}, "anything", True),
        ({"include": ["no"], "ids": ["1"]}, "anything", True),
    ],
)
def test_experiments_are_taken_by_patterns_or_ids(chosen: dict[str, Any], name: str, expected: bool) -> None:
    assert expected is selection(experiments=chosen).experiments.takes("1", name, active=True)


def test_deleted_experiments_are_taken_on_request_only() -> None:
    assert not selection().experiments.takes("1", "x", active=False)
    chosen = selection(experiments={"lifecycle": "All"}).experiments
    assert chosen.lifecycle is Lifecycle.ALL
    assert chosen.takes("1", "x", active=False)


@pytest.mark.parametrize(
    "select",
    [
        {"experiments": {"lifecycle": "Some"}},
        {"experiments": {"include": "vision"}},
        {"models": {"versions": [3]}},
        {"models": {"withRuns": "Maybe"}},
        {"metadataOnly": "yes"},
        {"experiments": ["a"]},
    ],
)
def test_a_wrong_param_is_named(select: dict[str, Any]) -> None:
    with pytest.raises(WrongRequest, match=r"params\.select"):
        selection(**select)


def version(number: int, stage: str = "None") -> Version:
    return Version("m", number, "", "", "", stage, "READY")


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ({}, [1, 2, 3, 10]),
        ({"versions": "Latest"}, [3, 10]),
        ({"versions": ["2", "10"]}, [2, 10]),
        ({"stages": ["Production"]}, [1, 3]),
        ({"aliases": ["best"]}, [2]),
        ({"stages": ["Production"], "versions": "Latest"}, [3]),
    ],
)
def test_versions_are_chosen_and_stay_in_the_order_of_their_numbers(
    models: dict[str, Any], expected: list[int]
) -> None:
    found = [version(10), version(1, "Production"), version(3, "Production"), version(2)]
    model = RegisteredModel("m", "", False, aliases={"best": "2", "other": "3"})
    assert expected == [one.number for one in registry.selected(selection(models=models).models, model, found)]


def test_a_rename_takes_the_whole_name_once() -> None:
    renames = Renames.from_params({"rename": {"experiments": {"abc": "x", "x": "y"}}})
    assert [renames.experiment(name) for name in ("abc", "abcabc", "x")] == ["x", "abcabc", "y"]


def test_two_names_may_not_become_one() -> None:
    with pytest.raises(WrongRequest, match="two names become c"):
        Renames.from_params({"rename": {"models": {"a": "c", "b": "c"}}})
