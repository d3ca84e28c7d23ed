"""Which experiments are moved, and under which number and name they arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from project_migration.workers.mlflow.database.arrangement import Action
from project_migration.workers.mlflow.database.changes import DEFAULT_WORKSPACE
from project_migration.workers.mlflow.database.selection import Lifecycle, OnConflict, Selection
from project_migration.workers.mlflow.database.store import Server, Store, Where

DEFAULT = 0
ACTIVE = "active"
NAME_LENGTH = 256


@dataclass(frozen=True, slots=True)
class Experiment:
    number: int
    name: str
    workspace: str
    active: bool
    location: str


@dataclass(frozen=True, slots=True)
class Placed:
    """An experiment of the source, and what becomes of it."""

    experiment: Experiment
    number: int
    name: str
    action: Action
    whole: bool
    """Chosen itself, with all that is in it; else it comes because of runs of model versions."""


@dataclass(slots=True)
class Placing:
    placed: list[Placed] = field(default_factory=list)
    clashes: list[str] = field(default_factory=list)

    @property
    def numbers(self) -> Mapping[int, int]:
        return {one.experiment.number: one.number for one in self.placed if one.number != one.experiment.number}

    @property
    def names(self) -> Mapping[int, str]:
        return {one.experiment.number: one.name for one in self.placed if one.name != one.experiment.name}


def read(store: Store) -> list[Experiment]:
    table = store.schema.tables["experiments"]
    workspace = "workspace" if table.column("workspace") else f"'{DEFAULT_WORKSPACE}'"
    place = store.place("experiments")
    found = store.rows(
        f"SELECT experiment_id, name, {workspace}, lifecycle_stage, artifact_location FROM {place}"  # noqa: S608
        " ORDER BY experiment_id"
    )
    return [
        Experiment(int(number), name, space or DEFAULT_WORKSPACE, stage == ACTIVE, location or "")
        for number, name, space, stage, location in found
    ]


def chosen(experiments: Sequence[Experiment], selection: Selection) -> set[int]:
    return {
        one.number
        for one in experiments
        if selection.takes_experiment(one.number, one.name) and (one.active or selection.lifecycle is Lifecycle.ALL)
    }


class Placer:
    """Finds numbers and names on the target, in the order of the source's numbers, so that it comes out the same."""

    def __init__(self, source: Store, target: Store, selection: Selection, *, empty: bool, origin: str) -> None:
        self._source = source
        self._target = target
        self._selection = selection
        self._empty = empty
        self._origin = origin
        self._fold = target.server is Server.MYSQL
        self._there = [] if empty else read(target)
        self._by_name = {self._key(one.workspace, one.name): one for one in self._there}
        self._used = {one.number for one in self._there}
        self._next = 0

    def place(self, experiments: Sequence[Experiment], whole: set[int], carried: set[int]) -> Placing:
        found = Placing()
        wanted = [one for one in experiments if one.number in whole | carried]
        self._next = 1 + max([one.number for one in (*experiments, *self._there)], default=0)
        taken: dict[tuple[str, str], Experiment] = {}
        for one in wanted:
            placed, clash = self._place(one, one.number in whole)
            key = self._key(one.workspace, placed.name)
            other = taken.setdefault(key, one)
            if other is not one:
                clash = clash or f"{other.name!r} and {one.name!r} would both be called {placed.name!r}"
            if clash:
                found.clashes.append(clash)
            found.placed.append(placed)
        return found

    def _place(self, one: Experiment, whole: bool) -> tuple[Placed, str]:
        name = self._selection.rename_experiments.get(one.name, one.name)
        if one.number == DEFAULT and not self._empty and name == one.name == "Default":
            return self._default(one, whole), ""
        there = self._by_name.get(self._key(one.workspace, name))
        if there is None:
            return Placed(one, self._number(one), name, Action.ADD, whole), ""
        placed = Placed(one, there.number, there.name, Action.PRESENT, whole)
        if self._selection.on_conflict is OnConflict.FAIL:
            return placed, f"the target has an experiment {name!r} already"
        if not there.active and one.active:
            message = f"the target's experiment {name!r} (number {there.number}) is deleted and still holds the name"
            return placed, message
        if there.name != name:
            return placed, f"the target's experiment {there.name!r} differs from {name!r} in case only"
        return placed, ""

    def _default(self, one: Experiment, whole: bool) -> Placed:
        """Every server is born with it, so an equal name says nothing about what lies in it."""
        there = next((other for other in self._there if other.number == DEFAULT), None)
        if there is None:
            return Placed(one, self._number(one), one.name, Action.ADD, whole)
        if not self._is_somebodys() or not _holds_anything(self._source):
            return Placed(one, DEFAULT, there.name, Action.PRESENT, whole)
        renamed = replace(one, name=f"Default (from {self._origin})"[:NAME_LENGTH])
        there = self._by_name.get(self._key(one.workspace, renamed.name))
        if there is not None:
            return Placed(one, there.number, there.name, Action.PRESENT, whole)
        return Placed(one, self._number(one, free=False), renamed.name, Action.ADD, whole)

    def _is_somebodys(self) -> bool:
        """Whether the target's Default holds what the source has nowhere."""
        if not _holds_anything(self._target):
            return False
        runs, any_runs = self._target.schema.tables["runs"], False
        for chunk in self._target.stream(runs, ("run_uuid",), Where("experiment_id", [DEFAULT])):
            any_runs = True
            ids = [row[0] for row in chunk]
            if len(self._source.there("runs", "run_uuid", ids)) < len(ids):
                return True
        return not any_runs

    def _number(self, one: Experiment, free: bool = True) -> int:
        if free and one.number not in self._used:
            self._used.add(one.number)
            return one.number
        number, self._next = self._next, self._next + 1
        self._used.add(number)
        return number

    def _key(self, workspace: str, name: str) -> tuple[str, str]:
        return workspace, name.casefold() if self._fold else name


def _holds_anything(store: Store) -> bool:
    """Something in the experiment with the number 0."""
    tables = store.schema.tables
    return any(
        store.rows(f"SELECT 1 FROM {store.place(name)} WHERE experiment_id = 0 LIMIT 1")  # noqa: S608
        for name, table in tables.items()
        if name in _OWNED and table.column("experiment_id")
    )


_OWNED = ("runs", "logged_models", "trace_info", "datasets", "scorers", "issues", "review_queues")
