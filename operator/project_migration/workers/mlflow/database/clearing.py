"""A target that was empty, made so again: only what this migration brought is in it, so everything goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from project_migration.workers.mlflow.database.note import Note
from project_migration.workers.mlflow.database.store import Store
from project_migration.workers.mlflow.database.tables import LEFT_OUT, TABLES

#: What a server makes at its first start, and what a copy writes over.
BORN = ("workspaces", "experiments")


def born_with(store: Store) -> Mapping[str, Any]:
    """The rows of a new database, by table: names of columns, and rows."""
    found = {}
    for name in BORN:
        table = store.schema.tables.get(name)
        if table is not None:
            rows = [row for chunk in store.stream(table, table.names) for row in chunk]
            found[name] = {"columns": list(table.names), "rows": [list(row) for row in rows]}
    return found


def take_back(store: Store, note: Note) -> int:
    """Removes all rows and puts back what the database was born with, within the caller's transaction."""
    removed = 0
    for name in (*LEFT_OUT, *(rule.name for rule in reversed(TABLES))):
        if name in store.schema.tables:
            removed += store.run(f"DELETE FROM {store.place(name)}")  # noqa: S608 - quoted names
    for name in BORN:
        kept = note.before.get(name)
        if kept:
            table = store.schema.tables[name]
            store.insert(table, tuple(kept["columns"]), [[tuple(row) for row in kept["rows"]]])
    return removed
