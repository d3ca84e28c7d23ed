"""An archive that this project writes is one that the guide's script can read, and nobody's secrets are in it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.cdsw.conftest import Cdsw
from tests.local.cdsw.running import Case, make_projects


@pytest.fixture
def live(case: Case, cdsw: Cdsw) -> Case:
    case.archive, case.live = None, (cdsw.server, cdsw.database, cdsw.directory / "projects")
    return case


@pytest.fixture
def to(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "cml-migration.tar.gz"


def test_an_export_is_read_by_the_guides_own_check_and_arrives(live: Case, to: Path, cdsw: Cdsw) -> None:
    assert live.problems(to=to) == {}
    record = live.good("export", to=to)
    assert record.counts["hardLinks"] == 1
    assert record.counts["archiveBytes"] == to.stat().st_size
    check = ("tar", "tf", str(to), "--exclude=*/*")
    assert subprocess.run(check, capture_output=True, text=True, check=True).stdout.split() == ["db.sql", "projects/"]
    assert sorted(path.name for path in to.parent.iterdir()) == [to.name]
    live.live, live.archive = None, to
    assert live.migrate().counts["failedChecks"] == 0


def test_no_credentials_are_in_an_export_and_their_sequences_are_not_either(live: Case, to: Path) -> None:
    live.good("export", to=to)
    with tarfile.open(to) as archive:
        stream = archive.extractfile("db.sql")
        assert stream is not None
        text = stream.read().decode()
        names = archive.getnames()
    assert not any(secret in text for secret in ("AK-SECRET", "SSH-SECRET", "4b45595441422d534543524554"))
    assert "access_keys_id_seq', 77" not in text
    assert "projects_id_seq', 13" in text
    assert "_project_migration" not in text
    assert "projects/scratch" in names
    assert not any(name.startswith("projects/scratch/") for name in names)


def test_what_has_no_place_in_an_archive_is_named(live: Case, to: Path, tmp_path: Path) -> None:
    assert live.live is not None
    make_projects(tmp_path / "tree")
    project = tmp_path / "tree/projects/projects/0/10"
    os.mkfifo(project / "pipe")
    place = socket.socket(socket.AF_UNIX)
    place.bind(str(project / "socket"))
    place.close()
    long = project / ("d" * 120) / ("f" * 200)
    long.parent.mkdir()
    long.write_text("long")
    live.live = (*live.live[:2], tmp_path / "tree/projects")
    record = live.good("export", to=to)
    assert sorted(record.names["skipped"]) == ["projects/0/10/pipe", "projects/0/10/socket"]
    with tarfile.open(to) as archive:
        assert str(Path("projects") / long.relative_to(tmp_path / "tree/projects")) in archive.getnames()


def test_an_export_that_is_killed_or_fails_leaves_no_archive(live: Case, to: Path) -> None:
    with live.start("export", to=to, bandwidth=2000) as process:
        deadline = time.monotonic() + 60
        while not list(to.parent.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not to.exists()
    assert live.live is not None
    server, name, projects = live.live
    live.live = (server, "nowhere", projects)
    assert live.run("export", to=to).reason == "DatabaseNotFound"
    assert not to.exists()
    live.live = (server, name, projects)
    live.good("export", to=to)
    assert [path.name for path in to.parent.iterdir()] == [to.name]
    assert "exists already" in live.problems(to=to)["TargetNotEmpty"]


def test_a_file_that_changes_while_it_is_packed_ends_the_export(
    live: Case, to: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from project_migration.workers.cdsw import packing

    def growing(self: packing.Packing, pieces: Iterator[bytes], size: int, name: str) -> None:
        original(self, [*pieces, b"more"] if name.endswith("a.py") else pieces, size, name)

    original = packing.Packing._content
    monkeypatch.setattr(packing.Packing, "_content", growing)
    record = live.run("export", to=to)
    assert (record.reason, record.passing, "a.py" in record.message) == ("SourceChanged", True, True)
    assert list(to.parent.iterdir()) == []
