"""The word of which document was carried out in a database: it survives the migration's own status.

It takes the place of the note in one transaction (``clear``), and the first copy that comes after it takes it away in
the transaction of its rows. It lies where the note lies, and says nothing while there is one.
"""

from __future__ import annotations

from collections.abc import Sequence

from project_migration.workers.mlflow.database.store import Server, Store
from project_migration.workers.mlflow.database.tables import ARRIVED_TABLE
from project_migration.workers.postgres.journal import SCHEMA


def _place(store: Store) -> str:
    return f"{SCHEMA}.{ARRIVED_TABLE}" if store.server is Server.POSTGRES else ARRIVED_TABLE


def _exists(store: Store) -> bool:
    if store.server is Server.POSTGRES:
        return store.rows("SELECT pg_catalog.to_regclass(?)", _place(store))[0][0] is not None
    return ARRIVED_TABLE in store.schema.tables


def read(store: Store) -> tuple[str, ...]:
    """Digests of the document; none where that is not known."""
    if not _exists(store):
        return ()
    found = store.rows(f"SELECT document FROM {_place(store)} ORDER BY document")  # noqa: S608 - our own words
    return tuple(str(document) for (document,) in found)


def prepare(store: Store) -> None:
    """Where making a table ends a transaction (MySQL), it is made before one begins; empty, it says nothing."""
    if store.server is Server.MYSQL:
        _make(store)


def say(store: Store, documents: Sequence[str], migration: str) -> None:
    """``migration``: namespace and name, for people. Within the caller's transaction."""
    if store.server is not Server.MYSQL:
        _make(store)
    store.run(f"DELETE FROM {_place(store)}")  # noqa: S608 - our own words
    for document in documents:
        store.run(f"INSERT INTO {_place(store)} VALUES (?, ?)", document, migration)  # noqa: S608


def forget(store: Store) -> None:
    """Within the caller's transaction, which dropping a table would end on MySQL."""
    if not _exists(store):
        return
    if store.server is Server.MYSQL:
        store.run(f"DELETE FROM {_place(store)}")  # noqa: S608 - our own words
    else:
        store.run(f"DROP TABLE {_place(store)}")


def tidy(store: Store) -> None:
    """Removes the table where it says nothing. Ends a transaction on MySQL."""
    if _exists(store) and not read(store):
        store.run(f"DROP TABLE {_place(store)}")


def _make(store: Store) -> None:
    store.run(f"CREATE TABLE IF NOT EXISTS {_place(store)} (document VARCHAR(100), migration VARCHAR(400))")
