"""What a migration keeps in the target database while it works on it: in the schema that PostgreSQL's workers use too.

``_project_migration`` is never dumped, dropped or restored with the rest. Here it holds how far the work is, what has
to survive the load (rows as JSON by their column names; they may hold hashes of passwords, so they never leave the
database), and what was told when a transaction was committed, for whoever asks again. Each state is written in the
transaction that reached it::

    saved → loaded → adapted
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from project_migration.workers import reasons
from project_migration.workers.cdsw import failures
from project_migration.workers.postgres.journal import SCHEMA, read_arrived
from project_migration.workers.postgres.session import Connection, rows, run, trusted, value


class State(StrEnum):
    NONE = ""
    SAVED = "saved"
    LOADED = "loaded"
    ADAPTED = "adapted"


class Kept(StrEnum):
    """What the saved rows are."""

    SITE_CONFIG = "site_config"
    ENGINE_IMAGE = "engine_image"
    ADMINISTRATOR = "administrator"
    USER = "user"
    FLAG = "flag"
    EXTENSION = "extension"
    SCHEMA_STATE = "schema_state"


_TABLES = f"""
CREATE TABLE {SCHEMA}.cdsw (migration text NOT NULL, state text NOT NULL, counts text NOT NULL, facts text NOT NULL);
CREATE TABLE {SCHEMA}.cdsw_kept (number serial, kind text NOT NULL, place text NOT NULL, content jsonb NOT NULL);
CREATE TABLE {SCHEMA}.cdsw_rows (schema text, name text, loaded bigint NOT NULL, ids numeric,
    PRIMARY KEY (schema, name));
CREATE TABLE {SCHEMA}.cdsw_told (number serial, kind text NOT NULL, name text NOT NULL, cause text NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Note:
    migration: str
    state: State
    counts: Mapping[str, int]
    facts: Mapping[str, Any]


def read(session: Connection) -> Note | None:
    if value(session, "SELECT pg_catalog.to_regclass(%s)", f"{SCHEMA}.cdsw") is None:
        return None
    found = rows(session, f"SELECT migration, state, counts, facts FROM {SCHEMA}.cdsw")  # noqa: S608 - our own words
    if not found:
        return None
    migration, state, counts, facts = found[0]
    return Note(migration, State(state), json.loads(counts), json.loads(facts))


def ours(session: Connection, migration: str) -> Note | None:
    """Raises ``Refused`` (TargetNotEmpty) where another migration's work lies."""
    note = read(session)
    if note is not None and note.migration != migration:
        raise failures.Refused(reasons.TARGET_NOT_EMPTY, "the target database holds the work of another migration")
    return note


def required(session: Connection, migration: str, *states: State) -> Note:
    """Raises ``Refused`` where the work is not as far as it has to be for what is asked."""
    note = ours(session, migration)
    if note is None or note.state not in states:
        has = note.state if note and note.state else "untouched"
        wanted = " or ".join(states)
        raise failures.Refused(reasons.COPY_INCOMPLETE, f"the target database is {has} and has to be {wanted} for this")
    return note


def begin(session: Connection, migration: str) -> None:
    """Within a transaction: an empty note in the place of one that was not used yet."""
    if read(session) is not None or read_arrived(session):
        run(session, f"DROP SCHEMA {SCHEMA} CASCADE")
    run(session, f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    run(session, f"REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC")
    run(session, _TABLES)
    session.execute(_statement("INSERT INTO {}.cdsw VALUES (%s, '', '{{}}', '{{}}')"), (migration,))


def reach(session: Connection, state: State, counts: Mapping[str, int], facts: Mapping[str, Any]) -> None:
    """Within the transaction that does the work; its commit waits for the disk."""
    session.execute("SET LOCAL synchronous_commit TO on")
    statement = _statement("UPDATE {}.cdsw SET state = %s, counts = %s, facts = %s")
    session.execute(statement, (str(state), json.dumps(dict(counts)), json.dumps(dict(facts))))


def keep_rows(session: Connection, kind: Kept, table: str, where: str = "true", *values: object) -> int:
    """Rows of a quoted table; they do not leave the server. Returns how many."""
    statement = (
        f"INSERT INTO {SCHEMA}.cdsw_kept (kind, place, content) SELECT %s, %s, pg_catalog.to_jsonb(t)"  # noqa: S608
        f" FROM {table} AS t WHERE {where} ORDER BY pg_catalog.to_jsonb(t) -> 'id'"
    )
    return session.execute(trusted(statement), (str(kind), table, *values)).rowcount


def keep(session: Connection, kind: Kept, place: str, content: object) -> None:
    statement = _statement("INSERT INTO {}.cdsw_kept (kind, place, content) VALUES (%s, %s, %s)")
    session.execute(statement, (str(kind), place, json.dumps(content)))


def kept_numbers(session: Connection, *kinds: Kept) -> list[int]:
    query = f"SELECT number FROM {SCHEMA}.cdsw_kept WHERE kind = ANY (%s) ORDER BY number"  # noqa: S608
    return [row[0] for row in rows(session, query, [str(kind) for kind in kinds])]


def kept(session: Connection, kind: Kept) -> list[tuple[str, Any]]:
    """Place and content, in the order in which they were kept."""
    query = f"SELECT place, content FROM {SCHEMA}.cdsw_kept WHERE kind = %s ORDER BY number"  # noqa: S608
    return [(place, content) for place, content in rows(session, query, str(kind))]


def tell(session: Connection, kind: str, name: str, cause: str = "") -> None:
    """A name for a list of the record, which whoever is asked again has to give again."""
    statement = _statement("INSERT INTO {}.cdsw_told (kind, name, cause) VALUES (%s, %s, %s)")
    session.execute(statement, (kind, name, cause))


def told(session: Connection) -> list[tuple[str, str, str]]:
    return rows(session, f"SELECT kind, name, cause FROM {SCHEMA}.cdsw_told ORDER BY number")  # noqa: S608


def _statement(text: str) -> bytes:
    return text.format(SCHEMA).encode()
