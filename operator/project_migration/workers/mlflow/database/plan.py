"""How each table's rows get from the source to what the target should hold: which rows, and how they change.

Copying and proving read the same plan, so that what is proved is what should be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from project_migration.workers.mlflow.database import failures
from project_migration.workers.mlflow.database.arrangement import (
    WRITTEN,
    Action,
    Arrangement,
    model_id,
    version_id,
)
from project_migration.workers.mlflow.database.changes import DEFAULT_WORKSPACE, changer
from project_migration.workers.mlflow.database.objects import condition_of
from project_migration.workers.mlflow.database.schema import Table
from project_migration.workers.mlflow.database.store import KEYS_AT_ONCE, Chunk, Row, Store, Where, batches
from project_migration.workers.mlflow.database.tables import ASKED, TABLES, Kind, TableRule

#: Objects of these kinds the target may have already, though they are chosen: their rows are looked for one by one.
MERGED = frozenset({Kind.WORKSPACE, Kind.EXPERIMENT, *ASKED})


@dataclass(frozen=True)
class TablePlan:
    """One table. ``change`` is None where rows stay as they are."""

    rule: TableRule
    source: Table
    target: Table
    columns: tuple[str, ...]
    condition: str
    change: Callable[[Row], Row] | None
    arrangement: Arrangement

    @property
    def name(self) -> str:
        return self.rule.name

    @property
    def kind(self) -> Kind:
        return self.rule.kind

    @property
    def whole(self) -> bool:
        """Every row goes, into a table that holds none."""
        return self.arrangement.summary.whole and self.kind not in {Kind.WORKSPACE, Kind.EXPERIMENT}

    @property
    def row_wise(self) -> bool:
        return self.kind in MERGED and not self.whole

    @property
    def plain(self) -> bool:
        """Rows go as they are, and no row of a chosen object stays behind."""
        return self.change is None and (self.whole or not self.rule.references)

    def slices(self, actions: Sequence[Action] = WRITTEN) -> Iterator[Where | None]:
        """The parts in which a table's rows are read; None is all of it."""
        if self.whole or self.kind in ASKED:
            yield None
            return
        for ids in batches(self.arrangement.lists.ids(self.kind, actions), KEYS_AT_ONCE):
            yield Where(self.rule.owner, ids)

    def on_target(self, where: Where | None) -> Where | None:
        """The same objects by the numbers that they have on the target."""
        if where is None or self.kind is not Kind.EXPERIMENT:
            return where
        return Where(where.column, [self.arrangement.changes.experiment(one) for one in where.values])

    def read(self, source: Store, where: Where | None) -> Iterator[Chunk]:
        """Rows as the target should have them."""
        for chunk in source.stream(self.source, self.columns, where, self.condition):
            kept = self._kept(chunk)
            if kept:
                yield [self.change(row) for row in kept] if self.change else kept

    def read_with_action(self, source: Store, where: Where | None) -> Iterator[list[tuple[Row, Action]]]:
        """The same, for rows that are looked for one by one, with what is done to their object."""
        for chunk in source.stream(self.source, self.columns, where, self.condition):
            found = [(row, self._action(row)) for row in chunk]
            change = self.change or (lambda row: row)
            yield [(change(row), action) for row, action in found if action is not None]

    def _action(self, row: Row) -> Action | None:
        named = dict(zip(self.columns, row, strict=True))
        lists = self.arrangement.lists
        if self.kind is Kind.WORKSPACE:
            return lists.action(self.kind, named["name"])
        if self.kind is Kind.EXPERIMENT:
            return lists.action(self.kind, named["experiment_id"])
        workspace = named.get("workspace") or DEFAULT_WORKSPACE
        name = named[self.rule.owner]
        if self.kind is Kind.VERSION:
            return lists.action(self.kind, version_id(workspace, name, named["version"]))
        return lists.action(self.kind, model_id(workspace, name))

    def _kept(self, chunk: Chunk) -> Chunk:
        if self.whole:
            return chunk
        for reference in self.rule.references:
            if reference.column not in self.columns:
                continue
            place = self.columns.index(reference.column)
            there = {one: self.arrangement.has(reference.kind, one) for one in {row[place] for row in chunk}}
            there[None] = True
            if reference.optional:
                chunk = [row if there[row[place]] else _without(row, place) for row in chunk]
            else:
                chunk = [row for row in chunk if there[row[place]]]
        return chunk

    def key_of(self, row: Row) -> Row:
        return tuple(row[self.columns.index(name)] for name in self.target.key)


def _without(row: Row, place: int) -> Row:
    values: list[Any] = list(row)
    values[place] = None
    return tuple(values)


def plans(source: Store, target: Store, arrangement: Arrangement) -> list[TablePlan]:
    """In order of insertion. Raises ``Refused`` (SchemaMismatch) where the target lacks a table or a column."""
    found = []
    for rule in TABLES:
        ours = source.schema.tables.get(rule.name)
        if ours is None:
            continue
        theirs = target.schema.tables.get(rule.name)
        lacking = set(ours.names) - set(theirs.names if theirs else ())
        if theirs is None or lacking:
            what = f"the column(s) {', '.join(sorted(lacking))} of " if theirs else ""
            raise failures.Refused(failures.SCHEMA_MISMATCH, f"the target lacks {what}the table {rule.name}")
        found.append(
            TablePlan(
                rule,
                ours,
                theirs,
                ours.names,
                condition_of(source, rule.name),
                changer(rule.name, ours.names, arrangement.changes),
                arrangement,
            )
        )
    return found
