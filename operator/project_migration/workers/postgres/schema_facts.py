"""The schema as facts that two servers of different versions can be compared by.

A fact is (kind, identity, detail). Identities come from ``pg_identify_object``, quoted and with their schema; details
are what a person would call different. Text that the server prints back from parsed queries (views, rules, SQL bodies)
is compared between equal majors only: newer servers qualify names differently. Names of NOT NULL constraints exist
since 18 and are left out; that a column is NOT NULL is not.
"""

from __future__ import annotations

from collections.abc import Iterable

from project_migration.workers.postgres.catalog import NOT_OF_EXTENSION
from project_migration.workers.postgres.requirements import KEEP, Choices
from project_migration.workers.postgres.session import Connection, major, rows

Fact = tuple[str, str, str]

_OURS = (
    "coalesce({schema}, i.identity) !~ '^pg_'"
    " AND coalesce({schema}, i.identity) NOT IN ('information_schema', '_project_migration')"
)

#: Name, catalogue with its alias ``o``, an expression for the detail, and a condition.
_KINDS: tuple[tuple[str, str, str, str], ...] = (
    ("schema", "pg_namespace", "''", "o.nspname <> 'public'"),
    ("extension", "pg_extension", "''", "true"),
    (
        "relation",
        "pg_class",
        "concat_ws(' ', o.relkind, o.relpersistence, o.relispartition, o.relrowsecurity, o.relforcerowsecurity,"
        " o.relreplident, (SELECT string_agg(x, ',' ORDER BY x) FROM unnest(o.reloptions) AS x),"
        " pg_get_expr(o.relpartbound, o.oid), CASE WHEN o.relkind = 'p' THEN pg_get_partkeydef(o.oid) END,"
        " o.relispopulated)",
        "o.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')",
    ),
    ("view", "pg_class", "{same}pg_get_viewdef(o.oid){end}", "o.relkind IN ('v', 'm')"),
    (
        "index",
        "pg_class",
        "pg_get_indexdef(o.oid) || ' ' || x.indisvalid || x.indisclustered",
        "o.relkind IN ('i', 'I')",
    ),
    (
        "constraint",
        "pg_constraint",
        "pg_get_constraintdef(o.oid) || ' ' || o.convalidated || o.condeferrable || o.condeferred",
        "o.contype <> 'n' AND o.conparentid = 0",
    ),
    (
        "function",
        "pg_proc",
        "concat_ws(' ', o.prokind, pg_get_function_result(o.oid), o.provolatile, o.proisstrict, o.prosecdef,"
        " o.proparallel, o.proretset, o.proconfig, o.probin, o.prosrc,"
        " (SELECT lanname FROM pg_language WHERE oid = o.prolang))",
        "true",
    ),
    (
        "type",
        "pg_type",
        "concat_ws(' ', o.typtype, o.typnotnull, o.typdefault, format_type(nullif(o.typbasetype, 0), o.typtypmod),"
        " (SELECT string_agg(quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder) FROM pg_enum AS e"
        "   WHERE e.enumtypid = o.oid),"
        " (SELECT format_type(r.rngsubtype, NULL) FROM pg_range AS r WHERE r.rngtypid = o.oid))",
        "o.typtype IN ('d', 'e', 'r', 'm')",
    ),
    (
        "trigger",
        "pg_trigger",
        "concat_ws(' ', pg_get_triggerdef(o.oid), o.tgenabled)",
        "NOT o.tgisinternal",
    ),
    ("rule", "pg_rewrite", "concat_ws(' ', o.ev_type, o.ev_enabled, o.is_instead)", "o.rulename <> '_RETURN'"),
    (
        "policy",
        "pg_policy",
        "concat_ws(' ', o.polcmd, o.polpermissive, pg_get_expr(o.polqual, o.polrelid),"
        " pg_get_expr(o.polwithcheck, o.polrelid),"
        " ARRAY(SELECT r::regrole::text FROM unnest(o.polroles) AS r ORDER BY 1))",
        "true",
    ),
    ("event trigger", "pg_event_trigger", "concat_ws(' ', o.evtevent, o.evtenabled, o.evttags)", "true"),
    (
        "publication",
        "pg_publication",
        "concat_ws(' ', o.puballtables, o.pubinsert, o.pubupdate, o.pubdelete, (SELECT string_agg("
        "r.prrelid::regclass::text, ',' ORDER BY r.prrelid::regclass::text) FROM pg_publication_rel AS r"
        " WHERE r.prpubid = o.oid))",
        "true",
    ),
    ("statistics", "pg_statistic_ext", "pg_get_statisticsobjdef(o.oid)", "true"),
    ("operator", "pg_operator", "o.oprcode::text", "true"),
    ("operator class", "pg_opclass", "''", "true"),
    ("cast", "pg_cast", "concat_ws(' ', o.castcontext, o.castmethod)", "true"),
    ("collation", "pg_collation", "concat_ws(' ', o.collprovider, o.collisdeterministic, o.collcollate)", "true"),
    ("text search configuration", "pg_ts_config", "''", "true"),
    ("server", "pg_foreign_server", "concat_ws(' ', o.srvtype, o.srvversion, o.srvoptions)", "true"),
    ("foreign data wrapper", "pg_foreign_data_wrapper", "o.fdwoptions::text", "true"),
    ("language", "pg_language", "''", "true"),
)

