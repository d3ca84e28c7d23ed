"""What a source needs that a target may lack: found before anything is written, all of it at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from project_migration.workers import reasons
from project_migration.workers.postgres import catalog, failures, reading
from project_migration.workers.postgres.session import Connection, major, rows, value

KEEP, DROP = "Keep", "Drop"
REFUSE, LEAVE_OUT = "Refuse", "LeaveOut"
ENCODING_DIFFERS = "EncodingDiffers"
COLLATION_DIFFERS = "CollationDiffers"


@dataclass(frozen=True, slots=True)
class Choices:
    """What the document says of roles, privileges and collations."""

    owners: str
    privileges: str
    missing_roles: str
    accept_collation: bool

    @classmethod
    def from_params(cls, params: reading.Params) -> Choices:
        return cls(
            reading.choice(params, "owners", (KEEP, DROP)),
            reading.choice(params, "privileges", (KEEP, DROP)),
            reading.choice(params, "missingRoles", (REFUSE, LEAVE_OUT)),
            reading.flag(params, "acceptCollation"),
        )

    @property
    def needs_roles(self) -> bool:
        return KEEP in (self.owners, self.privileges)


@dataclass(frozen=True, slots=True)
class Extension:
    name: str
    version: str


_EXTENSIONS = "SELECT extname, extversion FROM pg_catalog.pg_extension ORDER BY 1"

#: pg_shdepend knows who owns, is granted or stands in a policy; the bootstrap role alone is not written down there.
_ROLES = """
SELECT r.rolname FROM pg_catalog.pg_shdepend AS s JOIN pg_catalog.pg_roles AS r ON r.oid = s.refobjid
 WHERE s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
   AND s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.deptype IN ('o', 'a', 'r')
   AND s.classid <> 'pg_catalog.pg_extension'::pg_catalog.regclass
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                    WHERE (d.classid, d.objid, d.deptype) = (s.classid, s.objid, 'e'))
   AND NOT r.rolname ~ '^pg_'
UNION
SELECT r.rolname FROM pg_catalog.pg_roles AS r
 WHERE r.oid = 10 AND EXISTS (
       SELECT relowner FROM pg_catalog.pg_class WHERE oid >= 16384 AND relowner = 10
       UNION ALL SELECT proowner FROM pg_catalog.pg_proc WHERE oid >= 16384 AND proowner = 10
       UNION ALL SELECT nspowner FROM pg_catalog.pg_namespace WHERE oid >= 16384 AND nspowner = 10)
 ORDER BY 1
"""

_OURS_TO_GIVE = (
    "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname = ANY(%s)"
    " AND NOT pg_catalog.pg_has_role(session_user, oid, %s)"
)

_UNREADABLE = f"""
SELECT n.nspname || '.' || c.relname, CASE WHEN pg_catalog.row_security_active(c.oid)
       THEN 'row security would hide rows' ELSE 'no SELECT privilege' END
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'S') AND c.relpersistence <> 't' AND NOT {catalog.SYSTEM}
   AND {catalog.NOT_OF_EXTENSION.format(catalog="pg_catalog.pg_class", oid="c.oid")}
   AND (NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') OR NOT pg_catalog.has_table_privilege(c.oid, 'SELECT')
        OR (c.relkind = 'r' AND pg_catalog.row_security_active(c.oid)))
 ORDER BY 1
