"""Tasks run when they may: never two that would wait for each other's locks, and none before what it needs."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from project_migration.workers.postgres.schedule import Crew, Sessions, Task


class Session:
    def __init__(self) -> None:
        self.cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1

    def close(self) -> None:
        pass


def crew(workers: int) -> Crew:
    def open_sessions() -> Sessions:
        session: Any = Session()
        return Sessions(session, session)

    return Crew(workers, open_sessions)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans(), st.integers(0, 5)), min_size=1, max_size=14
    ),
    st.integers(1, 5),
)
def test_locks_are_kept_and_needs_come_first(plan: list[tuple[int, int, bool, int]], workers: int) -> None:
    guard = threading.Lock()
    held: list[tuple[frozenset[int], frozenset[int]]] = []
    done: set[int] = set()
    tasks = []
    for number, (one, other, exclusive, behind) in enumerate(plan):
        locks = frozenset({one, other})
        needs = frozenset(range(max(0, number - behind), number)) if behind else frozenset[int]()
        mine = (locks if exclusive else frozenset[int](), frozenset[int]() if exclusive else locks)

        def run(_: Sessions, mine: Any = mine, needs: frozenset[int] = needs, number: int = number) -> None:
            with guard:
                assert needs <= done
                for exclusives, shareds in held:
                    assert not mine[0] & (exclusives | shareds)
                    assert not mine[1] & exclusives
                held.append(mine)
            time.sleep(0.0005)
            with guard:
                held.remove(mine)
                done.add(number)

        tasks.append(Task(str(number), run, number % 3, number, frozenset(needs), mine[0], mine[1]))
    crew(workers).run(tasks, lambda: None)
    assert done == set(range(len(plan)))


def test_the_first_failure_ends_the_others_and_is_told() -> None:
    began = threading.Event()
    ran: list[str] = []

    def fail(_: Sessions) -> None:
        began.wait(5)
        raise ValueError("broken")

    def slow(sessions: Sessions) -> None:
        began.set()
        for _ in range(500):
            if sessions.target.cancelled:  # type: ignore[attr-defined]
                raise RuntimeError("cancelled")
            time.sleep(0.01)

    tasks = [
        Task("slow", slow, 9, "slow"),
        Task("fail", fail, 8, "fail"),
        Task("later", lambda _: ran.append("later"), 1, "later", needs=frozenset({"fail"})),
    ]
    asked = time.monotonic()
    with pytest.raises(ValueError, match="broken"):
        crew(2).run(tasks, lambda: None)
    assert time.monotonic() - asked < 4
    assert ran == []


def test_a_key_is_done_when_all_that_carry_it_are() -> None:
    ran: list[str] = []
    tasks = [
        Task("after", lambda _: ran.append("after"), 9, "after", needs=frozenset({"keys"})),
        Task("one", lambda _: ran.append("one"), 2, "keys"),
        Task("two", lambda _: ran.append("two"), 1, "keys"),
    ]
    crew(3).run(tasks, lambda: None)
    assert ran[-1] == "after"


def test_needs_that_nothing_carries_hold_nobody_up() -> None:
    ran: list[str] = []
    crew(2).run([Task("a", lambda _: ran.append("a"), needs=frozenset({"no such"}))], lambda: None)
    assert ran == ["a"]
