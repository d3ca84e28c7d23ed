"""A database whose server no helper reaches: its dump, made elsewhere by pg_dump, is the source."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.postgres import fingerprint
from tests.local.postgres.running import Case
from tests.local.postgres.test_documents import Site, site  # noqa: F401 - a fixture
from tools.postgres_servers import PASSWORD, Server, programs


def dump(server: Server, database: str, place: Path, *options: str, major: int = 15) -> Path:
    argv = (str(programs(major) / "pg_dump"), "--format=directory", f"--file={place}", *options, database)
    environment = {**os.environ, "PGHOST": server.host, "PGPORT": str(server.port), "PGUSER": "postgres"}
    # a zone of its own: text of moments is then another on the two sides
    environment |= {"PGPASSWORD": PASSWORD, "PGTZ": "Asia/Kolkata"}
    subprocess.run(argv, env=environment, check=True, timeout=60)
    return place


@pytest.fixture
def case(tmp_path: Path, server_15: Server, hard_15: str, server_18: Server) -> Iterator[Case]:
    """The hard database in a dump of its own server's pg_dump, and an empty one on a newer server."""
    place = dump(server_15, hard_15, tmp_path / "dump")
    with server_18.database("from_a_dump") as name:
        yield Case(tmp_path, (server_15, hard_15), (server_18, name), roots={"source": str(place)})


def test_what_is_hard_to_move_arrives_out_of_a_dump(case: Case) -> None:
    found = case.good("dumped.survey")
    assert (found.facts["problems"], found.counts["targetMajor"]) == ({"found": [], "count": 0}, 18)
    assert {"hstore", "citext"} <= set(found.facts["source"]["extensions"])
    case.good("dumped.copy")
    proof = case.good("dumped.verify")
    assert (proof.counts["different"], proof.counts["largeObjects"]) == (0, 3)
    # the same as what a copy from server to server brings, by the proof that needs both
    case.good("verify", "both")
    case.good("clear", what="Note")


def test_what_differs_from_the_dump_is_named(case: Case) -> None:
    case.good("dumped.copy")
    server, database = case.target
    with server.connect(database) as connection:
        connection.execute("UPDATE pg_largeobject SET data = 'another' WHERE pageno = 0")
        connection.execute("SELECT setval('free_running', 900)")
        [table] = connection.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            " AND reltuples > 0 AND relhastriggers = false AND NOT relispartition ORDER BY 1 LIMIT 1"
        ).fetchone() or ("",)
        connection.execute(f"DELETE FROM {table} WHERE ctid = (SELECT min(ctid) FROM {table})".encode())
        connection.execute("DROP SEQUENCE never_called")
    record = case.run("dumped.verify")
    assert record.reason == "VerifyFailed"
    named = " ".join(record.names["different"])
    for name in ("large object", "position of public.free_running", f"rows public.{table}", "never_called"):
        assert name in named, named


def test_a_dump_that_breaks_leaves_the_target_as_it_was(case: Case) -> None:
    before = fingerprint.of_database(*case.target)
    data = max((case.directory / "dump").glob("*.dat*"), key=lambda path: path.stat().st_size)
    data.write_bytes(data.read_bytes()[:-30])
    record = case.run("dumped.copy")
    assert not record.succeeded
    assert fingerprint.of_database(*case.target) == before


@pytest.mark.parametrize("what", ["nothing", "no dump", "cut"])
def test_what_is_no_whole_dump_is_refused_before_anything_is_written(case: Case, what: str) -> None:
    place = case.directory / "dump"
    if what == "cut":
        (place / "toc.dat").write_bytes((place / "toc.dat").read_bytes()[:2000])
    else:
        shutil.rmtree(place)
        if what == "no dump":
            place.mkdir()
            (place / "backup.sql").write_text("SELECT 1;\n")
    found = case.good("dumped.survey").facts["problems"]["found"]
    assert [problem["reason"] for problem in found] == ["SourceNotFound" if what == "nothing" else "SourceUnreadable"]


def test_rows_as_statements_are_refused_before_anything_is_written(case: Case) -> None:
    shutil.rmtree(case.directory / "dump")
    dump(*case.source, case.directory / "dump", "--inserts")
    [problem] = case.good("dumped.survey").facts["problems"]["found"]
    assert problem["reason"] == "SourceUnreadable"
    assert "--inserts" in problem["message"]


def test_a_dump_of_a_newer_server_is_refused(
    tmp_path: Path, server_18: Server, hard_18: str, server_15: Server
) -> None:
    place = dump(server_18, hard_18, tmp_path / "dump", major=18)
    with server_15.database("older") as name:
        case = Case(tmp_path, (server_18, hard_18), (server_15, name), roots={"source": str(place)})
        found = case.good("dumped.survey").facts["problems"]["found"]
    assert "TargetOlder" in [problem["reason"] for problem in found]


def test_a_target_that_lacks_a_role_is_told_before_anything_is_written(
    tmp_path: Path, server_15: Server, server_18: Server
) -> None:
    with server_15.database("of_strangers") as old, server_18.database("without_strangers") as new:
        with server_15.connect(old) as connection:
            connection.execute("CREATE ROLE stranger")
            connection.execute("CREATE TABLE strange (a integer)")
            connection.execute("ALTER TABLE strange OWNER TO stranger")
        place = dump(server_15, old, tmp_path / "dump")
        case = Case(tmp_path, (server_15, old), (server_18, new), roots={"source": str(place)})
        found = case.good("dumped.survey").facts["problems"]["found"]
        kept = case.good("dumped.survey", owners="Drop", privileges="Drop").facts["problems"]["found"]
        with server_15.connect(old) as connection:
            connection.execute("DROP TABLE strange")
            connection.execute("DROP ROLE stranger")
    assert [(p["reason"], "stranger" in p["message"]) for p in found] == [("RoleMissing", True)]
    assert kept == []


def test_a_document_with_a_dump_goes_the_whole_way_and_can_be_looked_at_later(site: Site) -> None:  # noqa: F811
    server, database = site.source
    dump(server, database, site.path / "dump")
    site.changes = {"source": {"dump": {"path": str(site.path / "dump")}}}
    binds = site.secret("db-new", username="postgres", password=PASSWORD)
    planned = site.call("plan", *binds)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    done = site.run(*binds)
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.target_holds("SELECT count(*) FROM item") == 2000
    report = site.state / "workspace" / "report.html"
    assert f"dump in {site.path / 'dump'}" in report.read_text()
    looked = site.verb("verify", str(report))
    assert looked.returncode == 0, looked.stdout + looked.stderr
    again = site.run(*binds)
    assert again.returncode == 0


def test_a_document_may_not_choose_from_a_dump(site: Site) -> None:  # noqa: F811
    site.changes = {
        "source": {"dump": {"path": str(site.path / "dump")}, "credentialsRef": {"name": "db-old"}},
        "tables": {"include": ["item"]},
    }
    done = site.run()
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert "spec.volumes.databases[0].tables: a dump moves as it is" in said
    assert "nobody logs in to a dump" in said
