"""Copies between real servers: everything arrives, or the target is as it was."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from project_migration.model.records import Record
from tests.local.postgres import fingerprint
from tests.local.postgres.running import Case
from tools.postgres_servers import PASSWORD, Server, running

Made = Callable[[Server, str, Server], Case]

PAIRS = [(15, 18), (18, 18), (15, 15)]


@pytest.fixture
def made(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Made]:
    """A case whose target is a fresh database."""
    with ExitStack() as stack:
        numbers = iter(range(100))

        def make(source: Server, database: str, target: Server) -> Case:
            number = next(numbers)
            name = stack.enter_context(target.database(f"t{number}_{abs(hash(request.node.name)) % 10**8}"))
            return Case(tmp_path / str(number), (source, database), (target, name))

        yield make


@pytest.fixture
def servers(server_15: Server, server_18: Server, hard_15: str, hard_18: str) -> dict[int, tuple[Server, str]]:
    return {15: (server_15, hard_15), 18: (server_18, hard_18)}


@pytest.fixture
def plain(server_15: Server) -> Iterator[str]:
    """Large enough that a worker can be met in the middle of it."""
    with server_15.database("plain") as name:
        with server_15.connect(name) as connection:
            connection.execute("CREATE TABLE parent (id integer PRIMARY KEY, t text)")
            connection.execute("INSERT INTO parent SELECT g, md5(g::text) FROM generate_series(1, 60000) g")
            for number in range(4):
                connection.execute(
                    f"CREATE TABLE child{number} (id integer PRIMARY KEY, p integer REFERENCES parent, t text)".encode()
                )
                connection.execute(
                    f"INSERT INTO child{number} SELECT g, g, repeat(md5(g::text), 3)"
                    " FROM generate_series(1, 60000) g".encode()
                )
                connection.execute(f"CREATE INDEX ON child{number} (t)".encode())
            connection.execute("SELECT lo_from_bytea(0, 'x') FROM generate_series(1, 300)")
        yield name


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_everything_hard_arrives(source: int, target: int, servers: dict[int, tuple[Server, str]], made: Made) -> None:
    server, database = servers[source]
    case = made(server, database, servers[target][0])
    survey = case.good("survey")
    assert survey.facts["problems"] == {"found": [], "count": 0}
    copied = case.good("copy")
    assert copied.counts["largeObjects"] == 3
    proof = case.good("verify")
    assert proof.counts["tables"] == copied.counts["tables"] + copied.counts["refreshed"]
    again = case.good("copy")
    assert again == copied


def test_a_copy_whose_record_was_lost_is_not_made_again(servers: dict[int, tuple[Server, str]], made: Made) -> None:
    case = made(*servers[15], servers[18][0])
    first = case.good("copy")
    (case.directory / "workspace/results/copy-db.json").unlink()
    second = case.good("copy")
    assert second.counts == first.counts
    assert second.seconds < 5


def test_an_older_target_is_refused_before_anything_is_written(
    servers: dict[int, tuple[Server, str]], made: Made
) -> None:
    case = made(*servers[18], servers[15][0])
    before = fingerprint.of_database(*case.target)
    record = case.run("copy")
    assert record.reason == "TargetOlder"
    assert "15" in record.message
    assert fingerprint.of_database(*case.target) == before
    reasons = [problem["reason"] for problem in case.good("survey").facts["problems"]["found"]]
    assert "TargetOlder" in reasons


def test_a_target_in_use_is_refused_and_left_alone(servers: dict[int, tuple[Server, str]], made: Made) -> None:
    case = made(*servers[15], servers[18][0])
    with case.target[0].connect(case.target[1]) as connection:
        connection.execute("CREATE TABLE mine (a integer)")
        connection.execute("INSERT INTO mine VALUES (1)")
    before = fingerprint.of_database(*case.target)
    record = case.run("copy")
    assert record.reason == "TargetNotEmpty"
    assert "table public.mine" in record.message
    assert fingerprint.of_database(*case.target) == before


def test_replace_empties_the_target_first(servers: dict[int, tuple[Server, str]], made: Made) -> None:
    case = made(*servers[15], servers[18][0])
    case.good("copy")
    other = Case(case.directory / "other", servers[18], case.target)
    assert other.run("copy").reason == "TargetNotEmpty"
    other.good("copy", replace=True)
    other.good("verify")


def test_a_failure_in_the_middle_leaves_the_target_as_it_was(
    servers: dict[int, tuple[Server, str]], plain: str, made: Made
) -> None:
    source, _ = servers[15]
    case = made(source, plain, servers[18][0])
    with case.target[0].connect(case.target[1]) as connection:
        connection.execute(
            "CREATE SCHEMA waiting; GRANT USAGE ON SCHEMA waiting TO reader; COMMENT ON SCHEMA public IS 'x'"
        )
    with source.connect(plain) as connection:
        connection.execute("CREATE OR REPLACE FUNCTION one() RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'")
        connection.execute("CREATE MATERIALIZED VIEW breaks AS SELECT public.one()")
        connection.execute(
            "CREATE OR REPLACE FUNCTION one() RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN 1/0; END'"
        )
    before = fingerprint.of_database(*case.target)
    record = case.run("copy")
    assert record.reason == "CopyIncomplete"
    assert "materialized view public.breaks" in record.message
    assert fingerprint.of_database(*case.target) == before


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_worker_killed_at_any_moment_is_resumed_to_the_same_end(
    seed: int, servers: dict[int, tuple[Server, str]], plain: str, made: Made
) -> None:
    case = made(servers[15][0], plain, servers[18][0])
    generator = random.Random(seed)
    worker = case.start("copy")
    time.sleep(generator.uniform(0.25, 1.6))
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    case.good("copy")
    case.good("verify")


def test_what_a_killed_worker_left_can_be_taken_back(
    servers: dict[int, tuple[Server, str]], plain: str, made: Made
) -> None:
    case = made(servers[15][0], plain, servers[18][0])
    before = fingerprint.of_database(*case.target)
    worker = case.start("copy")
    _wait_for_tables(case)
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    assert fingerprint.of_database(*case.target) != before
    stranger = Case(case.directory / "stranger", case.source, case.target)
    assert stranger.good("clear").counts == {"takenBack": 0}
    assert stranger.run("copy").reason == "TargetNotEmpty"
    assert case.good("clear").counts == {"takenBack": 1}
    assert fingerprint.of_database(*case.target) == before


def test_sigterm_ends_a_copy_at_once_and_the_next_attempt_ends_it(
    servers: dict[int, tuple[Server, str]], plain: str, made: Made
) -> None:
    case = made(servers[15][0], plain, servers[18][0])
    worker = case.start("copy")
    _wait_for_tables(case)
    asked = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=20)
    assert worker.returncode == 143
    assert time.monotonic() - asked < 10
    case.good("copy")
    case.good("verify")


def test_two_copies_at_once_are_one(servers: dict[int, tuple[Server, str]], plain: str, made: Made) -> None:
    case = made(servers[15][0], plain, servers[18][0])
    first = case.start("copy")
    _wait_for_tables(case)
    twin = Case(case.directory / "twin", case.source, case.target, uid=case.uid)
    record = twin.run("copy")
    assert (record.reason, record.passing) == ("TargetBusy", True)
    first.communicate(timeout=60)
    assert first.returncode == 0
    case.good("verify")


def test_a_target_that_restarts_in_the_middle_is_a_passing_failure(
    server_15: Server, plain: str, tmp_path: Path
) -> None:
    with running(18) as target:
        case = Case(tmp_path, (server_15, plain), (target, "postgres"))
        worker = case.start("copy")
        _wait_for_tables(case)
        target.restart()
        worker.communicate(timeout=60)
        record = Record.from_json((tmp_path / "workspace/results/copy-db.json").read_text())
        assert (record.reason, record.passing) == ("DatabaseUnreachable", True), record.message
        case.good("copy")
        case.good("verify")


def test_what_is_left_out_is_left_out_with_what_needs_it_and_named(
    servers: dict[int, tuple[Server, str]], made: Made
) -> None:
    case = made(*servers[15], servers[18][0])
    filters = {"tables": {"exclude": ["measured*", "public.hen"]}, "excludeTableData": ["toasty"]}
    record = case.good("copy", **filters)
    assert "public.heavy" in record.names["skipped"]
    assert any("egg_hen_fkey" in name for name in record.names["skipped"])
    case.good("verify", **filters)
    with case.target[0].connect(case.target[1]) as connection:
        assert connection.execute("SELECT count(*) FROM toasty").fetchone() == (0,)
        assert connection.execute("SELECT to_regclass('measured'), to_regclass('hen')").fetchone() == (None, None)


def test_verify_finds_one_changed_value(servers: dict[int, tuple[Server, str]], made: Made) -> None:
    case = made(*servers[15], servers[18][0])
    case.good("copy")
    with case.target[0].connect(case.target[1]) as connection:
        connection.execute("UPDATE tree SET parent = 2 WHERE id = 50")
        connection.execute("SELECT lo_put(77001, 0, 'z'), setval('free_running', 500)")
        connection.execute("DROP INDEX lower_note")
        connection.execute("REVOKE SELECT ON secret_rows FROM reader")
    record = case.run("verify")
    assert record.reason == "VerifyFailed"
    assert set(record.names["different"]) == {
        "rows public.tree",
        "large object 77001",
        "position of public.free_running",
    }
    assert set(record.names["missing"]) == {"index public.lower_note", "privilege table public.secret_rows to reader"}


def test_xml_keeps_its_text_between_servers_that_know_it(server_15: Server, made: Made) -> None:
    with server_15.database("with_xml") as name:
        with server_15.connect(name) as connection:
            connection.execute("CREATE TABLE x (a xml)")
            connection.execute('INSERT INTO x VALUES (\'<?xml version="1.0"?><a b="ü">x</a>\'), (NULL)')
        case = made(server_15, name, server_15)
        case.good("copy")
        case.good("verify")


def _wait_for_tables(case: Case) -> None:
    """Until the copy has made tables in the target."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with case.target[0].connect(case.target[1]) as connection:
            if connection.execute("SELECT to_regclass('public.parent')").fetchone() != (None,):
                return
        time.sleep(0.02)
    raise AssertionError("the copy made no table")


