"""What stands in the way is told before anything is written, and nothing is ever half there."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.local.mlflow.conftest import Populated
from tests.local.mlflow.running import Base, Case, copied, sqlite_base
from tools import mlflow_servers
from tools.postgres_servers import Server

ALL = {"select": {"experiments": {"include": ["*"], "lifecycle": "All"}}}


def many_metrics(base: Base, runs: int, each: int) -> None:
    """Enough rows that a copy takes a while."""
    base.run(
        "INSERT INTO runs (run_uuid, status, lifecycle_stage, artifact_uri, experiment_id)"
        f" WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {runs})"
        " SELECT printf('%032x', i), 'FINISHED', 'active', 'mlflow-artifacts:/0/' || i || '/artifacts', 0 FROM n",
        "INSERT INTO metrics (`key`, value, timestamp, step, is_nan, run_uuid)"
        f" WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {runs * each})"
        f" SELECT 'loss', i * 0.5, 1000 + i, i, 0, printf('%032x', 1 + i % {runs}) FROM n",
    )


def test_a_file_that_is_no_database_of_mlflow_is_told_apart(case: Case, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with sqlite3.connect(other / "app.db") as connection:
        connection.execute("CREATE TABLE things (a)")
    text = other / "text.db"
    text.write_text("not a database at all, but long enough to be looked at")
    for name in ("app.db", "text.db"):
        found = Case(tmp_path / name, sqlite_base(other / name), case.target).problems()
        assert list(found) == ["NotMlflow"], found
    missing = Case(tmp_path / "m", sqlite_base(other / "missing.db"), case.target).problems()
    assert list(missing) == ["SourceNotFound"]
    unmade = Case(tmp_path / "u", case.source, sqlite_base(other / "app.db"))
    with sqlite3.connect(other / "app.db") as connection:
        connection.execute("DROP TABLE things")
    assert list(unmade.problems()) == ["TargetNotInitialised"]


def test_schemas_of_two_releases_are_both_named(case: Case) -> None:
    case.target.run("UPDATE alembic_version SET version_num = 'bf29a5ff90ea'")
    message = case.problems()["SchemaMismatch"]
    assert "3.17" in message
    assert "3.5 to 3.7" in message
    assert case.run("arrange").reason == "SchemaMismatch"


def test_an_older_source_is_refused_with_the_command_that_helps_and_its_upgraded_copy_moves(
    tmp_path: Path, case: Case
) -> None:
    old = sqlite_base(tmp_path / "old" / "mlflow.db")
    (tmp_path / "old").mkdir()
    mlflow_servers.initialise_at(old.uri, "0584bdc529eb")
    old.run("INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'from before', 'active')")
    before = (tmp_path / "old" / "mlflow.db").read_bytes()
    message = Case(tmp_path / "refused", old, case.target).problems()["SchemaMismatch"]
    assert "0584bdc529eb (2.18 to 2.22)" in message
    assert "dc11669786a5 (3.17)" in message
    assert "`mlflow db upgrade DATABASE_URI` of MLflow 3.17" in message
    assert (tmp_path / "old" / "mlflow.db").read_bytes() == before, "looking upgrades nothing"
    copy = copied(old, tmp_path / "copy" / "mlflow.db")
    mlflow_servers.upgrade(copy.uri)
    Case(tmp_path / "moved", copy, case.target).migrate()
    assert case.target.value("SELECT name FROM experiments WHERE experiment_id = 7") == "from before"


def test_a_source_with_an_unknown_newer_schema_is_refused(tmp_path: Path, populated: Populated, case: Case) -> None:
    source = copied(populated.base, tmp_path / "newer" / "mlflow.db")
    source.run("UPDATE alembic_version SET version_num = 'feedfacecafe'")
    assert "newer" in Case(tmp_path / "c", source, case.target).problems()["SchemaMismatch"]


def test_an_unreachable_server_and_a_wrong_password_are_told_at_once(tmp_path: Path, postgres_target: Base) -> None:
    wrong = Base(postgres_target.backend, "", postgres_target.connect, "postgres", "not the password")
    nobody = Base({**postgres_target.backend, "port": 1}, "", postgres_target.connect, "postgres", "x")
    found = Case(tmp_path, wrong, nobody).problems()
    assert set(found) == {"AuthenticationFailed", "DatabaseUnreachable"}
    assert "not the password" not in str(found)


def test_a_mysql_server_without_tls_is_refused_where_tls_is_asked_for(case: Case, mariadb_target: Base) -> None:
    backend = {**mariadb_target.backend, "sslmode": "require"}
    asked = Base(backend, "", mariadb_target.connect, mariadb_target.user, mariadb_target.password)
    assert list(Case(case.directory / "tls", case.source, asked).problems()) == ["TLSFailed"]


def test_users_on_one_side_only_are_a_wrong_request(case: Case) -> None:
    case.auth = (case.source, None)
    assert case.run("survey").reason == "InvalidDocument"


def test_a_new_round_loads_anew_what_the_proof_found_wrong(case: Case) -> None:
    for worker in ("arrange", "copy"):
        case.good(worker, **ALL)
    case.target.run("DELETE FROM params")
    assert case.run("verify", **ALL).reason == "VerifyFailed"
    for worker in ("arrange", "copy", "verify"):
        case.good(worker, round=2, **ALL)


def test_a_selection_that_matches_nothing_is_refused(case: Case) -> None:
    select = {"experiments": {"include": ["no such"]}, "models": {"include": []}}
    assert list(case.problems(select=select)) == ["NothingSelected"]


def test_values_that_postgresql_cannot_hold_are_counted_by_column(
    tmp_path: Path, populated: Populated, postgres_target: Base
) -> None:
    source = copied(populated.base, tmp_path / "odd" / "mlflow.db")
    child = populated.made["child"]
    source.run(
        f"INSERT INTO tags (`key`, value, run_uuid) VALUES ('nul', 'a' || char(0) || 'b', '{child}')",
        f"UPDATE runs SET name = printf('%300s', 'x') WHERE run_uuid = '{child}'",
    )
    case = Case(tmp_path / "case", source, postgres_target)
    found = case.good("survey").facts["problems"]["found"]
    told = sorted(problem["message"] for problem in found)
    assert ["runs.name: 1 value(s)" in told[0], "tags.value: 1 value(s)" in told[1]] == [True, True], told
    case.good("arrange")
    assert case.run("copy").reason == "ValueDoesNotFit"
    assert postgres_target.value("SELECT count(*) FROM runs") == 0


def test_names_that_mysql_does_not_tell_apart_are_told(
    tmp_path: Path, populated: Populated, mariadb_target: Base
) -> None:
    source = copied(populated.base, tmp_path / "odd" / "mlflow.db")
    child = populated.made["child"]
    source.run(
        "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (70, 'NLP', 'active')",
        f"INSERT INTO params (`key`, value, run_uuid) VALUES ('LR', '1', '{child}')",
    )
    found = Case(tmp_path / "case", source, mariadb_target).good("survey").facts["problems"]["found"]
    told = " ".join(problem["message"] for problem in found)
    assert "'NLP' and 'nlp'" in told or "would both be called" in told
    assert "params.key" in told


def test_an_artifact_location_of_an_unknown_scheme_is_refused(tmp_path: Path, populated: Populated, case: Case) -> None:
    source = copied(populated.base, tmp_path / "odd" / "mlflow.db")
    source.run("UPDATE experiments SET artifact_location = 'tape://7/shelf' WHERE name = 'nlp'")
    found = Case(tmp_path / "case", source, case.target).problems()
    assert "tape://7/shelf" in found["ArtifactsUnsupported"]


def test_orphans_stay_behind_and_are_named(tmp_path: Path, populated: Populated, case: Case) -> None:
    source = copied(populated.base, tmp_path / "odd" / "mlflow.db")
    source.run(f"INSERT INTO tags (`key`, value, run_uuid) VALUES ('a', 'b', '{'d' * 32}')")
    found = Case(tmp_path / "case", source, case.target)
    found.migrate(**ALL)
    assert found.target.value("SELECT count(*) FROM tags WHERE `key` = 'a'") == 0
    assert any("tags: 1 row(s)" in name for name in found.good("survey", **ALL).names["skipped"])


def test_the_log_of_a_server_that_did_not_end_well_is_read_too(
    tmp_path: Path, populated: Populated, case: Case
) -> None:
    source = copied(populated.base, tmp_path / "wal" / "mlflow.db")
    assert source.root is not None
    kept = sqlite3.connect(source.root / "mlflow.db")
    kept.execute("PRAGMA journal_mode = WAL")
    kept.execute("PRAGMA wal_autocheckpoint = 0")
    kept.execute("UPDATE runs SET name = 'only in the log' WHERE run_uuid = ?", (populated.made["child"],))
    kept.commit()
    other = tmp_path / "killed"
    shutil.copytree(source.root, other)  # as a kill leaves it
    kept.close()
    (other / "mlflow.db-shm").unlink(missing_ok=True)
    before = {path.name: path.read_bytes() for path in other.iterdir()}
    found = Case(tmp_path / "case", sqlite_base(other / "mlflow.db"), case.target)
    found.migrate(**ALL)
    assert found.target.value("SELECT count(*) FROM runs WHERE name = 'only in the log'") == 1
    assert {path.name: path.read_bytes() for path in other.iterdir()} == before
    assert list((tmp_path / "case" / "workspace" / "mlflow").glob("source-*")) == []


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_copy_that_is_killed_leaves_nothing_half(
    tmp_path: Path, populated: Populated, new_sqlite: Base, postgres_target: Base, kind: str
) -> None:
    source = copied(populated.base, tmp_path / "many" / "mlflow.db")
    many_metrics(source, 50, 4000)
    new = copied(new_sqlite, tmp_path / "target" / "mlflow.db")
    case = Case(tmp_path / "case", source, new if kind == "sqlite" else postgres_target)
    case.good("arrange", **ALL)
    made = _definitions(case.target)
    seen = set()
    for moment in (0.6, 0.9):
        worker = case.start("copy", **ALL)
        time.sleep(moment)
        worker.send_signal(signal.SIGKILL)
        worker.communicate(timeout=30)
        if worker.returncode != -signal.SIGKILL:
            break  # it was faster
        seen.add(_when_free(case.target))
    case.good("copy", **ALL)
    assert seen <= {0, _when_free(case.target)}, "all of it, where the kill came after its one transaction"
    case.good("verify", **ALL)
    assert case.target.value("SELECT count(*) FROM metrics") > 200_000
    # indexes and keys that were set aside for the many rows are as they were
    assert _definitions(case.target) == made


def _definitions(base: Base) -> set[object]:
    if base.backend["kind"] == "sqlite":
        found = base.rows("SELECT type, name, tbl_name, sql FROM sqlite_master")
        return {row for row in found if "project_migration" not in str(row[1])}
    indexes = base.rows("SELECT schemaname, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'")
    keys = base.rows(
        "SELECT conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace"
    )
    return {*indexes, *keys}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_memory_does_not_grow_with_the_number_of_metrics(
    tmp_path: Path, populated: Populated, new_sqlite: Base, postgres_target: Base, kind: str
) -> None:
    source = copied(populated.base, tmp_path / "many" / "mlflow.db")
    many_metrics(source, 50, 5000)
    new = copied(new_sqlite, tmp_path / "target" / "mlflow.db")
    case = Case(tmp_path / "case", source, new if kind == "sqlite" else postgres_target)
    for name in ("arrange", "copy", "verify"):
        largest = _largest(case.start(name, **ALL))
        # the program alone is half of it; so many rows would be 200 MB
        assert largest < 160, name


def _largest(worker: subprocess.Popen[str]) -> float:
    """MB at its peak, as the kernel has it of the program itself: what is told of a process that has ended counts the
    one that it was forked from, too."""
    largest = 0
    with worker:
        while worker.poll() is None:
            with suppress(OSError, StopIteration):
                lines = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
                largest = int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
            time.sleep(0.01)
        assert worker.returncode == 0
    return largest / 1024


def _when_free(base: Base) -> int:
    """The number of runs, as soon as the server has noticed that its client is gone."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return int(base.value("SELECT count(*) FROM runs"))
        except sqlite3.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_two_copies_do_not_write_at_once(tmp_path: Path, case: Case, postgres: Server, postgres_target: Base) -> None:
    case.good("arrange")
    assert case.target.root is not None
    holder = sqlite3.connect(case.target.root / "mlflow.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    record = case.run("copy")
    assert (record.reason, record.passing) == ("TargetBusy", True)
    holder.close()
    other = Case(tmp_path / "pg", case.source, postgres_target)
    other.good("arrange")
    with postgres.connect(postgres_target.backend["database"]) as session:
        session.execute(f"SELECT pg_advisory_lock({0x504D6967}, 1)")
        record = other.run("copy")
    assert (record.reason, record.passing) == ("TargetBusy", True)


def test_a_target_that_changed_since_is_not_written_to(case: Case) -> None:
    case.good("arrange")
    case.target.run("INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (9, 'meanwhile', 'active')")
    record = case.run("copy")
    assert (record.reason, record.passing) == ("TargetBusy", True)


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "mysql"])
def test_what_was_brought_can_be_taken_back(
    request: pytest.FixtureRequest, tmp_path: Path, populated: Populated, new_sqlite: Base, kind: str
) -> None:
    if kind == "sqlite":
        target = copied(new_sqlite, tmp_path / "target" / "mlflow.db")
    else:
        target = request.getfixturevalue("postgres_target" if kind == "postgres" else "mariadb_target")
    before = target.rows("SELECT * FROM experiments"), target.rows("SELECT * FROM workspaces")
    case = Case(tmp_path / "case", populated.base, target)
    for worker in ("arrange", "copy"):
        case.good(worker, **ALL)
    assert case.good("clear", what="Everything").counts["takenBack"] == 1
    assert (target.rows("SELECT * FROM experiments"), target.rows("SELECT * FROM workspaces")) == before
    assert target.value("SELECT count(*) FROM runs") == 0
    survey = case.good("survey", **ALL)
    assert survey.counts["targetEmpty"] == 1
    assert survey.facts["target"]["mark"] == {}


