"""Selections, schemas, revisions and the one form in which values are compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_migration.workers.harness import WrongRequest
from project_migration.workers.mlflow.database.proving import Tally
from project_migration.workers.mlflow.database.revisions import HEADS, Order, order, releases
from project_migration.workers.mlflow.database.schema import Form, form_of, length_of
from project_migration.workers.mlflow.database.selection import Selection, Versions
from project_migration.workers.mlflow.database.tables import LEFT_OUT, PARENTS, RULES, TABLES


@pytest.mark.parametrize(
    ("declared", "form"),
    [
        ("VARCHAR(250)", Form.TEXT),
        ("character varying(250)", Form.TEXT),
        ("longtext", Form.TEXT),
        ("tinyint(1)", Form.BOOLEAN),
        ("BOOLEAN", Form.BOOLEAN),
        ("bigint(20)", Form.INTEGER),
        ("BIGINT", Form.INTEGER),
        ("double precision", Form.FLOAT),
        ("FLOAT", Form.FLOAT),
        ("json", Form.JSON),
        ("bytea", Form.BINARY),
        ("longblob", Form.BINARY),
        ("date", Form.OTHER),
    ],
)
def test_a_columns_form_is_the_same_whatever_a_server_calls_it(declared: str, form: Form) -> None:
    assert form_of(declared) is form


def test_a_float_of_mysql_has_32_bits() -> None:
    assert form_of("float", single_floats=True) is Form.SINGLE
    assert form_of("double", single_floats=True) is Form.FLOAT


def test_lengths_are_those_that_a_server_enforces() -> None:
    assert [length_of(text) for text in ("character varying(200)", "varchar(8000)", "text")] == [200, 8000, None]


def test_revisions_stand_in_the_order_of_their_releases() -> None:
    first, last = HEADS[0][0], HEADS[-1][0]
    assert order(first, last) is Order.OLDER
    assert order(last, first) is Order.NEWER
    assert order(last, last) is Order.EQUAL
    assert order("unknown", last) is Order.NEWER
    assert order("unknown", "unheard of") is Order.UNKNOWN
    assert releases("bf29a5ff90ea") == "3.5 to 3.7"


def test_every_table_has_one_rule_and_parents_come_first() -> None:
    assert len(RULES) == len(TABLES)
    assert not set(RULES) & set(LEFT_OUT)
    places = {rule.name: place for place, rule in enumerate(TABLES)}
    assert [pair for pair in PARENTS if places[pair[0]] <= places[pair[2]]] == []


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"select": {"experiments": {"include": "a"}}}, "include"),
        ({"select": {"experiments": {"ids": ["x"]}}}, "'x'"),
        ({"select": {"experiments": {"lifecycle": "Some"}}}, "lifecycle"),
        ({"select": {"models": {"versions": "Newest"}}}, "versions"),
        ({"onConflict": "Guess"}, "onConflict"),
        ({"rename": {"models": {"a": ""}}}, "rename.models.a"),
    ],
)
def test_a_wrong_param_is_named(params: dict[str, object], word: str) -> None:
    with pytest.raises(WrongRequest, match=word):
        Selection.from_params(params)


def test_numbers_alone_choose_nothing_by_name() -> None:
    chosen = Selection.from_params({"select": {"experiments": {"ids": ["3"]}}})
    assert chosen.takes_experiment(3, "any")
    assert not chosen.takes_experiment(4, "any")
    assert not chosen.everything
    assert Selection.from_params({}).everything
    numbered = Selection.from_params({"select": {"models": {"versions": ["1", "2"]}}})
    assert numbered.versions == frozenset({1, 2})
    assert Selection.from_params({"select": {"models": {"versions": "Latest"}}}).versions is Versions.LATEST


rows = st.lists(st.tuples(st.text(max_size=5), st.floats(allow_nan=False), st.none() | st.integers()), max_size=20)


@given(rows, st.randoms(use_true_random=False), st.integers(1, 20))
def test_a_tally_does_not_depend_on_order_or_division(
    found: list[tuple[str, float, int | None]], random: object, size: int
) -> None:
    one, other = Tally(), Tally()
    one.add(list(found), None)
    mixed = list(found)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    for start in range(0, len(mixed), size):
        other.add(list(mixed[start : start + size]), None)
    assert one == other


@given(rows, st.tuples(st.text(max_size=5), st.floats(allow_nan=False), st.none()))
def test_a_row_more_is_another_tally(found: list[tuple[str, float, int | None]], more: tuple[str, float, None]) -> None:
    one, other = Tally(), Tally()
    one.add(list(found), None)
    other.add([*found, more], None)
    assert one != other
