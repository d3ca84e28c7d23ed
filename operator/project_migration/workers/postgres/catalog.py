"""What a database holds, read from its catalogues: tables with their columns, sequences, large objects.

Objects that belong to an extension are left to the extension, except for its configuration tables
(manual, "Extension Configuration Tables").
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from project_migration.workers.postgres.session import Connection, quoted, rows, run, value

#: The schema that says whose work a target holds, or which document was carried out there: no part of what is moved.
OURS = "_project_migration"

#: Schemas of the server itself and of other sessions, and ours.
SYSTEM = f"(n.nspname ~ '^pg_' OR n.nspname IN ('information_schema', '{OURS}'))"
NOT_OF_EXTENSION = (
    "NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = '{catalog}'::pg_catalog.regclass"
    " AND d.objid = {oid} AND d.deptype = 'e')"
)


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type_oid: int
    #: ``format_type``: with modifiers, the schema where it is not pg_catalog.
    type_name: str


@dataclass(frozen=True, slots=True)
class Table:
    """One that holds rows itself: a partitioned table does not, its leaves do."""

    oid: int
    schema: str
    name: str
    #: Bytes on the server's disk with TOAST, without indexes.
    size: int
    estimated_rows: int
    persistence: str = "p"
    #: ``WHERE …`` of an extension's configuration table.
    condition: str = ""
    of_extension: bool = False
    partition: bool = False
    #: Those that a COPY carries: generated ones are computed by the target.
    columns: tuple[Column, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        return quoted(self.schema, self.name)

    @property
    def column_list(self) -> str:
        names = ", ".join(quoted(column.name) for column in self.columns)
        return f" ({names})" if names else ""


@dataclass(frozen=True, slots=True)
class Sequence:
    schema: str
    name: str
    last_value: int = 0
    is_called: bool = False

    @property
    def title(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        return quoted(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Type:
    """A row of pg_type, as far as it decides how values may travel."""

    oid: int
    schema: str
    name: str
    kind: str
    element: int
    base: int
    subtype: int
    sends: bool


_TABLES = f"""
SELECT c.oid, n.nspname, c.relname, pg_catalog.pg_table_size(c.oid),
       greatest(c.reltuples, 0)::bigint, c.relpersistence::text, '', false, c.relispartition
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND NOT {SYSTEM}
   AND {NOT_OF_EXTENSION.format(catalog="pg_catalog.pg_class", oid="c.oid")}
UNION ALL
SELECT c.oid, n.nspname, c.relname, pg_catalog.pg_table_size(c.oid),
       greatest(c.reltuples, 0)::bigint, c.relpersistence::text, k.condition, true, false
  FROM pg_catalog.pg_extension AS e CROSS JOIN LATERAL unnest(e.extconfig, e.extcondition) AS k (oid, condition)
  JOIN pg_catalog.pg_class AS c ON c.oid = k.oid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND e.extname <> 'plpgsql'
 ORDER BY 4 DESC, 2, 3
"""  # noqa: S608 - our own words

_COLUMNS = """
SELECT a.attrelid, a.attname, a.atttypid, pg_catalog.format_type(a.atttypid, a.atttypmod)
  FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
 WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attrelid = ANY(%s)
 ORDER BY a.attrelid, a.attnum
"""

_SEQUENCES = f"""
SELECT n.nspname, c.relname FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND NOT {SYSTEM}
   AND ({NOT_OF_EXTENSION.format(catalog="pg_catalog.pg_class", oid="c.oid")}
        OR EXISTS (SELECT FROM pg_catalog.pg_extension AS e WHERE c.oid = ANY(e.extconfig)))
 ORDER BY 1, 2
"""  # noqa: S608 - our own words

_TYPES = """
SELECT t.oid, n.nspname, t.typname, t.typtype::text,
       CASE WHEN t.typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc THEN t.typelem ELSE 0 END,
       t.typbasetype, coalesce(r.rngsubtype, m.rngsubtype, 0), t.typsend <> 0
  FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
  LEFT JOIN pg_catalog.pg_range AS r ON r.rngtypid = t.oid
  LEFT JOIN pg_catalog.pg_range AS m ON m.rngmultitypid = t.oid