"""  # noqa: S608 - our own words

_SAME_PLACE = (
    "SELECT pg_catalog.pg_postmaster_start_time()::text, d.oid, (SELECT system_identifier"
    " FROM pg_catalog.pg_control_system()) FROM pg_catalog.pg_database AS d WHERE datname = current_database()"
)


def roles(session: Connection) -> tuple[str, ...]:
    return tuple(row[0] for row in rows(session, _ROLES))


def extensions(session: Connection) -> tuple[Extension, ...]:
    return tuple(Extension(*row) for row in rows(session, _EXTENSIONS))


def missing_roles(source: Connection, target: Connection) -> tuple[str, ...]:
    return lacks_roles(target, roles(source))


def lacks_roles(target: Connection, wanted: tuple[str, ...]) -> tuple[str, ...]:
    there = rows(target, "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname = ANY(%s)", list(wanted))
    return tuple(sorted(set(wanted) - {row[0] for row in there}))


def missing_extensions(source: Connection, target: Connection) -> tuple[str, ...]:
    return lacks_extensions(target, (extension.name for extension in extensions(source)))


def lacks_extensions(target: Connection, wanted: Iterable[str]) -> tuple[str, ...]:
    available = {row[0] for row in rows(target, "SELECT name FROM pg_catalog.pg_available_extensions")}
    return tuple(name for name in wanted if name not in available)


def problems(source: Connection, target: Connection, choices: Choices) -> Iterator[failures.Refused]:
    """All that stands against a copy, without a look at what the target holds already."""
    yield from versions(major(source), target)
    if rows(source, _SAME_PLACE) == rows(target, _SAME_PLACE):
        yield failures.Refused(reasons.PATHS_OVERLAP, "source and target are the same database")
    yield from _locales(source, target, choices)
    yield from extensions_there(missing_extensions(source, target))
    yield from _rights(source, target, choices)


def versions(source: int, target: Connection) -> Iterator[failures.Refused]:
    if major(target) < source:
        message = f"the target is PostgreSQL {major(target)}, older than the source's {source}"
        yield failures.Refused(failures.TARGET_OLDER, message)


def extensions_there(lacking: tuple[str, ...]) -> Iterator[failures.Refused]:
    if lacking:
        message = f"the target server lacks the extension(s) {_some(lacking)}"
        yield failures.Refused(failures.EXTENSION_MISSING, message)


def _locales(source: Connection, target: Connection, choices: Choices) -> Iterator[failures.Refused]:
    ours, theirs = catalog.identity(source), catalog.identity(target)
    if ours.encoding != theirs.encoding and (theirs.encoding != "UTF8" or ours.encoding == "SQL_ASCII"):
        message = f"the source's encoding is {ours.encoding}, the target's {theirs.encoding}"
        yield failures.Refused(ENCODING_DIFFERS, message)
    differing = collation_difference(ours, theirs)
    if differing and not choices.accept_collation:
        yield failures.Refused(COLLATION_DIFFERS, f"text would be ordered differently: {differing}")


def collation_difference(ours: catalog.Identity, theirs: catalog.Identity) -> str:
    """In words; empty when both databases order text alike. ``C.UTF-8`` and ``c.utf8`` are one name."""
    pairs = (
        ("collation", ours.collate, theirs.collate),
        ("character type", ours.ctype, theirs.ctype),
        ("provider", ours.provider, theirs.provider),
        ("locale", ours.locale, theirs.locale),
    )
    return ", ".join(f"{what} {a!r} becomes {b!r}" for what, a, b in pairs if _normal(a) != _normal(b))


def _normal(locale: str) -> str:
    return re.sub(r"[^a-z0-9@._]", "", locale.lower())


def _rights(source: Connection, target: Connection, choices: Choices) -> Iterator[failures.Refused]:
    hidden = [f"{name} ({why})" for name, why in rows(source, _UNREADABLE)]
    if hidden:
        yield failures.Refused(reasons.SOURCE_UNREADABLE, f"the source's user cannot read {_some(hidden)}")
    yield from may_write(target)
    if choices.needs_roles:
        yield from roles_there(target, roles(source), choices)


def may_write(target: Connection) -> Iterator[failures.Refused]:
    if not value(target, "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')"):
        yield failures.Refused(reasons.PERMISSION_DENIED, "the target's user may not CREATE in the database")
    if value(target, "SELECT pg_catalog.pg_is_in_recovery()"):
        yield failures.Refused(reasons.TARGET_READ_ONLY, "the target is a standby")


def roles_there(target: Connection, wanted: tuple[str, ...], choices: Choices) -> Iterator[failures.Refused]:
    """Whether the target's server has the roles that own something or are granted something, and may give to them."""
    lacking = lacks_roles(target, wanted)
    if lacking and choices.missing_roles == REFUSE:
        yield failures.Refused(failures.ROLE_MISSING, f"the target lacks the role(s) {_some(lacking)}")
    if choices.owners == KEEP:
        how = "SET" if major(target) >= 16 else "MEMBER"
        foreign = [row[0] for row in rows(target, _OURS_TO_GIVE, list(wanted), how)]
        if foreign:
            message = f"the target's user is no member of {_some(foreign)} and cannot give objects to them"
            yield failures.Refused(reasons.PERMISSION_DENIED, message)


def _some(names: tuple[str, ...] | list[str], limit: int = 8) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
