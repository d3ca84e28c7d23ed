"""What the app's tables look like, by release (``mlflow/server/auth/db/migrations/versions``).

To 3.11 there is a table for each type of object, with a row for each user and object. 3.12 adds roles beside them. From
3.13 on (revision ``e5f6a7b8c9d0``) rights hang on roles alone: those of one user on a role of hers in each workspace,
called ``__user_<id>__``, and the older tables stay and are not read any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

from project_migration.workers.mlflow.database.changes import DEFAULT_WORKSPACE
from project_migration.workers.mlflow.database.failures import SCHEMA_MISMATCH, TARGET_NOT_INITIALISED, Refused
from project_migration.workers.mlflow.database.store import Row, Store
from project_migration.workers.mlflow.database.tables import USERS_VERSION_TABLE

#: Revisions before rights hung on roles alone; a database of before 3.6 has no version table.
_BY_TABLES = frozenset({"", "8606fa83a998", "0965eb92f5f0", "a1b2c3d4e5f6", "2ed73881770d", "c3d4e5f6a7b8"})

_OWN_ROLE = re.compile(r"__user_(\d+)__")


def own_role(user: int) -> str:
    """What the role of one user alone is called."""
    return f"__user_{user}__"


def whose_role(name: str) -> int | None:
    found = _OWN_ROLE.fullmatch(name)
    return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Form:
    revision: str
    roles: bool
    """There are roles."""
    by_tables: bool
    """Rights of users stand in a table for each type of object."""


@dataclass(frozen=True, slots=True)
class RightsTable:
    """One of the older tables. ``columns`` name the object."""

    name: str
    kind: str
    columns: tuple[str, ...]

    def pattern(self, values: Row) -> str:
        if self.kind == "workspace":
            return "*"
        return f"{values[0]}/{quote(str(values[1]), safe='')}" if self.kind == "scorer" else str(values[0])

    def values(self, workspace: str, pattern: str) -> tuple[str, ...]:
        """What the columns that name the object hold."""
        if self.kind == "workspace":
            return (workspace,)
        if self.kind == "scorer":
            experiment, _, name = pattern.partition("/")
            return experiment, unquote(name)
        return (pattern,)


RIGHTS_TABLES = (
    RightsTable("experiment_permissions", "experiment", ("experiment_id",)),
    RightsTable("registered_model_permissions", "registered_model", ("name",)),
    RightsTable("scorer_permissions", "scorer", ("experiment_id", "scorer_name")),
    RightsTable("gateway_secret_permissions", "gateway_secret", ("secret_id",)),
    RightsTable("gateway_endpoint_permissions", "gateway_endpoint", ("endpoint_id",)),
    RightsTable("gateway_model_definition_permissions", "gateway_model_definition", ("model_definition_id",)),
    RightsTable("workspace_permissions", "workspace", ("workspace",)),
)


def rights_tables(store: Store) -> Iterator[RightsTable]:
    return (table for table in RIGHTS_TABLES if table.name in store.schema.tables)


def has_workspace(store: Store, table: RightsTable) -> bool:
    return table.kind != "workspace" and store.schema.tables[table.name].column("workspace") is not None


def workspace_of(table: RightsTable, workspace: str | None, values: Row) -> str:
    return str(values[0]) if table.kind == "workspace" else workspace or DEFAULT_WORKSPACE


def form_of(store: Store) -> Form | None:
    """None where there are no tables of the app."""
    tables = store.schema.tables
    if "users" not in tables or not {"roles", "experiment_permissions"} & set(tables):
        return None
    known = USERS_VERSION_TABLE in tables
    found = store.rows(f"SELECT version_num FROM {store.place(USERS_VERSION_TABLE)}") if known else []  # noqa: S608
    revision = str(found[0][0]) if found else ""
    return Form(revision, "roles" in tables, revision in _BY_TABLES)


def check(source: Store, target: Store) -> Form:
    """The form that both have. Raises ``Refused``."""
    ours, theirs = form_of(source), form_of(target)
    for store, form in ((source, ours), (target, theirs)):
        if form is None:
            message = f"{store.name} holds no users of MLflow's: start a server with --app-name basic-auth on it once"
            raise Refused(TARGET_NOT_INITIALISED, f"{store.side}: {message}")
    assert ours is not None  # noqa: S101 - both were looked at
    assert theirs is not None  # noqa: S101
    if ours.revision != theirs.revision:
        raise Refused(
            SCHEMA_MISMATCH,
            f"the source's users have schema {ours.revision or 'of before 3.6'}, the target's"
            f" {theirs.revision or 'of before 3.6'}: start the target's release once on a copy of the source's database"
            " of users, which upgrades it, and migrate that",
        )
    return theirs
