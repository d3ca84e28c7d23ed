"""Small limits, so that small trees meet what otherwise only huge ones do; and full disks, and slow lines."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import trees
from project_migration.workers import copy_tree, flushing
from project_migration.workers.proving import listing, reading
from tests.unit.workers import limits, running
from tests.unit.workers.looking import differences, look, without_sockets
from tests.unit.workers.running import IS_ROOT, Bench, names_of
from tests.unit.workers.test_copy_conflicts import fill


@pytest.fixture
def small_limits() -> Iterator[None]:
    with limits.all_small():
        yield


def test_trees_too_large_for_memory_are_copied_and_proved_like_others(
    bench: Bench, hard_tree: Path, small_limits: None
) -> None:
    bench.source = hard_tree
    bench.copy().succeeded()
    assert differences(without_sockets(look(hard_tree)), look(bench.target)) == []
    assert bench.copy().succeeded().counts["copied"] == 0
    small = bench.verify().succeeded().record
    assert small is not None
    with pytest.MonkeyPatch.context() as usual:
        usual.setattr(listing, "LARGE_DIRECTORY", 50_000)
        usual.setattr(reading, "LARGE", 1 << 30)
        whole = bench.verify().succeeded().record
    assert whole is not None
    assert small.digest == whole.digest
    assert (
        (bench.workspace / small.facts["source"]["manifest"]).read_bytes()
        == (bench.workspace / whole.facts["source"]["manifest"]).read_bytes()
    )  # fmt: skip


def test_a_huge_directorys_extras_and_leftovers_are_found_too(bench: Bench, small_limits: None) -> None:
    fill(bench.source, {f"huge/{number:03d}": str(number) for number in range(100)})
    fill(bench.source, {f"huge/directory{number}/file": str(number) for number in range(5)})
    fill(bench.target, {f"huge/extra{number}": "x" for number in range(60)})
    fill(bench.target, {"huge/extra directory/file": "y"})
    mine = copy_tree.owner_prefix(bench.uid)
    fill(bench.target, {f"huge/{mine}f{number}": "half" for number in range(3)})
    fill(bench.target, {f"huge/{mine}d0/inner": "half", "huge/debug.log": "protected"})

    ran = bench.copy(exclude=["*.log"]).succeeded()
    assert ran.counts["extra"] == 61
    assert not [name for name in os.listdir(bench.target / "huge") if name.startswith(".project")]
    ran = bench.copy(exclude=["*.log"], delete=True).succeeded()
    assert ran.counts["deleted"] == 62
    assert set(look(bench.target)) == set(look(bench.source)) | {"huge/debug.log"}
    bench.verify(exclude=["*.log"], delete=True).succeeded()


def test_huge_directories_can_be_passed_through_and_filtered(bench: Bench, small_limits: None) -> None:
    fill(bench.source, {f"huge/{number:03d}.txt": str(number) for number in range(100)})
    fill(bench.source, {f"huge/directory{number}/file.bin": str(number) for number in range(50)})
    fill(bench.source, {"huge/inner/one.txt": "1", "other/file.txt": "2"})

    ran = bench.copy(include=["huge/*/*.bin"]).succeeded()

    assert {path for path, thing in look(bench.target).items() if thing.kind == "file"} == {
        f"huge/directory{number}/file.bin" for number in range(50)
    }
    source = look(bench.source)
    assert differences({path: source[path] for path in look(bench.target)}, look(bench.target)) == []
    verified = bench.verify(include=["huge/*/*.bin"]).succeeded()
    assert verified.counts["entries"] == ran.counts["entries"] - ran.counts["excluded"]


def test_bandwidth_is_a_limit_of_the_whole_helper(bench: Bench) -> None:
    size = 400_000
    for number in range(20):
        (bench.source / str(number)).write_bytes(bytes(size // 20))
    began = time.monotonic()

    bench.copy(bandwidth=size, workers=4).succeeded()

    assert time.monotonic() - began > 0.8


def test_the_target_is_on_the_disk_before_success_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(bench.source, {"a": "1"})
    monkeypatch.setattr(running, "DISK", True)

    def broken_disk(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(flushing, "sync", broken_disk)
    ran = bench.copy().failed("IOError")
    assert ran.record is not None
    assert ran.record.passing

    monkeypatch.undo()
    monkeypatch.setattr(running, "DISK", True)
    bench.copy().succeeded()


@contextlib.contextmanager
def tiny_disk(directory: Path, size: int) -> Iterator[bool]:
    """A file system of so many bytes; False where it may not be mounted."""
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={size},mode=0777".encode()
    mounted = libc.mount(b"tiny", bytes(directory), b"tmpfs", 0, options) == 0
    try:
        yield mounted
    finally:
        if mounted:
            assert libc.umount2(bytes(directory), 2) == 0


@pytest.mark.parametrize("size", [100, 100_000, 3 << 20])
def test_a_full_disk_ends_the_copy_with_its_reason_and_leaves_no_half_file(bench: Bench, size: int) -> None:
    for number in range((8 << 20) // size if size > 1000 else 3000):
        fill(bench.source, {f"d{number % 5}/{number}": ""})
        (bench.source / f"d{number % 5}/{number}").write_bytes(bytes(size))
    expected = look(bench.source)
    with tiny_disk(bench.target, 2 << 20) as mounted:
        if not mounted:
            _without_a_disk_of_its_own(bench)
            return
        ran = bench.copy().failed("NoSpaceLeft")

        assert ran.record is not None
        assert not ran.record.passing
        assert "No space left" in ran.record.message
        there = {path: thing for path, thing in look(bench.target).items() if thing.kind == "file"}
        assert all(thing.content == expected[path].content for path, thing in there.items())


def _without_a_disk_of_its_own(bench: Bench) -> None:
    """Files may not grow beyond a limit: what is too large fails and is named, the rest arrives."""
    (bench.source / "large").write_bytes(bytes(1 << 20))
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, usual[1]))
    try:
        ran = bench.copy().failed("CopyIncomplete")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert "large" in names_of(ran, bench, "failed")
    assert not (bench.target / "large").exists()


def test_what_the_target_cannot_keep_is_named_and_the_content_is_there(bench: Bench, hard_tree: Path) -> None:
    """ramfs has no extended attributes at all."""
    bench.source = hard_tree / "attributes"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"plain", bytes(bench.target), b"ramfs", 0, b"") != 0:
        assert not IS_ROOT or "CapEff" in Path("/proc/self/status").read_text(), "mounting is not for everybody"
        return
    try:
        ran = bench.copy().failed("NotPreserved")

        named = set(names_of(ran, bench, "notPreserved"))
        assert {"user", "acl", "capable", "trusted", "tagged"} <= named
        assert ran.counts["failed"] == 0
        expected, actual = look(bench.source), look(bench.target)
        assert differences(expected, actual, but=("attributes", "mode", "mtime")) == []
    finally:
        assert libc.umount2(bytes(bench.target), 2) == 0


def test_a_read_only_target_is_refused_with_its_reason(bench: Bench) -> None:
    fill(bench.source, {"a": "1"})
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tiny", bytes(bench.target), b"tmpfs", 1, b"") != 0:  # MS_RDONLY
        bench.target.chmod(0o555)
        bench.copy().failed("PermissionDenied")
        bench.target.chmod(0o755)
        return
    try:
        bench.copy().failed("TargetReadOnly")
    finally:
        assert libc.umount2(bytes(bench.target), 2) == 0


def test_devices_are_kept_by_root_and_named_by_others(plain: Bench, hard_tree: Path) -> None:
    plain.source = hard_tree / "specials"

    ran = plain.copy(ownership={"mode": "Helper"})

    if IS_ROOT:
        ran.failed("NotPreserved")
        assert set(names_of(ran, plain, "notPreserved")) == {"null", "loop"}
    else:
        ran.succeeded()
    assert (plain.target / "pipe").is_fifo()
    skipped = plain.copy(ownership={"mode": "Helper"}, specials="Skip").succeeded()
    assert skipped.counts["skipped"] == (4 if IS_ROOT else 2)
    plain.verify(ownership={"mode": "Helper"}, specials="Skip").succeeded()


def test_owners_that_an_ordinary_user_cannot_give_are_named(plain: Bench) -> None:
    fill(plain.source, {"a": "1", "d/b": "2"})

    ran = plain.copy(ownership={"mode": "Set", "uid": 4711, "gid": 4711}).failed("NotPreserved")

    assert set(names_of(ran, plain, "notPreserved")) == {".", "a", "d", "d/b"}
    assert ran.counts["owned"] == 0
    assert (plain.target / "d" / "b").read_text() == "2"


def test_a_root_that_is_somebody_elses_keeps_its_own_attributes(plain: Bench) -> None:
    """As that of a volume is, whose group a helper was put into."""
    fill(plain.source, {"a": "1"})
    plain.source.chmod(0o700)
    plain.target.chmod(0o777)
    if IS_ROOT:
        os.chown(plain.target, 1, 1)
        os.chown(plain.source / "a", plain.user or 0, plain.user or 0)

    plain.copy().succeeded()

    assert plain.target.stat().st_mode & 0o777 == (0o777 if IS_ROOT else 0o700)
    plain.verify().succeeded()
    plain.release().succeeded()


def test_privileges_are_dropped_and_told_where_files_are_left_to_the_helper(plain: Bench, hard_tree: Path) -> None:
    plain.source = hard_tree
    helper = {"mode": "Helper"}
    mine = ["attributes", "owners", "modes"]

    ran = plain.copy(include=mine, exclude=["/modes/*00", "read-only", "/owners/*4711*"], ownership=helper)

    if not IS_ROOT:
        ran.succeeded()
        return
    # 4750 of another's group cannot be read by others at all
    assert set(ran.record.names.get("privilegesDropped", ())) >= {"attributes/capable"}  # type: ignore[union-attr]
    assert "attributes/capable" not in ran.record.names.get("notPreserved", ())  # type: ignore[union-attr]


def test_many_entries_cost_little_memory(bench: Bench) -> None:
    """A ceiling that a list of all entries would break; the benchmark measures more of them."""
    trees.make_small(bench.source, 3000)
    running_copy = bench.start("copy_tree", workers=2)
    highest = 0
    while not running_copy.is_over():
        for pid in (running_copy.pid, *running_copy.children()):
            with contextlib.suppress(OSError, StopIteration, ValueError):
                text = Path(f"/proc/{pid}/status").read_text()
                highest = max(highest, next(int(x.split()[1]) for x in text.splitlines() if x.startswith("RssAnon")))
    running_copy.wait().succeeded()
    base = next(
        int(x.split()[1]) for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("RssAnon")
    )
    assert highest < base + 30_000, "kilobytes more than the process that it was forked from"
