"""Bringing to the target what it lacks, in one transaction, and taking it away again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from project_migration.workers import reasons
from project_migration.workers.mlflow.database.failures import NAME_CLASH, Refused
from project_migration.workers.mlflow.database.selection import OnConflict
from project_migration.workers.mlflow.database.store import Store
from project_migration.workers.mlflow.users.forms import Form, RightsTable, has_workspace, own_role, rights_tables
from project_migration.workers.mlflow.users.gathering import Skipped
from project_migration.workers.mlflow.users.ledger import WIDTHS, Holder, Kind, Ledger, Right, SideName

CLASHES_TOLD = 5


def settle_clashes(ledger: Ledger, on_conflict: OnConflict, skipped: Skipped) -> Iterator[reasons.Refusal]:
    """Both sides are in the ledger. A role of the target gives its members no more rights, and takes no more members,
    unless the document says Update: its users never asked for either."""
    ours = {tuple(key) for key, _ in ledger.done(Kind.ROLES)} | {tuple(key) for key, _ in ledger.done(Kind.USERS)}
    administrators = {entry[0] for entry in ledger.entries(SideName.THERE, Kind.USERS, "mine.admin = 1")}
    clashes = []
    for name, _ in ledger.shared(Kind.USERS):
        if (name,) not in ours and name not in administrators:
            clashes.append(f"the target has a user {name}")
    for workspace, role, _ in list(ledger.shared(Kind.ROLES)):
        if (workspace, role) in ours:
            continue
        clashes.append(f"the target has a role {role}")
        if on_conflict is OnConflict.SKIP:
            skipped(f"role {role}", "the target has a role of this name, which stays as it is")
            ledger.leave_role(str(workspace), str(role))
    if on_conflict is OnConflict.FAIL and clashes:
        more = f"; and {len(clashes) - CLASHES_TOLD} more" if len(clashes) > CLASHES_TOLD else ""
        yield Refused(NAME_CLASH, "; ".join(clashes[:CLASHES_TOLD]) + more)


class Match(NamedTuple):
    """The rows of a table, named as in statements, that a condition with ``?`` takes."""

    place: str
    condition: str
    values: tuple[Any, ...]


@dataclass
class Granter:
    """Writes to the target's database of users, in a transaction of its caller's."""

    target: Store
    form: Form
    ledger: Ledger

    def bring(self, source: Store, *, administrators: bool, update: bool, skipped: Skipped) -> dict[str, int]:
        """Adds what is lacking; with ``update`` rights that differ become what the source has. What is done stands in
        the ledger before it is done. ``administrators``: those of the source are such on the target too."""
        self._write_down(update=update)
        return self._bring(source, administrators=administrators, update=update, skipped=skipped)

    def _write_down(self, *, update: bool) -> None:
        with self.ledger.together():
            for kind in Kind:
                for entry in self.ledger.lacking(kind):
                    self.ledger.note(kind, entry[: WIDTHS[kind]])
            for right, permission in self.ledger.differing() if update else ():
                self.ledger.note(Kind.RIGHTS, right[:5], permission)

    def _bring(self, source: Store, *, administrators: bool, update: bool, skipped: Skipped) -> dict[str, int]:
        done = dict.fromkeys(("users", "roles", "members", "rights", "changed"), 0)
        for name, admin in self.ledger.lacking(Kind.USERS):
            asked = f"SELECT password_hash FROM {source.place('users')} WHERE username = ?"  # noqa: S608 - quoted name
            [(password,)] = source.rows(asked, name)
            if admin and not administrators:
                skipped(f"user {name}", "is no administrator on the target: make her one there if she should be")
            self._insert("users", username=name, password_hash=password, is_admin=bool(admin and administrators))
            done["users"] += 1
        for workspace, role, description in self.ledger.lacking(Kind.ROLES):
            self._insert("roles", name=role, workspace=workspace, description=description)
            done["roles"] += 1
        for workspace, role, user in self.ledger.lacking(Kind.MEMBERS):
            self._assign(self._user(user), self._role(workspace, role))
            done["members"] += 1
        for entry in self.ledger.lacking(Kind.RIGHTS):
            self._grant(Right(*(str(value) for value in entry)))
            done["rights"] += 1
        for right, _ in self.ledger.differing() if update else ():
            self._change(right, right.permission)
            done["changed"] += 1
        return done

    def take_back(self) -> int:
        """All that the ledger says was done; how many things were found."""
        taken = 0
        for key, old in self.ledger.done(Kind.RIGHTS):
            right = Right._make([*key, old])
            taken += self._change(right, old) if old else self._revoke(right)
        for workspace, role, user in (key for key, _ in self.ledger.done(Kind.MEMBERS)):
            taken += self._unassign(self._find_user(user), self._find_role(workspace, role))
        for workspace, role in (key for key, _ in self.ledger.done(Kind.ROLES)):
            taken += self._remove_role(self._find_role(workspace, role))
        for (name,) in (key for key, _ in self.ledger.done(Kind.USERS)):
            taken += self._remove_user(self._find_user(name))
        return taken

    # -- one thing each -----------------------------------------------------------------------------------------

    def _grant(self, right: Right) -> None:
        if right.holder == Holder.USER and self.form.by_tables:
            table = self._table(right.kind)
            columns = dict(zip(table.columns, table.values(right.workspace, right.pattern), strict=True))
            if has_workspace(self.target, table):
                columns["workspace"] = right.workspace
            self._insert(table.name, **columns, user_id=self._user(right.name), permission=right.permission)
            return
        self._insert(
            "role_permissions",
            role_id=self._holder(right),
            resource_type=right.kind,
            resource_pattern=right.pattern,
            permission=right.permission,
        )

    def _holder(self, right: Right) -> int:
        """The role that has a right; that of a user alone is made with her first one."""
        if right.holder == Holder.ROLE:
            return self._role(right.workspace, right.name)
        user = self._user(right.name)
        found = self._find_role(right.workspace, own_role(user))
        if found is not None:
            return found
        self._insert("roles", name=own_role(user), workspace=right.workspace, description=None)
        role = self._role(right.workspace, own_role(user))
        self._assign(user, role)
        return role

    def _where(self, right: Right) -> Match | None:
        """The row of a right; None where its holder is not there."""
        user = self._find_user(right.name) if right.holder == Holder.USER else None
        if right.holder == Holder.USER and self.form.by_tables:
            table = self._table(right.kind)
            names, values = [*table.columns], [*table.values(right.workspace, right.pattern)]
            if has_workspace(self.target, table):
                names, values = [*names, "workspace"], [*values, right.workspace]
            return self._match(table.name, (*names, "user_id"), (*values, user)) if user is not None else None
        name = own_role(user) if user is not None else right.name
        role = self._find_role(right.workspace, name) if right.holder == Holder.ROLE or user is not None else None
        columns = ("role_id", "resource_type", "resource_pattern")
        return self._match("role_permissions", columns, (role, right.kind, right.pattern)) if role is not None else None

    def _match(self, table: str, columns: tuple[str, ...], values: tuple[Any, ...]) -> Match:
        condition = " AND ".join(f"{self.target.quote(name)} = ?" for name in columns)
        return Match(self.target.place(table), condition, values)

    def _change(self, right: Right, permission: str) -> int:
        found = self._where(right)
        if found is None:
            return 0
        statement = f"UPDATE {found.place} SET permission = ? WHERE {found.condition}"  # noqa: S608 - quoted names
        return self.target.run(statement, permission, *found.values)

    def _revoke(self, right: Right) -> int:
        found = self._where(right)
        if found is None:
            return 0
        gone = self.target.run(f"DELETE FROM {found.place} WHERE {found.condition}", *found.values)  # noqa: S608
        if right.holder == Holder.USER and not self.form.by_tables:
            user = self._user(right.name)
            self._drop_empty(self._find_role(right.workspace, own_role(user)))
        return gone

    def _drop_empty(self, role: int | None) -> None:
        """A role of one user alone goes with her last right."""
        if role is not None and not self.target.there("role_permissions", "role_id", [role]):
            self._remove_role(role)

    def _assign(self, user: int, role: int) -> None:
        self._insert("user_role_assignments", user_id=user, role_id=role)

    def _unassign(self, user: int | None, role: int | None) -> int:
        if user is None or role is None:
            return 0
        place = self.target.place("user_role_assignments")
        return self.target.run(f"DELETE FROM {place} WHERE user_id = ? AND role_id = ?", user, role)  # noqa: S608

    def _remove_role(self, role: int | None) -> int:
        if role is None:
            return 0
        for table in ("role_permissions", "user_role_assignments"):
            self.target.delete(table, "role_id", [role])
        return self.target.delete("roles", "id", [role])

    def _remove_user(self, user: int | None) -> int:
        if user is None:
            return 0
        if self.form.roles:
            asked = f"SELECT id FROM {self.target.place('roles')} WHERE name = ?"  # noqa: S608 - quoted name
            for (role,) in self.target.rows(asked, own_role(user)):
                self._remove_role(role)
            self.target.delete("user_role_assignments", "user_id", [user])
        for table in rights_tables(self.target):
            self.target.delete(table.name, "user_id", [user])
        return self.target.delete("users", "id", [user])

    # -- by name ------------------------------------------------------------------------------------------------

    def _table(self, kind: str) -> RightsTable:
        return next(table for table in rights_tables(self.target) if table.kind == kind)

    def _insert(self, table: str, **columns: Any) -> None:
        known = self.target.schema.tables[table]
        self.target.insert(known, tuple(columns), [[tuple(columns.values())]])

    def _find_user(self, name: Any) -> int | None:
        found = self.target.rows(f"SELECT id FROM {self.target.place('users')} WHERE username = ?", name)  # noqa: S608
        return int(found[0][0]) if found else None

    def _find_role(self, workspace: Any, name: Any) -> int | None:
        place = self.target.place("roles")
        found = self.target.rows(f"SELECT id FROM {place} WHERE workspace = ? AND name = ?", workspace, name)  # noqa: S608
        return int(found[0][0]) if found else None

    def _user(self, name: Any) -> int:
        found = self._find_user(name)
        assert found is not None, f"the user {name} is there or was just added"  # noqa: S101
        return found

    def _role(self, workspace: Any, name: Any) -> int:
        found = self._find_role(workspace, name)
        assert found is not None, f"the role {name} is there or was just added"  # noqa: S101
        return found
