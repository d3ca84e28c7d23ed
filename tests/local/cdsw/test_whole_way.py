"""From an archive of a CDSW to a workspace in which everything is as the guide wants it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.local.cdsw.conftest import Cdsw
from tests.local.cdsw.end_state import check_end_state
from tests.local.cdsw.running import OWNER, Case


@pytest.fixture(params=["case", "case_15"])
def either(request: pytest.FixtureRequest) -> Case:
    found: Case = request.getfixturevalue(request.param)
    return found


def check_files(case: Case, source: Path) -> None:
    project, before = case.projects / "projects/0/10", source / "projects/projects/0/10"
    assert (project / "a.py").read_text() == "print('a')\n"
    assert (project / "a.py").stat().st_ino == (project / "again.py").stat().st_ino
    assert os.readlink(project / "link") == "a.py"
    assert (project / "run.sh").stat().st_mode & 0o777 == 0o755
    for name in ("a.py", ".config/deep", "link"):
        assert int((project / name).lstat().st_mtime) == int((before / name).lstat().st_mtime), name
    assert not (case.projects / "scratch/tmp").exists()
    if os.geteuid() == 0:
        for path in (case.projects / "projects").rglob("*"):
            assert (path.lstat().st_uid, path.lstat().st_gid) == (OWNER, OWNER), path


def test_an_archive_of_the_guide_arrives_on_either_major_version(either: Case, cdsw: Cdsw) -> None:
    (either.projects / "addons").mkdir()
    (either.projects / "addons/tool").write_text("of the workspace")
    (either.projects / "cdn").mkdir()
    acl = either.rows("SELECT nspacl::text FROM pg_namespace WHERE nspname = 'public'")
    proof = either.migrate()
    assert proof.counts["failedChecks"] == 0
    assert proof.counts["checks"] == 18
    assert proof.counts["verified"] == 14
    check_end_state(either)
    check_files(either, cdsw.directory)
    assert (either.projects / "addons/tool").read_text() == "of the workspace"
    assert not list((either.projects / "cdn").iterdir())
    assert either.rows("SELECT nspacl::text FROM pg_namespace WHERE nspname = 'public'") == acl
    assert either.value("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'") == 1
    assert either.value("SELECT nextval('users_id_seq') > max(id) FROM users")


def test_what_was_changed_on_the_way_is_named(case: Case) -> None:
    case.migrate()
    adapted = case.good("adapt")
    assert adapted.names["pausedJobs"] == ("job 20 nightly", "job 21 after")
    assert adapted.names["stoppedApplications"] == ("application 1 app",)
    assert adapted.names["renamed"] == ("project 10", "project 11")
    assert adapted.names["usersLeft"] == ("admin", "ana", "ben", "dsteam")
    assert adapted.facts["adapted"]["emptied"]["projects_users"] == 1
    verified = case.good("verify")
    assert verified.names["projectsWithoutFiles"] == ("project 13",)


def test_the_last_note_gives_way_to_the_word_of_what_was_carried_out(case: Case) -> None:
    case.migrate()
    case.good("clear", what="Note", arrived=["sha256:one"])
    assert case.value("SELECT to_regclass('_project_migration.cdsw')") is None
    assert "sha256:one" in case.value("SELECT obj_description('_project_migration'::regnamespace)")
    assert [path.name for path in (case.projects / ".project-migration").iterdir()] == ["arrived.json"]


def test_a_live_cdsw_arrives_as_its_archive_does(case: Case, cdsw: Cdsw) -> None:
    case.archive, case.live = None, (cdsw.server, cdsw.database, cdsw.directory / "projects")
    proof = case.migrate()
    assert proof.counts["failedChecks"] == 0
    check_end_state(case)
    check_files(case, cdsw.directory)
    with cdsw.server.connect(cdsw.database) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (4,)


def test_the_workspaces_own_feature_flags_stay_where_the_document_says_so(case: Case) -> None:
    case.migrate(featureFlags="Target")
    assert case.rows("SELECT name FROM feature_flags.flags") == [("cml_flag",)]
