"""The parts of which the workers are made."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_migration.workers.copying.marks import Owner, hold, read_owner
from project_migration.workers.copying.removal import remove_tree
from project_migration.workers.crew import Crashed, Crew, Outbox, Wire
from project_migration.workers.printable import escape, shorten, unescape
from project_migration.workers.proving.listing import TooMany, listing
from project_migration.workers.reasons import Refusal
from project_migration.workers.reserved import is_reserved, owner_prefix, staged_name
from project_migration.workers.spill import SpillStack
from project_migration.workers.tree import Tree, open_root

NAMES = st.binary(min_size=1).filter(lambda name: b"\0" not in name and b"/" not in name).map(os.fsdecode)


@given(NAMES)
def test_any_name_is_one_printable_line_and_comes_back(name: str) -> None:
    text = escape(name)
    assert text.isprintable()
    assert unescape(text) == name


@given(st.text(), st.integers(5, 200))
def test_a_long_text_keeps_both_ends(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= max(limit, 1)
    assert short == text or (short[0] == text[0] and short[-1] == text[-1])


@given(NAMES, NAMES)
def test_staged_names_fit_any_name_and_are_never_part_of_a_project(one: str, other: str) -> None:
    prefix = owner_prefix("uid")
    assert len(os.fsencode(staged_name(prefix, one))) < 100
    assert is_reserved(staged_name(prefix, one), at_root=False)
    assert (staged_name(prefix, one) == staged_name(prefix, other)) == (one == other)
    assert owner_prefix("uid") != owner_prefix("another")


@given(st.lists(st.one_of(st.integers(0, 1000), st.none()), max_size=300))
def test_a_stack_gives_back_the_last_first_wherever_it_keeps_them(script: list[int | None]) -> None:
    """None takes one off."""
    stack, model = SpillStack(Path("/tmp"), limit=10), list[tuple[int]]()
    for step in script:
        if step is None and model:
            assert stack.pop() == model.pop()
        elif step is not None:
            stack.push((step,))
            model.append((step,))
        assert len(stack) == len(model)
        assert bool(stack) == bool(model)
    while model:
        assert stack.pop() == model.pop()
    with pytest.raises(IndexError):
        stack.pop()


class Count(NamedTuple):
    upto: int
    how: str = ""


class Told(NamedTuple):
    number: int


class CountingHand:
    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox

    def run(self, task: NamedTuple) -> None:
        assert isinstance(task, Count)
        if task.how == "raise":
            raise ZeroDivisionError("on purpose")
        if task.how == "die":
            os._exit(3)
        self.outbox.counts[0] += 1
        self.outbox.note(Told(task.upto))
        for number in range(task.upto):
            self.outbox.give(Count(number))


def run_crew(tmp_path: Path, *tasks: Count) -> tuple[int, list[int]]:
    told: list[int] = []
    crew = Crew(
        CountingHand,
        Wire(Count, Told),
        1,
        processes=3,
        scratch=tmp_path,
        on_note=lambda note: told.append(note.number),  # type: ignore[attr-defined]
        on_tick=lambda: None,
    )
    with crew:
        crew.work(tasks)
        pids = list(crew._pids)
    for pid in pids:
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, 0)
    return crew.counts[0], sorted(told)


def test_a_crew_does_every_task_and_all_that_comes_of_it_once(tmp_path: Path) -> None:
    counted, told = run_crew(tmp_path, Count(9), Count(3))
    assert counted == len(told) == 2**9 + 2**3


def test_a_crew_without_tasks_ends(tmp_path: Path) -> None:
    assert run_crew(tmp_path) == (0, [])


@pytest.mark.parametrize(("how", "told"), [("raise", "ZeroDivisionError: on purpose"), ("die", "ended with 3")])
def test_a_lane_that_fails_fails_the_crew_and_says_why(tmp_path: Path, how: str, told: str) -> None:
    with pytest.raises(Crashed, match=told):
        run_crew(tmp_path, Count(5), Count(0, how))


def test_directories_deeper_than_a_path_may_be_long_are_reached_with_few_descriptors(home: Path) -> None:
    name = "x" * 200
    descriptor = os.open(home, os.O_RDONLY)
    for _ in range(100):
        os.mkdir(name, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.mkdir("bottom", dir_fd=descriptor)
    expected = os.stat("bottom", dir_fd=descriptor).st_ino
    os.close(descriptor)
    root = open_root(str(home))
    before = len(os.listdir("/proc/self/fd"))
    tree = Tree(root, read_only=True, capacity=8)

    deep = "/".join([name] * 100 + ["bottom"])
    assert os.fstat(tree.directory(deep)).st_ino == expected
    assert os.fstat(tree.directory(deep.rpartition("/")[0])).st_ino != expected
    assert os.fstat(tree.directory("")).st_ino == os.stat(home).st_ino
    assert len(os.listdir("/proc/self/fd")) <= before + 10

    tree.close()
    assert len(os.listdir("/proc/self/fd")) == before
    remove_tree(root, name)
    assert os.listdir(home) == []
    os.close(root)


def test_only_one_holds_a_mark_and_it_can_be_taken_away_while_held(tmp_path: Path) -> None:
    root = open_root(str(tmp_path))
    owner = Owner("uid", "vision", "ml", "2026-01-01T00:00:00Z")
    with hold(root) as mark:
        assert mark.locked
        mark.write(owner)
        assert read_owner(root) == owner
        with pytest.raises(Refusal, match="another copy"), hold(root):
            pass
        assert mark.granularity() in (1, 100, 10**3, 10**6, 10**9, 2 * 10**9)
        mark.remove()
    assert os.listdir(tmp_path) == []
    with hold(root):
        assert read_owner(root) is None
    os.close(root)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"uid": 1}', "\xff"])
def test_a_mark_that_says_nothing_is_nobodys(tmp_path: Path, text: str) -> None:
    (tmp_path / ".project-migration").mkdir()
    (tmp_path / ".project-migration" / "owner.json").write_text(text)
    root = open_root(str(tmp_path))
    assert read_owner(root) is None
    os.close(root)


def test_a_large_directory_is_divided_so_that_its_parts_hold_every_name_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("project_migration.workers.proving.listing.LARGE_DIRECTORY", 50)
    monkeypatch.setattr("project_migration.workers.proving.listing.PART", 20)
    monkeypatch.setattr("project_migration.workers.proving.listing._SAMPLE", 64)
    for number in range(1000):
        (tmp_path / f"{number * 7919 % 1000:03d}").touch()
    root = open_root(str(tmp_path))
    parts, seen = [("", "")], list[str]()
    while parts:
        first, last = parts.pop()
        try:
            seen += listing("", {1: root}, first, last)[1]
        except TooMany as too_many:
            parts += itertools.pairwise([first, *too_many.at, last])
    os.close(root)
    assert sorted(seen) == sorted(os.listdir(tmp_path))
