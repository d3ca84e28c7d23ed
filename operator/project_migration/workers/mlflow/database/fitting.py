"""Values that a source may hold and a target would refuse: too long, with a NUL, or equal but for case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from project_migration.workers import reasons
from project_migration.workers.mlflow.database import failures
from project_migration.workers.mlflow.database.changes import Changes
from project_migration.workers.mlflow.database.schema import Form, Table
from project_migration.workers.mlflow.database.store import Server, Store
from project_migration.workers.mlflow.database.tables import RULES

#: Every key of metrics stands in latest_metrics too, once a run.
_STANDS_FOR = {"metrics": "latest_metrics"}

#: Where names that differ in case only meet in one key.
_UNIQUE_TEXTS = (
    ("experiments", ("workspace",), "name"),
    ("registered_models", ("workspace",), "name"),
    ("experiment_tags", ("experiment_id",), "key"),
    ("tags", ("run_uuid",), "key"),
    ("params", ("run_uuid",), "key"),
    ("latest_metrics", ("run_uuid",), "key"),
    ("trace_tags", ("request_id",), "key"),
)
#: Columns whose locations become longer or shorter.
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)


@dataclass(frozen=True, slots=True)
class _Limit:
    column: str
    length: int | None
    no_nul: bool


def problems(source: Store, target: Store, changes: Changes) -> Iterator[reasons.Refusal]:
    """One for each column, with how many rows and one of them named."""
    tables = source.schema.tables
    for name in RULES:
        if name in tables and name in target.schema.tables and name not in _STANDS_FOR:
            yield from _table(source, target, tables[name])
    if target.server is not Server.SQLITE and changes.uris.changes:
        yield from _rewritten(source, target, changes)
    if target.server is Server.MYSQL and source.server is not Server.MYSQL:
        yield from _case(source)


def _limits(source: Store, target: Store, table: Table) -> list[_Limit]:
    theirs = target.schema.tables[table.name]
    locations = {column for name, column in _LOCATIONS if name == table.name}
    found = []
    for column in table.columns:
        other = theirs.column(column.name)
        if other is None or column.form not in {Form.TEXT, Form.JSON} or column.generated:
            continue
        length = None if column.name in locations else other.length
        if length is not None and column.length is not None and column.length <= length:
            length = None
        no_nul = target.server is Server.POSTGRES and source.server is not Server.POSTGRES
        if length is not None or no_nul:
            found.append(_Limit(column.name, length, no_nul))
    return found


def _table(source: Store, target: Store, table: Table) -> Iterator[reasons.Refusal]:
    limits = _limits(source, target, table)
    sums, told = [], []
    for limit in limits:
        name = source.quote(limit.column)
        if limit.length is not None:
            sums.append(f"sum(CASE WHEN {_characters(source, name)} > {limit.length} THEN 1 ELSE 0 END)")
            told.append((limit.column, f"longer than the target's {limit.length} characters"))
        if limit.no_nul:
            sums.append(f"sum(CASE WHEN {_nul(source, name)} THEN 1 ELSE 0 END)")
            told.append((limit.column, "with a NUL character, which PostgreSQL cannot hold"))
    if not sums:
        return
    row = source.rows(f"SELECT {', '.join(sums)} FROM {source.place(table.name)}")[0]  # noqa: S608 - quoted names
    for number, (column, what) in zip(row, told, strict=True):
        if number:
            message = f"{table.name}.{column}: {number} value(s) {what}"
            yield failures.Refused(failures.VALUE_DOES_NOT_FIT, message)


def _characters(store: Store, name: str) -> str:
    return f"length({name})" if store.server is Server.SQLITE else f"char_length({name})"


def _nul(store: Store, name: str) -> str:
    if store.server is Server.SQLITE:
        return f"instr(CAST({name} AS BLOB), X'00') > 0"
    return f"locate(char(0), {name}) > 0"


def _rewritten(source: Store, target: Store, changes: Changes) -> Iterator[reasons.Refusal]:
    for name, column in _LOCATIONS:
        table, theirs = source.schema.tables.get(name), target.schema.tables.get(name)
        other = theirs.column(column) if theirs else None
        if table is None or table.column(column) is None or other is None or other.length is None:
            continue
        number, first = 0, ""
        for chunk in source.stream(table, (column,)):
            for (uri,) in chunk:
                if uri and len(changes.uris.of(uri)) > other.length:
                    number += 1
                    first = first or changes.uris.of(uri)
        if number:
            message = f"{name}.{column}: {number} location(s) longer than the target's {other.length} characters"
            yield failures.Refused(failures.VALUE_DOES_NOT_FIT, f"{message}, such as {first[:120]}")


def _case(source: Store) -> Iterator[reasons.Refusal]:
    for name, within, column in _UNIQUE_TEXTS:
        table = source.schema.tables.get(name)
        if table is None:
            continue
        groups = [source.quote(one) for one in within if table.column(one)]
        text = source.quote(column)
        keys = ", ".join([*groups, f"lower({text})"])
        found = source.rows(
            f"SELECT min({text}), max({text}) FROM {source.place(name)} GROUP BY {keys} HAVING count(*) > 1 LIMIT 3"  # noqa: S608
        )
        if found:
            pairs = ", ".join(f"{one!r} and {other!r}" for one, other in found)
            message = f"{name}.{column}: {pairs} differ in case only, which MySQL does not tell apart"
            yield failures.Refused(failures.VALUE_DOES_NOT_FIT, message)
