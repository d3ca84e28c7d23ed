"""Making a database empty again: everything in it that is not the server's, an extension's or told to be kept.

Dropping takes a lock on each object, and the server has room for some thousands in one transaction, so it is done in
small ones; whoever is interrupted starts again and finds less to do.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from project_migration.workers.postgres.catalog import NOT_OF_EXTENSION
from project_migration.workers.postgres.session import Connection, quoted, rows, run

AT_ONCE = 40
LARGE_OBJECTS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of object: its catalogue and which of its rows are users' own and can be dropped by themselves."""

    catalog: str
    where: str = "true"


#: In an order in which little is left for CASCADE to do.
_KINDS = (
    _Kind("pg_event_trigger"),
    _Kind("pg_publication"),
    _Kind("pg_class", "o.relkind IN ('v', 'm')"),
    _Kind("pg_class", "o.relkind IN ('r', 'p', 'f') AND o.relpersistence <> 't'"),
    _Kind("pg_class", "o.relkind = 'S' AND o.relpersistence <> 't'"),
    _Kind("pg_cast"),
    _Kind("pg_opclass"),
    _Kind("pg_opfamily"),
    _Kind("pg_operator"),
    _Kind("pg_proc"),
    _Kind(
        "pg_type",
        "(o.typtype IN ('d', 'e', 'r') OR (o.typtype = 'c' AND EXISTS (SELECT FROM pg_catalog.pg_class AS c"
        " WHERE c.oid = o.typrelid AND c.relkind = 'c')) OR (o.typtype IN ('b', 'p') AND NOT EXISTS"
        " (SELECT FROM pg_catalog.pg_type AS e WHERE e.typarray = o.oid)))",
    ),
    _Kind("pg_collation"),
    _Kind("pg_conversion"),
    _Kind("pg_ts_config"),
    _Kind("pg_ts_dict"),
    _Kind("pg_ts_parser"),
    _Kind("pg_ts_template"),
    _Kind("pg_foreign_server"),
    _Kind("pg_foreign_data_wrapper"),
    _Kind("pg_language"),
    _Kind("pg_am"),
)

_LISTED = """
SELECT i.type, i.identity FROM pg_catalog.{catalog} AS o,
       LATERAL pg_catalog.pg_identify_object('pg_catalog.{catalog}'::pg_catalog.regclass, o.oid, 0) AS i
 WHERE o.oid >= 16384 AND {where} AND {not_of_extension}
   AND coalesce(i.schema, '') NOT IN ('_project_migration', 'information_schema', 'pg_catalog', 'pg_toast')
   AND coalesce(i.schema, '') !~ '^pg_(toast_)?temp_'
"""

_SCHEMAS = """
SELECT o.nspname FROM pg_catalog.pg_namespace AS o
 WHERE o.oid >= 16384 AND o.nspname NOT IN ('public', '_project_migration') AND o.nspname !~ '^pg_'
   AND {not_of_extension} ORDER BY 1
"""

_DEFAULT_PRIVILEGES = """
SELECT pg_catalog.quote_ident(r.rolname), pg_catalog.quote_ident(n.nspname), d.defaclobjtype::text,
       ARRAY(SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC'
                                  ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END
               FROM pg_catalog.aclexplode(d.defaclacl) AS a)
  FROM pg_catalog.pg_default_acl AS d JOIN pg_catalog.pg_roles AS r ON r.oid = d.defaclrole
  LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = d.defaclnamespace
"""
_DEFAULT_KINDS = {
    "r": ("TABLES", ""),
    "S": ("SEQUENCES", ""),
    "f": ("ROUTINES", "EXECUTE"),
    "T": ("TYPES", "USAGE"),
    "n": ("SCHEMAS", ""),
    "L": ("LARGE OBJECTS", ""),
}


def _listing(kind: _Kind) -> str:
    # 'i': a part of another object, which takes it along
    free = NOT_OF_EXTENSION.replace("= 'e'", "IN ('e', 'i') AND d.objsubid = 0").format(
        catalog=f"pg_catalog.{kind.catalog}", oid="o.oid"
    )
    return _LISTED.format(catalog=kind.catalog, where=kind.where, not_of_extension=free)


def schemas(session: Connection) -> tuple[str, ...]:
    """Those that users made, empty or not; not ``public``, which a dump takes for granted, whoever made it."""
    free = NOT_OF_EXTENSION.format(catalog="pg_catalog.pg_namespace", oid="o.oid")
    return tuple(row[0] for row in rows(session, _SCHEMAS.format(not_of_extension=free)))


def user_objects(session: Connection, limit: int = 21) -> tuple[str, ...]:
    """What keeps a database from being empty, as ``table public.a``; schemas with nothing in them do not count."""
    found: list[str] = []
    for kind in _KINDS:
        if len(found) < limit:
            found += [f"{what} {name}" for what, name in rows(session, f"{_listing(kind)} LIMIT {limit}")]
    objects = rows(session, f"SELECT oid FROM pg_catalog.pg_largeobject_metadata LIMIT {limit}")  # noqa: S608
    found += [f"large object {row[0]}" for row in objects]
    found += [f"default privileges of {row[0]}" for row in rows(session, _DEFAULT_PRIVILEGES)]
    return tuple(found[:limit])


def clear(session: Connection, kept_schemas: Collection[str], kept_extensions: Collection[str]) -> None:
    """The session must be in autocommit mode and its user own what is dropped."""
    for kind in _KINDS:
        listing = _listing(kind)
        while found := rows(session, f"{listing} LIMIT {AT_ONCE}"):
            with session.transaction():
                for what, name in found:
                    word = what.replace("foreign-data", "foreign data").replace("composite type", "type")
                    run(session, f"DROP {word.upper()} IF EXISTS {name} CASCADE")
    for schema in schemas(session):
        if schema not in kept_schemas:
            run(session, f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE")
    for (extension,) in rows(session, "SELECT extname FROM pg_catalog.pg_extension"):
        if extension not in kept_extensions:
            run(session, f"DROP EXTENSION IF EXISTS {quoted(extension)} CASCADE")
    _clear_default_privileges(session)
    listing = f"SELECT oid FROM pg_catalog.pg_largeobject_metadata LIMIT {LARGE_OBJECTS_AT_ONCE}"  # noqa: S608
    while found := rows(session, listing):
        with session.transaction():
            session.execute("SELECT pg_catalog.lo_unlink(o) FROM unnest(%s::oid[]) AS o", ([row[0] for row in found],))


def _clear_default_privileges(session: Connection) -> None:
    """Back to what the server grants by itself; a row that says no more than that is removed by the server."""
    for role, schema, kind, grantees in rows(session, _DEFAULT_PRIVILEGES):
        objects, public_right = _DEFAULT_KINDS[kind]
        place = f" IN SCHEMA {schema}" if schema else ""
        alter = f"ALTER DEFAULT PRIVILEGES FOR ROLE {role}{place}"
        with session.transaction():
            for grantee in grantees:
                run(session, f"{alter} REVOKE ALL ON {objects} FROM {grantee}")
            if not schema:
                run(session, f"{alter} GRANT ALL ON {objects} TO {role}")
                if public_right:
                    run(session, f"{alter} GRANT {public_right} ON {objects} TO PUBLIC")
