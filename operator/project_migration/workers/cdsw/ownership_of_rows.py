"""What belonged to users of the CDSW gets its owners in the workspace, and users go when nothing refers to them."""

from __future__ import annotations

from collections.abc import Iterator

from project_migration.workers.cdsw import failures, note, tables, workspace
from project_migration.workers.cdsw.people import PEOPLE, People
from project_migration.workers.cdsw.request import Unlisted, UserMode
from project_migration.workers.cdsw.slugs import Project, renamed
from project_migration.workers.cdsw.workspace import Place
from project_migration.workers.postgres.session import Connection, quoted, rows, run, trusted, value

#: Names of a message; all of them are told in the list.
_NAMED = 5


def hand_over(session: Connection, people: People, mode: UserMode, unlisted: Unlisted) -> int:
    """Projects, jobs, models and the like. Returns how many values changed."""
    changed = _rename_projects(session)
    for place in dict.fromkeys((*tables.OWNED, *unlisted.handed_over)):
        at = Place(tables.PUBLIC, *place)
        if not workspace.has_column(session, at.table, at.column):
            continue
        if mode is UserMode.ADMINISTRATOR_OWNS_ALL:  # also what belonged to nobody, or to somebody long gone
            statement = f"UPDATE {at.of_table} SET {at.quoted} = %s WHERE {at.quoted} IS DISTINCT FROM %s"  # noqa: S608
            changed += session.execute(statement.encode(), (people.administrator,) * 2).rowcount
            continue
        statement = (
            f"UPDATE {at.of_table} AS t SET {at.quoted} = p.new FROM {PEOPLE} AS p"  # noqa: S608 - quoted names
            f" WHERE t.{at.quoted} = p.old AND p.new <> p.old"
        )
        changed += session.execute(statement.encode()).rowcount
    return changed


def _rename_projects(session: Connection) -> int:
    """With their owners, in one statement each: no two have one address at any moment."""
    if not all(workspace.has_column(session, tables.PROJECTS, name) for name in ("slug", "user_id")):
        return 0
    place = workspace.public(tables.PROJECTS)

    def is_taken(owner: int, slug: str) -> bool:
        query = (
            f"SELECT EXISTS (SELECT FROM {place} AS t LEFT JOIN {PEOPLE} AS p ON p.old = t.user_id"  # noqa: S608
            " WHERE t.slug = %s AND coalesce(p.new, t.user_id) = %s)"
        )
        return bool(value(session, query, slug, owner))

    count = 0
    for one in list(renamed(_colliding(session), is_taken)):
        statement = f"UPDATE {place} SET slug = %s, user_id = %s WHERE id = %s"  # noqa: S608
        session.execute(trusted(statement), (one.slug, one.project.new_owner, one.project.id))
        note.tell(session, "renamed", f"project {one.project.id}", f"{one.project.slug} is {one.slug} now")
        count += 1
    return count


def _colliding(session: Connection) -> Iterator[Project]:
    place = workspace.public(tables.PROJECTS)
    query = (
        "SELECT id, slug, old, new FROM (SELECT t.id, t.slug, t.user_id AS old, coalesce(p.new, t.user_id) AS new,"  # noqa: S608
        " count(*) OVER (PARTITION BY t.slug, coalesce(p.new, t.user_id)) AS many"
        f" FROM {place} AS t LEFT JOIN {PEOPLE} AS p ON p.old = t.user_id) AS s WHERE many > 1 ORDER BY id"
    )
    for number, slug, old, new in rows(session, query):
        yield Project(number, slug, old, new)


# ---- what is bound to the installation it came from


def empty_site_tables(session: Connection, unlisted: Unlisted) -> dict[str, int]:
    """Rows that went, by table. Raises ``Refused`` (TablesReferredTo) where a row that stays needs one of them."""
    emptied = [
        name
        for name in dict.fromkeys((*tables.SITE_BOUND, tables.INVITATIONS, *unlisted.emptied))
        if workspace.has(session, name)
    ]
    outside = workspace.outside_references(workspace.references(session), emptied)
    blocking = {}
    for one in outside:
        query = f"SELECT count(*) FROM {one.at.of_table} WHERE {one.at.quoted} IS NOT NULL"  # noqa: S608
        if count := value(session, query):
            blocking[f"{one.at.title} ({count} to {one.table})"] = count
    if blocking:
        raise failures.Refused(
            failures.TABLES_REFERRED_TO, f"rows refer to tables that are emptied: {_named(blocking)}"
        )
    removed = {}
    for name in emptied:
        removed[name] = int(value(session, f"SELECT count(*) FROM {workspace.public(name)}"))  # noqa: S608
    # a TRUNCATE would want the empty tables too that could refer to these
    also = {quoted(one.at.schema, one.at.table) for one in outside if _is_empty(session, one.at)}
    whole = {one.table for one in outside if quoted(one.at.schema, one.at.table) not in also}
    together = [workspace.public(name) for name in emptied if name not in whole]
    if together:
        run(session, f"TRUNCATE {', '.join([*together, *sorted(also - set(together))])}")
    for name in sorted(whole):
        run(session, f"DELETE FROM {workspace.public(name)}")  # noqa: S608 - a quoted name
    return removed


def _is_empty(session: Connection, place: Place) -> bool:
    return not rows(session, f"SELECT 1 FROM {place.of_table} LIMIT 1")  # noqa: S608 - a quoted name


# ---- users


def remove_users(session: Connection, people: People) -> int:
    """Those who are not in the workspace. Raises ``Refused`` (UsersReferredTo) naming every column that needs one."""
    blocking = {}
    gone = f"(SELECT old FROM {PEOPLE} WHERE kept IS NULL)"  # noqa: S608 - our own words
    users = workspace.public(tables.USERS)
    for place in workspace.user_references(session, workspace.references(session)):
        own = f" AND t.id NOT IN {gone}" if (place.schema, place.table) == (tables.PUBLIC, tables.USERS) else ""
        query = f"SELECT count(*) FROM {place.of_table} AS t WHERE t.{place.quoted} IN {gone}{own}"  # noqa: S608
        if count := value(session, query):
            blocking[f"{place.title} ({count})"] = count
    if blocking:
        message = f"columns refer to users that the workspace does not have: {_named(blocking)}"
        raise failures.Refused(failures.USERS_REFERRED_TO, message)
    names = rows(session, f"SELECT u.id, u.username FROM {users} AS u WHERE u.id IN {gone} ORDER BY 1")  # noqa: S608
    for number, name in names:
        note.tell(session, "usersLeft", str(name), f"number {number} in the CDSW")
    run(session, f"DELETE FROM {users} WHERE id IN {gone}")  # noqa: S608
    left = value(session, f"SELECT count(*) FROM {users} WHERE id = %s", people.administrator)  # noqa: S608
    if left != 1:
        raise failures.Refused(failures.ADMINISTRATOR_UNFIT, "the administrator would go with the users")
    return len(names)


def _named(found: dict[str, int]) -> str:
    names = list(found)
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
