"""Users, roles and rights of the basic-auth app, made and asked after by its own code. Runs where MLflow is installed.

``python users_population.py URI JSON``: ``users`` are names with passwords and whether they are administrators,
``rights`` lists of user, type, pattern and permission, ``roles`` names with members and rights. ``logins`` (names with
passwords) are tried, and what came of them is printed, with everybody's rights.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore


def make(store: SqlAlchemyStore, plan: dict[str, Any]) -> None:
    for name, (password, admin) in plan.get("users", {}).items():
        store.create_user(name, password, admin)
    for name, kind, pattern, permission in plan.get("rights", []):
        store.grant_user_permission(name, kind, pattern, permission)
    for name, role in plan.get("roles", {}).items():
        made = store.create_role(name, "default", f"role {name}")
        for kind, pattern, permission in role["rights"]:
            store.add_role_permission(made.id, kind, pattern, permission)
        for member in role["members"]:
            store.assign_role_to_user(store.get_user(member).id, made.id)


def main() -> None:
    store = SqlAlchemyStore()
    store.init_db(sys.argv[1])
    plan = json.loads(sys.argv[2])
    make(store, plan)
    held = [(user, {role.id for role in roles}) for user, roles in store.list_users_with_roles()]
    rights = []
    for role in store.list_roles():
        name = "" if role.name.startswith("__user_") else role.name
        whose = ",".join(sorted(user.username for user, roles in held if role.id in roles))
        rights += [[name, one.resource_type, one.resource_pattern, one.permission, whose] for one in role.permissions]
    users = {user.username: bool(user.is_admin) for user in store.list_users()}
    logins = {name: store.authenticate_user(name, password) for name, password in plan.get("logins", {}).items()}
    print(json.dumps({"users": users, "logins": logins, "rights": sorted(rights)}))


if __name__ == "__main__":
    main()