_OBJECTS = """
SELECT '{kind}', i.identity, coalesce({detail}, '') FROM pg_catalog.{catalog} AS o {joined}
 CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.{catalog}'::pg_catalog.regclass, o.oid, 0) AS i
 WHERE o.oid >= 16384 AND {where} AND {free} AND {ours}
"""

_COLUMN_FACTS = """
SELECT 'column', i.identity, concat_ws(' ', pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
       a.attidentity, a.attgenerated, a.attstorage, nullif(coalesce(a.attstattarget, -1), -1),
       pg_catalog.pg_get_expr(d.adbin, d.adrelid), nullif(a.attcollation, t.typcollation)::regcollation)
  FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS o ON o.oid = a.attrelid
  JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_class'::pg_catalog.regclass, o.oid, a.attnum) AS i
 WHERE o.oid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped AND o.relkind IN ('r', 'p', 'f', 'v', 'm', 'c')
   AND {free} AND {ours}
"""

_SEQUENCE_FACTS = """
SELECT 'sequence', i.identity, concat_ws(' ', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmax,
       s.seqmin, s.seqcache, s.seqcycle)
  FROM pg_catalog.pg_sequence AS s JOIN pg_catalog.pg_class AS o ON o.oid = s.seqrelid
 CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_class'::pg_catalog.regclass, o.oid, 0) AS i
 WHERE {free} AND {ours}
"""

_COMMENTS = """
SELECT 'comment', i.type || ' ' || i.identity, d.description FROM pg_catalog.pg_description AS d
 CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classoid, d.objoid, d.objsubid) AS i
 WHERE (d.objoid >= 16384 OR d.classoid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass)
   AND i.type <> 'extension' AND {ours}
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS e
                    WHERE e.classid = d.classoid AND e.objid = d.objoid AND e.deptype = 'e')
"""

