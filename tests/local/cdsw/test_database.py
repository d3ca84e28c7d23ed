"""What went wrong with the guide's script, and with databases that are not the ones it was written for, goes right."""

from __future__ import annotations

import pytest

from tests.local.cdsw.conftest import Cdsw
from tests.local.cdsw.running import Case, repack
from tools.postgres_servers import PASSWORD


def with_dump(case: Case, cdsw: Cdsw, *changes: tuple[bytes, bytes]) -> None:
    """The archive with another dump, of the kind that another CDSW would give."""
    text = cdsw.dump
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    case.archive = repack(cdsw.archive, case.directory / "changed" / "a.tar.gz", text)


@pytest.fixture(autouse=True)
def changed(case: Case) -> None:
    (case.directory / "changed").mkdir()


AFTER_USERS = b"-- PostgreSQL database dump complete"


def test_the_chosen_administrator_owns_all_although_sequences_are_behind(case: Case, cdsw: Cdsw) -> None:
    with_dump(case, cdsw, (b"'public.users_id_seq', 7,", b"'public.users_id_seq', 2,"))
    case.move()
    assert case.rows("SELECT id, username FROM users") == [(6, "cmladmin")]
    assert case.rows("SELECT DISTINCT user_id FROM projects") == [(6,)]


def test_an_administrator_is_found_by_his_very_name(case: Case) -> None:
    case.execute(
        "INSERT INTO users (username, admin, bio, type) VALUES ('a.b', true, E'one\\ntwo, \"three\"', 'user'),"
        " ('axb', true, NULL, 'user')"
    )
    case.move(administrator="a.b")
    assert case.rows("SELECT username, bio FROM users") == [("a.b", 'one\ntwo, "three"')]


@pytest.mark.parametrize(("name", "said"), [("nobody", "no user"), ("plain", "no administrator"), ("crew", "a team")])
def test_who_is_no_administrator_is_refused_before_anything_is_written(case: Case, name: str, said: str) -> None:
    case.execute("INSERT INTO users (username, admin, type) VALUES ('crew', true, 'organization')")
    assert said in case.problems(administrator=name)["AdministratorUnfit"]
    before = case.state()
    assert case.run("save", administrator=name).reason == "AdministratorUnfit"
    assert case.state() == before


@pytest.mark.parametrize("column", ["username", "email"])
def test_an_administrator_whom_the_cdsw_has_too_is_refused_unless_users_are_mapped(case: Case, column: str) -> None:
    case.execute(f"UPDATE users SET {column} = '{'ana' if column == 'username' else 'ANA@corp'}' WHERE id = 1")
    name = "ana" if column == "username" else "cmladmin"
    assert "ana" in case.problems(administrator=name)["AdministratorClash"]
    for worker in ("save", "load"):
        case.good(worker, administrator=name)
    loaded = case.state()
    assert case.run("adapt", administrator=name).reason == "AdministratorClash"
    assert case.state() == loaded


def test_users_who_are_on_both_sides_keep_what_is_theirs(case: Case) -> None:
    case.execute(
        "INSERT INTO users (username, email, password_hash, creator_id) VALUES ('ana', 'ana@new', 'NEW', 1)",
        "INSERT INTO users (username, email, password_hash) VALUES ('benjamin', 'BEN@corp', 'NEW2')",
        "INSERT INTO users (username, type) VALUES ('dsteam', 'organization')",
    )
    case.move(users="MapByName")
    survey = case.good("survey", users="MapByName")
    admin = case.value("SELECT id FROM users WHERE username = 'cmladmin'")
    assert case.rows("SELECT id, username, email, password_hash, type FROM users ORDER BY id") == [
        (2, "ana", "ana@new", "NEW", "user"),
        (3, "benjamin", "BEN@corp", "NEW2", "user"),
        (5, "dsteam", None, None, "organization"),
        (admin, "cmladmin", "cmladmin@corp", "NEW-HASH", "user"),
    ]
    assert case.value("SELECT creator_id FROM users WHERE username = 'ana'") == admin
    assert case.rows("SELECT id, user_id, creator_id, slug FROM projects ORDER BY id") == [
        (10, 2, 2, "churn"),
        (11, 3, 3, "churn"),
        (12, 5, 2, "shared"),
        (13, admin, admin, "infra"),
    ]
    assert survey.counts["problems"] == 0


