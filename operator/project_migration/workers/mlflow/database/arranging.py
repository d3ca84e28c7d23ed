"""Making the arrangement: both sides are read, every conflict is found, and nothing is written to a database.

The same source, target and params give the same arrangement: numbers are given in the order of the source's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from project_migration.workers import reasons
from project_migration.workers.mlflow.database import experiments, failures, locations, state
from project_migration.workers.mlflow.database.arrangement import (
    Action,
    Arrangement,
    Lists,
    Summary,
    changes_of,
)
from project_migration.workers.mlflow.database.experiments import Placer, Placing
from project_migration.workers.mlflow.database.objects import HOMES, Chooser, Found
from project_migration.workers.mlflow.database.registry import Registrar, Registry
from project_migration.workers.mlflow.database.selection import Lifecycle, Selection, WithRuns
from project_migration.workers.mlflow.database.sides import Side
from project_migration.workers.mlflow.database.store import KEYS_AT_ONCE, Store, Where, batches
from project_migration.workers.mlflow.database.tables import AUTH_TABLES, LEFT_OUT, OF_THE_SERVER, RULES, Kind
from project_migration.workers.mlflow.database.uris import KNOWN_SCHEMES, Rewriter, Root

CLASHES_TOLD = 20


@dataclass
class Arranged:
    arrangement: Arrangement
    moves: Mapping[str, Any]
    problems: list[reasons.Refusal]
    found: Found
    orphans: tuple[state.Orphans, ...]
    outside: locations.Outside
    left_out: Mapping[str, int]
    """Rows by table, of tables that stay behind."""
    kinds: Mapping[str, int] = field(default_factory=dict)
    """Objects by kind, that are written."""


@dataclass(frozen=True)
class Arranger:
    source: Store
    target: Store
    selection: Selection
    sides: tuple[Side, Side]
    migration: str
    origin: str
    """What Default is said to come from, where it needs another name."""

    def arrange(self, lists: Lists) -> Arranged:
        empty = state.is_new(self.target) or state.is_ours_alone(self.target, self.migration)
        everything = experiments.read(self.source)
        registrar = Registrar(self.source, self.target, self.selection, empty=empty)
        registry = registrar.choose()
        runs, logged_models = self._of_versions(registry)
        chosen, carried = self._experiments(everything, runs, logged_models)
        placer = Placer(self.source, self.target, self.selection, empty=empty, origin=self.origin)
        placing = placer.place(everything, chosen, carried - chosen)
        registrar.number(registry, Rewriter(self._roots(), placing.numbers))
        orphans = state.orphans(self.source)
        whole = empty and not orphans and len(chosen) == len(everything) and self._takes_all()
        found = self._choose(lists, placing, registry, runs, logged_models, whole=whole, empty=empty)
        problems = list(self._problems(placing, registry, found))
        summary = self._summary(lists, placing, registry, whole=whole, empty=empty)
        arrangement = Arrangement(summary, lists, changes_of(summary, lists))
        outside = locations.outside(self.source, arrangement)
        problems += _unsupported(outside)
        return Arranged(
            arrangement,
            locations.moves(self.source, arrangement, placing),
            problems,
            found,
            orphans,
            outside,
            self._left_out(whole or self.selection.everything),
            {str(kind): lists.count(kind) for kind in Kind},
        )

    def _roots(self) -> tuple[Root, ...]:
        source, target = self.sides
        return (Root(source.artifacts, target.artifacts),) if source.artifacts and target.artifacts else ()

    def _takes_all(self) -> bool:
        if not self.selection.everything:
            return False
        if self.selection.lifecycle is Lifecycle.ALL:
            return True
        return not any(self._has_deleted(table) for table in ("experiments", "runs", "logged_models"))

    def _has_deleted(self, table: str) -> bool:
        if table not in self.source.schema.tables:
            return False
        place = self.source.place(table)
        return bool(self.source.rows(f"SELECT 1 FROM {place} WHERE lifecycle_stage <> 'active' LIMIT 1"))  # noqa: S608

    def _of_versions(self, registry: Registry) -> tuple[set[str], set[str]]:
        """Runs and logged models that chosen versions were made from."""
        if self.selection.with_runs is WithRuns.NONE or self.selection.experiments.everything:
            return set(), set()
        versions = [version for key in registry.models for version in registry.chosen.get(key, ())]
        runs = {version.run for version in versions if version.run}
        models = {version.logged_model for version in versions if version.logged_model}
        for chunk in self._by_id("logged_models", ("source_run_id",), "model_id", models):
            runs |= {row[0] for row in chunk if row[0]}
        return runs, models

    def _experiments(
        self, everything: list[experiments.Experiment], runs: set[str], logged_models: set[str]
    ) -> tuple[set[int], set[int]]:
        """Those that are chosen with all that is in them, and those that come along."""
        chosen = experiments.chosen(everything, self.selection)
        carried: set[int] = set()
        for table, key, ids in (("runs", "run_uuid", runs), ("logged_models", "model_id", logged_models)):
            for chunk in self._by_id(table, ("experiment_id",), key, ids):
                carried |= {row[0] for row in chunk}
        alive = {one.number for one in everything if one.active or self.selection.lifecycle is Lifecycle.ALL}
        carried &= alive
        return (chosen | carried, set()) if self.selection.with_runs is WithRuns.ALL else (chosen, carried)

    def _by_id(self, table: str, columns: tuple[str, ...], key: str, ids: set[Any]) -> Iterator[list[tuple[Any, ...]]]:
        if table in self.source.schema.tables:
            for some in batches(sorted(ids), KEYS_AT_ONCE):
                yield from self.source.stream(self.source.schema.tables[table], columns, Where(key, some))

    def _choose(
        self,
        lists: Lists,
        placing: Placing,
        registry: Registry,
        runs: set[str],
        logged_models: set[str],
        *,
        whole: bool,
        empty: bool,
    ) -> Found:
        chooser = Chooser(self.source, self.target, self.selection, lists, placing, empty=empty)
        if not whole:
            chooser.choose(registry, runs, logged_models)
            return chooser.found
        lists.add(Kind.EXPERIMENT, [placed.experiment.number for placed in placing.placed])
        if "workspaces" in self.source.schema.tables:
            names = self.source.rows(f"SELECT name FROM {self.source.place('workspaces')}")  # noqa: S608
            lists.add(Kind.WORKSPACE, sorted(row[0] for row in names))
        return chooser.found

    def _problems(self, placing: Placing, registry: Registry, found: Found) -> Iterator[reasons.Refusal]:
        if not placing.placed and not registry.models:
            yield failures.Refused(
                failures.NOTHING_SELECTED, "no experiment and no registered model of the source is selected"
            )
        clashes = [*placing.clashes, *registry.clashes, *found.clashes]
        for clash in clashes[:CLASHES_TOLD]:
            yield failures.Refused(failures.NAME_CLASH, clash)
        if len(clashes) > CLASHES_TOLD:
            yield failures.Refused(failures.NAME_CLASH, f"and {len(clashes) - CLASHES_TOLD} more names are taken")
        lacking = placing_workspaces(placing) - self._workspaces()
        if lacking and "workspaces" not in self.target.schema.tables:
            names = ", ".join(sorted(lacking))
            yield failures.Refused(failures.SCHEMA_MISMATCH, f"the target knows no workspaces, and {names} is used")

    def _workspaces(self) -> set[str]:
        if "workspaces" not in self.target.schema.tables:
            return {"default"}
        return {row[0] for row in self.target.rows(f"SELECT name FROM {self.target.place('workspaces')}")}  # noqa: S608

    def _summary(self, lists: Lists, placing: Placing, registry: Registry, *, whole: bool, empty: bool) -> Summary:
        renamed = tuple((m.workspace, m.name, m.new_name) for m in registry.models.values() if m.name != m.new_name)
        summary = Summary(
            revision=self.source.schema.revision,
            whole=whole,
            empty=empty,
            everything=self.selection.everything,
            on_conflict=str(self.selection.on_conflict),
            target_state=state.counts(self.target),
            experiments={str(old): new for old, new in sorted(placing.numbers.items())},
            experiment_names={str(old): new for old, new in sorted(placing.names.items())},
            models=renamed,
            roots=tuple((root.source, root.target) for root in self._roots()),
            counts=self._expected(lists, whole),
        )
        plain = replace(summary, target_state={}).to_json()
        digest = hashlib.sha256((plain + lists.digest()).encode()).hexdigest()
        return replace(summary, digest=f"sha256:{digest}")

    def _expected(self, lists: Lists, whole: bool) -> Mapping[str, int]:
        """Rows by table; where only some objects are chosen, in proportion, for progress and estimates."""
        counts = state.counts(self.source)
        if whole:
            return counts
        return {table: _share(counts, lists, table) for table in counts}

    def _left_out(self, everything: bool) -> Mapping[str, int]:
        tables = self.source.schema.tables
        left = {name: self.source.count(name) for name in LEFT_OUT if name in tables}
        unknown = set(tables) - set(RULES) - set(LEFT_OUT) - AUTH_TABLES
        others = {name for name in unknown if not name.startswith(("alembic_", "project_migration_"))}
        left |= {name: self.source.count(name) for name in others}
        if not everything:
            left |= {name: self.source.count(name) for name, rule in RULES.items() if _stays(rule.kind, name, tables)}
        return {name: rows for name, rows in sorted(left.items()) if rows}


def _stays(kind: Kind, name: str, tables: Mapping[str, Any]) -> bool:
    return kind in OF_THE_SERVER and name in tables


def _share(counts: Mapping[str, int], lists: Lists, table: str) -> int:
    kind = RULES[table].kind
    if kind not in HOMES:
        return min(counts[table], lists.count(kind, tuple(Action)) * 4)
    total = counts.get(HOMES[kind][0], 0)
    return counts[table] * lists.count(kind) // total if total else 0


def _unsupported(outside: locations.Outside) -> Iterator[reasons.Refusal]:
    for scheme, (count, example) in sorted(outside.schemes.items()):
        if scheme not in KNOWN_SCHEMES:
            message = f"{count} artifact location(s) have a scheme that MLflow does not know, such as {example}"
            yield failures.Refused(failures.ARTIFACTS_UNSUPPORTED, message)


def placing_workspaces(placing: Placing) -> set[str]:
    return {placed.experiment.workspace for placed in placing.placed}