def test_a_target_in_use_is_not_cleared(case: Case, populated: Populated) -> None:
    case.target.run("INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (9, 'own', 'active')")
    for worker in ("arrange", "copy"):
        case.good(worker)
    before = case.target.value("SELECT count(*) FROM metrics")
    assert case.run("clear", what="Everything").reason == "TargetNotEmpty"
    assert case.target.value("SELECT count(*) FROM metrics") == before
    assert case.good("clear", what="Note").counts["takenBack"] == 0
    assert case.target.rows("SELECT name FROM sqlite_master WHERE name LIKE 'project_migration%'") == []


def test_a_row_that_is_lost_or_altered_is_named_by_the_proof(case: Case, populated: Populated) -> None:
    for worker in ("arrange", "copy"):
        case.good(worker, **ALL)
    child = populated.made["child"]
    case.target.run(
        f"DELETE FROM metrics WHERE run_uuid = '{child}' AND `key` = 'loss' AND step = 7",
        f"UPDATE params SET value = '0.002' WHERE run_uuid = '{child}' AND `key` = 'lr'",
        f"INSERT INTO tags (`key`, value, run_uuid) VALUES ('new', '', '{child}')",
    )
    record = case.run("verify", **ALL)
    assert record.reason == "VerifyFailed"
    assert [record.counts[name] for name in ("missing", "different", "extra")] == [1, 1, 1]
    assert "loss" in record.names["missing"][0]
    assert child in record.names["different"][0]


def test_no_secret_is_left_anywhere(tmp_path: Path, populated: Populated, postgres_target: Base) -> None:
    case = Case(tmp_path, populated.base, postgres_target)
    case.good("arrange")
    with case.start("copy") as worker:
        argv = Path(f"/proc/{worker.pid}/cmdline").read_bytes() + Path(f"/proc/{worker.pid}/environ").read_bytes()
        out, err = worker.communicate(timeout=60)
    secret = postgres_target.password
    assert secret.encode() not in argv
    assert secret not in out + err
    for path in (tmp_path / "workspace").rglob("*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes(), path
    assert os.path.exists(tmp_path / "target-credentials" / "password")
