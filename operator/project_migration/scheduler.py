"""Which migration is looked at next: one pass at a time for each, wakes coalesced, a clock for those that wait.

Threads and a heap, no framework: the same scheduler serves the operator and its tests. It knows nothing of what a
pass does but how long until the next is wanted.

A pass that raises is repeated after a back-off that doubles, with jitter. A wake during a back-off does not end it at
once, or a pass that fails after it changed something would wake itself for ever; it shortens it.
"""

from __future__ import annotations

import heapq
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from project_migration.engine.names import Key
from project_migration.model.errors import PassingError

log = logging.getLogger(__name__)

#: Seconds until the next pass is wanted; None for "when something happens".
Pass = Callable[[Key], float | None]


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds, all of them."""

    resync: float = 60.0
    """A pass is made this often even if none is wanted, for an event may be missed."""
    least: float = 0.05
    """Between the end of a pass and the next one for the same migration."""
    first_backoff: float = 1.0
    longest_backoff: float = 300.0
    woken_backoff: float = 5.0
    """A wake shortens a back-off to this, counted from the failure."""


@dataclass(slots=True)
class _Entry:
    due: float
    running: bool = False
    woken: bool = False
    failures: int = 0
    failed_at: float = 0.0
    forgotten: bool = False


class Scheduler:
    """Start it once. Every method may be called from any thread."""

    def __init__(
        self,
        one_pass: Pass,
        *,
        workers: int = 4,
        rhythm: Rhythm | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pass = one_pass
        self._workers = workers
        self._rhythm = rhythm or Rhythm()
        self._clock = clock
        self._changed = threading.Condition()
        self._entries: dict[Key, _Entry] = {}
        self._queue: list[tuple[float, int, Key]] = []
        self._order = count()
        self._stopping = False
        self._threads: list[threading.Thread] = []
        self._last_sign = clock()

    def start(self) -> None:
        for number in range(self._workers):
            thread = threading.Thread(target=self._work, name=f"pass-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout: float = 20.0) -> None:
        """Begin no further pass, and wait for those under way. One that is cut short harms nothing."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        deadline = self._clock() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock()))

    def wake(self, key: Key) -> None:
        """Something happened: a pass as soon as may be."""
        with self._changed:
            entry = self._entries.get(key)
            now = self._clock()
            if entry is None:
                entry = self._entries[key] = _Entry(due=now)
            entry.forgotten = False
            if entry.running:
                entry.woken = True
                return
            self._set_due(key, entry, min(entry.due, self._soonest(entry, now)))

    def forget(self, key: Key) -> None:
        """The migration is gone: no more passes, unless it is woken again."""
        with self._changed:
            entry = self._entries.get(key)
            if entry is not None and entry.running:
                entry.forgotten = True
            else:
                self._entries.pop(key, None)

    def known(self) -> tuple[Key, ...]:
        with self._changed:
            return tuple(self._entries)

    def alive(self, silence: float = 600.0) -> bool:
        """Whether its threads run, and something that is due is not left lying for ``silence`` seconds."""
        with self._changed:
            now = self._clock()
            waiting = any(not entry.running and entry.due + silence < now for entry in self._entries.values())
            stuck = waiting and self._last_sign + silence < now
        return not stuck and all(thread.is_alive() for thread in self._threads)

    def _soonest(self, entry: _Entry, now: float) -> float:
        return max(now, entry.failed_at + self._rhythm.woken_backoff) if entry.failures else now

    def _set_due(self, key: Key, entry: _Entry, due: float) -> None:
        entry.due = due
        heapq.heappush(self._queue, (due, next(self._order), key))
        self._changed.notify()

    def _work(self) -> None:
        while (key := self._next()) is not None:
            again_in, failed = self._run(key)
            with self._changed:
                self._finished(key, again_in, failed=failed)

    def _next(self) -> Key | None:
        """Waits for a migration that is due, and marks it as running; None when it is time to stop."""
        with self._changed:
            while not self._stopping:
                now = self._clock()
                while self._queue and self._queue[0][0] <= now:
                    due, _, key = heapq.heappop(self._queue)
                    entry = self._entries.get(key)
                    if entry is not None and not entry.running and entry.due == due:
                        entry.running, entry.woken = True, False
                        self._last_sign = now
                        return key
                self._changed.wait(self._queue[0][0] - now if self._queue else None)
            return None

    def _run(self, key: Key) -> tuple[float | None, bool]:
        try:
            return self._pass(key), False
        except PassingError as error:
            log.warning("the pass is put off: %s", error, extra={"migration": key})
        except Exception:
            log.exception("the pass failed", extra={"migration": key})
        return None, True

    def _finished(self, key: Key, again_in: float | None, *, failed: bool) -> None:
        entry, now, rhythm = self._entries[key], self._clock(), self._rhythm
        self._last_sign = now
        entry.running = False
        if entry.forgotten and not entry.woken:
            del self._entries[key]
            return
        if failed:
            entry.failures += 1
            entry.failed_at = now
            limit = min(rhythm.longest_backoff, rhythm.first_backoff * 2 ** min(entry.failures - 1, 20))
            wait = limit * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        else:
            entry.failures = 0
            wait = max(rhythm.least, min(rhythm.resync, rhythm.resync if again_in is None else again_in))
        due = now + wait
        if entry.woken:
            due = min(due, max(self._soonest(entry, now), now + rhythm.least))
        self._set_due(key, entry, due)
