"""Whatever an archive holds, nothing is made outside its place; and what is told apart is told apart in any pieces."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from project_migration.model.records import Record, Request
from project_migration.workers import harness
from project_migration.workers.cdsw import files
from project_migration.workers.cdsw.archive import go_through
from project_migration.workers.cdsw.failures import Refused
from project_migration.workers.cdsw.listing import Listing
from project_migration.workers.cdsw.safety import leads_out
from project_migration.workers.postgres.program import answering

DUMP = b"-- PostgreSQL database dump complete\n"


def member(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", content: bytes = b""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mtime = kind, link, len(content), 1_500_000_000
    return info, content


def unpack(directory: Path, *members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> Record:
    """By the worker, into ``claim``; ``outside`` lies beside it and must stay as it is."""
    for name in ("claim", "outside", "archive"):
        (directory / name).mkdir(exist_ok=True)
    with tarfile.open(directory / "archive/a.tar.gz", "w:gz", format=form, compresslevel=1) as out:
        for info, content in (member("db.sql", content=DUMP), member("projects", tarfile.DIRTYPE), *members):
            out.addfile(info, io.BytesIO(content))
    params = {
        "source": {"archive": {"root": "source-archive", "file": "a.tar.gz"}},
        "target": {"projects": {"root": "claim"}},
        "ownership": {"mode": "Helper"},
    }
    roots = {
        "source-archive": str(directory / "archive"),
        "claim": str(directory / "claim"),
        "workspace": str(directory / "workspace"),
    }
    request = Request("cdsw.files", "uid", "m", "ns", "files", "all", 1, roots, params)
    mask = os.umask(0o022)
    try:
        return harness._work(request, answering(files.work))
    finally:
        os.umask(mask)


LEADING_OUT = [
    (member("projects/projects/0/10/../../../../evil"), "leads out"),
    (member("/etc/evil"), "absolute"),
    (member("projects/projects/0/10/out", tarfile.SYMTYPE, "../../../../../etc"), "out of the archive"),
    (member("projects/projects/0/99", tarfile.SYMTYPE, "/etc"), "where a directory has to be"),
    (member("projects/projects/0/10/link/evil"), "no directory in the archive"),
    (member("projects/projects/0/10/hard", tarfile.LNKTYPE, "/etc/passwd"), "absolute"),
    (member("projects/projects/0/10/hard", tarfile.LNKTYPE, "projects/../../etc/passwd"), "leads out"),
    (member("projects/projects/0/10/hard", tarfile.LNKTYPE, "projects/nothing"), "no file that came before"),
    (member("projects/projects/0/10/hard", tarfile.LNKTYPE, "db.sql"), "link out of"),
    (member("projects/projects/0/10/hard", tarfile.LNKTYPE, "projects/scratch/x"), "is moved"),
    (member("projects/projects/0/10/disk", tarfile.BLKTYPE), "a device"),
    (member("projects", tarfile.SYMTYPE, "/etc"), "no directory"),
    (member("projects/projects/0/10/" + "n" * 256), "no file can have this name"),
]


@pytest.mark.parametrize(("extra", "said"), LEADING_OUT, ids=[said for _, said in LEADING_OUT])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_an_archive_that_leads_out_of_its_place_is_refused(
    tmp_path: Path, form: int, extra: tuple[tarfile.TarInfo, bytes], said: str
) -> None:
    link = member("projects/projects/0/10/link", tarfile.SYMTYPE, "../11")
    scratch = member("projects/scratch/x", content=b"x")
    record = unpack(tmp_path, scratch, link, extra, form=form)
    assert (record.reason, said in record.message) == ("ArchiveUnsafe", True), record.message
    assert list((tmp_path / "outside").iterdir()) == []


PART = st.sampled_from(["projects", "0", "10", "a", "b", "..", ".", "", "outside", "scratch"])
NAME = st.lists(PART, min_size=1, max_size=6).map("/".join)
BELOW = NAME.map(lambda name: f"projects/projects/0/10/{name}")
LINK = st.one_of(NAME, BELOW, st.just("/tmp"), st.just("../../../../../outside"))
MEMBER = st.builds(
    member,
    st.one_of(NAME, BELOW, BELOW),
    st.sampled_from(
        [tarfile.REGTYPE, tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
    ),
    LINK,
    st.just(b""),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MEMBER, max_size=8))
def test_no_archive_ever_makes_anything_outside_its_place(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "outside").mkdir()
        (directory / "outside/kept").write_text("kept")
        record = unpack(directory, *members)
        assert record.reason in ("", "ArchiveUnsafe", "ArchiveUnreadable"), record
        assert os.listdir(directory / "outside") == ["kept"]
        assert sorted(os.listdir(directory)) == ["archive", "claim", "outside", "workspace"]
        for path in (directory / "claim").rglob("*"):
            if path.is_symlink() and not os.readlink(path).startswith("/"):
                place = os.path.normpath(path.parent / os.readlink(path))
                assert place.startswith(str(directory / "claim"))


@given(st.lists(st.sampled_from(["..", ".", "", "a"]), max_size=8), st.integers(1, 5))
def test_a_link_leads_out_exactly_where_the_path_of_its_target_does(parts: list[str], depth: int) -> None:
    link = "/".join(["x", *parts])
    at = tuple(f"d{number}" for number in range(depth))
    here, climbed = depth - 1, False
    for part in link.split("/"):
        here += {"..": -1, ".": 0, "": 0}.get(part, 1)
        climbed |= here < 0
    assert leads_out(at, link) is climbed


def test_long_names_modes_and_hard_links_arrive_from_either_format(tmp_path: Path) -> None:
    long = "projects/projects/0/10/" + "d" * 150 + "/" + "f" * 120
    for number, form in enumerate((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        place = tmp_path / str(number)
        place.mkdir()
        script = member(long, content=b"#!/bin/sh\n")
        script[0].mode = 0o750
        record = unpack(place, script, member(f"{long}2", tarfile.LNKTYPE, long), form=form)
        assert record.succeeded, record.message
        made = place / "claim" / long.removeprefix("projects/")
        assert made.stat().st_mode & 0o777 == 0o750
        assert made.stat().st_nlink == 2
        assert int(made.stat().st_mtime) == 1_500_000_000


def test_a_sparse_member_and_an_enormous_header_are_refused(tmp_path: Path) -> None:
    info, _ = member("projects/projects/0/10/s", content=b"")
    info.pax_headers = {"GNU.sparse.major": "1"}
    assert "--sparse" in unpack(tmp_path, (info, b""), form=tarfile.PAX_FORMAT).message
    info, _ = member("projects/projects/0/10/s")
    info.pax_headers = {"comment": "x" * (2 << 20)}
    assert "a header of" in unpack(tmp_path, (info, b""), form=tarfile.PAX_FORMAT).message


def test_a_damaged_header_in_the_middle_is_no_end(tmp_path: Path) -> None:
    first = member("projects/projects/0/10/a", content=b"a")
    assert unpack(tmp_path, first, member("projects/projects/0/10/b")).succeeded
    archive = tmp_path / "archive/a.tar.gz"
    data = bytearray(gzip.decompress(archive.read_bytes()))
    at = data.index(b"projects/projects/0/10/b")
    data[at + 148] ^= 0x55
    archive.write_bytes(gzip.compress(bytes(data)))
    with Listing(tmp_path / "l.sqlite", fresh=True) as listing, pytest.raises(Refused) as refused:
        go_through(str(archive), listing, take_dump=lambda _: None, take_entry=lambda *_: None)
    assert refused.value.reason == "ArchiveUnreadable"
