"""Rows into the target, all in one transaction: there is all of it or nothing, whenever it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from psycopg import sql

from project_migration.workers.mlflow.database.arrangement import WRITTEN, Action, Arrangement
from project_migration.workers.mlflow.database.failures import of_driver
from project_migration.workers.mlflow.database.objects import HOMES
from project_migration.workers.mlflow.database.plan import TablePlan
from project_migration.workers.mlflow.database.postgres_store import PostgresStore
from project_migration.workers.mlflow.database.sqlite_store import SqliteStore
from project_migration.workers.mlflow.database.store import Aside, Chunk, Row, Store, Where, batches
from project_migration.workers.mlflow.database.tables import ROLLUPS, Kind
from project_migration.workers.pace import Pace
from project_migration.workers.postgres.session import trusted

#: Rows that are looked for in one statement, by keys of up to six columns.
LOOKED_FOR = 200

#: Fewer rows are not worth to make indexes anew.
MANY_ROWS = 20_000

#: Steps of SQLite's machine between two signs of life.
SQLITE_STEPS = 2_000_000

#: What a row weighs for a limit of the bandwidth, where it is not known: a metric with its run's id.
ROW_BYTES = 100


@dataclass
class Loaded:
    rows: dict[str, int] = field(default_factory=dict)
    """Added, by table."""
    updated: int = 0
    kept: int = 0
    """Rows of the target that differ and stay."""


class Loader:
    """``told`` hears of rows as they arrive, ``kept`` of a row of the target that stays: table and key."""

    def __init__(
        self,
        source: Store,
        target: Store,
        arrangement: Arrangement,
        pace: Pace,
        told: Callable[[int], None],
        kept: Callable[[str, Row], None],
    ) -> None:
        self._source = source
        self._target = target
        self._arrangement = arrangement
        self._pace = pace
        self._told = told
        self._kept = kept
        self._loaded = Loaded()
        self._attached = False

    def attach(self) -> None:
        """Lets SQLite read the source by itself; outside of a transaction."""
        if isinstance(self._source, SqliteStore) and isinstance(self._target, SqliteStore):
            self._target.run("ATTACH DATABASE ? AS origin", self._source.uri)
            self._target.run("ATTACH DATABASE ? AS lists", f"file:{self._arrangement.lists.path}?mode=ro")
            self._target.connection.set_progress_handler(lambda: self._told(0), SQLITE_STEPS)
            self._attached = True

    def run(self, plans: list[TablePlan]) -> Loaded:
        for plan in reversed(plans):
            self._clear_replaced(plan)
        if self._arrangement.summary.whole:
            self._target.trust_keys()
        keys: list[str] = []
        for plan in plans:
            with _named(plan.name):
                keys += self._table(plan)
        with _named("foreign keys"):
            for statement in keys:
                self._target.run(statement)
                self._told(0)
        self._forget_rollups()
        self._target.advance(self._target.schema.tables["experiments"])
        return self._loaded

    def _table(self, plan: TablePlan) -> tuple[str, ...]:
        """Loads a table; what is still to be run when all tables are loaded."""
        if plan.row_wise:
            self._row_wise(plan)
            return ()
        aside = self._set_aside(plan)
        home = plan.kind in HOMES and HOMES[plan.kind][0] == plan.name
        replaced = home and not plan.whole and self._arrangement.lists.count(plan.kind, (Action.REPLACE,)) > 0
        actions = (Action.ADD,) if replaced else WRITTEN
        self._loaded.rows[plan.name] = self._bulk(plan, actions)
        if replaced:
            self._update_homes(plan)
        for statement in aside.indexes:
            self._target.run(statement)
            self._told(0)
        return aside.keys

    def _set_aside(self, plan: TablePlan) -> Aside:
        many = self._arrangement.summary.counts.get(plan.name, 0) >= MANY_ROWS
        return self._target.set_aside(plan.target) if plan.whole and many else Aside()

    # -- many rows, none of which is there ------------------------------------------------------------------------

    def _bulk(self, plan: TablePlan, actions: tuple[Action, ...]) -> int:
        if plan.plain and self._attached:
            return self._within_sqlite(plan, actions)
        number = 0
        for where in plan.slices(actions):
            if plan.plain and isinstance(self._source, PostgresStore) and isinstance(self._target, PostgresStore):
                count = self._between_postgres(self._source, self._target, plan, where)
                self._told(count)
            else:
                count = self._target.insert(plan.target, plan.columns, self._paced(plan.read(self._source, where)))
            number += count
        return number

    def _paced(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self._pace.take(len(chunk) * ROW_BYTES)
            yield chunk
            self._told(len(chunk))

    def _between_postgres(
        self, source: PostgresStore, target: PostgresStore, plan: TablePlan, where: Where | None
    ) -> int:
        """The servers' own text, which Python only passes on."""
        statement = source.copy_out(plan.source, plan.columns, where, plan.condition)
        for value in where.values if where else ():
            # COPY takes no parameters
            statement = statement.replace("?", sql.Literal(value).as_string(None), 1)
        into = target.copy_in(plan.target, plan.columns)
        with source.session.cursor() as reader, target.session.cursor() as writer:
            with reader.copy(trusted(statement)) as out, writer.copy(trusted(into)) as copy:
                for block in out:
                    self._pace.take(len(block))
                    copy.write(block)
                    self._told(0)
            return writer.rowcount

    def _within_sqlite(self, plan: TablePlan, actions: tuple[Action, ...]) -> int:
        target = self._target
        name, columns = target.quote(plan.name), target.listed(plan.columns)
        same = [column.name for column in plan.source.columns] == [column.name for column in plan.target.columns]
        if plan.whole and not plan.condition and same and plan.columns == tuple(c.name for c in plan.source.columns):
            # in this form SQLite moves rows as they lie where both tables were made alike (insert.c, xferOptimization)
            number = target.run(f"INSERT INTO main.{name} SELECT * FROM origin.{name}{self._in_order(plan)}")  # noqa: S608
        else:
            limits = [plan.condition] if plan.condition else []
            values: tuple[str, ...] = ()
            if not plan.whole:
                marks = ", ".join("?" * len(actions))
                chosen = f"SELECT id FROM lists.chosen WHERE kind = ? AND action IN ({marks})"  # noqa: S608
                limits.append(f"{target.quote(plan.rule.owner)} IN ({chosen})")
                values = (str(plan.kind), *map(str, actions))
            tail = f" WHERE {' AND '.join(limits)}" if limits else ""
            number = target.run(
                f"INSERT INTO main.{name} ({columns}) SELECT {columns} FROM origin.{name}{tail}",  # noqa: S608
                *values,
            )
        self._told(number)
        return number

    def _in_order(self, plan: TablePlan) -> str:
        """A key that is the whole row lies sorted on the source, and need not be sorted by the target again."""
        if set(plan.target.key) != set(plan.columns):
            return ""
        return f" ORDER BY {self._target.listed(plan.target.key)}"

    # -- rows that may be there -------------------------------------------------------------------------------------

    def _row_wise(self, plan: TablePlan) -> None:
        self._loaded.rows[plan.name] = 0
        for where in plan.slices(tuple(Action)):
            for chunk in plan.read_with_action(self._source, where):
                for some in batches(chunk, LOOKED_FOR):
                    self._looked_for(plan, some)
                self._told(len(chunk))

    def _looked_for(self, plan: TablePlan, rows: list[tuple[Row, Action]]) -> None:
        keys = [plan.key_of(row) for row, _ in rows]
        there = self._target.existing(plan.target, plan.columns, keys)
        fresh = [
            row
            for key, (row, action) in zip(keys, rows, strict=True)
            if key not in there and (action in WRITTEN or added_to(plan))
        ]
        if fresh:
            self._loaded.rows[plan.name] += self._target.insert(plan.target, plan.columns, [fresh])
        for key, (row, action) in zip(keys, rows, strict=True):
            if key in there and there[key] != row:
                if written_over(plan, action):
                    self._update(plan, row)
                else:
                    self._loaded.kept += 1
                    self._kept(plan.name, key)

    def _update(self, plan: TablePlan, row: Row) -> None:
        target, key = self._target, plan.target.key
        others = [name for name in plan.columns if name not in key]
        if not others:
            return
        named = dict(zip(plan.columns, row, strict=True))
        sets = ", ".join(f"{target.quote(name)} = ?" for name in others)
        limits = " AND ".join(f"{target.quote(name)} = ?" for name in key)
        values = [named[name] for name in (*others, *key)]
        self._loaded.updated += target.run(
            f"UPDATE {target.place(plan.name)} SET {sets} WHERE {limits}",  # noqa: S608 - quoted names
            *values,
        )

    # -- what is written anew ------------------------------------------------------------------------------------------

    def _clear_replaced(self, plan: TablePlan) -> None:
        """Rows of objects that become what the source has; the object's own row stays, as others may name it."""
        if plan.kind not in HOMES or plan.whole or HOMES[plan.kind][0] == plan.name:
            return
        for ids in batches(self._arrangement.lists.ids(plan.kind, (Action.REPLACE,)), LOOKED_FOR):
            self._target.delete(plan.name, plan.rule.owner, ids)

    def _update_homes(self, plan: TablePlan) -> None:
        for where in plan.slices((Action.REPLACE,)):
            for chunk in plan.read(self._source, where):
                for row in chunk:
                    self._update(plan, row)

    def _forget_rollups(self) -> None:
        """Sums of experiments that were there and got traces: the server reads the traces where it has no sum."""
        changes = self._arrangement.changes
        there = self._arrangement.lists.ids(Kind.EXPERIMENT, (Action.PRESENT,))
        numbers = [changes.experiment(one) for one in there]
        for name in ROLLUPS:
            if numbers and name in self._target.schema.tables:
                self._target.delete(name, "experiment_id", numbers)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Says with which table a driver's error has to do."""
    try:
        yield
    except Exception as error:
        refused = of_driver(name, error)
        if refused is None:
            raise
        raise refused from error


def added_to(plan: TablePlan) -> bool:
    """Whether an object that is there gets rows of this table that it lacks: tags and aliases, not itself."""
    return plan.name in {"experiment_tags", "registered_model_tags", "registered_model_aliases"} or (
        plan.kind is Kind.MCP_SERVER
    )


def written_over(plan: TablePlan, action: Action) -> bool:
    """Whether a row that is there becomes what the source has."""
    summary = plan.arrangement.summary
    if summary.empty:
        return True  # what a server is born with
    if plan.kind is Kind.EXPERIMENT:
        return plan.name != "experiments" and summary.on_conflict == "Update"
    if plan.name == "registered_model_aliases":
        return summary.on_conflict == "Update"
    return action is Action.REPLACE
