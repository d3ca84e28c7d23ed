"""What a database holds as a whole: whether it is as new, how many rows by table, rows without parents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from project_migration.workers.mlflow.database import note
from project_migration.workers.mlflow.database.store import Server, Store
from project_migration.workers.mlflow.database.tables import PARENTS, RULES

#: What every server makes at its first start.
_BORN_WITH = {"experiments": "experiment_id <> 0", "workspaces": "name <> 'default'"}


@dataclass(frozen=True, slots=True)
class Orphans:
    table: str
    parent: str
    rows: int

    @property
    def told(self) -> str:
        return f"{self.table}: {self.rows} row(s) of {self.parent} that do not exist"


def is_new(store: Store) -> bool:
    """Whether it holds no more than the experiment ``Default`` without content."""
    for name in RULES:
        if name not in store.schema.tables:
            continue
        condition = f" WHERE {_BORN_WITH[name]}" if name in _BORN_WITH else ""
        if store.rows(f"SELECT 1 FROM {store.place(name)}{condition} LIMIT 1"):  # noqa: S608 - our own words
            return False
    return True


def is_ours_alone(store: Store, migration: str) -> bool:
    """All that it holds was brought by this migration into an empty database."""
    found = note.read(store)
    return found is not None and found.migration == migration and found.empty


def counts(store: Store) -> Mapping[str, int]:
    """Rows by table, of those that may be moved."""
    return {name: store.count(name) for name in RULES if name in store.schema.tables}


def orphans(store: Store) -> tuple[Orphans, ...]:
    """Servers with foreign keys have none; MLflow sees to them on SQLite only while it runs."""
    if store.server is not Server.SQLITE:
        return ()
    tables = store.schema.tables
    found = []
    for table, column, parent, key in PARENTS:
        if table not in tables or parent not in tables or tables[table].column(column) is None:
            continue
        child, one, above, other = (store.quote(name) for name in (table, column, parent, key))
        # a few distinct values stand for many rows, and the index has them in order
        lost = store.rows(
            f"SELECT {one} FROM (SELECT DISTINCT {one} FROM {child} WHERE {one} IS NOT NULL)"  # noqa: S608
            f" WHERE {one} NOT IN (SELECT {other} FROM {above}) LIMIT 1000"
        )
        if lost:
            marks = ", ".join("?" * len(lost))
            values = [row[0] for row in lost]
            number = store.rows(f"SELECT count(*) FROM {child} WHERE {one} IN ({marks})", *values)[0][0]  # noqa: S608
            found.append(Orphans(table, parent, int(number)))
    return tuple(found)
