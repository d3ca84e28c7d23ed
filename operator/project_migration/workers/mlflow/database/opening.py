"""Opening a side of a migration, whatever server it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project_migration.workers.mlflow.database import postgres_store, sqlite_store
from project_migration.workers.mlflow.database.sides import FilePlace, Place
from project_migration.workers.mlflow.database.store import Server, Store


@contextmanager
def reading(place: Place, scratch: Path) -> Iterator[Store]:
    """One moment of a database, of which nothing is changed by looking. ``scratch``: a directory of ours."""
    store = _open(place, scratch, write=False)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def writing(place: Place, scratch: Path) -> Iterator[Store]:
    """With the lock of the one writer, and no transaction begun. Raises ``Refused`` (TargetBusy)."""
    store = _open(place, scratch, write=True)
    try:
        yield store
    finally:
        store.close()


def _open(place: Place, scratch: Path, *, write: bool) -> Store:
    if isinstance(place, FilePlace):
        return sqlite_store.open_for_writing(place) if write else sqlite_store.open_for_reading(place, scratch)
    if place.server is Server.POSTGRES:
        opened = postgres_store.open_for_writing if write else postgres_store.open_for_reading
        return opened(place.endpoint)
    # the driver is loaded where it is needed
    from project_migration.workers.mlflow.database import mysql_store

    return (mysql_store.open_for_writing if write else mysql_store.open_for_reading)(place.endpoint)
