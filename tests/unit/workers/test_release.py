"""A release leaves a target as if no copy had ever been begun in it, but for what was copied."""

from __future__ import annotations

import os
import time

import pytest

from benchmarks import trees
from project_migration.workers.reserved import owner_prefix
from tests.unit.workers.looking import differences, look
from tests.unit.workers.running import Bench
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