"""


def tables(session: Connection) -> tuple[Table, ...]:
    """Largest first."""
    found = [Table(*row) for row in rows(session, _TABLES)]
    columns: dict[int, list[Column]] = {}
    for oid, *column in rows(session, _COLUMNS, [table.oid for table in found]):
        columns.setdefault(oid, []).append(Column(*column))
    return tuple(replace(table, columns=tuple(columns.get(table.oid, ()))) for table in found)


def lock(session: Connection, found: tuple[Table, ...], at_once: int = 100) -> None:
    """Until the transaction ends nobody drops, changes or truncates them; a snapshot does not save from TRUNCATE."""
    for start in range(0, len(found), at_once):
        names = ", ".join(f"ONLY {table.quoted}" for table in found[start : start + at_once])
        run(session, f"LOCK TABLE {names} IN ACCESS SHARE MODE")


def types(session: Connection) -> dict[int, Type]:
    return {row[0]: Type(*row) for row in rows(session, _TYPES)}


def sequences(session: Connection, at_once: int = 200) -> tuple[Sequence, ...]:
    """With their positions, which are not part of any snapshot: a sequence moves at once for everybody."""
    names = [Sequence(*row) for row in rows(session, _SEQUENCES)]
    found: list[Sequence] = []
    for start in range(0, len(names), at_once):
        part = names[start : start + at_once]
        queries = (f"SELECT {i}, last_value, is_called FROM {s.quoted}" for i, s in enumerate(part))  # noqa: S608
        query = " UNION ALL ".join(queries)
        for index, last_value, is_called in rows(session, query):
            found.append(Sequence(part[index].schema, part[index].name, last_value, is_called))
    return tuple(found)


def set_positions(session: Connection, found: tuple[Sequence, ...]) -> None:
    for sequence in found:
        session.execute(
            "SELECT pg_catalog.setval(%s::pg_catalog.regclass, %s, %s)",
            (sequence.quoted, sequence.last_value, sequence.is_called),
        )


_FILLED_VIEWS = """
WITH RECURSIVE depth (oid, level) AS (
    SELECT c.oid, 0 FROM pg_catalog.pg_class AS c WHERE c.relkind IN ('m', 'v') AND c.oid >= 16384
    UNION
    SELECT r.ev_class, depth.level + 1 FROM depth
      JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
       AND d.refobjid = depth.oid AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      JOIN pg_catalog.pg_rewrite AS r ON r.oid = d.objid AND r.ev_class <> depth.oid
     WHERE depth.level < 200
)
SELECT c.oid, n.nspname, c.relname FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN (SELECT oid, max(level) AS level FROM depth GROUP BY oid) AS d ON d.oid = c.oid
 WHERE c.relkind = 'm' AND c.relispopulated AND {free} ORDER BY d.level, 2, 3
"""


def filled_views(session: Connection) -> list[tuple[int, str, str]]:
    """Materialised views that hold rows, each after those that it reads, through plain views too."""
    free = NOT_OF_EXTENSION.format(catalog="pg_catalog.pg_class", oid="c.oid")
    return [(oid, schema, name) for oid, schema, name in rows(session, _FILLED_VIEWS.format(free=free))]


def large_objects(session: Connection) -> int:
    return int(value(session, "SELECT count(*) FROM pg_catalog.pg_largeobject_metadata"))


@dataclass(frozen=True, slots=True)
class Identity:
    """What of a database is decided when it is created."""

    encoding: str
    collate: str
    ctype: str
    provider: str
    locale: str
    collation_version: str = field(default="")


def identity(session: Connection) -> Identity:
    """The catalogue's column for the locale was called ``daticulocale`` before 17."""
    number = session.info.server_version
    version = "datcollversion" if number >= 150000 else "NULL"
    provider = "datlocprovider::text" if number >= 150000 else "'c'"
    locale = "datlocale" if number >= 170000 else "daticulocale" if number >= 150000 else "NULL"
    query = f"""
        SELECT pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype, {provider},
               coalesce({locale}, ''), coalesce({version}, '')
          FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"""  # noqa: S608 - our own words
    row: Any = rows(session, query)[0]
    return Identity(*row)
