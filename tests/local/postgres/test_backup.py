"""A backup is read back before it counts, and what comes out of it is what went in."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.postgres import fingerprint
from tests.local.postgres.running import Case
from tools.postgres_servers import PASSWORD, Server, programs


@pytest.fixture
def case(tmp_path: Path, server_15: Server, hard_15: str, server_18: Server, hard_18: str) -> Iterator[Case]:
    """The target holds the hard database already, as after a copy with ``replace`` is asked for."""
    with server_18.database("backed_up", template=hard_18) as name:
        yield Case(tmp_path, (server_15, hard_15), (server_18, name))


def test_a_backup_brings_back_what_was_there(case: Case) -> None:
    before = fingerprint.of_database(*case.target)
    backup = case.good("dump", "back_up", backup="backup")
    assert backup.counts["tables"] > 20
    assert backup.counts["largeObjects"] == 3
    case.good("copy", replace=True)
    assert fingerprint.of_database(*case.target) != before
    restored = case.good("restore", "restore", backup="backup", replace=True)
    assert restored.digest == backup.digest
    case.good("clear", what="Note")
    assert fingerprint.of_database(*case.target) == before


def test_a_database_whose_schema_public_was_made_anew_is_brought_back_too(case: Case, server_18: Server) -> None:
    """A dump takes that schema for granted, whoever made it."""
    before = fingerprint.of_database(*case.target)
    case.good("dump", "back_up", backup="backup")
    _, name = case.target
    with server_18.connect(name) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public AUTHORIZATION pg_database_owner")
        connection.execute("GRANT USAGE ON SCHEMA public TO public")
        connection.execute("COMMENT ON SCHEMA public IS 'standard public schema'")
    case.good("restore", "restore", backup="backup", replace=True)
    case.good("clear", what="Note")
    assert fingerprint.of_database(*case.target) == before


def test_a_backup_is_read_by_the_servers_own_tool(case: Case, server_18: Server) -> None:
    import os
    import subprocess

    case.good("dump", backup="backup")
    with server_18.database("by_hand") as name:
        argv = (str(programs(18) / "pg_restore"), "-d", name, "--exit-on-error", "backup/postgres/dump")
        environment = {**os.environ, "PGHOST": server_18.host, "PGPORT": str(server_18.port), "PGUSER": "postgres"}
        environment["PGPASSWORD"] = PASSWORD
        subprocess.run(argv, env=environment, check=True, cwd=case.directory, timeout=60)


def test_a_damaged_backup_is_refused_before_the_target_is_touched(case: Case) -> None:
    case.good("dump", backup="backup")
    before = fingerprint.of_database(*case.target)
    largest = max((case.directory / "backup/postgres/dump").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    record = case.run("restore", backup="backup", replace=True)
    assert record.reason == "BackupUnreadable"
    assert largest.name in record.message
    assert fingerprint.of_database(*case.target) == before
    (case.directory / "backup/postgres/manifest.json").write_text("{")
    assert case.run("restore", backup="backup", replace=True).reason == "BackupUnreadable"


def test_a_restore_that_fails_leaves_nothing_half(case: Case) -> None:
    case.good("dump", backup="backup")
    manifest = case.directory / "backup/postgres/manifest.json"
    told = json.loads(manifest.read_text())
    told["contents"]["rows public.tree"] = "99 rows, digest 1"
    manifest.write_text(json.dumps(told))
    with case.target[0].database("empty_one") as name:
        other = Case(case.directory, case.source, (case.target[0], name))
        before = fingerprint.of_database(*other.target)
        record = other.run("restore", backup="backup")
        assert record.reason == "VerifyFailed"
        assert "rows public.tree" in record.message
        assert fingerprint.of_database(*other.target) == before


def test_a_killed_restore_is_resumed_to_the_same_end(case: Case) -> None:
    before = fingerprint.of_database(*case.target)
    case.good("dump", backup="backup")
    for pause in (0.4, 0.9):
        worker = case.start("restore", backup="backup", replace=True)
        time.sleep(pause)
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
    case.good("restore", backup="backup", replace=True)
    case.good("clear", what="Note")
    assert fingerprint.of_database(*case.target) == before


def test_a_dump_that_was_killed_is_no_backup(case: Case) -> None:
    worker = case.start("dump", backup="backup")
    time.sleep(0.5)
    worker.send_signal(signal.SIGKILL)
    worker.communicate()
    assert case.run("restore", backup="backup", replace=True).reason == "BackupUnreadable"
    case.good("dump", backup="backup")
    assert sorted(path.name for path in (case.directory / "backup").iterdir()) == ["postgres"]
    shutil.rmtree(case.directory / "backup")


def test_a_dump_travels_where_the_servers_cannot(case: Case, server_18: Server) -> None:
    """15 is dumped with the tools of 18, the target's version, and restored there."""
    with server_18.database("far") as name:
        far = Case(case.directory / "far", case.source, (server_18, name))
        far.good("dump", backup="backup", side="source", major=18)
        far.good("restore", backup="backup")
        far.good("verify")
