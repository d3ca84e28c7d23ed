"""Users, roles and rights of the basic-auth app follow what moves; the app's own code and its server find them."""

from __future__ import annotations

import base64
import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.local.mlflow.conftest import Populated
from tests.local.mlflow.running import SCRIPTS, Base, Case, copied, sqlite_base
from tests.local.mlflow.test_documents import Site, in_use
from tools import mlflow_servers

ANA, BEN, BOSS, ADMIN = "ana's old password", "ben's old password", "the boss's password", "source's admin password"
THEIR_ADMIN, THEIR_ANA = "target's admin password", "another ana's password"


def app(uri: str, **plan: Any) -> dict[str, Any]:
    """What the app's own code says of a database, after it made what is planned."""
    said = mlflow_servers.run(SCRIPTS / "users_population.py", uri, json.dumps(plan))
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def plan_of(numbers: dict[str, int]) -> dict[str, Any]:
    """Somebody with rights of her own, somebody with a role, and two administrators."""
    classify, nlp = str(numbers["vision/classify"]), str(numbers["nlp"])
    return {
        "users": {"admin": [ADMIN, True], "boss": [BOSS, True], "ana": [ANA, False], "ben": [BEN, False]},
        "rights": [
            ["ana", "experiment", classify, "EDIT"],
            ["ana", "scorer", f"{classify}/a%2Fb", "READ"],
            ["ana", "experiment", "777", "MANAGE"],
            ["ben", "registered_model", "*", "READ"],
        ],
        "roles": {
            "readers": {"members": ["ben"], "rights": [["experiment", nlp, "READ"], ["experiment", "*", "READ"]]}
        },
    }


def numbers_of(base: Base) -> dict[str, int]:
    return dict(base.rows("SELECT name, experiment_id FROM experiments"))


@pytest.fixture(scope="session")
def source_users(tmp_path_factory: pytest.TempPathFactory, populated: Populated) -> Base:
    base = sqlite_base(tmp_path_factory.mktemp("users") / "basic_auth.db")
    app(base.uri, **plan_of(numbers_of(populated.base)))
    return base


