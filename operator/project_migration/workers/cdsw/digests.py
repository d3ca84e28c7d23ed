"""How many rows each table holds, and a sum over their keys by which two states are told apart."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from project_migration.workers.cdsw import workspace
from project_migration.workers.postgres.journal import SCHEMA
from project_migration.workers.postgres.session import Connection, quoted, rows, trusted

_KEYS = """
SELECT pg_catalog.quote_ident(a.attname) FROM pg_catalog.pg_constraint AS r
  JOIN LATERAL unnest(r.conkey) WITH ORDINALITY AS k (number, place) ON true
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.conrelid AND a.attnum = k.number
 WHERE r.contype = 'p' AND r.conrelid = pg_catalog.to_regclass(%s) ORDER BY k.place
"""


@dataclass(frozen=True, slots=True)
class Held:
    schema: str
    name: str
    rows: int
    keys: Decimal | None
    """A sum of hashes of the primary keys; None of a table without."""

    @property
    def title(self) -> str:
        return f"{self.schema}.{self.name}"


def held(session: Connection, schema: str, name: str) -> Held:
    place = quoted(schema, name)
    keys = ", ".join(row[0] for row in rows(session, _KEYS, place))
    told = f"sum(pg_catalog.hashtextextended(ROW({keys})::text, 0)::numeric)" if keys else "NULL::numeric"
    count, total = rows(session, f"SELECT count(*), {told} FROM {place}")[0]  # noqa: S608 - quoted names
    return Held(schema, name, count, total)


def of_all(session: Connection) -> tuple[Held, ...]:
    return tuple(held(session, schema, name) for schema, name in workspace.all_tables(session))


def write(session: Connection, found: tuple[Held, ...]) -> None:
    statement = f"INSERT INTO {SCHEMA}.cdsw_rows VALUES (%s, %s, %s, %s)"  # noqa: S608 - our own words
    with session.cursor() as cursor:
        cursor.executemany(trusted(statement), [(one.schema, one.name, one.rows, one.keys) for one in found])


def read(session: Connection) -> dict[tuple[str, str], Held]:
    """What was there when the dump was loaded."""
    found = rows(session, f"SELECT schema, name, loaded, ids FROM {SCHEMA}.cdsw_rows")  # noqa: S608
    return {(one[0], one[1]): Held(*one) for one in found}
