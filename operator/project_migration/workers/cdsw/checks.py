"""The end state of a workspace's database, as named checks; each is "" or says what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from project_migration.model.records import Compared
from project_migration.workers.cdsw import digests, note, tables, workspace
from project_migration.workers.cdsw.digests import Held
from project_migration.workers.cdsw.note import Kept, Note
from project_migration.workers.cdsw.request import UserMode
from project_migration.workers.postgres import journal
from project_migration.workers.postgres.journal import SCHEMA
from project_migration.workers.postgres.session import Connection, quoted, rows, value

_NAMED = 3

#: Numbers of users who were removed, as ``cdsw.adapt`` told them.
_GONE = f"SELECT substring(cause FROM 'number ([0-9]+)')::bigint FROM {SCHEMA}.cdsw_told WHERE kind = 'usersLeft'"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Looked:
    checks: dict[str, str]
    tables: int
    rows: int
    summary: str
    """What was compared of rows, for a digest."""
    compared: tuple[Compared, ...]
    """Each table: the rows that were loaded, less what was meant to go, and those that are there."""


def look(session: Connection, known: Note) -> Looked:
    there = digests.of_all(session)
    database = _Database(session, known, there, digests.read(session))
    found = {title: check() for title, check in database.all().items()}
    summary = "\n".join(f"{one.title}\0{one.rows}\0{one.keys}" for one in there)
    return Looked(found, len(there), sum(one.rows for one in there), summary, tuple(database.compared()))


class _Database:
    def __init__(
        self, session: Connection, known: Note, there: tuple[Held, ...], loaded: dict[tuple[str, str], Held]
    ) -> None:
        self._session = session
        self._known = known
        self._administrator = int(known.facts["administrator"])
        self._hands_over = known.facts["mode"] == UserMode.ADMINISTRATOR_OWNS_ALL
        self._there = {(one.schema, one.name): one for one in there}
        self._loaded = loaded

    def all(self) -> dict[str, Callable[[], str]]:
        return {
            "the administrator is as the workspace had him": self._same_administrator,
            "there are no users but those who were kept": self._users,
            "everything has an owner of the workspace": self._owners,
            "nothing refers to a user who is not there": self._user_references,
            "projects, jobs, models, applications and sessions arrived one for one": self._exact_rows,
            "no other table lost rows": self._other_rows,
            "tables of the old installation and quotas are empty": self._emptied,
            "no owner has two projects of one address": self._slugs,
            "every job is paused": self._paused,
            "every application is stopped": self._stopped,
            "every job's parent is there": self._parents,
            "engine images are the CDSW's and the workspace's newest, which projects use": self._images,
            "site_config is as the workspace had it": self._settings,
            "feature flags are as decided": self._flags,
            "every foreign key is valid": self._foreign_keys,
            "sequences are ahead of their columns": self._sequences,
            "owner, privileges and extensions of the schema public are as before": self._schema,
        }

    def compared(self) -> Iterator[Compared]:
        for (schema, name), now in self._there.items():
            expected = self._expected(schema, name, now.rows)
            yield Compared(name if schema == tables.PUBLIC else now.title, expected, now.rows)

    def _expected(self, schema: str, name: str, now: int) -> int:
        before = self._loaded.get((schema, name))
        if schema == tables.PUBLIC and name in (*self._known.facts["emptiedTables"], *tables.QUOTAS):
            return 0
        if schema == tables.PUBLIC and name == tables.USERS:
            return int(self._known.counts["users"])
        if schema == tables.PUBLIC and name == tables.ENGINE_IMAGES and before is not None:
            return before.rows + (self._known.facts["image"] is not None)
        if schema == tables.PUBLIC and name == tables.SITE_CONFIG:
            return len(note.kept(self._session, Kept.SITE_CONFIG)) or now
        own_flags = schema == tables.FEATURE_FLAGS and self._own_flags()
        if before is None or own_flags or (now > before.rows and name not in tables.KEPT_EXACTLY):
            return now  # the schema Job's, or the workspace's
        return before.rows

    def _count(self, statement: str, *values: object) -> int:
        return int(value(self._session, statement, *values) or 0)

    def _same_administrator(self) -> str:
        users = workspace.public(tables.USERS)
        query = (
            f"SELECT k.content, pg_catalog.to_jsonb(u) FROM {SCHEMA}.cdsw_kept AS k"  # noqa: S608
            f" LEFT JOIN {users} AS u ON u.username = k.content ->> 'username' WHERE k.kind = %s"
        )
        before, now = rows(self._session, query, str(Kept.ADMINISTRATOR))[0]
        if now is None or now["id"] != self._administrator:
            return "he is not there"
        return _differences(before, now, {"id", *self._user_columns(tables.USERS)})

    def _user_columns(self, table: str) -> set[str]:
        places = workspace.user_references(self._session, workspace.references(self._session))
        return {place.column for place in places if (place.schema, place.table) == (tables.PUBLIC, table)}

    def _users(self) -> str:
        found, expected = self._there[tables.PUBLIC, tables.USERS].rows, self._known.counts["users"]
        return "" if found == expected else f"{found} users, not {expected}"

    def _owners(self) -> str:
        wrong = []
        for table, column in tables.OWNED:
            if workspace.has_column(self._session, table, column):
                place, name = workspace.public(table), quoted(column)
                condition = f"{name} IS DISTINCT FROM {self._administrator}"
                if not self._hands_over:
                    condition = f"{name} NOT IN (SELECT id FROM {workspace.public(tables.USERS)})"  # noqa: S608
                if count := self._count(f"SELECT count(*) FROM {place} WHERE {condition}"):  # noqa: S608
                    wrong.append(f"{table}.{column} ({count})")
        return _named(wrong)

    def _user_references(self) -> str:
        wrong = []
        keys = workspace.references(self._session)
        users = workspace.public(tables.USERS)
        by_key = {one.at for one in keys}
        for place in workspace.user_references(self._session, keys):
            column = f"t.{place.quoted}"
            nobody = f"NOT IN (SELECT id FROM {users})"  # noqa: S608 - a quoted name
            condition = f"{column} {nobody if place in by_key else f'IN ({_GONE})'}"
            if count := self._count(f"SELECT count(*) FROM {place.of_table} AS t WHERE {condition}"):  # noqa: S608
                wrong.append(f"{place.title} ({count})")
        return _named(wrong)

    def _exact_rows(self) -> str:
        wrong = []
        for name in tables.KEPT_EXACTLY:
            before, now = self._loaded.get((tables.PUBLIC, name)), self._there.get((tables.PUBLIC, name))
            if before is not None and (now is None or (now.rows, now.keys) != (before.rows, before.keys)):
                wrong.append(f"{name}: {now.rows if now else 'no table'}, not the {before.rows} that were loaded")
        return _named(wrong)

    def _other_rows(self) -> str:
        """A schema Job may add rows and tables; it must not take any away."""
        special = {*tables.KEPT_EXACTLY, *tables.QUOTAS, *self._known.facts["emptiedTables"]}
        special |= {tables.USERS, tables.ENGINE_IMAGES, tables.SITE_CONFIG}
        wrong = []
        for (schema, name), before in self._loaded.items():
            if (schema == tables.PUBLIC and name in special) or (schema == tables.FEATURE_FLAGS and self._own_flags()):
                continue
            now = self._there.get((schema, name))
            if now is None or now.rows < before.rows or (now.rows == before.rows and now.keys != before.keys):
                wrong.append(f"{before.title}: {now.rows if now else 'no table'}, not {before.rows}")
        return _named(wrong)

    def _emptied(self) -> str:
        names = [*self._known.facts["emptiedTables"], *tables.QUOTAS]
        held = [self._there.get((tables.PUBLIC, name)) for name in names]
        return _named([f"{one.name}: {one.rows}" for one in held if one is not None and one.rows])

    def _slugs(self) -> str:
        if not workspace.has_column(self._session, tables.PROJECTS, "slug"):
            return ""
        place = workspace.public(tables.PROJECTS)
        query = f"SELECT slug FROM {place} GROUP BY user_id, slug HAVING count(*) > 1 LIMIT 10"  # noqa: S608
        return _named([row[0] for row in rows(self._session, query)])

    def _paused(self) -> str:
        return self._none(tables.JOBS, "paused", "paused IS DISTINCT FROM true", "are not")

    def _stopped(self) -> str:
        return self._none(tables.APPLICATIONS, "status", "status IS DISTINCT FROM 'stopped'", "are not")

    def _none(self, table: str, column: str, condition: str, what: str) -> str:
        if not workspace.has_column(self._session, table, column):
            return ""
        count = self._count(f"SELECT count(*) FROM {workspace.public(table)} WHERE {condition}")  # noqa: S608
        return f"{count} {what}" if count else ""

    def _parents(self) -> str:
        if not workspace.has_column(self._session, tables.JOBS, "parent_id"):
            return ""
        jobs = workspace.public(tables.JOBS)
        orphans = f"parent_id IS NOT NULL AND parent_id NOT IN (SELECT id FROM {jobs})"  # noqa: S608
        return self._none(tables.JOBS, "parent_id", orphans, "have none")

    def _images(self) -> str:
        image = self._known.facts["image"]
        before, now = (found[tables.PUBLIC, tables.ENGINE_IMAGES].rows for found in (self._loaded, self._there))
        if now < before + (image is not None):
            return f"{now} images, not {before + (image is not None)}"
        for table, column in (
            (tables.PROJECTS_ENGINE_IMAGES, "engine_image_id"),
            (tables.SITE_CONFIG, "default_engine_image_id"),
        ):
            if image is not None and workspace.has_column(self._session, table, column):
                place = workspace.public(table)
                query = f"SELECT count(*) FROM {place} WHERE {quoted(column)} IS DISTINCT FROM %s"  # noqa: S608
                if count := self._count(query, image):
                    return f"{count} rows of {table} name another"
        return ""

    def _settings(self) -> str:
        place = workspace.public(tables.SITE_CONFIG)
        query = f"SELECT pg_catalog.to_jsonb(s) FROM {place} AS s ORDER BY 1"  # noqa: S608
        now = [row[0] for row in rows(self._session, query)]
        before = [content for _, content in note.kept(self._session, Kept.SITE_CONFIG)]
        if before and len(now) != len(before):
            return f"{len(now)} rows, not {len(before)}"
        apart = {"id", "default_engine_image_id", *self._user_columns(tables.SITE_CONFIG)}
        return _named(
            [text for one, other in zip(before, now, strict=False) if (text := _differences(one, other, apart))]
        )

    def _own_flags(self) -> bool:
        return bool(note.kept(self._session, Kept.FLAG))

    def _flags(self) -> str:
        expected: dict[str, int] = {}
        for place, _ in note.kept(self._session, Kept.FLAG):
            expected[place] = expected.get(place, 0) + 1
        wrong = []
        for (schema, name), held in self._there.items():
            place = quoted(schema, name)
            if schema == tables.FEATURE_FLAGS and expected and held.rows != expected.get(place, 0):
                wrong.append(f"{held.title}: {held.rows} rows, not {expected.get(place, 0)}")
        return _named(wrong)

    def _foreign_keys(self) -> str:
        query = (
            "SELECT conname FROM pg_catalog.pg_constraint WHERE contype = 'f' AND NOT convalidated ORDER BY 1 LIMIT 10"
        )
        return _named([row[0] for row in rows(self._session, query)])

    def _sequences(self) -> str:
        wrong = []
        for one in workspace.sequences(self._session):
            highest = value(self._session, f"SELECT max({one.of.quoted}) FROM {one.of.of_table}")  # noqa: S608
            last = value(self._session, f"SELECT last_value FROM {quoted(one.schema, one.name)}")  # noqa: S608
            if highest is not None and last < highest:
                wrong.append(f"{one.name} is at {last}, {one.of.title} at {highest}")
        return _named(wrong)

    def _schema(self) -> str:
        before = dict(note.kept(self._session, Kept.SCHEMA_STATE))[tables.PUBLIC]
        wrong = []
        if sorted(journal.schema_statements(self._session, (tables.PUBLIC,))) != sorted(before):
            wrong.append("owner, comment or privileges")
        there = {row[0] for row in rows(self._session, "SELECT extname FROM pg_catalog.pg_extension")}
        wrong += [f"extension {name}" for name, _ in note.kept(self._session, Kept.EXTENSION) if name not in there]
        return _named(wrong)


def _differences(before: dict[str, object], now: dict[str, object], apart: set[str]) -> str:
    """Names only: values may be hashes of passwords."""
    return _named([name for name, kept in before.items() if name not in apart and now.get(name) != kept])


def _named(found: list[str]) -> str:
    return ", ".join(found[:_NAMED]) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
