"""The proof: it finds every difference there can be, and says so by name."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from project_migration.workers.printable import unescape
from project_migration.workers.proving.rows import same_moment
from tests.unit.workers.looking import look
from tests.unit.workers.running import IS_ROOT, Bench, names_of
from tests.unit.workers.test_copy_conflicts import fill

NAME = "d/file"


def keeping_times(path: Path, change: Callable[[], object]) -> None:
    status, above = path.lstat(), path.parent.stat()
    change()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
    os.utime(path.parent, ns=(above.st_atime_ns, above.st_mtime_ns))


def copied(bench: Bench) -> Path:
    fill(bench.source, {"d/file": "content", "d/other": "other", "e/": "", "f": "1"})
    os.link(bench.source / "f", bench.source / "g")
    (bench.source / "link").symlink_to("target")
    os.mkfifo(bench.source / "pipe")
    bench.copy().succeeded()
    return bench.target


@pytest.mark.parametrize("verify", ["Checksum", "Metadata"])
def test_a_copy_of_a_hard_tree_is_proved_with_one_digest_for_both_sides(
    bench: Bench, hard_tree: Path, verify: str
) -> None:
    bench.source = hard_tree
    bench.copy().succeeded()

    ran = bench.verify(verify=verify).succeeded()

    assert ran.record is not None
    facts = ran.record.facts
    assert facts["source"]["digest"] == facts["target"]["digest"] == ran.record.digest
    assert ran.record.digest.startswith("sha256:")
    assert ran.counts["verified"] == ran.counts["entries"] == len(look(bench.target))


def test_a_manifest_names_everything_in_order_with_checksums_that_others_can_check(
    bench: Bench, hard_tree: Path
) -> None:
    bench.source = hard_tree
    bench.copy().succeeded()
    ran = bench.verify().succeeded()
    things = look(bench.target)
    for side in ("source", "target"):
        assert ran.record is not None
        with gzip.open(bench.workspace / ran.record.facts[side]["manifest"], "rt", encoding="utf-8") as stream:
            rows = [line.rstrip("\n").split("\t") for line in stream if not line.startswith("=")]
        paths = [unescape(row[7]) if row[7] != "." else "" for row in rows]
        assert set(paths) == set(things)
        assert paths == sorted(paths, key=lambda path: _place(path, things))
        for row, path in zip(rows, paths, strict=True):
            if row[0] == "f" and len(path) < 3000:
                whole = (bench.target / path).read_bytes()
                assert row[4] == hashlib.sha256(whole).hexdigest()


def _place(path: str, things: dict[str, object]) -> tuple[bytes, bytes]:
    """Directories in byte order of their paths, each before its other entries in order of their names."""
    if things[path].kind == "directory":  # type: ignore[attr-defined]
        return os.fsencode(path).replace(b"/", b"\0"), b""
    directory, _, name = path.rpartition("/")
    return os.fsencode(directory).replace(b"/", b"\0"), os.fsencode(name)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("content", lambda path: path.write_text("c0ntent")),
        ("size", lambda path: path.write_text("longer content")),
        ("mode 0600", lambda path: path.chmod(0o600)),
        ("attributes", lambda path: os.setxattr(path, "user.extra", b"1")),
        ("mtime", lambda path: os.utime(path, ns=(0, 1_234_567_891))),
        ("type", lambda path: (path.unlink(), path.mkdir())),
        ("type", lambda path: (path.unlink(), os.mkfifo(path))),
    ],
)
def test_a_difference_is_named_with_what_differs(bench: Bench, what: str, change: Callable[[Path], object]) -> None:
    path = copied(bench) / NAME
    if what == "mtime":
        change(path)
    else:
        keeping_times(path, lambda: change(path))

    ran = bench.verify().failed("VerifyFailed")

    assert ran.record is not None
    assert ran.record.names["different"] == (NAME,)
    assert what in ran.record.message
    assert ran.counts["different"] == 1
    facts = ran.record.facts
    assert (facts["source"]["digest"] != facts["target"]["digest"]) == (what not in ("mtime", "attributes"))


def test_an_owner_that_differs_is_named(bench: Bench) -> None:
    path = copied(bench) / NAME
    wanted = {"mode": "Set", "uid": 4711, "gid": 4711}

    if IS_ROOT:
        os.chown(path, 1, 1)
        ran = bench.verify().failed("VerifyFailed")
        assert ran.record is not None
        assert "owner 1:1" in ran.record.message
    # what is expected is the owner that is set, not the source's
    ran = bench.verify(ownership=wanted).failed("VerifyFailed")
    assert ran.counts["different"] == ran.counts["entries"]
    bench.verify(ownership={"mode": "Helper"}).succeeded()


def test_metadata_alone_does_not_see_contents_and_reads_none(bench: Bench) -> None:
    path = copied(bench) / NAME
    keeping_times(path, lambda: path.write_text("c0ntent"))

    bench.verify(verify="Metadata").succeeded()
    bench.verify(verify="Checksum").failed("VerifyFailed")


def test_missing_things_are_named_with_all_that_should_be_in_them(bench: Bench) -> None:
    target = copied(bench)
    above = target.stat()
    shutil.rmtree(target / "d")
    (target / "pipe").unlink()
    os.utime(target, ns=(above.st_atime_ns, above.st_mtime_ns))

    ran = bench.verify().failed("VerifyFailed")

    assert sorted(names_of(ran, bench, "missing")) == ["d", "d/file", "d/other", "pipe"]
    assert ran.counts["missing"] == 4
    assert ran.counts["different"] == 0


def test_extra_things_are_counted_and_a_fault_only_where_they_should_be_gone(bench: Bench) -> None:
    target = copied(bench)
    above = (target / "d").stat()
    fill(target, {"d/extra": "x", "extra/inner": "y"})
    os.utime(target / "d", ns=(above.st_atime_ns, above.st_mtime_ns))

    ran = bench.verify().succeeded()
    assert ran.counts["extra"] == 2
    assert sorted(names_of(ran, bench, "extra")) == ["d/extra", "extra"]

    bench.verify(delete=True).failed("VerifyFailed")


def test_names_that_do_not_belong_together_are_a_difference(bench: Bench) -> None:
    target = copied(bench)
    content = (target / "g").read_text()
    keeping_times(target / "g", lambda: ((target / "g").unlink(), (target / "g").write_text(content)))

    ran = bench.verify().failed("VerifyFailed")

    assert ran.record is not None
    assert "hard links" in ran.record.message
    assert set(ran.record.names["different"]) == {"f", "g"}
    assert ran.record.facts["source"]["digest"] != ran.record.facts["target"]["digest"]


def test_a_directorys_time_is_part_of_the_claim_but_the_roots_is_not(bench: Bench) -> None:
    target = copied(bench)
    os.utime(target, ns=(1, 1_000_000_001))
    bench.verify().succeeded()

    os.utime(target / "d", ns=(1, 1_000_000_001))
    ran = bench.verify().failed("VerifyFailed")
    assert ran.record is not None
    assert ran.record.names["different"] == ("d",)


def test_the_roots_own_mode_is_compared_where_we_could_set_it(bench: Bench) -> None:
    target = copied(bench)
    target.chmod(0o705)

    ran = bench.verify().failed("VerifyFailed")

    assert ran.record is not None
    assert ran.record.names["different"] == (".",)


def test_one_root_alone_gives_its_manifest_and_the_same_digest(bench: Bench, hard_tree: Path) -> None:
    bench.source = hard_tree
    bench.copy().succeeded()
    both = bench.verify().succeeded().record

    for root in ("source", "target"):
        alone = bench.verify(rootsToRead=[root]).succeeded().record
        assert alone is not None
        assert both is not None
        assert set(alone.facts) == {root}
        assert alone.digest == both.digest


def test_a_digest_depends_on_what_is_there_not_on_who_looks(bench: Bench, hard_tree: Path) -> None:
    bench.source = hard_tree
    records = [bench.verify(rootsToRead=["source"], workers=workers).succeeded().record for workers in (1, 2, 4)]
    assert len({record.digest for record in records if record is not None}) == 1


def test_a_target_that_cannot_be_read_is_no_proof(plain: Bench) -> None:
    fill(plain.source, {"d/file": "1", "e": "2"})
    shutil.copytree(plain.source, plain.target, dirs_exist_ok=True)
    (plain.target / "e").chmod(0)
    (plain.target / "d").chmod(0)
    if IS_ROOT:
        for path in (plain.target / "e", plain.target / "d"):
            os.chown(path, 1, 1)

    ran = plain.verify(ownership={"mode": "Helper"}, verify="Checksum").failed("VerifyFailed")

    assert ran.counts["failed"] >= 2
    (plain.target / "d").chmod(0o755)


def test_no_root_to_read_is_a_wrong_request(bench: Bench) -> None:
    bench.verify(rootsToRead=["elsewhere"]).failed("InvalidDocument")


@pytest.mark.parametrize(
    ("source", "target", "same"),
    [
        (5, 5, True),
        (1_234_567_891, 1_234_567_800, True),
        (1_234_567_891, 1_000_000_000, True),
        (3_234_567_891, 2_000_000_000, True),
        (1_234_567_891, 1_234_567_890, False),
        (1_234_567_891, 2_000_000_000, False),
        (-1, -100, True),
    ],
)
def test_times_are_the_same_when_a_coarse_file_system_cut_them(source: int, target: int, same: bool) -> None:
    assert same_moment(source, target) is same
