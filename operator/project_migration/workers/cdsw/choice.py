"""Which administrator and which engine image of a workspace are meant: by what they are, never by their numbers."""

from __future__ import annotations

from project_migration.workers.cdsw import failures, tables, workspace
from project_migration.workers.postgres.session import Connection, rows, value


def chosen_administrator(session: Connection, name: str) -> int:
    """His number. Raises ``Refused`` (AdministratorUnfit): unknown, no administrator, or a team."""
    users = workspace.public(tables.USERS)
    query = f"SELECT u.id, pg_catalog.to_jsonb(u) FROM {users} AS u WHERE u.username = %s"  # noqa: S608
    found = rows(session, query, name)
    if not found:
        raise _unfit(f"the target has no user called {name!r}")
    number, row = found[0]
    if row.get("type") == tables.TEAM:
        raise _unfit(f"{name!r} is a team")
    if row.get("admin") is not True:
        raise _unfit(f"{name!r} is no administrator of the target")
    return int(number)


def newest_image(session: Connection) -> int | None:
    """The newest default engine image; without one that is called so the configured one, and else the newest.

    A custom image that somebody added last is not the one that CML was delivered with.
    """
    images = workspace.public(tables.ENGINE_IMAGES)
    if workspace.has_column(session, tables.ENGINE_IMAGES, "description"):
        query = f"SELECT max(id) FROM {images} WHERE description = %s"  # noqa: S608 - our own words
        found = value(session, query, tables.DEFAULT_IMAGE)
        if found is not None:
            return int(found)
    if workspace.has_column(session, tables.SITE_CONFIG, "default_engine_image_id"):
        config = workspace.public(tables.SITE_CONFIG)
        query = f"SELECT max(i.id) FROM {images} AS i JOIN {config} AS c ON c.default_engine_image_id = i.id"  # noqa: S608
        found = value(session, query)
        if found is not None:
            return int(found)
    found = value(session, f"SELECT max(id) FROM {images}")  # noqa: S608 - our own words
    return None if found is None else int(found)


def _unfit(message: str) -> failures.Refused:
    return failures.Refused(failures.ADMINISTRATOR_UNFIT, message)
