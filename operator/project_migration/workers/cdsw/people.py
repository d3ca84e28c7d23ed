"""Who of the CDSW is who in the workspace, and what becomes of the rest.

A person who is on both sides keeps the number of the CDSW, so that all that refers to him stays true, and gets the
workspace's row otherwise. Whoever is not is replaced by the administrator wherever something belongs to him. The work
is done in a temporary table: ``old`` is a number of the CDSW, ``kept`` the row in our note, ``new`` who he is in the
end.
"""

from __future__ import annotations

from dataclasses import dataclass

from project_migration.workers.cdsw import failures, note, returning, tables, workspace
from project_migration.workers.cdsw.note import Kept
from project_migration.workers.cdsw.request import UserMode
from project_migration.workers.postgres.journal import SCHEMA
from project_migration.workers.postgres.session import Connection, rows, run, trusted, value

PEOPLE = "pg_temp.cdsw_people"

_KEPT = f"""
SELECT number, content ->> 'username' AS username, lower(nullif(content ->> 'email', '')) AS email,
       coalesce(content ->> 'type', '') = '{tables.TEAM}' AS team FROM {SCHEMA}.cdsw_kept
 WHERE kind IN ('{Kept.ADMINISTRATOR}', '{Kept.USER}')
"""  # noqa: S608 - our own words

#: One person of each side at most; by name first, and the lowest numbers where an e-mail has several.
_MATCHED = """
CREATE TEMP TABLE cdsw_people ON COMMIT DROP AS
WITH kept AS ({kept}),
     source AS (SELECT id::bigint AS old, username, {email} AS email, {team} AS team FROM {users}),
     pairs AS (SELECT s.old, k.number, CASE WHEN {by_name} THEN 1 ELSE 2 END AS worth
                 FROM source AS s JOIN kept AS k ON k.team = s.team AND ({condition})),
     first AS (SELECT DISTINCT ON (old) old, number, worth FROM pairs ORDER BY old, worth, number),
     one AS (SELECT DISTINCT ON (number) old, number FROM first ORDER BY number, worth, old)
SELECT s.old, o.number AS kept, NULL::bigint AS new FROM source AS s LEFT JOIN one AS o USING (old)
"""


@dataclass(frozen=True, slots=True)
class People:
    administrator: int
    kept: dict[int, int]
    """Numbers of the workspace's users before, and now; of those who are still there."""
    mapped: int
    gone: int


def match(session: Connection, mode: UserMode) -> None:
    users = workspace.public(tables.USERS)
    email = "lower(nullif(email, ''))" if workspace.has_column(session, tables.USERS, "email") else "NULL::text"
    has_type = workspace.has_column(session, tables.USERS, "type")
    team = f"coalesce(type, '') = '{tables.TEAM}'" if has_type else "false"
    by_name = "k.username = s.username"
    condition = {
        UserMode.ADMINISTRATOR_OWNS_ALL: "false",
        UserMode.MAP_BY_NAME: f"{by_name} OR k.email = s.email",
        UserMode.MAP_BY_EMAIL: "k.email = s.email",
    }[mode]
    if mode is UserMode.MAP_BY_EMAIL:
        by_name = "true"
    words = {"kept": _KEPT, "email": email, "team": team, "users": users, "by_name": by_name, "condition": condition}
    run(session, _MATCHED.format(**words))
    run(session, f"CREATE UNIQUE INDEX ON {PEOPLE} (old)")


def settle(session: Connection) -> People:
    """The workspace's users in the database that was loaded, and ``new`` for everybody. Raises ``Refused``."""
    _refuse_clash(session)
    _make_way(session)
    number = note.kept_numbers(session, Kept.ADMINISTRATOR)[0]
    found = rows(session, f"SELECT old FROM {PEOPLE} WHERE kept = %s", number)  # noqa: S608 - our own words
    if found:
        administrator = int(found[0][0])
    else:
        inserted = returning.insert(session, number, tables.USERS, _nobody(session, number))
        assert inserted is not None  # noqa: S101 - users have numbers: everything refers to them by those
        administrator = inserted
    session.execute(trusted(f"UPDATE {PEOPLE} SET new = CASE WHEN kept IS NULL THEN %s ELSE old END"), (administrator,))  # noqa: S608
    matched = rows(session, f"SELECT kept, old FROM {PEOPLE} WHERE kept IS NOT NULL ORDER BY old")  # noqa: S608
    before = {_number_of(session, kept): old for kept, old in matched}
    before[_number_of(session, number)] = administrator
    for kept, old in matched:
        overrides = returning.user_overrides(session, kept, tables.USERS, before, administrator)
        returning.update(session, kept, tables.USERS, old, overrides)
    if not found:
        overrides = returning.user_overrides(session, number, tables.USERS, before, administrator)
        returning.update(session, number, tables.USERS, administrator, overrides)
    gone = value(session, f"SELECT count(*) FROM {PEOPLE} WHERE kept IS NULL")  # noqa: S608
    return People(administrator, before, len(matched), int(gone))


def _number_of(session: Connection, kept: int) -> int:
    return returning.kept_value(session, kept, "id") or 0


def _nobody(session: Connection, number: int) -> dict[str, int | None]:
    """References to users of a row that is the first of the workspace's to come; they are set again afterwards."""
    return dict.fromkeys(returning.user_overrides(session, number, tables.USERS, {}, None))


def _refuse_clash(session: Connection) -> None:
    """The administrator's name or e-mail is somebody's who was not said to be the same person."""
    users = workspace.public(tables.USERS)
    email = " OR lower(nullif(u.email, '')) = k.email" if workspace.has_column(session, tables.USERS, "email") else ""
    query = (
        f"SELECT u.username FROM {users} AS u JOIN {PEOPLE} AS p ON p.old = u.id"  # noqa: S608 - our own words
        f" JOIN ({_KEPT}) AS k ON k.username = u.username{email}"
        f" WHERE p.kept IS NULL AND k.number IN (SELECT number FROM {SCHEMA}.cdsw_kept WHERE kind = 'administrator')"
        f" AND NOT EXISTS (SELECT FROM {PEOPLE} AS q WHERE q.kept = k.number)"
    )
    found = rows(session, query)
    if found:
        raise failures.Refused(failures.ADMINISTRATOR_CLASH, clash(found[0][0]))


def clash(name: str) -> str:
    return f"the CDSW has a user {name!r} with the name or e-mail of the administrator"


def _make_way(session: Connection) -> None:
    """Names and e-mails that the workspace's users bring, of whoever has them now: he goes, or gets them back."""
    users = workspace.public(tables.USERS)
    parted = "'cdsw-user-' || u.id"
    run(
        session,
        f"UPDATE {users} AS u SET username = {parted} FROM {PEOPLE} AS p"  # noqa: S608 - our own words
        f" WHERE p.old = u.id AND EXISTS (SELECT FROM ({_KEPT}) AS k WHERE k.username = u.username)",
    )
    if workspace.has_column(session, tables.USERS, "email"):
        run(
            session,
            f"UPDATE {users} AS u SET email = {parted} FROM {PEOPLE} AS p"  # noqa: S608 - our own words
            f" WHERE p.old = u.id AND EXISTS (SELECT FROM ({_KEPT}) AS k WHERE k.email = lower(u.email))",
        )