def test_users_mapped_by_e_mail_are_named_when_they_are_missing(case: Case) -> None:
    case.execute("INSERT INTO users (username, email) VALUES ('ana', 'someone@else'), ('x', 'ana@CORP')")
    survey = case.good("survey", users="MapByEmail")
    assert survey.facts["problems"]["count"] == 0
    assert survey.names["unmapped"] == ("admin", "ben", "dsteam")
    case.move(users="MapByEmail")
    admin = case.value("SELECT id FROM users WHERE username = 'cmladmin'")
    assert case.rows("SELECT id, username FROM users ORDER BY id") == [(2, "x"), (admin, "cmladmin")]
    assert case.rows("SELECT id, user_id, slug FROM projects ORDER BY id") == [
        (10, 2, "churn"),
        (11, admin, "churn"),
        (12, admin, "shared"),
        (13, admin, "infra"),
    ]


def test_an_administrator_who_is_mapped_is_one_person_with_his_old_number(case: Case) -> None:
    case.execute("UPDATE users SET username = 'ana' WHERE id = 1")
    case.move(users="MapByName", administrator="ana")
    assert case.rows("SELECT id, username, email, admin FROM users") == [(2, "ana", "cmladmin@corp", True)]


def test_the_workspaces_default_image_survives_a_custom_one_that_came_later(case: Case) -> None:
    case.execute("INSERT INTO engine_images (description, tag) VALUES ('Somebody''s own', '99')")
    case.move()
    assert case.rows(
        "SELECT DISTINCT i.tag FROM projects_engine_images p JOIN engine_images i ON i.id = engine_image_id"
    ) == [("15",)]


def test_settings_come_back_by_name_in_whatever_order_and_with_a_foreign_key(case: Case) -> None:
    case.execute(
        "DROP TABLE site_config",
        "CREATE TABLE site_config (ldap_url text, cml_only text, id serial PRIMARY KEY, allow_anonymous boolean,"
        " changed_by int REFERENCES users (id), default_engine_image_id int REFERENCES engine_images (id))",
        "INSERT INTO site_config VALUES ('ldap://new', 'kept', 7, false, 1, 2)",
    )
    for worker in ("save", "load"):
        case.good(worker)
    case.schema_job()
    case.execute(
        "ALTER TABLE site_config ADD FOREIGN KEY (default_engine_image_id) REFERENCES engine_images (id)",
        "ALTER TABLE site_config ADD changed_by int REFERENCES users (id)",
    )
    case.good("adapt")
    assert case.rows(
        "SELECT ldap_url, cml_only, allow_anonymous, u.username, i.tag FROM site_config s"
        " JOIN users u ON u.id = changed_by JOIN engine_images i ON i.id = default_engine_image_id"
    ) == [("ldap://new", "kept", False, "cmladmin", "15")]
    assert case.good("verify", parts=["database"]).counts["failedChecks"] == 0


def test_a_setting_that_the_schema_job_did_not_bring_is_told_and_nothing_is_adapted(case: Case) -> None:
    for worker in ("save", "load"):
        case.good(worker)
    loaded = case.state()
    record = case.run("adapt")
    assert (record.reason, "cml_only" in record.message) == ("SettingsNotKept", True)
    assert case.state() == loaded
    case.schema_job()
    case.good("adapt")


def test_tables_that_nobody_knows_and_that_refer_to_users_are_refused_or_decided_on(case: Case, cdsw: Cdsw) -> None:
    rows = b"\nCOPY public.favourites (id, keeper, owner_id) FROM stdin;\n1\t2\t3\n\\.\n\n--\n" + AFTER_USERS
    made = b"CREATE TABLE public.favourites (id int, keeper int, owner_id int);"
    key = b"ALTER TABLE public.favourites ADD FOREIGN KEY (keeper) REFERENCES public.users (id);"
    with_dump(case, cdsw, (AFTER_USERS, made + rows.replace(b"--\n" + AFTER_USERS, key + b"\n--\n" + AFTER_USERS)))
    said = case.problems()["UsersReferredTo"]
    assert "favourites.keeper (1 rows)" in said
    assert "favourites.owner_id" in said
    for worker in ("save", "load"):
        case.good(worker)
    case.schema_job()
    loaded = case.state()
    refused = case.run("adapt")
    assert (refused.reason, "favourites.keeper (1)" in refused.message) == ("UsersReferredTo", True)
    assert case.state() == loaded
    decided = {"handOver": ["favourites.keeper"], "empty": []}
    assert "owner_id" in case.run("adapt", unlisted=decided).message
    decided["handOver"].append("favourites.owner_id")
    case.good("adapt", unlisted=decided)
    assert case.rows("SELECT DISTINCT keeper = u.id, owner_id = u.id FROM favourites, users u") == [(True, True)]
    assert case.good("verify", parts=["database"]).counts["failedChecks"] == 0


