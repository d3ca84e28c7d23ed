"""What the catalogue says of a workspace's database: which tables and columns there are, and who refers to whom."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from project_migration.workers.cdsw import tables
from project_migration.workers.postgres.session import Connection, major, quoted, rows, value

#: ``attgenerated`` came with PostgreSQL 12; a CML may have 11.
_COLUMNS = """
SELECT a.attname, a.attnotnull, {generated} OR a.attidentity = 'a',
       a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
  FROM pg_catalog.pg_attribute AS a
 WHERE a.attrelid = pg_catalog.to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_GENERATED_SINCE = 12
_TABLES = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname !~ '^pg_'
   AND n.nspname NOT IN ('information_schema', '_project_migration') ORDER BY 1, 2
"""
_REFERENCES = """
SELECT n.nspname, c.relname, a.attname, fn.nspname, f.relname, r.confdeltype::text
  FROM pg_catalog.pg_constraint AS r
  JOIN pg_catalog.pg_class AS c ON c.oid = r.conrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_class AS f ON f.oid = r.confrelid JOIN pg_catalog.pg_namespace AS fn ON fn.oid = f.relnamespace
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.conrelid AND a.attnum = ANY (r.conkey)
 WHERE r.contype = 'f' AND r.conparentid = 0 AND n.nspname <> '_project_migration' ORDER BY 1, 2, 3
"""
#: Columns whose default, or whose identity, is a sequence.
_SEQUENCES = """
SELECT sn.nspname, s.relname, n.nspname, c.relname, a.attname
  FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
  JOIN pg_catalog.pg_namespace AS sn ON sn.oid = s.relnamespace
  JOIN pg_catalog.pg_class AS c ON c.oid = d.refobjid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
 WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
   AND d.deptype IN ('a', 'i') AND n.nspname <> '_project_migration' ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    required: bool
    computed: bool
    """By the server, always: it takes no value."""
    integer: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A column of a table."""

    schema: str
    table: str
    column: str

    @property
    def title(self) -> str:
        prefix = "" if self.schema == tables.PUBLIC else f"{self.schema}."
        return f"{prefix}{self.table}.{self.column}"

    @property
    def of_table(self) -> str:
        return quoted(self.schema, self.table)

    @property
    def quoted(self) -> str:
        return quoted(self.column)


@dataclass(frozen=True, slots=True)
class Reference:
    """A column of a foreign key."""

    at: Place
    schema: str
    table: str


@dataclass(frozen=True, slots=True)
class Sequence:
    schema: str
    name: str
    of: Place


def public(name: str) -> str:
    return quoted(tables.PUBLIC, name)


def has(session: Connection, name: str, schema: str = tables.PUBLIC) -> bool:
    return value(session, "SELECT pg_catalog.to_regclass(%s)", quoted(schema, name)) is not None


def columns(session: Connection, name: str, schema: str = tables.PUBLIC) -> tuple[Column, ...]:
    """None where there is no such table."""
    generated = "a.attgenerated <> ''" if major(session) >= _GENERATED_SINCE else "false"
    query = _COLUMNS.replace("{generated}", generated)
    return tuple(Column(*found) for found in rows(session, query, quoted(schema, name)))


def has_column(session: Connection, table: str, column: str) -> bool:
    return any(found.name == column for found in columns(session, table))


def all_tables(session: Connection) -> tuple[tuple[str, str], ...]:
    """Schema and name of each that holds rows."""
    return tuple((schema, name) for schema, name in rows(session, _TABLES))


def references(session: Connection) -> tuple[Reference, ...]:
    found = rows(session, _REFERENCES)
    return tuple(Reference(Place(*one[:3]), one[3], one[4]) for one in found)


def user_references(session: Connection, known: tuple[Reference, ...]) -> tuple[Place, ...]:
    """Every column that holds users' numbers: by its foreign key, or by its name where it has none."""
    by_key = {one.at for one in known if (one.schema, one.table) == (tables.PUBLIC, tables.USERS)}
    any_key = {one.at for one in known}
    found = dict.fromkeys(sorted(by_key, key=lambda place: place.title))
    for schema, name in all_tables(session):
        for column in columns(session, name, schema):
            place = Place(schema, name, column.name)
            if column.integer and column.name in tables.USER_COLUMNS and place not in any_key:
                found[place] = None
    return tuple(found)


def outside_references(known: tuple[Reference, ...], emptied: Collection[str]) -> tuple[Reference, ...]:
    """Foreign keys from tables that stay to tables that are to be emptied."""
    return tuple(
        one
        for one in known
        if one.schema == tables.PUBLIC
        and one.table in emptied
        and not (one.at.schema == tables.PUBLIC and one.at.table in emptied)
    )


def sequences(session: Connection) -> tuple[Sequence, ...]:
    return tuple(Sequence(one[0], one[1], Place(*one[2:])) for one in rows(session, _SEQUENCES))


def missing_tables(session: Connection) -> tuple[str, ...]:
    return tuple(name for name in tables.REQUIRED if not has(session, name))
