"""What a table holds as two numbers, computed by the server that holds it: how many rows, and a digest of them.

The digest does not depend on the order of rows: it is the sum of a 64-bit hash of each row's text. The text is that of
``record_out`` under the settings of :mod:`session`, the same on every version and machine; ``hashtextextended`` is the
same on all of one byte order. A bytea goes in as its MD5, so that a large one needs neither twice its size as text nor
more than the server can hold. Generated columns are part of it: the target computed them anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from project_migration.workers.postgres import large_objects
from project_migration.workers.postgres.catalog import NOT_OF_EXTENSION
from project_migration.workers.postgres.session import Connection, quoted, rows

#: Bytes of a large object that are looked at in one piece.
PIECE = 16 << 20

_COLUMNS = """
SELECT n.nspname, c.relname, pg_catalog.pg_table_size(c.oid),
       ARRAY(SELECT a.attname FROM pg_catalog.pg_attribute AS a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname COLLATE "C"),
       ARRAY(SELECT a.attname FROM pg_catalog.pg_attribute AS a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = 17), c.relkind = 'm'
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND c.relispopulated AND {free}
   AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', '_project_migration')
 ORDER BY 3 DESC, 1, 2
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """A table or a materialised view, and the columns that its digest covers, in the order of their names."""

    schema: str
    name: str
    size: int
    columns: tuple[str, ...]
    raw: frozenset[str]
    view: bool = False

    @property
    def title(self) -> str:
        return f"{self.schema}.{self.name}"

    def query(self, *, any_encoding: bool) -> str:
        """With ``any_encoding`` a row is hashed as UTF-8, which costs more and is alike in databases that differ."""
        columns = [f"md5({quoted(name)})" if name in self.raw else quoted(name) for name in self.columns]
        row = f'ROW({", ".join(columns)})::text COLLATE "C"'
        place = quoted(self.schema, self.name)
        one = f"hashtextextended({row}, 0)"
        if any_encoding:
            one = f"('x' || left(md5(convert_to({row}, 'UTF8')), 16))::bit(64)::bigint"
        digest = f"coalesce(sum({one}), 0)::text"
        return f"SELECT count(*), {digest} FROM ONLY {place}"  # noqa: S608 - every name is quoted


def holders(session: Connection) -> tuple[Holder, ...]:
    free = NOT_OF_EXTENSION.format(catalog="pg_catalog.pg_class", oid="c.oid")
    found = rows(session, _COLUMNS.format(free=free))
    return tuple(Holder(s, n, size, tuple(columns), frozenset(raw), view) for s, n, size, columns, raw, view in found)


def of_rows(session: Connection, holder: Holder, *, any_encoding: bool) -> tuple[int, str]:
    count, digest = rows(session, holder.query(any_encoding=any_encoding))[0]
    return int(count), str(digest)


def of_large_objects(session: Connection, oids: list[int]) -> dict[int, str]:
    """MD5 over the MD5s of each object's pieces, with its size. The session must be in a transaction."""
    sizes = large_objects.sizes(session, oids)
    query = """
        SELECT w.oid, md5(string_agg(md5(lo_get(w.oid, o.start, %s)), '' ORDER BY o.start))
          FROM unnest(%s::oid[], %s::bigint[]) AS w (oid, size),
               LATERAL generate_series(0, greatest(w.size - 1, 0), %s::bigint) AS o (start) GROUP BY w.oid"""
    found = rows(session, query, PIECE, oids, [sizes[oid] for oid in oids], PIECE)
    return {oid: f"{sizes[oid]}:{digest}" for oid, digest in found}