def test_another_encoding_arrives_as_the_same_text(server_15: Server, made: Made) -> None:
    options = {"template": "template0", "encoding": "LATIN1", "lc_collate": "C", "lc_ctype": "C"}
    with server_15.database("latin", **options) as name:
        with server_15.connect(name) as connection:
            connection.execute('CREATE TABLE "größe" ("länge" text PRIMARY KEY, raw bytea)')
            connection.execute("INSERT INTO \"größe\" SELECT repeat('é', g), 'x' FROM generate_series(1, 2000) g")
            connection.execute("CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ''ñ'''")
            connection.execute("COMMENT ON FUNCTION f() IS 'façade'")
            connection.execute("SELECT lo_create(5)")
            connection.execute("COMMENT ON LARGE OBJECT 5 IS 'où'")
        case = made(server_15, name, server_15)
        assert case.run("copy").reason == "CollationDiffers"
        case.good("copy", acceptCollation=True)
        case.good("verify")
        case.good("dump", side="source", backup="backup")
        case.good("restore", "restore", backup="backup", replace=True)


def test_an_ordinary_owner_is_enough(server_15: Server, server_18: Server, plain: str, made: Made) -> None:
    """No superuser on either side: the source's user may read, the target's owns the database."""
    case = made(server_15, plain, server_18)
    word = PASSWORD.replace("'", "''")
    with ExitStack() as stack:
        for server, database in (case.source, case.target):
            with server.connect(database) as connection:
                connection.execute(f"CREATE ROLE mover LOGIN PASSWORD '{word}'".encode())
            stack.callback(_drop_role, server, "mover")
        with server_15.connect(plain) as connection:
            for table in ("parent", "child0", "child1", "child2", "child3"):
                connection.execute(f"ALTER TABLE {table} OWNER TO mover".encode())
            connection.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
        with server_18.connect() as connection:
            connection.execute(f'ALTER DATABASE "{case.target[1]}" OWNER TO mover'.encode())
        case.users = {"source": "mover", "target": "mover"}
        assert case.good("survey").facts["problems"]["found"] == []
        case.good("copy")
        case.good("verify")
        case.good("clear", what="Everything")
        with server_15.connect(plain) as connection:
            connection.execute("ALTER TABLE parent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        record = case.run("copy", step="again")
        assert record.reason == "SourceUnreadable"
        assert "row security" in record.message


def _drop_role(server: Server, role: str) -> None:
    with server.connect() as connection:
        names = [row[0] for row in connection.execute("SELECT datname FROM pg_database WHERE datallowconn").fetchall()]
    for name in names:
        with server.connect(name) as connection:
            connection.execute(f"REASSIGN OWNED BY {role} TO postgres".encode())
            connection.execute(f"DROP OWNED BY {role}".encode())
    with server.connect() as connection:
        connection.execute(f"DROP ROLE {role}".encode())
