"""Rows that were kept before the load come back, by the names of their columns, without leaving the server."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from project_migration.workers.cdsw import failures, note, tables, workspace
from project_migration.workers.cdsw.note import Kept
from project_migration.workers.postgres.journal import SCHEMA
from project_migration.workers.postgres.session import Connection, quoted, rows, run, trusted, value

_ID = "id"


def insert(
    session: Connection, number: int, table: str, overrides: Mapping[str, Any], *, schema: str = tables.PUBLIC
) -> int | None:
    """One kept row as a new one, with a number that the server gives it; returns that. Raises ``Refused``."""
    names = _columns(session, number, schema, table, without=(_ID,))
    place, listed = quoted(schema, table), ", ".join(quoted(name) for name in names)
    has_id = any(column.name == _ID for column in workspace.columns(session, table, schema))
    source = f"FROM pg_catalog.jsonb_populate_record(NULL::{place}, {_CONTENT}) AS r"
    statement = (
        f"INSERT INTO {place} ({listed}) SELECT {listed} {source}" if names else f"INSERT INTO {place} DEFAULT VALUES"
    )
    values = (number, json.dumps(dict(overrides))) if names else ()
    if not has_id:
        session.execute(trusted(statement), values)
        return None
    return int(rows(session, f"{statement} RETURNING {quoted(_ID)}", *values)[0][0])


def update(session: Connection, number: int, table: str, identity: int, overrides: Mapping[str, Any]) -> None:
    """One kept row's values for a row that is there, which keeps its number. Raises ``Refused``."""
    names = _columns(session, number, tables.PUBLIC, table, without=(_ID,))
    if not names:
        return
    place, listed = workspace.public(table), ", ".join(quoted(name) for name in names)
    statement = (
        f"UPDATE {place} SET ({listed}) = (SELECT {', '.join(f'r.{quoted(name)}' for name in names)}"  # noqa: S608
        f" FROM pg_catalog.jsonb_populate_record(NULL::{place}, {_CONTENT}) AS r) WHERE {quoted(_ID)} = %s"
    )
    session.execute(trusted(statement), (number, json.dumps(dict(overrides)), identity))


def insert_whole(session: Connection, kind: Kept, schema: str, table: str) -> int:
    """All kept rows of a table, with their own numbers, into one that is empty. Raises ``Refused``."""
    place = quoted(schema, table)
    numbers = [
        row[0]
        for row in rows(
            session,
            f"SELECT number FROM {SCHEMA}.cdsw_kept WHERE kind = %s AND place = %s ORDER BY number",  # noqa: S608
            str(kind),
            place,
        )
    ]
    for number in numbers:
        names = _columns(session, number, schema, table, without=())
        listed = ", ".join(quoted(name) for name in names)
        source = f"FROM pg_catalog.jsonb_populate_record(NULL::{place}, {_CONTENT}) AS r"
        statement = f"INSERT INTO {place} ({listed}) OVERRIDING SYSTEM VALUE SELECT {listed} {source}"
        session.execute(trusted(statement), (number, "{}"))
    return len(numbers)


def kept_value(session: Connection, number: int, column: str) -> int | None:
    """A number in a kept row."""
    query = f"SELECT (content ->> %s)::bigint FROM {SCHEMA}.cdsw_kept WHERE number = %s"  # noqa: S608
    found = value(session, query, column, number)
    return None if found is None else int(found)


_CONTENT = f"(SELECT content FROM {SCHEMA}.cdsw_kept WHERE number = %s) || %s::jsonb"  # noqa: S608 - our own words


def _columns(session: Connection, number: int, schema: str, table: str, *, without: Collection[str]) -> tuple[str, ...]:
    """Those of a kept row that the table has and that take a value. Raises ``Refused`` where one has no place."""
    content = f"(SELECT content FROM {SCHEMA}.cdsw_kept WHERE number = %s)"  # noqa: S608 - our own words
    query = f"SELECT e.key, e.value = 'null'::jsonb FROM pg_catalog.jsonb_each({content}) AS e"  # noqa: S608
    kept = dict(rows(session, query, number))
    there = {column.name: column for column in workspace.columns(session, table, schema)}
    lost = sorted(name for name, is_null in kept.items() if not is_null and name not in there)
    if lost:
        message = f"{table} has no column {', '.join(lost)} any more: the schema Job did not bring it"
        raise failures.Refused(failures.SETTINGS_NOT_KEPT, message)
    return tuple(name for name in kept if name in there and name not in without and not there[name].computed)


