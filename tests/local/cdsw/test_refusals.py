"""What cannot be moved is refused with its reason, and nothing is changed."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.local.cdsw.conftest import Cdsw
from tests.local.cdsw.running import Case, pack, repack

END = b"-- PostgreSQL database dump complete"


def entries(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def refused(case: Case, reason: str, said: str) -> None:
    """By the survey, and by each of the writers alone, with nothing changed."""
    problems = case.problems()
    assert reason in problems, problems
    assert said in problems[reason], problems
    assert not (case.projects / "projects").exists()
    assert case.value("SELECT to_regclass('_project_migration.cdsw')") is None


def test_an_archive_that_was_cut_is_refused(case: Case, cdsw: Cdsw, tmp_path: Path) -> None:
    data = cdsw.archive.read_bytes()
    case.archive = tmp_path / "cut.tar.gz"
    for size in (len(data) // 2, len(data) - 4, 10, 0):
        case.archive.write_bytes(data[:size])
        refused(case, "ArchiveUnreadable", "empty" if size == 0 else "ends in the middle")
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 0xFF
    case.archive.write_bytes(damaged)
    assert "ArchiveUnreadable" in case.problems()
    case.archive.write_bytes(b"no gzip at all, but something else" * 100)
    refused(case, "ArchiveUnreadable", "cannot be unpacked")
    case.archive = tmp_path / "nowhere.tar.gz"
    refused(case, "ArchiveUnreadable", "No such file")


def test_an_archive_without_its_two_parts_or_with_others_is_refused(case: Case, cdsw: Cdsw, tmp_path: Path) -> None:
    case.archive = pack(cdsw.directory, tmp_path / "a.tar.gz", "projects")
    refused(case, "ArchiveUnreadable", "no db.sql")
    case.archive = pack(cdsw.directory, tmp_path / "b.tar.gz", "db.sql")
    refused(case, "ArchiveUnreadable", "no projects/")
    (tmp_path / "more").write_text("x")
    case.archive = tmp_path / "c.tar.gz"
    names = ("-C", str(cdsw.directory), "db.sql", "projects", "-C", str(tmp_path), "more")
    subprocess.run(("tar", "-czf", str(case.archive), *names), check=True)
    refused(case, "ArchiveUnreadable", "more beside")


def test_an_archive_is_taken_with_a_point_before_its_names_and_in_any_order(
    case: Case, cdsw: Cdsw, tmp_path: Path
) -> None:
    case.archive = pack(cdsw.directory, tmp_path / "a.tar.gz", "./projects", "./db.sql")
    assert case.migrate().counts["failedChecks"] == 0


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (member("projects/projects/0/10/../../../../evil"), "leads out"),
        (member("/etc/evil"), "absolute"),
        (member("projects/projects/0/10/out", tarfile.SYMTYPE, "../../../../../etc"), "out of the archive"),
        (member("projects/projects/0/10/hard", tarfile.LNKTYPE, "/etc/passwd"), "absolute"),
    ],
    ids=lambda value: value.name.replace("/", "_") if isinstance(value, tarfile.TarInfo) else "",
)
def test_an_archive_that_leads_out_of_its_place_is_refused(
    case: Case, cdsw: Cdsw, tmp_path: Path, extra: tarfile.TarInfo, said: str
) -> None:
    case.archive = repack(cdsw.archive, tmp_path / "a.tar.gz", cdsw.dump, extra)
    refused(case, "ArchiveUnsafe", said)
    outside = entries(tmp_path / "claim")
    record = case.run("files")
    assert record.reason == "ArchiveUnsafe"
    assert not (tmp_path / "evil").exists()
    case.good("clear", what="Everything")
    assert entries(tmp_path / "claim") == outside


@pytest.mark.parametrize(
    ("before", "after", "reason", "said"),
    [
        (END, b"", "DumpUnusable", "it was cut"),
        (b"database version 15", b"database version 99", "TargetOlder", "99"),
        (END, b"\\! touch /tmp/evil\n" + END, "DumpUnusable", "command of psql"),
        (END, b"COMMIT;\n" + END, "DumpUnusable", "ends transactions"),
        (END, b"DROP DATABASE postgres;\n" + END, "DumpUnusable", "changes the server"),
        (END, b"CREATE SCHEMA _project_migration;\n" + END, "DumpUnusable", "_project_migration"),
        (END, b"SELECT nothing();\n" + END, "LoadFailed", "nothing()"),
    ],
)
def test_a_dump_that_cannot_be_loaded_is_refused(
    case: Case, cdsw: Cdsw, tmp_path: Path, before: bytes, after: bytes, reason: str, said: str
) -> None:
    case.archive = repack(cdsw.archive, tmp_path / "a.tar.gz", cdsw.dump.replace(before, after))
    refused(case, reason, said)
    state = case.state()
    case.good("save")
    if reason != "TargetOlder":
        assert case.run("load").reason == reason
        assert case.state() == state


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"13\t1\t1\tInfra\t", b"13\t1\tno number\tInfra\t"),
        (b"13\t1\t1\tInfra\t", b"13\t99\t1\tInfra\t"),
        (b"13\t1\t1\tInfra\t", b"12\t1\t1\tInfra\t"),
        (b"CREATE TABLE public.jobs", b"CREATE TABLE public.jobs_elsewhere"),
    ],
)
def test_a_dump_that_breaks_half_way_leaves_the_target_as_it_was(
    case: Case, cdsw: Cdsw, tmp_path: Path, before: bytes, after: bytes
) -> None:
    assert before in cdsw.dump
    case.archive = repack(cdsw.archive, tmp_path / "a.tar.gz", cdsw.dump.replace(before, after))
    state = case.state()
    case.good("save")
    record = case.run("load")
    assert record.reason == "LoadFailed"
    assert "Infra" not in record.message
    assert case.state() == state
    case.archive = cdsw.archive
    assert case.good("load").counts["rows"] > 40


def test_a_dump_cut_in_the_middle_of_rows_leaves_the_target_as_it_was(case: Case, cdsw: Cdsw, tmp_path: Path) -> None:
    case.archive = repack(cdsw.archive, tmp_path / "a.tar.gz", cdsw.dump[: cdsw.dump.index(b"13\t1\t1\tInfra")])
    assert "rows of public.projects" in case.problems()["DumpUnusable"]
    state = case.state()
    case.good("save")
    assert case.run("load").reason == "DumpUnusable"
    assert case.state() == state


def test_rows_that_a_trigger_swallows_are_missed(case: Case, cdsw: Cdsw, tmp_path: Path) -> None:
    rule = b"CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';\n"
    rule += b"CREATE TRIGGER no BEFORE INSERT ON public.audit_lines FOR EACH ROW EXECUTE FUNCTION public.no();\n"
    case.archive = repack(
        cdsw.archive,
        tmp_path / "a.tar.gz",
        cdsw.dump.replace(b"COPY public.audit_lines", rule + b"COPY public.audit_lines"),
    )
    case.good("save")
    record = case.run("load")
    assert (record.reason, "audit_lines holds 0 rows" in record.message) == ("LoadFailed", True)


@pytest.mark.parametrize("what", ["projects/0/1/file", "projects/empty/", "projects/link@", "projects@", "other/thing"])
def test_a_claim_that_holds_anything_at_all_is_refused(case: Case, what: str) -> None:
    path = case.projects / what.rstrip("/@")
    path.parent.mkdir(parents=True, exist_ok=True)
    if what.endswith("@"):
        path.symlink_to("/nowhere")
    elif what.endswith("/"):
        path.mkdir()
    else:
        path.write_text("x")
    assert what.split("/", maxsplit=1)[0].rstrip("@") in case.problems()["TargetNotEmpty"]
    before = entries(case.projects)
    assert case.run("files").reason == "TargetNotEmpty"
    assert entries(case.projects) == before


def test_a_claim_with_nothing_but_the_installations_own_directories_is_free(case: Case) -> None:
    for name in ("projects", "scratch/x", "addons/y", "cdn/z", "output/o", "lost+found"):
        (case.projects / name).mkdir(parents=True)
    assert case.problems() == {}


def test_a_database_with_projects_or_with_work_of_another_migration_is_refused(case: Case) -> None:
    case.execute("INSERT INTO projects (user_id, name, slug) VALUES (1, 'x', 'x')")
    survey = case.good("survey")
    assert "1 projects" in survey.facts["problems"]["found"][0]["message"]
    assert survey.counts["targetEmpty"] == 0
    case.execute("DELETE FROM projects")
    case.good("save")
    case.uid = "somebody-else"
    assert "another migration" in case.problems()["TargetNotEmpty"]
    assert case.run("save").reason == "TargetNotEmpty"
    assert case.run("load").reason == "TargetNotEmpty"


def test_no_worker_goes_before_its_turn(case: Case) -> None:
    for worker in ("adapt", "verify"):
        assert case.run(worker).reason == "CopyIncomplete"
    case.good("save")
    assert case.run("adapt").reason == "CopyIncomplete"
    case.good("load")
    assert case.run("verify").reason == "CopyIncomplete"


def test_everything_that_stands_in_the_way_is_told_at_once(case: Case, cdsw: Cdsw, tmp_path: Path) -> None:
    (case.projects / "projects/0").mkdir(parents=True)
    case.execute("INSERT INTO projects (user_id, name, slug) VALUES (1, 'x', 'x')")
    case.archive = repack(cdsw.archive, tmp_path / "a.tar.gz", cdsw.dump.replace(b"version 15", b"version 99"))
    survey = case.good("survey", administrator="nobody")
    found = [problem["reason"] for problem in survey.facts["problems"]["found"]]
    assert sorted(found) == ["AdministratorUnfit", "TargetNotEmpty", "TargetNotEmpty", "TargetOlder"]


def test_a_request_that_cannot_be_is_told_by_its_param(case: Case) -> None:
    for params in (
        {"administrator": ""},
        {"users": "Somehow"},
        {"source": {}},
        {"source": {"archive": {"root": "source-archive", "file": "../x"}}},
        {"source": {"archive": {"root": "nowhere", "file": "x"}}},
        {"unlisted": {"handOver": ["users"]}},
        {"featureFlags": "Both"},
    ):
        worker = "adapt" if "unlisted" in params else "survey"
        record = case.run(worker, **params)
        assert record.reason == "InvalidDocument", params
        assert next(iter(params)) in record.message


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_claim_that_runs_full_is_told_before_and_gone_on_with_after(case: Case, cdsw: Cdsw, tmp_path: Path) -> None:
    tree = tmp_path / "large"
    data = tree / "projects/projects/0/10"
    data.mkdir(parents=True)
    (tree / "db.sql").write_bytes(cdsw.dump)
    for number in range(3):
        (data / f"file{number}").write_bytes(os.urandom(1 << 20))
    case.archive = pack(tree, tmp_path / "a.tar.gz")
    mounted = subprocess.run(("mount", "-t", "tmpfs", "-o", "size=2m", "none", str(case.projects)), check=False)
    if mounted.returncode:
        pytest.fail("a tmpfs cannot be mounted here")
    try:
        assert "bytes free" in case.problems()["NotEnoughSpace"]
        record = case.run("files")
        assert (record.reason, "file" in record.message) == ("NoSpaceLeft", True)
        subprocess.run(("mount", "-o", "remount,size=8m", str(case.projects)), check=True)
        assert case.good("files").counts["alreadyThere"] > 1
        case.good("clear", what="Everything")
        assert entries(case.projects) == []
    finally:
        subprocess.run(("umount", "-l", str(case.projects)), check=True)


def test_two_archives_in_one_file_and_data_behind_the_end_are_no_archive(
    case: Case, cdsw: Cdsw, tmp_path: Path
) -> None:
    data = cdsw.archive.read_bytes()
    case.archive = tmp_path / "a.tar.gz"
    case.archive.write_bytes(data + data)
    refused(case, "ArchiveUnreadable", "goes on behind its end")
    case.archive.write_bytes(data + bytes(1000))
    assert case.problems() == {}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as out:
        out.addfile(member("db.sql"))
        out.addfile(member("db.sql"))
    case.archive.write_bytes(stream.getvalue())
    assert "twice" in case.problems()["ArchiveUnreadable"]
