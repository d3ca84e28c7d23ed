"""Reading one side's users, roles and rights into a ledger, and deciding which of the source's come along."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from project_migration.workers.mlflow.database.arrangement import Arrangement, model_id
from project_migration.workers.mlflow.database.store import Row, Store
from project_migration.workers.mlflow.database.tables import Kind as Moved
from project_migration.workers.mlflow.users.forms import (
    Form,
    has_workspace,
    rights_tables,
    whose_role,
    workspace_of,
)
from project_migration.workers.mlflow.users.ledger import Holder, Kind, Ledger, Right, SideName

#: A pattern for every object of a type.
EVERY = "*"

_REGISTERED = frozenset({"registered_model", "prompt"})

Skipped = Callable[[str, str], None]


def rights(store: Store, form: Form) -> Iterator[Right]:
    users = {row[0]: str(row[1]) for row in _rows(store, "users", "id", "username")}
    if form.by_tables:
        yield from _by_tables(store, users)
    if form.roles:
        roles = {row[0]: (str(row[1]), str(row[2])) for row in _rows(store, "roles", "id", "workspace", "name")}
        for role, kind, pattern, permission in _rows(
            store, "role_permissions", "role_id", "resource_type", "resource_pattern", "permission"
        ):
            if role not in roles:
                continue
            workspace, name = roles[role]
            user = whose_role(name)
            if user is None:
                yield Right(Holder.ROLE, workspace, name, kind, pattern, permission)
            elif user in users and not form.by_tables:
                yield Right(Holder.USER, workspace, users[user], kind, pattern, permission)


def _by_tables(store: Store, users: dict[int, str]) -> Iterator[Right]:
    for table in rights_tables(store):
        workspace = ("workspace",) if has_workspace(store, table) else ()
        for user, permission, *rest in _rows(store, table.name, "user_id", "permission", *table.columns, *workspace):
            if user in users:
                values = tuple(rest[: len(table.columns)])
                where = workspace_of(table, rest[-1] if workspace else None, values)
                pattern = table.pattern(values)
                yield Right(Holder.USER, where, users[user], table.kind, pattern, permission)


def _rows(store: Store, table: str, *columns: str) -> Iterator[Row]:
    known = store.schema.tables[table]
    for chunk in store.stream(known, columns):
        yield from chunk


def gather(store: Store, form: Form, ledger: Ledger, side: SideName) -> None:
    """All of one side."""
    ledger.begin(side)
    users = {row[0]: str(row[1]) for row in _rows(store, "users", "id", "username")}
    ledger.add(
        side,
        Kind.USERS,
        ((str(name), int(bool(admin))) for name, admin in _rows(store, "users", "username", "is_admin")),
    )
    if form.roles:
        roles = list(_rows(store, "roles", "id", "workspace", "name", "description"))
        named = {row[0]: (row[1], row[2]) for row in roles if whose_role(row[2]) is None}
        ledger.add(side, Kind.ROLES, (row[1:] for row in roles if row[0] in named))
        members = _rows(store, "user_role_assignments", "role_id", "user_id")
        ledger.add(side, Kind.MEMBERS, ((*named[r], users[u]) for r, u in members if r in named and u in users))
    ledger.add(side, Kind.RIGHTS, rights(store, form))


@dataclass(frozen=True)
class Choice:
    """What of the source's rights comes along: those on what moves, and in the names that it gets."""

    arrangement: Arrangement

    @property
    def faithful(self) -> bool:
        """The target is to be the source once more: what speaks of all objects says the same there."""
        summary = self.arrangement.summary
        return summary.empty and summary.everything

    def of(self, right: Right) -> Right | None:
        """As it is on the target; None for one that stays behind."""
        if right.pattern == EVERY:
            return right if self.faithful else None
        if right.kind == "experiment":
            return self._on_experiment(right, right.pattern, "")
        if right.kind == "scorer":
            number, slash, rest = right.pattern.partition("/")
            return self._on_experiment(right, number, slash + rest)
        if right.kind in _REGISTERED:
            if not self.arrangement.has(Moved.MODEL, model_id(right.workspace, right.pattern)):
                return None
            return right._replace(pattern=self.arrangement.changes.model(right.workspace, right.pattern))
        return right if self.arrangement.summary.everything else None

    def _on_experiment(self, right: Right, number: str, rest: str) -> Right | None:
        # also where all of them move: a right on one that is gone would be one on whatever gets its number
        moved = number.isdigit() and self.arrangement.lists.action(Moved.EXPERIMENT, int(number)) is not None
        return right._replace(pattern=f"{self.arrangement.changes.experiment(int(number))}{rest}") if moved else None


def _kept(ledger: Ledger, choice: Choice, skipped: Skipped) -> Iterator[Right]:
    for entry in ledger.entries(SideName.WANTED, Kind.RIGHTS):
        right = Right(*(str(value) for value in entry))
        kept = choice.of(right)
        if kept is not None:
            yield kept
        elif right.pattern == EVERY and choice.arrangement.summary.everything:
            skipped(right.told, "on the target it would speak of what others have there")


def choose(source: Store, form: Form, ledger: Ledger, choice: Choice, skipped: Skipped) -> None:
    """The source's side of the ledger, less what stays behind. ``skipped`` is told what the document chose and no used
    target can take."""
    gather(source, form, ledger, SideName.WANTED)
    ledger.begin(SideName.THERE)  # a place for what is kept, until the target is read
    ledger.add(SideName.THERE, Kind.RIGHTS, _kept(ledger, choice, skipped))
    ledger.drop(SideName.WANTED, Kind.RIGHTS, "1")
    ledger.add(SideName.WANTED, Kind.RIGHTS, ledger.entries(SideName.THERE, Kind.RIGHTS))
    if not choice.arrangement.summary.everything:
        held = "SELECT 1 FROM wanted_rights AS r WHERE r.holder"
        member = "SELECT 1 FROM wanted_members AS m WHERE m.user = wanted_users.name"
        ledger.drop(
            SideName.WANTED,
            Kind.ROLES,
            f"NOT EXISTS ({held} = 'role' AND r.workspace = wanted_roles.workspace AND r.name = wanted_roles.name)",
        )
        of_role = "SELECT 1 FROM wanted_roles AS o WHERE o.workspace = wanted_members.workspace"
        ledger.drop(SideName.WANTED, Kind.MEMBERS, f"NOT EXISTS ({of_role} AND o.name = wanted_members.role)")
        ledger.drop(
            SideName.WANTED,
            Kind.USERS,
            f"NOT EXISTS ({held} = 'user' AND r.name = wanted_users.name) AND NOT EXISTS ({member})",
        )
