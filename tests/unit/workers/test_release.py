"""A release leaves a target as if no copy had ever been begun in it, but for what was copied."""

from __future__ import annotations

import os
import time

import pytest

from benchmarks import trees
from project_migration.workers.reserved import owner_prefix
from tests.unit.workers.looking import differences, look
from tests.unit.workers.running import IS_ROOT, NOBODY, Bench
from tests.unit.workers.test_copy_conflicts import fill


def test_after_a_whole_copy_only_the_copy_is_left_with_the_roots_own_time(bench: Bench) -> None:
    fill(bench.source, {"d/file": "1"})
    os.utime(bench.source, ns=(1, 1_234_567_890_123_456_789))
    bench.copy().succeeded()

    ran = bench.release().succeeded()

    assert ran.counts == {"removed": 1, "failed": 0}
    assert differences(look(bench.source), look(bench.target, reserved=True)) == []
    bench.release().succeeded()


def test_a_copy_may_release_by_itself(bench: Bench) -> None:
    fill(bench.source, {"d/file": "1"})

    bench.copy(release=True).succeeded()

    assert differences(look(bench.source), look(bench.target, reserved=True)) == []


@pytest.mark.parametrize("there", [True, False])
def test_after_a_copy_that_was_cut_short_nothing_half_made_is_left(bench: Bench, there: bool) -> None:
    trees.make_small(bench.source, 400)
    if there:
        fill(bench.target, {"part0/module0/package0/": "", "part1/own": "theirs"})
    before = look(bench.target)
    running = bench.start("copy_tree", bandwidth=400_000)
    running.wait_for_children()
    time.sleep(0.3)
    running.kill()
    while (ran := bench.release()).reason == "TargetBusy":
        time.sleep(0.01)

    assert ran.succeeded().counts["removed"] > 1
    left = look(bench.target, reserved=True)
    assert not [path for path in left if ".project-migration" in path]
    assert before.keys() <= left.keys()
    if not there:
        assert set(left) == {""}


def test_another_migrations_mark_is_left_alone(bench: Bench) -> None:
    fill(bench.source, {"a": "1"})
    Bench(bench.home, uid="another").copy().succeeded()
    before = look(bench.target, reserved=True)

    ran = bench.release().succeeded()

    assert ran.counts["removed"] == 0
    assert look(bench.target, reserved=True) == before


def test_another_migrations_half_made_things_are_left_alone(bench: Bench) -> None:
    mine, others = owner_prefix(bench.uid), owner_prefix("another")
    trees.make_small(bench.source, 100)
    running = bench.start("copy_tree", bandwidth=1000)
    running.wait_for_children()
    while not (bench.target / ".project-migration" / "owner.json").exists():
        pass
    running.kill()
    fill(bench.target, {f"a/{mine}f": "", f"a/{others}f": "", f"{others}d/x": ""})
    while bench.release().reason == "TargetBusy":
        time.sleep(0.01)

    assert sorted(os.listdir(bench.target)) == sorted(["a", f"{others}d"])
    assert os.listdir(bench.target / "a") == [f"{others}f"]


@pytest.mark.parametrize("missing", [True, False])
def test_there_may_be_nothing_to_release(bench: Bench, missing: bool) -> None:
    if missing:
        bench.target.rmdir()

    assert bench.release().succeeded().counts["removed"] == 0


def test_a_target_that_is_being_written_to_is_not_released(bench: Bench) -> None:
    trees.make_small(bench.source, 100)
    running = bench.start("copy_tree", bandwidth=1000)
    running.wait_for_children()
    while not (bench.target / ".project-migration" / "owner.json").exists():
        pass

    ran = bench.release().failed("TargetBusy")

    assert ran.record is not None
    assert ran.record.passing
    running.kill()


DOCUMENT = ["sha256:aa", "sha256:bb"]
SAID = ["", ".project-migration", ".project-migration/arrived.json"]


def says(bench: Bench) -> str:
    record = bench.survey().succeeded().record
    assert record is not None
    return str(record.facts["target"]["arrived"])