@pytest.fixture(scope="session")
def new_users(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """As a server makes it at its first start."""
    base = sqlite_base(tmp_path_factory.mktemp("new-users") / "basic_auth.db")
    app(base.uri, users={"admin": [THEIR_ADMIN, True]})
    return base


@pytest.fixture(scope="session")
def used_users(tmp_path_factory: pytest.TempPathFactory, new_users: Base) -> Base:
    """Another ana, and a role of a name that the source has too, whose rights are on an experiment of the target's."""
    base = copied(new_users, tmp_path_factory.mktemp("used-users") / "basic_auth.db")
    app(
        base.uri,
        users={"zoe": ["zoe's old password", False], "ana": [THEIR_ANA, False]},
        rights=[["zoe", "experiment", "1", "MANAGE"]],
        roles={"readers": {"members": ["zoe"], "rights": [["experiment", "1", "READ"]]}},
    )
    return base


@pytest.fixture(scope="session")
def older_users(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """The app's tables as an older release made them, without anybody."""
    base = sqlite_base(tmp_path_factory.mktemp("older-users") / "basic_auth.db")
    mlflow_servers.initialise_users_at(base.uri, "0965eb92f5f0")
    return base


@pytest.fixture
def with_users(case: Case, tmp_path: Path, source_users: Base, new_users: Base) -> Case:
    case.auth = (source_users, copied(new_users, tmp_path / "target-users" / "basic_auth.db"))
    return case


def auth_rows(base: Base) -> dict[str, list[tuple[Any, ...]]]:
    tables = ("users", "roles", "role_permissions", "user_role_assignments")
    return {table: sorted(base.rows(f"SELECT * FROM {table}"), key=repr) for table in tables}


def users_of(base: Base) -> dict[str, bool]:
    return {name: bool(admin) for name, admin in base.rows("SELECT username, is_admin FROM users")}


def hash_of(base: Base, user: str) -> str:
    return str(base.value(f"SELECT password_hash FROM users WHERE username = '{user}'"))


def rights_of(base: Base) -> list[tuple[str, ...]]:
    """Role (empty for one user's own), type, pattern, permission, and who has it."""
    found = base.rows(
        "SELECT CASE WHEN r.name LIKE '@_@_user@_%' ESCAPE '@' THEN '' ELSE r.name END, p.resource_type,"
        " p.resource_pattern, p.permission, u.username FROM role_permissions p JOIN roles r ON r.id = p.role_id"
        " JOIN user_role_assignments a ON a.role_id = r.id JOIN users u ON u.id = a.user_id"
    )
    return sorted(found)


def test_a_new_server_gets_everybody_with_passwords_roles_and_rights(with_users: Case) -> None:
    target = with_users.auth[1]
    assert target is not None
    before = auth_rows(target)
    proof = with_users.migrate()
    assert (proof.counts["users"], proof.counts["roles"], proof.counts["rights"]) == (4, 1, 5)
    logins = {"ana": ANA, "ben": BEN, "boss": BOSS, "admin": THEIR_ADMIN}
    assert all(app(target.uri, logins=logins)["logins"].values()), "the target's own administrator keeps her password"
    assert users_of(target) == {"admin": True, "boss": True, "ana": False, "ben": False}
    numbers = numbers_of(with_users.target)
    classify, nlp = str(numbers["vision/classify"]), str(numbers["nlp"])
    assert rights_of(target) == sorted(
        [
            ("", "experiment", classify, "EDIT", "ana"),
            ("", "registered_model", "*", "READ", "ben"),
            ("", "scorer", f"{classify}/a%2Fb", "READ", "ana"),
            ("readers", "experiment", "*", "READ", "ben"),
            ("readers", "experiment", nlp, "READ", "ben"),
        ]
    ), "a right on an experiment that is gone stays behind"
    again = auth_rows(target)
    with_users.good("copy", again=True)
    assert auth_rows(target) == again, "what is there is not brought twice"
    with_users.good("clear", what="Everything")
    assert auth_rows(target) == before


def test_no_password_and_no_hash_is_left_in_the_workspace(with_users: Case, source_users: Base) -> None:
    with_users.migrate()
    hashes = [row[0].encode() for row in source_users.rows("SELECT password_hash FROM users")]
    files = [path for path in (with_users.directory / "workspace").rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert not [one for one in [*hashes, ANA.encode()] if one in content], path
    assert not [one for one in hashes if one.decode() in with_users.said]


def test_users_may_lie_in_the_tracking_server_s_own_database(
    tmp_path: Path, populated: Populated, source_users: Base, new_users: Base, new_sqlite: Base
) -> None:
    old, new = (
        copied(base, tmp_path / name / "mlflow.db") for name, base in (("a", populated.base), ("b", new_sqlite))
    )
    for base, users in ((old, source_users), (new, new_users)):
        base.run(*(line for line in users.connect().iterdump() if line.startswith(("CREATE", "INSERT"))))
    before = auth_rows(new)
    case = Case(tmp_path, old, new, auth=(old, new))
    assert case.migrate().counts["users"] == 4
    assert hash_of(new, "ana") == hash_of(source_users, "ana")
    case.good("clear", what="Everything")
    assert auth_rows(new) == before
    assert new.value("SELECT count(*) FROM runs") == 0


def test_users_go_from_sqlite_to_postgresql(case: Case, source_users: Base, postgres_target: Base) -> None:
    app(postgres_target.uri, users={"admin": [THEIR_ADMIN, True]})
    moved = Case(case.directory, case.source, postgres_target, auth=(source_users, postgres_target))
    assert moved.migrate().counts["users"] == 4
    found = app(postgres_target.uri, users={"later": ["made after the move", False]}, logins={"ben": BEN})
    assert found["logins"] == {"ben": True}
    assert found["users"]["later"] is False, "the sequence of numbers goes on"
    moved.good("clear", what="Everything")
    assert set(users_of(postgres_target)) == {"admin", "later"}


@pytest.fixture
def in_use_with_users(with_users: Case, tmp_path: Path, used_users: Base) -> Case:
    """The target has an experiment of its own with a number of the source's."""
    with_users.target.run(
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, workspace)"
        " VALUES (1, 'theirs', 'mlflow-artifacts:/1', 'active', 'default')"
    )
    with_users.auth = (with_users.auth[0], copied(used_users, tmp_path / "used-users" / "basic_auth.db"))
    return with_users


def test_a_server_in_use_gives_nobody_more_than_what_moved(in_use_with_users: Case, source_users: Base) -> None:
    case, target = in_use_with_users, in_use_with_users.auth[1]
    assert target is not None
    before = auth_rows(target)
    case.migrate()
    numbers = numbers_of(case.target)
    assert numbers["theirs"] == 1
    assert hash_of(target, "ana") != hash_of(source_users, "ana"), "who is there keeps her password"
    assert hash_of(target, "ben") == hash_of(source_users, "ben")
    assert users_of(target)["boss"] is False, "an administrator of the source is none here"
    classify = str(numbers["vision/classify"])
    assert classify != "1"
    assert rights_of(target) == sorted(
        [
            ("", "experiment", "1", "MANAGE", "zoe"),
            ("", "experiment", classify, "EDIT", "ana"),
            ("", "scorer", f"{classify}/a%2Fb", "READ", "ana"),
            ("readers", "experiment", "1", "READ", "zoe"),
        ]
    )
    skipped = (case.directory / "workspace" / "lists" / "copy-tracking-skipped.txt").read_text()
    for told in ("role readers", "user boss", "registered_model *"):
        assert told in skipped
    case.good("clear", package="mlflow.users")
    assert auth_rows(target) == before


def test_update_fills_roles_of_the_target_and_fail_refuses_names_that_are_taken(in_use_with_users: Case) -> None:
    case, target = in_use_with_users, in_use_with_users.auth[1]
    assert target is not None
    problems = case.problems(onConflict="Fail", rename={"experiments": {"vision/classify": "c", "nlp": "n"}})
    assert "a user ana" in problems["NameClash"]
    assert "a role readers" in problems["NameClash"]
    case.migrate(onConflict="Update")
    nlp = str(numbers_of(case.target)["nlp"])
    assert {("readers", "experiment", nlp, "READ", who) for who in ("ben", "zoe")} <= set(rights_of(target))


def test_rights_of_older_releases_stand_in_a_table_for_each_type(
    with_users: Case, tmp_path: Path, older_users: Base
) -> None:
    sides = []
    for name, people in (("old", ("ana", "ben")), ("new", ("zoe", "ben"))):
        base = copied(older_users, tmp_path / f"older-{name}" / "basic_auth.db")
        for place, user in enumerate(people, 1):
            base.run(f"INSERT INTO users VALUES ({place}, '{user}', 'hash of {user} {name}', 0)")
        sides.append(base)
    source, target = sides
    number = numbers_of(with_users.source)["vision/classify"]
    model = a_model(with_users)
    source.run(
        "INSERT INTO experiment_permissions (experiment_id, user_id, permission)"
        f" VALUES ('{number}', 1, 'NO_PERMISSIONS')",
        f"INSERT INTO registered_model_permissions (name, user_id, permission) VALUES ('{model}', 2, 'EDIT')",
        "INSERT INTO scorer_permissions (experiment_id, scorer_name, user_id, permission)"
        f" VALUES ('{number}', 'a/b', 1, 'READ')",
    )
    with_users.auth = (source, target)
    with_users.migrate()
    assert dict(target.rows("SELECT username, password_hash FROM users")) == {
        "zoe": "hash of zoe new",
        "ben": "hash of ben new",
        "ana": "hash of ana old",
    }
    [ana] = [row[0] for row in target.rows("SELECT id FROM users WHERE username = 'ana'")]
    moved = str(numbers_of(with_users.target)["vision/classify"])
    assert target.rows("SELECT experiment_id, user_id, permission FROM experiment_permissions") == [
        (moved, ana, "NO_PERMISSIONS")
    ]
    assert target.rows("SELECT name, user_id, permission FROM registered_model_permissions") == [(model, 2, "EDIT")]
    assert target.rows("SELECT experiment_id, scorer_name, user_id FROM scorer_permissions") == [(moved, "a/b", ana)]


def a_model(case: Case) -> str:
    return str(case.source.value("SELECT name FROM registered_models ORDER BY name LIMIT 1"))


def test_databases_without_users_and_of_two_forms_are_refused(with_users: Case, older_users: Base) -> None:
    with_users.auth = (with_users.auth[0], older_users)
    assert "0965eb92f5f0" in with_users.problems()["SchemaMismatch"]
    with_users.auth = (with_users.auth[0], with_users.target)
    assert "basic-auth" in with_users.problems()["TargetNotInitialised"]


# -- a document, and the real server -----------------------------------------------------------------------------------


class GuardedSite(Site):
    """With databases of users on both sides."""

    users: tuple[Base, Base]

    def server(self, base: Base, artifacts: Path) -> dict[str, Any]:
        users = self.users[0 if base is self.source[0] else 1]
        auth = {"sqlite": {"path": str(users.root), "file": users.backend["file"]}}
        return {**super().server(base, artifacts), "auth": auth}


def test_the_real_server_knows_ana_by_her_old_password_and_refuses_what_she_may_not_see(
    tmp_path: Path, populated: Populated, new_sqlite: Base, source_users: Base, new_users: Base
) -> None:
    new = copied(new_sqlite, tmp_path / "new" / "mlflow.db")
    users = copied(new_users, tmp_path / "new-users" / "basic_auth.db")
    site = GuardedSite(tmp_path, (populated.base, populated.artifacts), (new, tmp_path / "new-files"))
    site.users = (source_users, users)
    site.spec = {"backup": {"path": str(tmp_path / "backup")}}
    in_use(site)
    before = auth_rows(users)
    done = site.call("run")
    assert done.returncode == 0, done.stdout + done.stderr
    _asked(site, users, numbers_of(new))
    undone = site.call("undo")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert auth_rows(users) == before
    assert set(numbers_of(new)) == {"Default", "theirs"}


def _asked(site: Site, users: Base, numbers: dict[str, int]) -> None:
    config = site.path / "auth.ini"
    config.write_text(
        f"[mlflow]\ndefault_permission = NO_PERMISSIONS\ndatabase_uri = {users.uri}\nadmin_username = admin\n"
        f"admin_password = {THEIR_ADMIN}\n"
    )
    variables = {"MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_FLASK_SERVER_SECRET_KEY": "only for tests"}
    copy = site.path / "served.db"  # the server writes to what it serves
    shutil.copyfile(Path(site.target[0].root or "") / "mlflow.db", copy)
    uri, files = f"sqlite:///{copy}", site.target[1]
    options = ("--app-name", "basic-auth")
    with mlflow_servers.serving(uri, files, site.path / "server", options=options, **variables) as address:

        def asks(user: str, password: str, experiment: str) -> int:
            """The status with which the server answers."""
            asked = f"{address}/api/2.0/mlflow/experiments/get?experiment_id={numbers[experiment]}"
            login = base64.b64encode(f"{user}:{password}".encode()).decode()
            request = urllib.request.Request(asked, headers={"Authorization": f"Basic {login}"})
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                return error.code

        assert asks("ana", ANA, "vision/classify") == 200
        assert asks("ana", ANA, "nlp") == 403
        assert asks("ana", ANA, "theirs") == 403
        assert asks("ana", "not her password", "vision/classify") == 401
        assert asks("ben", BEN, "nlp") == 200
        assert asks("boss", BOSS, "theirs") == 403
        assert asks("admin", THEIR_ADMIN, "theirs") == 200
        assert asks("admin", ADMIN, "nlp") == 401