#: Catalogues whose rows are owned: name, owner's column, column of privileges, letter of acldefault.
_OWNED = (
    ("pg_class", "relowner", "relacl", "CASE WHEN o.relkind = 'S' THEN 's' ELSE 'r' END::\"char\""),
    ("pg_proc", "proowner", "proacl", "'f'"),
    ("pg_type", "typowner", "typacl", "'T'"),
    ("pg_namespace", "nspowner", "nspacl", "'n'"),
    ("pg_foreign_server", "srvowner", "srvacl", "'S'"),
)
_OWNERS = """
SELECT 'owner', i.type || ' ' || i.identity, pg_catalog.pg_get_userbyid(o.{owner}) FROM pg_catalog.{catalog} AS o
 CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.{catalog}'::pg_catalog.regclass, o.oid, 0) AS i
 WHERE o.oid >= 16384 AND {free} AND {ours} AND i.type NOT LIKE 'toast%%' AND i.type <> 'index'
"""
_PRIVILEGES = """
SELECT 'privilege', i.type || ' ' || i.identity || ' to ' || CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE
       pg_catalog.pg_get_userbyid(a.grantee) END,
       string_agg(a.privilege_type || a.is_grantable, ',' ORDER BY a.privilege_type)
  FROM pg_catalog.{catalog} AS o
 CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(o.{acl}, pg_catalog.acldefault({letter}, o.{owner}))) AS a
 CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.{catalog}'::pg_catalog.regclass, o.oid, 0) AS i
 WHERE o.oid >= 16384 AND {free} AND {ours} AND a.grantee <> o.{owner} GROUP BY 2
"""
_COLUMN_PRIVILEGES = """
SELECT 'privilege', i.identity || ' to ' || CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE
       pg_catalog.pg_get_userbyid(a.grantee) END,
       string_agg(a.privilege_type || a.is_grantable, ',' ORDER BY a.privilege_type)
  FROM pg_catalog.pg_attribute AS c JOIN pg_catalog.pg_class AS o ON o.oid = c.attrelid
 CROSS JOIN LATERAL pg_catalog.aclexplode(c.attacl) AS a
 CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_class'::pg_catalog.regclass, o.oid, c.attnum) AS i
 WHERE o.oid >= 16384 AND {free} AND {ours} GROUP BY 2
"""
_DEFAULT_PRIVILEGES = """
SELECT 'default privilege', concat_ws(' ', pg_catalog.pg_get_userbyid(o.defaclrole), n.nspname, o.defaclobjtype),
       ARRAY(SELECT x::text FROM unnest(o.defaclacl) AS x ORDER BY 1)::text
  FROM pg_catalog.pg_default_acl AS o LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = o.defaclnamespace
"""


def facts(session: Connection, choices: Choices, *, same_major: bool) -> set[Fact]:
    """Everything that users made, but for what an extension brings."""
    path = session.execute("SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)")
    path.fetchone()
    ours = _OURS.format(schema="i.schema")
    found: set[Fact] = set()
    for statement in (*_object_statements(ours, same_major), *_other_statements(ours, choices)):
        found.update((kind, identity, detail or "") for kind, identity, detail in rows(session, statement))
    return found


def _object_statements(ours: str, same_major: bool) -> Iterable[str]:
    shown = {"{same}": "" if same_major else "left(", "{end}": "" if same_major else ", 0)"}
    for kind, catalog, told, where in _KINDS:
        detail = told
        for mark, text in shown.items():
            detail = detail.replace(mark, text)
        joined = "JOIN pg_catalog.pg_index AS x ON x.indexrelid = o.oid" if kind == "index" else ""
        yield _OBJECTS.format(
            kind=kind, detail=detail, catalog=catalog, where=where, joined=joined, free=_free(catalog), ours=ours
        )


def _other_statements(ours: str, choices: Choices) -> Iterable[str]:
    yield _COLUMN_FACTS.format(free=_free("pg_class"), ours=ours)
    yield _SEQUENCE_FACTS.format(free=_free("pg_class"), ours=ours)
    yield _COMMENTS.format(ours=ours)
    if choices.owners == KEEP:
        for catalog, owner, _, _ in _OWNED:
            yield _OWNERS.format(catalog=catalog, owner=owner, free=_free(catalog), ours=ours).replace("%%", "%")
    if choices.privileges == KEEP:
        for catalog, owner, acl, letter in _OWNED:
            yield _PRIVILEGES.format(
                catalog=catalog, owner=owner, acl=acl, letter=letter, free=_free(catalog), ours=ours
            )
        yield _COLUMN_PRIVILEGES.format(free=_free("pg_class"), ours=ours)
        yield _DEFAULT_PRIVILEGES


def _free(catalog: str) -> str:
    """Array types are nobody's own: they come and go with their elements, an extension's too."""
    arrays = "NOT EXISTS (SELECT FROM pg_catalog.pg_type AS e WHERE e.typarray = o.oid)"
    free = NOT_OF_EXTENSION.format(catalog=f"pg_catalog.{catalog}", oid="o.oid")
    return f"{free} AND {arrays}" if catalog == "pg_type" else free


def same_version(one: Connection, other: Connection) -> bool:
    return major(one) == major(other)