def test_a_table_that_stays_and_needs_one_that_is_emptied_is_refused(case: Case, cdsw: Cdsw) -> None:
    made = (
        b"CREATE TABLE public.ratings (build_id int, stars int);\n"
        b"COPY public.ratings (build_id, stars) FROM stdin;\n31\t5\n\\.\n"
        b"ALTER TABLE public.ratings ADD FOREIGN KEY (build_id) REFERENCES public.model_builds (id);\n"
        b"CREATE TABLE public.notes (build_id int REFERENCES public.model_builds (id));\n--\n"
    )
    with_dump(case, cdsw, (AFTER_USERS, made + AFTER_USERS))
    assert "ratings.build_id to model_builds" in case.problems()["TablesReferredTo"]
    case.good("save")
    case.good("load")
    case.schema_job()
    loaded = case.state()
    assert case.run("adapt").reason == "TablesReferredTo"
    assert case.state() == loaded
    case.good("adapt", unlisted={"empty": ["ratings"], "handOver": []})


def test_a_new_address_never_takes_one_that_exists(case: Case, cdsw: Cdsw) -> None:
    with_dump(case, cdsw, (b"\tInfra\tinfra\t", b"\tInfra\tchurn-cdsw-user-2\t"))
    case.move()
    assert case.rows("SELECT id, slug FROM projects ORDER BY id") == [
        (10, "churn-cdsw-user-2-2"),
        (11, "churn-cdsw-user-3"),
        (12, "shared"),
        (13, "churn-cdsw-user-2"),
    ]


def test_a_workspace_without_feature_flags_and_a_cdsw_without_quotas_are_no_trouble(case: Case, cdsw: Cdsw) -> None:
    case.execute("DROP SCHEMA feature_flags CASCADE")
    with cdsw.server.database("older", template=cdsw.database) as name:
        with cdsw.server.connect(name) as connection:
            connection.execute("DROP TABLE custom_quota, default_quota, watchers, stars, user_billing")
        case.archive, case.live = None, (cdsw.server, name, cdsw.directory / "projects")
        assert case.move().counts["failedChecks"] == 0


def test_large_objects_and_comments_on_extensions_are_no_trouble(case: Case, cdsw: Cdsw) -> None:
    with cdsw.server.database("larger", template=cdsw.database) as name:
        with cdsw.server.connect(name) as connection:
            connection.execute("SELECT lo_from_bytea(654321, 'large')")
            connection.execute("CREATE EXTENSION hstore; COMMENT ON EXTENSION hstore IS 'own words'")
        case.archive, case.live = None, (cdsw.server, name, cdsw.directory / "projects")
        case.move()
        assert case.value("SELECT convert_from(lo_get(654321), 'UTF8')") == "large"
        assert case.value("SELECT count(*) FROM pg_extension WHERE extname = 'hstore'") == 1


def test_rows_of_credentials_never_arrive_even_from_a_dump_that_holds_them(case: Case, cdsw: Cdsw) -> None:
    with_dump(
        case,
        cdsw,
        (
            AFTER_USERS,
            b"COPY public.ssh_keys (id, user_id, private_key) FROM stdin;\n1\t2\tSSH-SECRET\n\\.\n\n--\n" + AFTER_USERS,
        ),
    )
    survey = case.good("survey")
    assert survey.facts["source"]["sensitiveRows"] == {"ssh_keys": 1}
    case.good("save")
    assert case.good("load").counts["credentialsLeft"] == 1
    assert case.value("SELECT count(*) FROM ssh_keys") == 0
    assert "SSH-SECRET" not in "".join(p.read_text() for p in (case.directory / "workspace").rglob("*.json"))


