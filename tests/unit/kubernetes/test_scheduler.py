from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from project_migration.engine.names import Key
from project_migration.model.errors import PassingError
from project_migration.scheduler import Rhythm, Scheduler

A, B = Key("ml", "a"), Key("ml", "b")
FAST = Rhythm(resync=30.0, least=0.0, first_backoff=0.01, longest_backoff=0.05, woken_backoff=0.01)

Make = Callable[..., Scheduler]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Scheduler] = []

    def scheduler(one_pass: Callable[[Key], float | None], workers: int = 4, rhythm: Rhythm = FAST) -> Scheduler:
        made.append(Scheduler(one_pass, workers=workers, rhythm=rhythm))
        made[-1].start()
        return made[-1]

    yield scheduler
    for one in made:
        one.stop(2)


def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_one_migration_is_never_passed_twice_at_once(make: Make) -> None:
    running, most, passes = Counter[Key](), Counter[Key](), Counter[Key]()
    lock = threading.Lock()

    def one_pass(key: Key) -> float:
        with lock:
            running[key] += 1
            most[key] = max(most[key], running[key])
        time.sleep(0.001)
        with lock:
            running[key] -= 1
            passes[key] += 1
        return 0.0

    scheduler = make(one_pass)
    for _ in range(50):
        scheduler.wake(A)
        scheduler.wake(B)
    until(lambda: passes[A] > 30 and passes[B] > 30)
    assert most == {A: 1, B: 1}


def test_wakes_while_a_pass_waits_are_one_pass_and_a_wake_during_a_pass_is_one_more(make: Make) -> None:
    passes = Counter[Key]()
    began, go_on = threading.Event(), threading.Event()

    def one_pass(key: Key) -> None:
        began.set()
        go_on.wait(5)
        passes[key] += 1

    scheduler = make(one_pass)
    scheduler.wake(A)
    began.wait(5)
    for _ in range(10):
        scheduler.wake(A)
    go_on.set()
    until(lambda: passes[A] == 2)
    time.sleep(0.05)
    assert passes[A] == 2


def test_a_pass_is_made_again_when_it_asked_to_be(make: Make) -> None:
    moments: list[float] = []

    def one_pass(_: Key) -> float | None:
        moments.append(time.monotonic())
        return 0.05 if len(moments) == 1 else None

    make(one_pass).wake(A)
    until(lambda: len(moments) == 2)
    assert moments[1] - moments[0] >= 0.05


def test_a_migration_that_waits_for_events_is_looked_at_all_the_same(make: Make) -> None:
    passes: list[Key] = []

    def one_pass(key: Key) -> None:
        passes.append(key)

    make(one_pass, rhythm=Rhythm(resync=0.02)).wake(A)
    until(lambda: len(passes) >= 3)


@pytest.mark.parametrize("error", [PassingError("no answer"), ValueError("a fault of ours")])
def test_a_pass_that_raises_is_made_again_and_others_go_on(make: Make, error: Exception) -> None:
    passes = Counter[Key]()

    def one_pass(key: Key) -> None:
        passes[key] += 1
        if key == A and passes[A] < 4:
            raise error

    scheduler = make(one_pass, workers=1)
    scheduler.wake(A)
    scheduler.wake(B)
    until(lambda: passes[A] == 4 and passes[B] == 1)
    assert scheduler.alive()


def test_a_wake_during_a_back_off_shortens_it_and_does_not_end_it(make: Make) -> None:
    moments: list[float] = []

    def one_pass(_: Key) -> None:
        moments.append(time.monotonic())
        if len(moments) == 1:
            raise PassingError("no answer")

    scheduler = make(one_pass, rhythm=Rhythm(first_backoff=60, woken_backoff=0.1))
    scheduler.wake(A)
    until(lambda: len(moments) == 1)
    scheduler.wake(A)
    until(lambda: len(moments) == 2)
    assert moments[1] - moments[0] >= 0.1


def test_a_migration_that_is_gone_is_forgotten_even_while_it_is_passed(make: Make) -> None:
    began, go_on = threading.Event(), threading.Event()

    def one_pass(_: Key) -> float:
        began.set()
        go_on.wait(5)
        return 0.0

    scheduler = make(one_pass)
    scheduler.wake(A)
    began.wait(5)
    scheduler.forget(A)
    go_on.set()
    until(lambda: scheduler.known() == ())


def test_a_migration_made_anew_under_the_same_name_is_not_forgotten(make: Make) -> None:
    began, go_on = threading.Event(), threading.Event()
    passes: list[Key] = []

    def one_pass(key: Key) -> None:
        passes.append(key)
        began.set()
        go_on.wait(5)

    scheduler = make(one_pass)
    scheduler.wake(A)
    began.wait(5)
    scheduler.forget(A)
    scheduler.wake(A)
    go_on.set()
    until(lambda: len(passes) == 2)
    assert scheduler.known() == (A,)


def test_a_scheduler_whose_passes_never_end_is_not_alive() -> None:
    clock = [0.0]
    began, go_on = threading.Event(), threading.Event()

    def one_pass(_: Key) -> None:
        began.set()
        go_on.wait(5)

    scheduler = Scheduler(one_pass, workers=1, clock=lambda: clock[0])
    scheduler.start()
    assert scheduler.alive()
    scheduler.wake(A)
    began.wait(5)
    scheduler.wake(B)
    clock[0] = 10_000.0
    assert not scheduler.alive()
    go_on.set()
    scheduler.stop(2)


def test_it_stops_in_time_and_begins_nothing_after(make: Make) -> None:
    passes: list[Key] = []

    def one_pass(key: Key) -> float:
        passes.append(key)
        return 0.0

    scheduler = make(one_pass)
    scheduler.wake(A)
    until(lambda: len(passes) > 2)
    scheduler.stop(2)
    count = len(passes)
    time.sleep(0.05)
    assert len(passes) == count
