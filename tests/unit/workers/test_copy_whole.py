"""A copy is the source, in everything that belongs to its files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.workers.looking import differences, look, without_sockets
from tests.unit.workers.running import IS_ROOT, NOBODY, Bench


def test_a_hard_tree_arrives_with_everything_that_belongs_to_it(bench: Bench, hard_tree: Path) -> None:
    bench.source = hard_tree
    before = look(hard_tree)

    ran = bench.copy().succeeded()

    expected = without_sockets(before)
    # an ordinary user may not give files away, and the tests' own tree has no other owners then
    assert differences(expected, look(bench.target)) == []
    assert differences(before, look(hard_tree)) == [], "the source was written to"
    assert ran.counts["entries"] == len(before)
    assert ran.counts["copied"] + ran.counts["metadataFixed"] == len(expected)
    assert ran.counts["skipped"] == 1
    assert ran.record is not None
    assert ran.record.names["skipped"] == ("specials/socket",)


def test_a_second_copy_finds_everything_there_and_writes_nothing(bench: Bench, hard_tree: Path) -> None:
    bench.source = hard_tree
    bench.copy().succeeded()
    before = {path: os.lstat(bench.target / path).st_ctime_ns for path in _short(look(bench.target))}

    ran = bench.copy().succeeded()

    assert ran.counts["copied"] == 0
    assert ran.counts["metadataFixed"] == 0
    assert ran.counts["bytesCopied"] == 0
    after = {path: os.lstat(bench.target / path).st_ctime_ns for path in before}
    assert after == before


def _short(paths: dict[str, object]) -> list[str]:
    return [path for path in paths if len(path) < 1000 and path]


def test_an_ordinary_user_copies_what_is_his_with_everything_too(plain: Bench, ordinary_tree: Path) -> None:
    ran = plain.copy().succeeded()

    assert differences(without_sockets(look(ordinary_tree)), look(plain.target)) == []
    again = plain.copy().succeeded()
    assert again.counts["copied"] == 0
    assert again.counts["alreadyThere"] == ran.counts["entries"] - ran.counts["skipped"]


def test_everything_gets_the_owner_that_is_set(bench: Bench, hard_tree: Path) -> None:
    bench.source = hard_tree
    ownership = {"mode": "Set", "uid": 8536, "gid": 8537}

    ran = bench.copy(ownership=ownership)

    if not IS_ROOT:
        ran.failed("NotPreserved")
        assert ran.counts["notPreserved"] == ran.counts["entries"] - ran.counts["skipped"]
        return
    ran.succeeded()
    target = look(bench.target)
    assert {thing.owner for thing in target.values()} == {(8536, 8537)}
    assert differences(without_sockets(look(hard_tree)), target, but=("owner",)) == []
    assert ran.counts["owned"] == ran.counts["entries"] - ran.counts["skipped"]


def test_helper_ownership_leaves_everything_to_the_helpers_user(plain: Bench, hard_tree: Path) -> None:
    """Also what belonged to others; set-id bits and capabilities go as far as that user may keep them."""
    plain.source = hard_tree
    closed = ["closed", "names/closed"] if IS_ROOT else []

    ran = plain.copy(ownership={"mode": "Helper"}, exclude=[*closed, "/modes/*0400", "/modes/*0600", "/modes/*0700"])

    assert ran.record is not None
    lost = [name for name in ran.record.names.get("notPreserved", ()) if not name.startswith("specials/")]
    assert lost == []
    target = look(plain.target)
    assert {thing.owner for thing in target.values()} == {(NOBODY, NOBODY)}


@pytest.mark.parametrize("workers", [1, 4])
def test_one_process_or_four_make_the_same_tree(bench: Bench, hard_tree: Path, workers: int) -> None:
    bench.source = hard_tree

    bench.copy(workers=workers).succeeded()

    assert differences(without_sockets(look(hard_tree)), look(bench.target)) == []


def test_holes_stay_holes(bench: Bench, hard_tree: Path) -> None:
    bench.source = hard_tree
    bench.copy().succeeded()

    for name in os.listdir(hard_tree / "holes"):
        ours, theirs = os.stat(hard_tree / "holes" / name), os.stat(bench.target / "holes" / name)
        assert theirs.st_blocks <= ours.st_blocks + 16


def test_reading_leaves_no_trace_in_the_access_times_of_ones_own_files(bench: Bench) -> None:
    path = bench.source / "file"
    path.write_bytes(b"content")
    os.utime(path, ns=(10**18 + 1, 10**18 + 2))
    os.utime(bench.source, ns=(10**18 + 3, 10**18 + 4))

    bench.copy().succeeded()

    assert (path.stat().st_atime_ns, bench.source.stat().st_atime_ns) == (10**18 + 1, 10**18 + 3)
    assert (bench.target / "file").stat().st_atime_ns == 10**18 + 1