# ---- the workspace's own rows


def bring_image(session: Connection) -> int | None:
    """The workspace's engine image beside those of the CDSW, whose projects use it from now on; its new number."""
    numbers = note.kept_numbers(session, Kept.ENGINE_IMAGE)
    if not numbers:
        return None
    image = insert(session, numbers[0], tables.ENGINE_IMAGES, {})
    if workspace.has_column(session, tables.PROJECTS_ENGINE_IMAGES, "engine_image_id"):
        place = workspace.public(tables.PROJECTS_ENGINE_IMAGES)
        session.execute(f"UPDATE {place} SET engine_image_id = %s".encode(), (image,))  # noqa: S608
    return image


def bring_settings(session: Connection, image: int | None, people: Mapping[int, int], fallback: int) -> int:
    """``site_config`` as the workspace had it, key by key; returns its rows. A row that is there keeps its number."""
    numbers = note.kept_numbers(session, Kept.SITE_CONFIG)
    place = workspace.public(tables.SITE_CONFIG)
    has_id = workspace.has_column(session, tables.SITE_CONFIG, _ID)
    there = [row[0] for row in rows(session, f"SELECT id FROM {place} ORDER BY id")] if has_id else []  # noqa: S608
    if len(numbers) == 1 and there:
        session.execute(f"DELETE FROM {place} WHERE id <> %s".encode(), (there[0],))  # noqa: S608
        update(
            session, numbers[0], tables.SITE_CONFIG, there[0], _override(session, numbers[0], image, people, fallback)
        )
        return 1
    run(session, f"DELETE FROM {place}")  # noqa: S608
    for number in numbers:
        insert(session, number, tables.SITE_CONFIG, _override(session, number, image, people, fallback))
    return len(numbers)


def _override(
    session: Connection, number: int, image: int | None, people: Mapping[int, int], fallback: int
) -> dict[str, int | None]:
    """What of the settings are numbers of rows that have other numbers now."""
    found: dict[str, int | None] = user_overrides(session, number, tables.SITE_CONFIG, people, fallback)
    if workspace.has_column(session, tables.SITE_CONFIG, "default_engine_image_id"):
        found["default_engine_image_id"] = image
    return found


def user_overrides(
    session: Connection, number: int, table: str, people: Mapping[int, int], fallback: int | None
) -> dict[str, int | None]:
    """For the columns of a kept row that refer to users: who the same person is now, else ``fallback``."""
    known = workspace.references(session)
    overrides: dict[str, int | None] = {}
    for place in workspace.user_references(session, known):
        if (place.schema, place.table) == (tables.PUBLIC, table):
            before = kept_value(session, number, place.column)
            overrides[place.column] = None if before is None else people.get(before, fallback)
    return overrides


def bring_flags(session: Connection) -> int:
    """The workspace's feature flags in the place of those that were loaded; returns their rows."""
    wanted = {place for place, _ in note.kept(session, Kept.FLAG)}
    if not wanted:
        return 0
    names = [name for schema, name in workspace.all_tables(session) if schema == tables.FEATURE_FLAGS]
    there = {quoted(tables.FEATURE_FLAGS, name): name for name in names}
    lost = sorted(wanted - set(there))
    if lost:
        message = f"the table {', '.join(lost)} of the workspace's feature flags is not there any more"
        raise failures.Refused(failures.SETTINGS_NOT_KEPT, message)
    for place in there:
        run(session, f"DELETE FROM {place}")  # noqa: S608 - a quoted name
    return sum(insert_whole(session, Kept.FLAG, tables.FEATURE_FLAGS, there[place]) for place in sorted(wanted))
