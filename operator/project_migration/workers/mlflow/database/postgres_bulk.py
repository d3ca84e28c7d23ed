"""Many rows into an empty table of PostgreSQL: without its indexes and foreign keys, which are made anew after them.

A foreign key costs a query a row, an index a place in the middle; made once over all rows they cost a fraction (manual,
"Populating a Database"). All of it is in the transaction of the copy, so a failure leaves them as they were. Only what
would come back exactly so is set aside, and only where the tables are the user's own.
"""

from __future__ import annotations

from project_migration.workers.mlflow.database.store import Aside, Store
from project_migration.workers.postgres.session import quoted

#: Ordinary tables of ours with no heirs.
_OURS = """
SELECT c.oid FROM pg_catalog.pg_class AS c WHERE c.oid = pg_catalog.to_regclass(?) AND c.relkind = 'r'
   AND pg_catalog.pg_has_role(c.relowner, 'USAGE') AND c.relreplident = 'd'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE c.oid IN (i.inhparent, i.inhrelid))
"""
_CONSTRAINTS = """
SELECT k.conname, pg_catalog.pg_get_constraintdef(k.oid), k.contype = 'f' FROM pg_catalog.pg_constraint AS k
 WHERE k.conrelid = ? AND pg_catalog.obj_description(k.oid, 'pg_constraint') IS NULL AND (k.contype = 'f' OR (
       k.contype IN ('p', 'u') AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS r
                                                WHERE r.confrelid = k.conrelid AND r.contype = 'f')
       AND EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = k.conindid AND c.reltablespace = 0
                      AND c.reloptions IS NULL)))
 ORDER BY k.contype = 'f', k.conname
"""
_INDEXES = """
SELECT n.nspname, c.relname, pg_catalog.pg_get_indexdef(i.indexrelid) FROM pg_catalog.pg_index AS i
  JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE i.indrelid = ? AND i.indisvalid AND NOT i.indisclustered AND NOT i.indisreplident AND c.reltablespace = 0
   AND pg_catalog.obj_description(i.indexrelid, 'pg_class') IS NULL
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conindid = i.indexrelid)
 ORDER BY c.relname
"""


def set_aside(store: Store, table: str) -> Aside:
    """Drops what can be made anew. Without the right to it nothing is done."""
    place = store.place(table)
    found = store.rows(_OURS, place)
    if not found:
        return Aside()
    (oid,) = found[0]
    indexes: list[str] = []
    keys: list[str] = []
    constraints = store.rows(_CONSTRAINTS, oid)
    others = store.rows(_INDEXES, oid)
    for name, definition, foreign in constraints:
        store.run(f"ALTER TABLE {place} DROP CONSTRAINT {quoted(name)}")
        (keys if foreign else indexes).append(f"ALTER TABLE {place} ADD CONSTRAINT {quoted(name)} {definition}")
    for namespace, name, definition in others:
        store.run(f"DROP INDEX {quoted(namespace, name)}")
        indexes.append(definition)
    return Aside(tuple(indexes), tuple(keys))
