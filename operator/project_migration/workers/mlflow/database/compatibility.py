"""Whether two databases are MLflow's and speak of the same things: found before anything is written."""

from __future__ import annotations

from collections.abc import Iterator

from project_migration.workers import reasons
from project_migration.workers.mlflow.database import failures
from project_migration.workers.mlflow.database.revisions import Order, order, releases
from project_migration.workers.mlflow.database.sides import FilePlace, Place, ServerPlace
from project_migration.workers.mlflow.database.store import Store
from project_migration.workers.mlflow.database.tables import LEFT_OUT, RULES


def same_place(source: Place, target: Place) -> bool:
    """By name; two names of one server are found by what is in both."""
    if isinstance(source, FilePlace) and isinstance(target, FilePlace):
        try:
            return _identity(source.path) == _identity(target.path)
        except OSError:
            return False
    if isinstance(source, ServerPlace) and isinstance(target, ServerPlace):
        return source.server is target.server and source.name == target.name
    return False


def _identity(path: str) -> tuple[int, int]:
    from pathlib import Path

    status = Path(path).stat()
    return status.st_dev, status.st_ino


def problems(source: Store, target: Store) -> Iterator[reasons.Refusal]:
    """What stands in the way of any copy; with one of these nothing more can be said."""
    known = True
    for store in (source, target):
        fault = _not_mlflow(store)
        if fault is not None:
            known = False
            yield fault
    if known:
        yield from _schemas(source, target)


def _not_mlflow(store: Store) -> reasons.Refusal | None:
    schema = store.schema
    if schema.is_mlflow:
        return None
    if store.side == "target" and schema.bare:
        message = f"{store.name} holds no tables of MLflow: start the target's server once on it, then stop it"
        return failures.Refused(failures.TARGET_NOT_INITIALISED, f"target: {message}")
    lacking = "no row in alembic_version" if not schema.revision else "no table experiments or runs"
    return failures.Refused(failures.NOT_MLFLOW, f"{store.side}: {store.name} is no database of MLflow: {lacking}")


def _schemas(source: Store, target: Store) -> Iterator[reasons.Refusal]:
    ours, theirs = source.schema.revision, target.schema.revision
    standing = order(ours, theirs)
    told = f"the source's schema is {ours} ({releases(ours)}), the target's {theirs} ({releases(theirs)})"
    match standing:
        case Order.NEWER:
            message = f"{told}: the source is newer, so upgrade the target's MLflow"
            yield failures.Refused(failures.SCHEMA_MISMATCH, message)
        case Order.OLDER:
            release = releases(theirs)
            message = (
                f"{told}: run `mlflow db upgrade DATABASE_URI` of MLflow {release}, the target's release, on a copy"
            )
            yield failures.Refused(failures.SCHEMA_MISMATCH, f"{message} of the source and migrate the copy")
        case Order.UNKNOWN:
            yield failures.Refused(failures.SCHEMA_MISMATCH, f"{told}: neither is known here")
        case Order.EQUAL:
            lacking = set(source.schema.tables) & (set(RULES) | set(LEFT_OUT)) - set(target.schema.tables)
            if lacking:
                names = ", ".join(sorted(lacking)[:5])
                yield failures.Refused(failures.SCHEMA_MISMATCH, f"the target lacks the table(s) {names}")
