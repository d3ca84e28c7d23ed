from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from project_migration.backends.kubernetes.shared_reads import SharedReads


def test_nobody_gets_an_answer_whose_reading_began_before_the_question() -> None:
    reads: SharedReads[float] = SharedReads()

    def fetch() -> float:
        began = time.monotonic()
        time.sleep(0.005)
        return began

    def ask() -> bool:
        asked = time.monotonic()
        return reads.read("ml", fetch) >= asked

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(lambda _: ask(), range(200)))


def test_those_who_ask_during_a_read_share_the_next_one() -> None:
    reads: SharedReads[int] = SharedReads()
    first_runs, go_on = threading.Event(), threading.Event()
    fetched: list[int] = []

    def slow() -> int:
        first_runs.set()
        go_on.wait(5)
        fetched.append(1)
        return 1

    def quick() -> int:
        fetched.append(2)
        return 2

    with ThreadPoolExecutor(12) as threads:
        first = threads.submit(reads.read, "ml", slow)
        first_runs.wait(5)
        others = [threads.submit(reads.read, "ml", quick) for _ in range(10)]
        time.sleep(0.1)
        go_on.set()
        assert first.result() == 1
        assert {other.result() for other in others} == {2}
    assert fetched == [1, 2]


def test_a_read_that_fails_fails_for_those_who_wait_and_for_nobody_after() -> None:
    reads: SharedReads[int] = SharedReads()

    def broken() -> int:
        raise OSError("no answer")

    with pytest.raises(OSError, match="no answer"):
        reads.read("ml", broken)
    assert reads.read("ml", lambda: 3) == 3


def test_namespaces_do_not_wait_for_each_other() -> None:
    reads: SharedReads[int] = SharedReads()
    go_on = threading.Event()

    def slow() -> int:
        go_on.wait(5)
        return 1

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(reads.read, "one", slow)
        assert reads.read("other", lambda: 2) == 2
        go_on.set()
        assert waiting.result() == 1
