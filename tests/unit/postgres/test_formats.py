"""Binary only where it is known to mean the same on the other side."""

from __future__ import annotations

import pytest

from project_migration.workers.postgres import formats
from project_migration.workers.postgres.catalog import Column, Table, Type

TYPES = {
    found.oid: found
    for found in (
        Type(23, "pg_catalog", "int4", "b", 0, 0, 0, True),
        Type(1007, "pg_catalog", "_int4", "b", 23, 0, 0, True),
        Type(2205, "pg_catalog", "regclass", "b", 0, 0, 0, True),
        Type(2210, "pg_catalog", "_regclass", "b", 2205, 0, 0, True),
        Type(1033, "pg_catalog", "aclitem", "b", 0, 0, 0, False),
        Type(142, "pg_catalog", "xml", "b", 0, 0, 0, True),
        Type(3904, "pg_catalog", "int4range", "r", 0, 0, 23, True),
        Type(4451, "pg_catalog", "int4multirange", "m", 0, 0, 23, True),
        Type(20000, "public", "mood", "e", 0, 0, 0, True),
        Type(20001, "public", "_mood", "b", 20000, 0, 0, True),
        Type(20002, "public", "positive", "d", 0, 23, 0, True),
        Type(20003, "public", "moods", "d", 0, 20001, 0, True),
        Type(20004, "public", "pair", "c", 0, 0, 0, True),
        Type(20005, "public", "vector", "b", 0, 0, 0, True),
        Type(20006, "public", "span", "r", 0, 0, 20005, True),
        Type(20007, "public", "of_names", "d", 0, 2205, 0, True),
    )
}


def table(oid: int) -> Table:
    return Table(1, "s", "t", 0, 0, columns=(Column("i", 23, "integer"), Column("a", oid, "x")))


@pytest.mark.parametrize(
    ("oid", "safe"),
    [(23, True), (1007, True), (3904, True), (4451, True), (20000, True), (20002, True)]
    + [(oid, False) for oid in (2205, 2210, 1033, 142, 20001, 20003, 20004, 20005, 20006, 20007)],
)
def test_the_format_follows_the_types(oid: int, safe: bool) -> None:
    assert formats.binary_is_safe(table(oid), TYPES, 15) is safe


def test_no_column_and_an_old_server_mean_text() -> None:
    assert not formats.binary_is_safe(Table(1, "s", "t", 0, 0), TYPES, 18)
    assert not formats.binary_is_safe(table(23), TYPES, 9)


def test_tables_that_name_objects_are_known() -> None:
    named = {oid for oid in TYPES if formats.names_objects(table(oid), TYPES)}
    assert named == {2205, 2210, 20007}
