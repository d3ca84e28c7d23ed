"""One read of the API server for everybody who asked before it began.

Fifty migrations in one namespace are woken at the same moment, and each wants the same list of pods. A cache would
answer them with a view from before they asked, and with such a view a quiesce could see no pods because none had
been made yet. So nobody gets an answer whose reading began before his question: those who ask while a read is under
way wait for the next one, together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedReads(Generic[T]):
    """At most one read a key is under way, and at most one is queued behind it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queued: dict[str, Future[T]] = {}
        self._turns: dict[str, threading.Lock] = {}

    def read(self, key: str, fetch: Callable[[], T]) -> T:
        """What ``fetch`` returns, or raises; it is called by one of those who wait."""
        with self._lock:
            answer = self._queued.get(key)
            turn = self._turns.setdefault(key, threading.Lock())
            first = answer is None
            if answer is None:
                answer = self._queued[key] = Future()
        if first:
            with turn:
                with self._lock:
                    del self._queued[key]  # whoever asks from here on has to have a later read
                self._fetch(answer, fetch)
        return answer.result()

    @staticmethod
    def _fetch(answer: Future[T], fetch: Callable[[], T]) -> None:
        try:
            answer.set_result(fetch())
        except BaseException as error:  # those who wait for it must not wait for ever
            answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
