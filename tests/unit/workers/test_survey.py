"""A survey tells what preflight has to know, and writes nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from project_migration.workers.mounts import is_mounted_read_only
from project_migration.workers.ownership import Capability, effective_capabilities, in_user_namespace
from tests.unit.workers.looking import look
from tests.unit.workers.running import IS_ROOT, NOBODY, Bench, Ran
from tests.unit.workers.test_copy_conflicts import fill


def facts(ran: Ran) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    ran.succeeded()
    assert ran.record is not None
    return ran.record.facts["source"], ran.record.facts["target"]


def test_it_counts_a_hard_tree_by_kind_and_writes_nothing(bench: Bench, hard_tree: Path) -> None:
    bench.source = hard_tree
    before = look(bench.home), look(hard_tree)
    things = look(hard_tree)
    kinds = [thing.kind for path, thing in things.items() if path]

    ran = bench.survey()
    source, target = facts(ran)

    after = {path: thing for path, thing in look(bench.home).items() if path.split("/")[0] in ("source", "target")}
    assert after == {path: thing for path, thing in before[0].items() if path in after}
    assert look(hard_tree) == before[1]
    assert source["entries"] == len(things) - 1
    assert source["files"] == kinds.count("file")
    assert source["directories"] == kinds.count("directory")
    assert source["symlinks"] == kinds.count("link")
    assert source["sockets"] == 1
    assert source["special"] == kinds.count("pipe") + (2 if IS_ROOT else 0)
    assert source["bytes"] == sum(t.size for p, t in things.items() if not t.names or t.names[0] == p)
    assert source["diskBytes"] < source["bytes"], "it has holes"
    assert source["hardLinks"] == sum(bool(thing.names) for thing in things.values())
    assert source["unreadable"] == 0
    assert (source["exists"], source["isDirectory"], source["readable"]) == (True, True, True)
    assert (target["empty"], target["writable"], target["entries"], target["nested"]) == (True, True, 0, False)
    assert target["freeBytes"] > 0
    assert ran.counts["entries"] == source["entries"]
    assert ran.counts["freeBytes"] == target["freeBytes"]


def test_it_says_what_its_user_may_do(plain: Bench) -> None:
    source, target = facts(plain.survey())

    assert target["canChown"] is False
    assert target["canMknod"] is False
    assert (target["uid"], target["gid"]) == (NOBODY, NOBODY if IS_ROOT else os.getegid())
    assert source["foreignOwners"] == 0


def test_root_may_give_files_away(bench: Bench) -> None:
    _, target = facts(bench.survey())
    assert target["canChown"] is (IS_ROOT and Capability.CHOWN in effective_capabilities())


def test_what_a_helper_cannot_read_is_named(plain: Bench) -> None:
    fill(plain.source, {"d/file": "1", "open": "2", "closed": "3"})
    for name in ("closed", "d"):
        (plain.source / name).chmod(0)
        if IS_ROOT:
            os.chown(plain.source / name, NOBODY, NOBODY)

    ran = plain.survey()
    source, _ = facts(ran)

    assert source["unreadable"] == 2
    assert ran.record is not None
    assert set(ran.record.names["unreadable"]) == {"closed", "d"}
    (plain.source / "d").chmod(0o700)


def test_owners_that_the_helper_is_not_are_counted(plain: Bench) -> None:
    fill(plain.source, {"a": "1", "b": "2"})
    source, _ = facts(plain.survey())
    # root made these; where an ordinary user runs the tests, they are his
    assert source["foreignOwners"] == (2 if IS_ROOT else 0)


@pytest.mark.parametrize("what", ["missing", "file"])
def test_a_root_that_is_no_directory_is_a_fact_and_no_failure(bench: Bench, what: str) -> None:
    bench.source.rmdir()
    bench.target.rmdir()
    if what == "file":
        bench.source.write_text("")
        bench.target.write_text("")

    source, target = facts(bench.survey())

    assert source["exists"] is target["exists"] is (what == "file")
    if what == "file":
        assert source["isDirectory"] is target["isDirectory"] is False
    assert bench.target.exists() is (what == "file")


def test_a_root_that_cannot_be_read_is_a_fact(plain: Bench) -> None:
    plain.source.chmod(0)

    source, _ = facts(plain.survey())

    assert source["readable"] is False
    plain.source.chmod(0o700)


def test_own_and_others_unfinished_work_is_told_apart(bench: Bench) -> None:
    fill(bench.source, {"d/file": "12345"})
    bench.copy().succeeded()

    _, own = facts(bench.survey())
    _, other = facts(Bench(bench.home, uid="another").survey())

    assert (own["ownWork"], own["otherWork"]) == (True, False)
    assert (other["ownWork"], other["otherWork"]) == (False, True)
    assert own["bytesThere"] >= 5
    assert "bytesThere" not in other
    assert own["empty"] is False


def test_bytes_in_what_is_not_shown_yet_are_there_too(bench: Bench) -> None:
    fill(bench.source, {f"d/{number}": "x" * 5000 for number in range(100)})
    running = bench.start("copy_tree", bandwidth=200_000)
    running.wait_for_children()
    while not sum(path.stat().st_size for path in bench.target.rglob("*") if path.is_file()) > 100_000:
        pass
    running.kill()

    _, target = facts(bench.survey())

    assert target["ownWork"] is True
    assert target["bytesThere"] >= 100_000
    assert target["empty"] is True
    assert target["entries"] == 0


@pytest.mark.parametrize(("source", "target"), [("a", "a"), ("a", "a/b"), ("a/b", "a")])
def test_one_root_in_the_other_is_a_fact(bench: Bench, source: str, target: str) -> None:
    fill(bench.home, {"a/b/c/d": "1"})
    bench.source, bench.target = bench.home / source, bench.home / target

    assert [side["nested"] for side in facts(bench.survey())] == [True, True]


def test_the_roots_alone_are_looked_at_when_nothing_is_to_be_counted(bench: Bench) -> None:
    fill(bench.source, {"a": "1"})

    ran = bench.survey(count=False)
    source, target = facts(ran)

    assert "entries" not in source
    assert target["writable"] is True


def test_a_target_that_the_helper_may_not_write_to_is_told(plain: Bench) -> None:
    plain.target.chmod(0o555)

    _, target = facts(plain.survey())

    assert target["writable"] is False
    plain.target.chmod(0o755)


MOUNTS = """\
21 1 0:5 / / rw,relatime shared:1 - ext4 /dev/root rw
36 21 98:0 /subpath /mnt/target ro,noatime master:1 - ext4 /dev/vdb rw,errors=remount-ro
37 21 98:0 /odd\\040name /mnt/other rw - ext4 /dev/vdb ro
"""


@pytest.mark.parametrize(("mount", "expected"), [(21, False), (36, True), (37, False), (99, False)])
def test_a_mount_that_is_read_only_is_told_from_a_file_system_that_is(mount: int, expected: bool) -> None:
    assert is_mounted_read_only(-1, f"pos:\t0\nflags:\t0100000\nmnt_id:\t{mount}\n", MOUNTS) is expected


def test_capabilities_are_read_as_the_kernel_writes_them() -> None:
    assert effective_capabilities("Name:\tx\nCapEff:\t0000000000000000\n") == frozenset()
    assert effective_capabilities("CapEff:\t0000000000000009\n") == {Capability.CHOWN, Capability.FOWNER}
    assert Capability.MKNOD in effective_capabilities("CapEff:\t000001fffeffffff\n")


def test_a_user_namespace_is_one_that_maps_fewer_than_all_users() -> None:
    assert in_user_namespace("         0          0 4294967295\n") is False
    assert in_user_namespace("         0     100000      65536\n") is True


def test_a_target_that_is_not_there_yet_has_the_room_of_the_directory_it_will_be_made_in(bench: Bench) -> None:
    bench.target.rmdir()
    target = bench.survey().succeeded().record.facts["target"]
    assert (target["exists"], target["writable"]) == (False, True)
    assert target["freeBytes"] > 0
