"""A worker that is killed is gone on with, what failed is taken back, and memory does not grow with the input."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.local.cdsw.conftest import Cdsw
from tests.local.cdsw.running import Case, pack
from tests.local.cdsw.test_whole_way import check_end_state

#: Bytes of memory that a worker may have at once. Python and the drivers alone take half of it.
MOST_MEMORY = 160 << 20


def kill_when(case: Case, worker: str, reached: object, **params: object) -> None:
    """``kill -9`` as soon as a worker is in the middle of its work."""
    with case.start(worker, **params) as process:
        deadline = time.monotonic() + 60
        while not reached() and process.poll() is None:  # type: ignore[operator]
            assert time.monotonic() < deadline
            time.sleep(0.002)
        assert process.poll() is None, "it was over too soon to be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        assert process.stderr is not None


@pytest.fixture
def slow(case: Case, cdsw: Cdsw) -> Case:
    """A migration whose load and files take long enough to be killed in the middle."""
    tree = case.directory / "large"
    project = tree / "projects/projects/0/10"
    project.mkdir(parents=True)
    for number in range(300):
        (project / f"file{number:03}").write_bytes(os.urandom(20_000))
    wait = b"SELECT pg_catalog.pg_sleep(2);\n\n--\n-- PostgreSQL database dump complete"
    (tree / "db.sql").write_bytes(cdsw.dump.replace(b"--\n-- PostgreSQL database dump complete", wait))
    case.archive = pack(tree, case.directory / "large.tar.gz")
    return case


def sleeping(case: Case) -> bool:
    return bool(
        case.value(
            f"SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = '{case.database}'"
        )
    )


def test_files_are_gone_on_with_and_every_one_of_them_is_whole(slow: Case) -> None:
    project = slow.projects / "projects/0/10"
    bandwidth = 1_000_000
    kill_when(slow, "files", (project / "file050").exists, bandwidth=bandwidth)
    assert not (project / "file299").exists()
    record = slow.good("files")
    assert record.counts["alreadyThere"] >= 50
    assert record.counts["files"] == 300


def test_a_load_that_is_killed_leaves_the_target_as_it_was_and_is_done_again(slow: Case) -> None:
    slow.good("files")
    slow.good("save")
    before = slow.state()
    kill_when(slow, "load", lambda: sleeping(slow))
    assert slow.state() == before
    loaded = slow.good("load")
    assert slow.good("load").message == "it was loaded before"
    assert slow.good("load").counts == loaded.counts
    slow.schema_job()
    blocker = slow.server.connect(slow.database, autocommit=False)
    blocker.execute("SELECT * FROM public.waiting")
    state = slow.state()
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    kill_when(slow, "adapt", lambda: slow.value(waits))
    blocker.close()
    assert slow.state() == state
    adapted = slow.good("adapt")
    users = slow.rows("SELECT * FROM users")
    assert slow.good("adapt").counts == adapted.counts
    assert slow.rows("SELECT * FROM users") == users
    check_end_state(slow)
    assert slow.good("verify").counts["failedChecks"] == 0


def test_what_was_saved_is_never_saved_again_over_what_was_loaded(case: Case) -> None:
    case.good("save")
    case.good("save")  # nothing was loaded yet: what is there now counts
    case.good("load")
    assert case.good("save").message == "it was saved before the load"
    case.schema_job()
    case.good("adapt")
    case.good("save")
    assert case.good("verify", parts=["database"]).counts["failedChecks"] == 0


def test_a_way_back_takes_away_what_came_and_nothing_else(slow: Case) -> None:
    for name in ("projects", "scratch/x", "addons/y"):
        (slow.projects / name).mkdir(parents=True)
    os.utime(slow.projects / "projects", (1000, 1000))
    before = sorted(slow.projects.rglob("*"))
    database = slow.state()
    kill_when(slow, "files", (slow.projects / "projects/0/10/file050").exists, bandwidth=1_000_000)
    slow.good("save")
    (slow.projects / "projects/0/10/somebody's").write_text("own")
    record = slow.good("clear", what="Everything")
    assert record.names["kept"] == ("projects/0/10", "projects/0")
    (slow.projects / "projects/0/10/somebody's").unlink()
    slow.good("clear", what="Everything", round=2)
    assert sorted(slow.projects.rglob("*")) == before
    assert (slow.projects / "projects").stat().st_mtime == 1000
    assert slow.state() == database
    assert slow.value("SELECT to_regnamespace('_project_migration')") is None


def test_what_was_saved_stays_while_the_loaded_database_is_in_its_place(case: Case) -> None:
    case.good("save")
    case.good("load")
    assert case.good("clear", what="Everything").counts["noteKept"] == 1
    assert case.value("SELECT count(*) FROM _project_migration.cdsw_kept WHERE kind = 'administrator'") == 1


def test_a_proof_finds_what_is_not_as_it_has_to_be(case: Case) -> None:
    case.migrate()
    project = case.projects / "projects/0/10"
    (project / "a.py").write_text("print('b')\n")
    (project / "link").unlink()
    (project / "more").write_text("x")
    case.execute(
        "UPDATE users SET bio = 'another'",
        "DELETE FROM audit_lines WHERE said = 'one'",
        "UPDATE jobs SET paused = false WHERE id = 21",
        "UPDATE site_config SET ldap_url = 'ldap://old'",
        "INSERT INTO stars VALUES ((SELECT id FROM users), 10)",
        "DELETE FROM models",
        "ALTER SEQUENCE jobs_id_seq RESTART WITH 3",
        "REVOKE USAGE ON SCHEMA public FROM pg_monitor",
    )
    record = case.run("verify")
    assert record.reason == "VerifyFailed"
    wrong = {title for title, detail in record.facts["checks"].items() if detail}
    assert len(wrong) == record.counts["failedChecks"] == 9
    assert (record.counts["different"], record.counts["missing"], record.counts["extra"]) == (3, 1, 1)
    assert "ldap" not in " ".join(record.facts["checks"].values()).replace("ldap_url", "")


def test_a_proof_whose_listing_is_lost_reads_the_archive_again(case: Case) -> None:
    case.good("files")
    (case.directory / "workspace/cdsw/files.sqlite").unlink()
    case.good("save")
    case.good("load")
    case.schema_job()
    case.good("adapt")
    assert case.good("verify").counts["verified"] == 14


def test_memory_does_not_grow_with_a_large_file_or_a_large_row(case: Case, cdsw: Cdsw, tmp_path: Path) -> None:
    size = 200 << 20
    tree = tmp_path / "large"
    (tree / "projects/projects/0/10").mkdir(parents=True)
    with (tree / "projects/projects/0/10/zeros").open("wb") as stream:
        stream.truncate(size)
    rows = b"".join(b"%d line\n" % number for number in range(100_000)) + b"y" * (24 << 20) + b"\n"
    (tree / "db.sql").write_bytes(
        cdsw.dump.replace(
            b"COPY public.audit_lines (said) FROM stdin;\n", b"COPY public.audit_lines (said) FROM stdin;\n" + rows
        )
    )
    case.archive = pack(tree, tmp_path / "large.tar.gz")
    for worker in ("survey", "files", "save", "load"):
        with case.start(worker) as process:
            deadline, most = time.monotonic() + 120, 0
            while process.poll() is None:
                assert time.monotonic() < deadline
                most = max(most, _resident(process.pid))
                time.sleep(0.02)
            assert process.returncode == 0, process.stderr.read()[-2000:] if process.stderr else ""
        assert most < MOST_MEMORY, (worker, most >> 20)
    assert (case.projects / "projects/0/10/zeros").stat().st_size == size
    assert case.value("SELECT count(*) FROM audit_lines") == 100_004


def _resident(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(line.split()[1]) << 10


def test_a_request_that_was_carried_out_gives_its_record_again_as_a_program(case: Case) -> None:
    record = case.in_process("save")
    assert record.succeeded
    assert case.in_process("save").counts == record.counts
    assert "done already" in case.said


def test_a_survey_leaves_no_database_behind_and_removes_what_a_killed_one_left(case: Case) -> None:
    trial = f"project_migration_trial_{case.uid}"
    before = case.state()
    with case.server.connect() as connection:
        connection.execute(f'CREATE DATABASE "{trial}"'.encode())
    blocker = case.server.connect(trial)
    survey = case.good("survey")
    blocker.close()
    assert survey.facts["target"]["tried"] is True
    assert survey.counts["problems"] == 0
    assert case.rows(f"SELECT 1 FROM pg_database WHERE datname = '{trial}'") == []
    assert case.state() == before
    assert case.value("SELECT to_regnamespace('_project_migration')") is None


def test_a_way_back_gives_the_claims_root_its_own_mode_and_owner_again(case: Case, cdsw: Cdsw) -> None:
    """A copy of a live CDSW dresses it as that one's."""
    case.archive, case.live = None, (cdsw.server, cdsw.database, cdsw.directory / "projects")
    case.projects.chmod(0o777)
    (case.projects / "addons").mkdir()
    before = case.projects.stat()
    case.good("files")
    case.good("clear", what="Everything")
    after = case.projects.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert [path.name for path in case.projects.iterdir()] == ["addons"]
