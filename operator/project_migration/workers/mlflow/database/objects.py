"""The objects that are chosen, below experiments and models: each listed once, with what is done to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from project_migration.workers.mlflow.database.arrangement import Action, Lists, model_id, version_id
from project_migration.workers.mlflow.database.changes import DEFAULT_WORKSPACE
from project_migration.workers.mlflow.database.experiments import ACTIVE, Placed, Placing
from project_migration.workers.mlflow.database.registry import Registry
from project_migration.workers.mlflow.database.selection import Lifecycle, OnConflict, Selection
from project_migration.workers.mlflow.database.store import KEYS_AT_ONCE, Store, Where, batches
from project_migration.workers.mlflow.database.tables import OF_THE_SERVER, RULES, Kind

#: The table that has one row an object, and the column with its id.
HOMES: dict[Kind, tuple[str, str]] = {
    Kind.RUN: ("runs", "run_uuid"),
    Kind.LOGGED_MODEL: ("logged_models", "model_id"),
    Kind.TRACE: ("trace_info", "request_id"),
    Kind.DATASET: ("datasets", "dataset_uuid"),
    Kind.INPUT: ("inputs", "input_uuid"),
    Kind.SCORER: ("scorers", "scorer_id"),
    Kind.LABEL_SCHEMA: ("label_schemas", "schema_id"),
    Kind.REVIEW_QUEUE: ("review_queues", "queue_id"),
    Kind.ISSUE: ("issues", "issue_id"),
    Kind.EVALUATION_DATASET: ("evaluation_datasets", "dataset_id"),
    Kind.ASSOCIATION: ("entity_associations", "association_id"),
    Kind.WEBHOOK: ("webhooks", "webhook_id"),
    Kind.SECRET: ("secrets", "secret_id"),
    Kind.ENDPOINT: ("endpoints", "endpoint_id"),
    Kind.MODEL_DEFINITION: ("model_definitions", "model_definition_id"),
    Kind.GUARDRAIL: ("guardrails", "guardrail_id"),
    Kind.BUDGET: ("budget_policies", "budget_policy_id"),
    Kind.JOB: ("jobs", "id"),
}

#: What has a name that an experiment has once; where the target has it, its own stays.
_ONCE_AN_EXPERIMENT: dict[Kind, tuple[str, ...]] = {
    Kind.DATASET: ("name", "digest"),
    Kind.SCORER: ("scorer_name",),
    Kind.LABEL_SCHEMA: ("name",),
    Kind.REVIEW_QUEUE: ("name_key",),
}

#: What has a name that a workspace has once.
_ONCE_A_WORKSPACE: dict[Kind, str] = {
    Kind.SECRET: "secret_name",
    Kind.ENDPOINT: "name",
    Kind.MODEL_DEFINITION: "name",
}

#: Types of the two ends of an association (mlflow/entities/entity_type.py); those of prompts are looked at apart.
_ENDS = {
    "experiment": Kind.EXPERIMENT,
    "evaluation_dataset": Kind.EVALUATION_DATASET,
    "run": Kind.RUN,
    "model": Kind.LOGGED_MODEL,
    "trace": Kind.TRACE,
}
_PROMPT_VERSION = "prompt_version"


@dataclass
class Found:
    """What was met on the way."""

    clashes: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """Names and causes, of what stays behind though it was asked for."""
    deleted: Counter[str] = field(default_factory=Counter)
    """Deleted objects that stay behind, by kind."""


class Chooser:
    def __init__(
        self, source: Store, target: Store, selection: Selection, lists: Lists, placing: Placing, *, empty: bool
    ) -> None:
        self._source = source
        self._target = target
        self._selection = selection
        self._lists = lists
        self._placing = placing
        self._empty = empty
        self.found = Found()

    def choose(self, registry: Registry, runs: set[str], logged_models: set[str]) -> None:
        """``runs`` and ``logged_models``: of model versions, wherever they lie."""
        whole = [placed for placed in self._placing.placed if placed.whole]
        for placed in self._placing.placed:
            self._lists.add(Kind.EXPERIMENT, [placed.experiment.number], placed.action)
        self._workspaces(registry)
        for kind in (Kind.RUN, Kind.LOGGED_MODEL, Kind.TRACE):
            self._alive(kind, whole)
        self._named(Kind.RUN, runs)
        self._named(Kind.LOGGED_MODEL, logged_models)
        for kind in (Kind.DATASET, Kind.SCORER, Kind.LABEL_SCHEMA, Kind.REVIEW_QUEUE, Kind.ISSUE):
            self._of_experiments(kind, whole)
        self._inputs()
        self._models(registry)
        self._evaluation_datasets()
        if self._selection.everything:
            self._of_the_server()
        self._associations()

    # -- of experiments ---------------------------------------------------------------------------------------------

    def _workspaces(self, registry: Registry) -> None:
        if "workspaces" not in self._source.schema.tables:
            return
        used = {placed.experiment.workspace for placed in self._placing.placed}
        used |= {workspace for workspace, _ in registry.models}
        if self._selection.everything:
            used |= {row[0] for row in self._source.rows(f"SELECT name FROM {self._source.place('workspaces')}")}  # noqa: S608
        self._lists.add(Kind.WORKSPACE, sorted(used))

    def _alive(self, kind: Kind, whole: Sequence[Placed]) -> None:
        table, key = HOMES[kind]
        stage = self._column(table, "lifecycle_stage")
        columns = (key, stage) if stage else (key,)
        for chunk in self._rows(table, columns, "experiment_id", [one.experiment.number for one in whole]):
            alive = [row[0] for row in chunk if not stage or self._wanted(row[1])]
            self.found.deleted[kind] += len(chunk) - len(alive)
            self._add(kind, alive)

    def _wanted(self, stage: str) -> bool:
        return stage == ACTIVE or self._selection.lifecycle is Lifecycle.ALL

    def _named(self, kind: Kind, ids: Iterable[str]) -> None:
        table, key = HOMES[kind]
        columns = (key, "lifecycle_stage")
        for chunk in self._rows(table, columns, key, sorted(ids)):
            self._add(kind, [one for one, stage in chunk if self._wanted(stage)])

    def _of_experiments(self, kind: Kind, whole: Sequence[Placed]) -> None:
        table, key = HOMES[kind]
        if table not in self._source.schema.tables:
            return
        names = _ONCE_AN_EXPERIMENT.get(kind, ())
        fresh = [one.experiment.number for one in whole if one.action is Action.ADD]
        for chunk in self._rows(table, (key,), "experiment_id", fresh):
            self._add(kind, [row[0] for row in chunk])
        for placed in whole:
            if placed.action is not Action.ADD:
                self._merged(kind, table, (key, *names), placed)

    def _merged(self, kind: Kind, table: str, columns: tuple[str, ...], placed: Placed) -> None:
        there: dict[tuple[Any, ...], Any] = {}
        if len(columns) > 1:
            own = Where("experiment_id", [placed.number])
            for chunk in self._target.stream(self._target.schema.tables[table], columns, own):
                there |= {tuple(row[1:]): row[0] for row in chunk}
        for chunk in self._rows(table, columns, "experiment_id", [placed.experiment.number]):
            self._add(kind, [row[0] for row in chunk if tuple(row[1:]) not in there])
            held = [(row[0], there[tuple(row[1:])], row[1]) for row in chunk if tuple(row[1:]) in there]
            self._lists.add(kind, [one for one, _, _ in held], Action.PRESENT)
            if kind is Kind.DATASET:
                self._lists.add_datasets((one, other) for one, other, _ in held if one != other)
                continue
            for one, other, name in held:
                if one != other:
                    self.found.skipped.append((f"{kind} {name}", "the target's experiment has one of that name"))

    def _inputs(self) -> None:
        """Of the runs that are written, and the datasets that they name though their experiment is not chosen."""
        table, key = HOMES[Kind.INPUT]
        if table not in self._source.schema.tables:
            return
        columns = (key, "source_type", "source_id")
        ends = (
            ("destination_id", "destination_type = 'RUN'"),
            ("source_id", "source_type IN ('RUN_INPUT', 'RUN_OUTPUT')"),
        )
        for column, condition in ends:
            for runs in batches(self._lists.ids(Kind.RUN), KEYS_AT_ONCE):
                # the rows of one batch are read to their end before the source is asked for datasets
                for chunk in list(self._rows(table, columns, column, runs, condition)):
                    self._add(Kind.INPUT, [row[0] for row in chunk])
                    self._named_datasets([row[2] for row in chunk if row[1] == "DATASET"])

    def _named_datasets(self, ids: list[str]) -> None:
        missing = sorted({one for one in ids if self._lists.action(Kind.DATASET, one) is None})
        if missing:
            there = self._source.there("datasets", "dataset_uuid", missing)
            self._add(Kind.DATASET, sorted(there))

    # -- the rest -----------------------------------------------------------------------------------------------------

    def _models(self, registry: Registry) -> None:
        update = self._selection.on_conflict is OnConflict.UPDATE
        for (workspace, name), model in registry.models.items():
            merged = Action.REPLACE if update else Action.PRESENT
            action = model.action if model.action is Action.ADD else merged
            self._lists.add(Kind.MODEL, [model_id(workspace, name)], action)
            for version, _, what in model.versions:
                self._lists.add(Kind.VERSION, [version_id(workspace, name, version.number)], what)
            self._lists.add_versions(
                (workspace, name, version.number, new) for version, new, _ in model.versions if version.number != new
            )

    def _evaluation_datasets(self) -> None:
        table, key = HOMES[Kind.EVALUATION_DATASET]
        if table not in self._source.schema.tables:
            return
        if self._selection.everything:
            for chunk in self._rows(table, (key,)):
                self._add(Kind.EVALUATION_DATASET, [row[0] for row in chunk])
            return
        # the ends are written down in either order
        ends = (("source", "destination"), ("destination", "source"))
        for one, other in ends:
            condition = f"{one}_type = 'evaluation_dataset' AND {other}_type = 'experiment'"
            columns = (f"{one}_id", f"{other}_id")
            for chunk in self._rows("entity_associations", columns, condition=condition):
                taken = [row[0] for row in chunk if self._has(Kind.EXPERIMENT, row[1])]
                self._add(Kind.EVALUATION_DATASET, sorted(set(taken)))

    def _of_the_server(self) -> None:
        for kind in sorted(OF_THE_SERVER - {Kind.MCP_SERVER}):
            table, key = HOMES[kind]
            if table not in self._source.schema.tables:
                continue
            rule = RULES[table]
            for chunk in self._rows(table, (key,), condition=condition_of(self._source, rule.name)):
                self._add(kind, [row[0] for row in chunk])
            if kind in _ONCE_A_WORKSPACE and not self._empty:
                self._names_of_the_server(kind, table, key)
        if "mcp_servers" in self._source.schema.tables:
            place = self._source.place("mcp_servers")
            for workspace, name in sorted(self._source.rows(f"SELECT workspace, name FROM {place}")):  # noqa: S608
                self._lists.add(Kind.MCP_SERVER, [model_id(workspace, name)])

    def _names_of_the_server(self, kind: Kind, table: str, key: str) -> None:
        name = _ONCE_A_WORKSPACE[kind]
        columns = ", ".join(self._source.quote(column) for column in ("workspace", name, key))
        there = {row[:2]: row[2] for row in self._target.rows(f"SELECT {columns} FROM {self._target.place(table)}")}  # noqa: S608
        for workspace, called, one in self._source.rows(f"SELECT {columns} FROM {self._source.place(table)}"):  # noqa: S608
            if there.get((workspace, called), one) != one:
                self.found.clashes.append(f"the target has another {kind} {called!r}")

    def _associations(self) -> None:
        table, key = HOMES[Kind.ASSOCIATION]
        if table not in self._source.schema.tables:
            return
        columns = (key, "source_type", "source_id", "destination_type", "destination_id")
        for chunk in self._rows(table, columns):
            self._add(Kind.ASSOCIATION, [row[0] for row in chunk if self._end(*row[1:3]) and self._end(*row[3:5])])

    def _end(self, kind: str, one: str) -> bool:
        if kind == _PROMPT_VERSION:
            name, _, version = one.rpartition("/")
            number = int(version) if version.isascii() and version.isdigit() else -1
            return self._has(Kind.VERSION, version_id(DEFAULT_WORKSPACE, name, number))
        known = _ENDS.get(kind)
        return self._has(known, one) if known else self._selection.everything

    def _has(self, kind: Kind, one: Any) -> bool:
        if kind is Kind.EXPERIMENT:
            if not str(one).isdigit():
                return False
            one = int(one)
        return self._lists.action(kind, one) is not None

    def _add(self, kind: Kind, ids: list[Any]) -> None:
        """With what is done to each: what the target has is left, written anew, or a clash."""
        table, key = HOMES[kind]
        there = set() if self._empty or not ids else self._target.there(table, key, ids)
        self._lists.add(kind, [one for one in ids if one not in there])
        if not there:
            return
        update = self._selection.on_conflict is OnConflict.UPDATE
        self._lists.add(kind, sorted(there), Action.REPLACE if update else Action.PRESENT)
        if self._selection.on_conflict is OnConflict.FAIL and kind in {Kind.RUN, Kind.LOGGED_MODEL, Kind.TRACE}:
            self.found.clashes += [f"the target has a {kind} {one} already" for one in sorted(there)]

    def _column(self, table: str, name: str) -> str:
        found = self._source.schema.tables.get(table)
        return name if found and found.column(name) else ""

    def _rows(
        self,
        table: str,
        columns: tuple[str, ...],
        column: str = "",
        values: Sequence[Any] | None = None,
        condition: str = "",
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Read whole before the next is asked, so that the source is free meanwhile."""
        found = self._source.schema.tables.get(table)
        if found is None:
            return
        if values is None:
            yield from self._source.stream(found, columns, None, condition)
            return
        for some in batches(values, KEYS_AT_ONCE):
            yield from self._source.stream(found, columns, Where(column, some), condition)


def condition_of(store: Store, table: str) -> str:
    """Which rows of a table are moved at all."""
    rule = RULES[table]
    return rule.condition.format(**{name: store.quote(name) for name in rule.condition_columns})