def test_the_password_is_the_secrets_again_and_shows_nowhere(case: Case) -> None:
    password = "$HOME 'quoted' \"twice\" \\ %s ü"
    case.execute("DROP ROLE IF EXISTS sense_admin", "CREATE ROLE sense_admin SUPERUSER LOGIN")
    with case.server.connect() as connection:
        hashed = connection.pgconn.encrypt_password(password.encode(), b"sense_admin", b"scram-sha-256").decode()
        connection.execute(f"ALTER ROLE sense_admin PASSWORD '{hashed}'".encode())
        connection.execute("ALTER SYSTEM SET log_statement = 'all'")
        connection.execute("SELECT pg_reload_conf()")
    try:
        case.user, case.password = "sense_admin", password
        before = case.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'sense_admin'")
        case.move()
        after = case.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'sense_admin'")
        assert after.startswith("SCRAM-SHA-256$")
        assert after != before
        case.server.connect(case.database, "postgres").close()
        log = (case.server.directory / "log").read_text(errors="replace")
        assert "ALTER ROLE CURRENT_USER PASSWORD" in log
        assert password not in log
    finally:
        with case.server.connect() as connection:
            connection.execute("ALTER SYSTEM RESET log_statement")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(f'ALTER DATABASE "{case.database}" OWNER TO postgres'.encode())
            with case.server.connect(case.database) as inner:
                inner.execute("REASSIGN OWNED BY sense_admin TO postgres")
            connection.execute("DROP ROLE sense_admin")
    assert password != PASSWORD


def test_a_role_that_is_no_superuser_and_may_not_make_databases_is_enough(case: Case, cdsw: Cdsw) -> None:
    word = "sense's word"
    with case.server.connect(case.database) as connection:
        connection.execute("DROP ROLE IF EXISTS sense")
        connection.execute("CREATE ROLE sense LOGIN PASSWORD 'sense''s word'")
        connection.execute(f'ALTER DATABASE "{case.database}" OWNER TO sense'.encode())
        connection.execute("DROP EXTENSION pg_trgm")
        connection.execute("ALTER SCHEMA public OWNER TO sense; ALTER SCHEMA feature_flags OWNER TO sense")
        for (table,) in connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('public', 'feature_flags')"
        ).fetchall():
            connection.execute(f"ALTER TABLE {table} OWNER TO sense".encode())
        connection.execute("ALTER FUNCTION say OWNER TO sense; ALTER FUNCTION twice OWNER TO sense")
        connection.execute("ALTER VIEW active_jobs OWNER TO sense")
    case.user, case.password = "sense", word
    with_dump(case, cdsw, (b"OWNER TO postgres", b"OWNER TO sense"))
    try:
        survey = case.good("survey")
        assert survey.facts["problems"]["found"] == []
        assert survey.facts["target"]["tried"] is False
        case.move()
        assert case.value("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'public'") == "sense"
    finally:
        with case.server.connect(case.database) as connection:
            connection.execute("REASSIGN OWNED BY sense TO postgres; DROP OWNED BY sense")
            connection.execute(f'ALTER DATABASE "{case.database}" OWNER TO postgres'.encode())
            connection.execute("DROP ROLE sense")


def test_a_role_or_an_extension_that_the_target_lacks_is_found_before_anything_is_written(
    case: Case, cdsw: Cdsw
) -> None:
    with_dump(
        case, cdsw, (b"ALTER TABLE public.users OWNER TO postgres", b"ALTER TABLE public.users OWNER TO stranger")
    )
    assert "stranger" in case.problems()["RoleMissing"]
    with_dump(case, cdsw, (AFTER_USERS, b"CREATE EXTENSION nowhere;\n--\n" + AFTER_USERS))
    assert "nowhere" in case.problems()["ExtensionMissing"]


def test_a_database_that_is_no_workspace_is_told(case: Case) -> None:
    case.execute("DROP TABLE site_config CASCADE")
    assert "site_config" in case.problems()["NotAWorkspace"]
    assert case.run("save").reason == "NotAWorkspace"


def test_clients_of_the_database_are_listed_by_what_they_call_themselves(case: Case) -> None:
    with case.server.connect(case.database) as connection:
        connection.execute("SET application_name = 'model-proxy'")
        assert ["model-proxy", "127.0.0.1", 1] in case.good("survey").facts["target"]["clients"]


def test_a_client_that_holds_a_table_is_named_and_the_target_stays_as_it_was(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    from project_migration.workers.cdsw import load

    monkeypatch.setattr(load, "_LOCK_TIMEOUT", "200ms")
    case.good("save")
    before = case.state()
    with case.server.connect(case.database, autocommit=False) as connection:
        connection.execute("SET application_name = 'metering'")
        connection.execute("SELECT * FROM users")
        record = case.run("load")
    assert (record.reason, record.passing, "metering" in record.message) == ("TargetBusy", True, True)
    assert case.state() == before
    case.good("load")
