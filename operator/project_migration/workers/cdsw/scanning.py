"""What a survey learns of a dump while it goes by: versions, rows by table, and who the users are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from project_migration.workers.cdsw import dumping, failures, note, people, tables, workspace
from project_migration.workers.cdsw.dump import CopyBegins, CopyEnds, Head, Rows, Statement, cells, events
from project_migration.workers.cdsw.request import UserMode, administrator, user_mode
from project_migration.workers.harness import Job
from project_migration.workers.pace import Pace
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.session import Connection, major, opened, quoted, rows
from project_migration.workers.reasons import Refusal

if TYPE_CHECKING:
    from project_migration.workers.cdsw.trial import Trial

#: More users than any installation has: what is kept of them is their names.
MOST_USERS = 200_000


class Scan:
    def __init__(self) -> None:
        self.head = Head()
        self._users: list[tuple[str, str, bool]] = []
        """Name, e-mail in small letters, and whether it is a team."""

    @property
    def rows(self) -> dict[str, int]:
        """By ``schema.table``."""
        return self.head.rows

    def read(self, pieces: Iterable[bytes], trial: Trial | None) -> None:
        """Raises ``Refused`` (DumpUnusable)."""
        columns: tuple[str, ...] | None = None
        rest = b""
        for event in events(pieces, self.head):
            match event:
                case Statement():
                    if trial is not None:
                        trial.take(event)
                case CopyBegins(table=table):
                    is_users = (table.schema, table.name) == (tables.PUBLIC, tables.USERS)
                    columns, rest = (event.columns if is_users else None), b""
                case Rows(data=data) if columns is not None:
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self._user(columns, line)
                case CopyEnds():
                    columns = None

    def _user(self, columns: tuple[str, ...], line: bytes) -> None:
        if len(self._users) >= MOST_USERS:
            raise failures.unusable(f"it holds more than {MOST_USERS} users")
        row = dict(zip(columns, cells(line), strict=False))
        name, email = row.get("username") or "", (row.get("email") or "").lower()
        self._users.append((name, email, row.get("type") == tables.TEAM))

    def read_live(self, endpoint: Endpoint, trial: Trial) -> None:
        """Raises ``Refused``. The rows are not read twice: users are asked for, and which tables hold any."""
        with opened(endpoint) as session:
            email, kind = (
                name if workspace.has_column(session, tables.USERS, name) else "''" for name in ("email", "type")
            )
            query = (
                f"SELECT username, coalesce({email}, ''), coalesce({kind}, '') FROM {workspace.public(tables.USERS)}"  # noqa: S608
            )
            self._users = [(name, mail.lower(), what == tables.TEAM) for name, mail, what in rows(session, query)]
            self.head.server_major = major(session)
            held = {}
            for schema, name in workspace.all_tables(session):
                place = quoted(schema, name)
                held[f"{schema}.{name}"] = len(rows(session, f"SELECT 1 FROM {place} LIMIT 1"))  # noqa: S608
        head = Head()
        for event in events(dumping.dumped(endpoint, trial.major, Pace(None), "--schema-only"), head):
            if isinstance(event, Statement):
                trial.take(event)
        self.head.rows = held

    def facts(self) -> dict[str, Any]:
        if not self.head.server_major:
            return {}
        sensitive = {name: self.rows.get(f"{tables.PUBLIC}.{name}", 0) for name in tables.SENSITIVE}
        found: dict[str, Any] = {
            "serverMajor": self.head.server_major,
            "users": sum(not team for _, _, team in self._users),
            "teams": sum(team for _, _, team in self._users),
            "projects": self.rows.get(f"{tables.PUBLIC}.{tables.PROJECTS}", 0),
        }
        if self.head.tool_major:  # of an archive: rows were counted, not looked for
            found |= {
                "toolMajor": self.head.tool_major,
                "restricted": self.head.restricted,
                "tables": len(self.rows),
                "rows": sum(self.rows.values()),
                "sensitiveRows": {name: count for name, count in sensitive.items() if count},
            }
        return found

    def problems(self, job: Job, session: Connection) -> list[Refusal]:
        """Who has the administrator's name or e-mail. Who is on one side only is no problem, and is named."""
        if not self._users or workspace.missing_tables(session) or _is_done(session):
            return []
        mode = user_mode(job)
        name = administrator(job)
        there = self._of_target(session)
        own = next((email for username, email, _ in there if username == name), "")
        same = [
            (username, email, team)
            for username, email, team in self._users
            if username == name or (own and email == own)
        ]
        if mode is UserMode.ADMINISTRATOR_OWNS_ALL and same:
            return [Refusal(failures.ADMINISTRATOR_CLASH, people.clash(same[0][0]))]
        if any(team for _, _, team in same):
            return [Refusal(failures.ADMINISTRATOR_CLASH, f"the CDSW has a team that is called {name!r}")]
        if mode is UserMode.MAP_BY_EMAIL and same and not any(email == own for _, email, _ in same):
            return [Refusal(failures.ADMINISTRATOR_CLASH, people.clash(same[0][0]))]
        if mode is not UserMode.ADMINISTRATOR_OWNS_ALL:
            self._name_unmapped(job, mode, there)
        return []

    def _of_target(self, session: Connection) -> list[tuple[str, str, bool]]:
        email = "email" if workspace.has_column(session, tables.USERS, "email") else "''"
        kind = "type" if workspace.has_column(session, tables.USERS, "type") else "''"
        query = f"SELECT username, lower(coalesce({email}, '')), {kind} = %s FROM {workspace.public(tables.USERS)}"  # noqa: S608
        return [(name, mail, bool(team)) for name, mail, team in rows(session, query, tables.TEAM)]

    def _name_unmapped(self, job: Job, mode: UserMode, there: list[tuple[str, str, bool]]) -> None:
        names = {(name, team) for name, _, team in there} if mode is UserMode.MAP_BY_NAME else set()
        emails = {(email, team) for _, email, team in there if email}
        for name, email, team in self._users:
            if (name, team) not in names and (email, team) not in emails:
                what = "a team that" if team else "a user whom"
                job.lists.add("unmapped", name, f"{what} the workspace does not have: the administrator takes over")


def _is_done(session: Connection) -> bool:
    """The target's users are those of the CDSW already."""
    found = note.read(session)
    return found is not None and found.state in (note.State.LOADED, note.State.ADAPTED)
