"""What a copy leaves in a database that it wrote to: whose work it is, and what was there before.

The note is written in the transaction of the rows, so there is one exactly when they are there. On PostgreSQL it lies
in the schema that the PostgreSQL workers use for theirs, elsewhere in a table of its own: MLflow looks only for the
tables that it knows (``mlflow/store/db/utils.py``, ``_all_tables_exist``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from project_migration.workers.mlflow.database import arrived
from project_migration.workers.mlflow.database.store import Server, Store
from project_migration.workers.mlflow.database.tables import NOTE_TABLE
from project_migration.workers.postgres.journal import SCHEMA


@dataclass(frozen=True, slots=True)
class Note:
    migration: str
    arrangement: str
    """The digest of what was done."""
    empty: bool
    """The target was empty, so all that it holds is ours to take back."""
    counts: Mapping[str, int] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    """Rows of an empty target that were written over, by table."""


def _place(store: Store) -> str:
    return f"{SCHEMA}.{NOTE_TABLE}" if store.server is Server.POSTGRES else NOTE_TABLE


def exists(store: Store) -> bool:
    if store.server is Server.POSTGRES:
        return store.rows("SELECT pg_catalog.to_regclass(?)", _place(store))[0][0] is not None
    return NOTE_TABLE in store.schema.tables


def read(store: Store) -> Note | None:
    if not exists(store):
        return None
    found = store.rows(f"SELECT migration, arrangement, was_empty, counts, kept FROM {_place(store)}")  # noqa: S608
    if not found:
        return None
    migration, arrangement, empty, counts, kept = found[0]
    return Note(migration, arrangement, bool(empty), json.loads(counts), json.loads(kept))


def prepare(store: Store) -> None:
    """Where making a table ends a transaction (MySQL), it is made before one begins; empty, it says nothing."""
    if store.server is Server.MYSQL and not exists(store):
        store.run(_definition(store, "IF NOT EXISTS"))


def write(store: Store, note: Note) -> None:
    """Within the caller's transaction. What another document's completion had left counts no more."""
    arrived.forget(store)
    if not exists(store) and store.server is not Server.MYSQL:
        if store.server is Server.POSTGRES:
            store.run(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        store.run(_definition(store, ""))
    store.run(f"DELETE FROM {_place(store)}")  # noqa: S608 - our own words
    values = (
        note.migration,
        note.arrangement,
        int(note.empty),
        json.dumps(dict(note.counts)),
        json.dumps(dict(note.before)),
    )
    store.run(f"INSERT INTO {_place(store)} VALUES (?, ?, ?, ?, ?)", *values)  # noqa: S608


def give_way(store: Store, documents: Sequence[str], migration: str) -> None:
    """The note's work is proved: from the transaction's end on it is the word of what was carried out that stands."""
    store.run(f"DELETE FROM {_place(store)}")  # noqa: S608 - our own words
    arrived.say(store, documents, migration)


def remove(store: Store) -> None:
    """Ends a transaction on MySQL; nothing is said by then that could be lost."""
    if exists(store):
        store.run(f"DROP TABLE {_place(store)}")
    arrived.tidy(store)
    if store.server is Server.POSTGRES:
        others = "SELECT 1 FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.to_regnamespace(?) LIMIT 1"
        there = store.rows("SELECT pg_catalog.to_regnamespace(?)", SCHEMA)[0][0] is not None
        if there and not store.rows(others, SCHEMA):
            store.run(f"DROP SCHEMA {SCHEMA}")


def _definition(store: Store, unless: str) -> str:
    text = "LONGTEXT" if store.server is Server.MYSQL else "TEXT"
    columns = f"migration VARCHAR(100), arrangement VARCHAR(100), was_empty INTEGER, counts {text}, kept {text}"
    return f"CREATE TABLE {unless} {_place(store)} ({columns})"
