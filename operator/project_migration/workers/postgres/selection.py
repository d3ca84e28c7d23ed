"""Which schemas and tables of a source move, by patterns: ``*`` and ``?`` in ``schema.table`` or in ``table`` alone.

An include list is turned into its opposite, what is left out, so that types, functions and extensions still come.
Views that read a table which stays behind, and foreign keys that point to one, stay behind too, and are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from project_migration.workers.harness import WrongRequest
from project_migration.workers.postgres.catalog import OURS, SYSTEM
from project_migration.workers.postgres.session import Connection, quoted, rows


@dataclass(frozen=True, slots=True)
class Selection:
    schemas: tuple[str, ...] = ()
    without_schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    without_tables: tuple[str, ...] = ()
    without_data: tuple[str, ...] = ()

    @classmethod
    def from_params(cls, data: Mapping[str, Any]) -> Selection:
        schemas, tables = data.get("schemas") or {}, data.get("tables") or {}
        return cls(
            _patterns(schemas.get("include"), "schemas.include"),
            _patterns(schemas.get("exclude"), "schemas.exclude"),
            _patterns(tables.get("include"), "tables.include"),
            _patterns(tables.get("exclude"), "tables.exclude"),
            _patterns(data.get("excludeTableData"), "excludeTableData"),
        )

    @property
    def whole(self) -> bool:
        return not (self.schemas or self.without_schemas or self.tables or self.without_tables)

    def takes_schema(self, schema: str) -> bool:
        wanted = not self.schemas or any(fnmatchcase(schema, pattern) for pattern in self.schemas)
        return wanted and not any(fnmatchcase(schema, pattern) for pattern in self.without_schemas)

    def takes_table(self, schema: str, table: str) -> bool:
        wanted = not self.tables or _matches(schema, table, self.tables)
        return self.takes_schema(schema) and wanted and not _matches(schema, table, self.without_tables)

    def takes_rows(self, schema: str, table: str) -> bool:
        return self.takes_table(schema, table) and not _matches(schema, table, self.without_data)


@dataclass(frozen=True, slots=True)
class LeftOut:
    schemas: tuple[str, ...] = ()
    #: Tables and the views on them, as (oid, schema, name).
    relations: tuple[tuple[int, str, str], ...] = ()
    #: Views that go only because of what they read, by title.
    views: tuple[str, ...] = ()

    @property
    def oids(self) -> frozenset[int]:
        return frozenset(oid for oid, _, _ in self.relations)

    @property
    def dump_options(self) -> tuple[str, ...]:
        """For pg_dump: a quoted name is a pattern that matches itself only (manual, psql, "Patterns")."""
        schemas = (f"--exclude-schema={quoted(schema)}" for schema in (OURS, *self.schemas))
        return (*schemas, *(f"--exclude-table={quoted(schema, name)}" for _, schema, name in self.relations))


_RELATIONS = f"""
SELECT c.oid, n.nspname, c.relname, c.relkind::text FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND c.relpersistence <> 't' AND NOT {SYSTEM} ORDER BY 2, 3
"""  # noqa: S608 - our own words

_READERS = """
WITH RECURSIVE reads (oid) AS (
    SELECT pg_catalog.unnest(%s::oid[])
    UNION
    SELECT r.ev_class FROM reads
      JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
       AND d.refobjid = reads.oid AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      JOIN pg_catalog.pg_rewrite AS r ON r.oid = d.objid
      JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
)
SELECT c.oid, n.nspname, c.relname FROM reads JOIN pg_catalog.pg_class AS c USING (oid)
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') ORDER BY 2, 3
"""


def left_out(session: Connection, selection: Selection) -> LeftOut:
    if selection.whole:
        return LeftOut()
    named = [row for row in rows(session, _RELATIONS) if row[3] in "rpf"]
    without = [(oid, schema, name) for oid, schema, name, _ in named if not selection.takes_table(schema, name)]
    readers = [tuple(row) for row in rows(session, _READERS, [oid for oid, _, _ in without])]
    named_schemas = rows(session, f"SELECT nspname FROM pg_catalog.pg_namespace AS n WHERE NOT {SYSTEM}")  # noqa: S608
    schemas = tuple(schema for (schema,) in named_schemas if not selection.takes_schema(schema))
    views = tuple(f"{schema}.{name}" for _, schema, name in readers if schema not in schemas)
    return LeftOut(schemas, (*without, *readers), views)


def _matches(schema: str, table: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(f"{schema}.{table}" if "." in pattern else table, pattern) for pattern in patterns)


def _patterns(found: Any, name: str) -> tuple[str, ...]:
    found = found or ()
    if not isinstance(found, list | tuple) or not all(isinstance(item, str) and item for item in found):
        raise WrongRequest(f"params.{name} is not a list of patterns")
    return tuple(found)
