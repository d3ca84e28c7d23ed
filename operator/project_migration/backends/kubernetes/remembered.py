"""Answers that do not change while we look: remembered for some minutes, to spare the API server the question.

Only for what nobody changes in a way that a decision rests on: which nodes a volume is pinned to, how a storage class
binds. What decides anything is read anew in every pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

SECONDS = 600.0
MOST = 10_000


class Remembered(Generic[T]):
    """Threads may share it; two that ask at the same moment may both fetch."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, T]] = {}

    def get(self, key: str, fetch: Callable[[], T]) -> T:
        """What ``fetch`` returned not long ago, or returns now. What it raises is not remembered."""
        now = self._clock()
        known = self._known.get(key)
        if known is not None and now - known[0] < SECONDS:
            return known[1]
        found = fetch()
        if len(self._known) >= MOST:
            self._known = {}
        self._known[key] = (now, found)
        return found
