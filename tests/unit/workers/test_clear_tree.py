"""A target becomes empty again only where all that is in it is known to be the migration's own."""

from __future__ import annotations

import os

from tests.unit.workers.running import Bench
from tests.unit.workers.test_copy_conflicts import fill


def test_what_a_copy_left_is_removed_and_the_directory_is_as_it_was(bench: Bench) -> None:
    fill(bench.source, {"a": "1", "deep/er/b": "2"})
    (bench.source / "link").symlink_to("a")
    bench.target.chmod(0o751)
    before = bench.target.stat()
    root = {
        "rootMode": before.st_mode & 0o7777,
        "rootUid": before.st_uid,
        "rootGid": before.st_gid,
        "rootMtimeNs": before.st_mtime_ns,
    }
    bench.copy(release=False).succeeded()

    assert bench.clear(root=root).succeeded().counts["removed"] >= 3
    assert os.listdir(bench.target) == []
    after = bench.target.stat()
    assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (before.st_mode, before.st_uid, before.st_mtime_ns)
    bench.clear(look=True).succeeded()


def test_what_carries_no_mark_of_ours_is_left_alone(bench: Bench) -> None:
    """Somebody wrote to the target after it was found empty: the copy refused it, and its rollback has to as well."""
    fill(bench.target, {"theirs": "nobody else has this"})

    bench.clear().failed("TargetNotEmpty")

    assert (bench.target / "theirs").read_text() == "nobody else has this"
    bench.clear(look=True).failed("TargetNotEmpty")


def test_what_is_known_to_be_ours_needs_no_mark(bench: Bench) -> None:
    fill(bench.target, {"copied": "and settled", "since/then": "written by users"})
    bench.clear(ours=True).succeeded()
    assert os.listdir(bench.target) == []


def test_a_target_that_is_not_there_is_empty(bench: Bench) -> None:
    bench.target.rmdir()
    bench.clear().succeeded()
    bench.clear(look=True).succeeded()


def test_a_backup_whose_time_has_come_goes_with_its_directory(bench: Bench) -> None:
    fill(bench.target, {"files/a": "kept", "shop/manifest.json": "{}", "shop/dump/toc.dat": ""})
    beside = bench.home / "beside"
    beside.mkdir()
    (bench.target / "files/link").symlink_to(beside)
    bench.clear(ours=True, away=True).succeeded()
    assert not bench.target.exists()
    assert beside.exists()
    bench.clear(ours=True, away=True).succeeded()