@pytest.mark.parametrize("by_itself", [False, True], ids=["marked", "released by the copy"])
def test_a_target_says_which_document_was_carried_out_and_shows_it_nowhere_else(bench: Bench, by_itself: bool) -> None:
    fill(bench.source, {"d/file": "1"})
    os.utime(bench.source, ns=(1, 1_234_567_890_123_456_789))
    bench.copy(release=by_itself).succeeded()
    assert says(bench) == ""

    bench.release(arrived=DOCUMENT).succeeded()

    assert differences(look(bench.source), look(bench.target)) == []
    there = look(bench.target, reserved=True)
    assert sorted(set(there) - {"d", "d/file"}) == SAID
    assert bench.target.stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert says(bench) == "sha256:aa sha256:bb"
    record = bench.survey().record
    assert record is not None
    assert not record.facts["target"]["ownWork"]
    assert not record.facts["target"]["otherWork"]
    bench.verify(delete=True).succeeded()
    bench.release(arrived=DOCUMENT).succeeded()
    assert look(bench.target, reserved=True).keys() == there.keys()


def test_what_it_says_is_neither_content_nor_copied_on(bench: Bench) -> None:
    bench.copy().succeeded()
    bench.release(arrived=DOCUMENT).succeeded()
    record = bench.survey().record
    assert record is not None
    assert record.facts["target"]["empty"]
    (bench.home / "next").mkdir()
    further = Bench(bench.home / "next")
    further.source = bench.target
    fill(bench.target, {"since": "by users"})

    further.copy(requireEmpty=True, release=True).succeeded()

    assert sorted(look(further.target, reserved=True)) == ["", "since"]


def test_whoever_writes_next_takes_it_away_with_the_first_write(bench: Bench) -> None:
    fill(bench.source, {"a": "1"})
    bench.copy().succeeded()
    bench.release(arrived=DOCUMENT).succeeded()

    Bench(bench.home, uid="another").copy().succeeded()

    assert says(bench) == ""
    assert not (bench.target / ".project-migration" / "arrived.json").exists()


@pytest.mark.parametrize("done", ["copied back", "cleared"])
def test_a_way_back_takes_it_away(bench: Bench, done: str) -> None:
    fill(bench.source, {"a": "1"})
    bench.copy().succeeded()
    bench.release(arrived=DOCUMENT).succeeded()
    if done == "cleared":
        bench.clear(ours=True).succeeded()
        bench.clear(look=True).succeeded()
        assert os.listdir(bench.target) == []
    else:
        bench.copy(delete=True, release=True).succeeded()
        assert os.listdir(bench.target) == ["a"]


def test_work_that_is_unfinished_says_nothing_of_what_was_completed_before(bench: Bench) -> None:
    bench.copy().succeeded()
    (bench.target / ".project-migration" / "arrived.json").write_text('{"document": ["sha256:aa"]}')
    assert says(bench) == ""


@pytest.mark.parametrize("text", ["", "{", "[]", '{"document": 7}', '{"document": null}', "x" * 100_000])
def test_what_cannot_be_read_says_nothing(bench: Bench, text: str) -> None:
    fill(bench.target, {".project-migration/arrived.json": text})
    assert says(bench) == ""


@pytest.mark.skipif(not IS_ROOT, reason="somebody else's helper has to be another user")
def test_another_users_helper_can_write_where_it_was_said(bench: Bench) -> None:
    os.chown(bench.target, NOBODY, NOBODY)
    bench.copy(ownership={"mode": "Set", "uid": NOBODY, "gid": NOBODY}).succeeded()
    bench.release(arrived=DOCUMENT).succeeded()

    ran = Bench(bench.home, user=NOBODY, uid="another").copy(ownership={"mode": "Helper", "uid": None, "gid": None})

    ran.succeeded()


def test_a_target_that_takes_no_word_is_no_failure(bench: Bench) -> None:
    helper = Bench(bench.home, user=NOBODY)
    helper.copy(release=True, ownership={"mode": "Helper", "uid": None, "gid": None}).succeeded()
    bench.target.chmod(0o555)

    ran = helper.release(arrived=DOCUMENT).succeeded()

    assert ran.counts["unmarked"] == 1
    assert os.listdir(bench.target) == []
    bench.target.chmod(0o755)
