"""Large objects: content in pieces of a bounded size, owner, privileges and comment; the same oid on both sides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from project_migration.workers.postgres.session import Connection, literal, quoted, rows, run, value

AT_ONCE = 200
PIECE = 1 << 20

#: ``INV_READ | INV_WRITE`` of ``src/include/libpq/libpq-fs.h``
_READ = 0x40000

_LISTED = """
SELECT m.oid, pg_catalog.quote_ident(r.rolname), r.rolname, pg_catalog.obj_description(m.oid, 'pg_largeobject'),
       CASE WHEN m.lomacl IS NULL THEN NULL ELSE
       ARRAY(SELECT pg_catalog.format('%%s|%%s|%%s', a.privilege_type, a.is_grantable,
             CASE WHEN a.grantee = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantee) END)
             FROM pg_catalog.aclexplode(m.lomacl) AS a) END
  FROM pg_catalog.pg_largeobject_metadata AS m JOIN pg_catalog.pg_roles AS r ON r.oid = m.lomowner
 WHERE m.oid = ANY(%s) ORDER BY 1
"""

#: Sizes are asked of the object itself: the pages' table is closed to most users.
_SIZES = """
SELECT o.oid, s.size, pg_catalog.lo_close(f.fd)
  FROM unnest(%s::oid[]) AS o (oid),
       LATERAL (SELECT pg_catalog.lo_open(o.oid, %s) AS fd OFFSET 0) AS f,
       LATERAL (SELECT pg_catalog.lo_lseek64(f.fd, 0, 2) AS size OFFSET 0) AS s
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is kept of owners and privileges, and which roles the target lacks."""

    owners: bool
    privileges: bool
    missing: frozenset[str]


def batches(session: Connection) -> list[list[int]]:
    found = [row[0] for row in rows(session, "SELECT oid FROM pg_catalog.pg_largeobject_metadata ORDER BY oid")]
    return [found[start : start + AT_ONCE] for start in range(0, len(found), AT_ONCE)]


def sizes(session: Connection, oids: list[int]) -> dict[int, int]:
    """The session must be in a transaction: descriptors end with it."""
    return {oid: int(size) for oid, size, _ in rows(session, _SIZES, oids, _READ)}


def pieces(session: Connection, oid: int, size: int) -> Iterator[tuple[int, bytes]]:
    for offset in range(0, max(size, 1), PIECE):
        yield offset, value(session, "SELECT pg_catalog.lo_get(%s::oid, %s, %s)", oid, offset, PIECE)


def copy_batch(source: Connection, target: Connection, oids: list[int], choice: Choice) -> int:
    """One transaction on the target. Returns how many bytes were copied."""
    found = sizes(source, oids)
    done = 0
    with target.transaction():
        for oid, owner, owner_name, comment, grants in rows(source, _LISTED, oids):
            for offset, data in pieces(source, oid, found[oid]):
                if offset == 0:
                    target.execute("SELECT pg_catalog.lo_from_bytea(%b::oid, %b)", (oid, data))
                else:
                    target.execute("SELECT pg_catalog.lo_put(%b::oid, %b, %b)", (oid, offset, data))
                done += len(data)
            if comment is not None:
                run(target, f"COMMENT ON LARGE OBJECT {oid} IS {literal(comment)}")
            kept = choice.owners and owner_name not in choice.missing
            if kept:
                run(target, f"ALTER LARGE OBJECT {oid} OWNER TO {owner}")
            if choice.privileges and grants is not None:
                _grant(target, oid, owner_name, owner if kept else "CURRENT_USER", grants, choice.missing)
    return done


def _grant(
    target: Connection, oid: int, owner_name: str, owner: str, grants: list[str], missing: frozenset[str]
) -> None:
    """``owner``: how the one who owns it on the target is written."""
    run(target, f"REVOKE ALL ON LARGE OBJECT {oid} FROM {owner}")
    for text in grants:
        privilege, grantable, role = text.split("|", 2)
        name = "PUBLIC" if not role else owner if role == owner_name else quoted(role)
        if role not in missing or role == owner_name:
            option = " WITH GRANT OPTION" if grantable == "t" and role else ""
            run(target, f"GRANT {privilege} ON LARGE OBJECT {oid} TO {name}{option}")
