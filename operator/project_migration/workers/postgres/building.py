"""Which entries of the schema become tasks of their own, with what they need and what they lock.

Indexes and keys of a table are built as soon as its rows are there, and foreign keys once both their tables are whole.
What is left, in pg_dump's own order, is run by one session afterwards: attaching indexes of partitions, triggers,
rules, policies, event triggers, materialised views.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import psycopg

from project_migration.workers import reasons
from project_migration.workers.postgres import failures
from project_migration.workers.postgres.archive import PG_CLASS, PG_CONSTRAINT, PG_PUBLICATION_TABLE, Entry
from project_migration.workers.postgres.catalog import Table
from project_migration.workers.postgres.schedule import Sessions, Task
from project_migration.workers.postgres.session import Connection, rows, run

#: Shares of the time that loading a table takes, as they were measured.
INDEX_SHARE, FOREIGN_KEY_SHARE = 0.3, 0.15

#: How many entries are one transaction: each object keeps a lock until its end.
ENTRIES_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Place:
    """Where an index or a constraint of the source belongs; oids of the source."""

    table: int
    other: int
    plain: bool


_INDEXES = """
SELECT i.indexrelid, i.indrelid, 0::oid, c.relkind = 'r' FROM pg_catalog.pg_index AS i
  JOIN pg_catalog.pg_class AS c ON c.oid = i.indrelid WHERE i.indexrelid >= 16384
"""
_CONSTRAINTS = """
SELECT k.oid, k.conrelid, k.confrelid, c.relkind = 'r' AND (f.oid IS NULL OR f.relkind = 'r')
       AND k.contype IN ('p', 'u', 'x', 'f')
  FROM pg_catalog.pg_constraint AS k JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
  LEFT JOIN pg_catalog.pg_class AS f ON f.oid = k.confrelid WHERE k.oid >= 16384
"""
_PUBLISHED = "SELECT oid, 0::oid, prrelid, false FROM pg_catalog.pg_publication_rel"


def places(source: Connection) -> dict[tuple[int, int], Place]:
    found: dict[tuple[int, int], Place] = {}
    queries = ((PG_CLASS, _INDEXES), (PG_CONSTRAINT, _CONSTRAINTS), (PG_PUBLICATION_TABLE, _PUBLISHED))
    for catalog, query in queries:
        found |= {(catalog, oid): Place(*place) for oid, *place in rows(source, query)}
    return found


@dataclass(frozen=True, slots=True)
class Built:
    tasks: tuple[Task, ...]
    #: What one session runs afterwards.
    rest: tuple[Entry, ...]
    #: Foreign keys that point to a table which stays behind, and its place in publications.
    left_out: tuple[Entry, ...]


def divide(
    entries: tuple[Entry, ...],
    where: Mapping[tuple[int, int], Place],
    tables: Mapping[int, Table],
    left_out: Collection[int],
    built: Callable[[Entry], None],
) -> Built:
    """``tables``: those that are loaded, by the source's oid; ``left_out``: oids of relations that do not move."""
    tasks: list[Task] = []
    rest: list[Entry] = []
    without: list[Entry] = []
    for entry in entries:
        place = where.get((entry.catalog, entry.oid))
        if place and place.other in left_out:
            without.append(entry)
        elif place and place.plain and entry.kind in ("INDEX", "CONSTRAINT", "FK CONSTRAINT"):
            tasks.append(_task(entry, place, tables, built))
        else:
            rest.append(entry)
    return Built(tuple(tasks), tuple(rest), tuple(without))


def loaded(oid: int) -> tuple[str, int]:
    return ("loaded", oid)


def keyed(oid: int) -> tuple[str, int]:
    return ("keyed", oid)


def _task(entry: Entry, place: Place, tables: Mapping[int, Table], built: Callable[[Entry], None]) -> Task:
    table = tables.get(place.table)
    size = float(table.size if table else 0)

    def build(sessions: Sessions) -> None:
        run_entries(sessions.target, (entry,))
        built(entry)

    if entry.kind == "FK CONSTRAINT":
        pair = frozenset({place.table, place.other})
        needs = frozenset(key(oid) for oid in pair for key in (loaded, keyed))
        return Task(entry.title, build, size * FOREIGN_KEY_SHARE, needs=needs, exclusive=pair)
    lock = frozenset({place.table})
    is_index = entry.kind == "INDEX"
    return Task(
        entry.title,
        build,
        size * INDEX_SHARE,
        key=keyed(place.table),
        needs=frozenset({loaded(place.table)}),
        exclusive=frozenset() if is_index else lock,
        shared=lock if is_index else frozenset(),
    )


def run_entries(session: Connection, entries: tuple[Entry, ...], built: Callable[[Entry], None] | None = None) -> None:
    """In transactions of a bounded size. Raises ``Refused`` that names the entry which the target did not take."""
    for start in range(0, len(entries), ENTRIES_AT_ONCE):
        with session.transaction():
            for entry in entries[start : start + ENTRIES_AT_ONCE]:
                _run(session, entry)
        for entry in entries[start : start + ENTRIES_AT_ONCE]:
            if built and entry.number:
                built(entry)


def _run(session: Connection, entry: Entry) -> None:
    if not entry.statements.strip():
        return
    try:
        run(session, entry.statements)
    except psycopg.Error as error:
        refused = failures.of_error(entry.title, error)
        reason = reasons.COPY_INCOMPLETE if refused.reason == failures.DATABASE_NOT_FOUND else refused.reason
        raise failures.Refused(reason, f"target: {refused.message}", refused.passing) from error
