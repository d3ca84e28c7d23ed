"""How far a helper is: files that are done, and what has passed of those that are under way."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from project_migration.model.records import Progress
from project_migration.workers.harness import Job
from project_migration.workers.params import Effort

Told = Callable[[int], None]


class Meter:
    """For several threads. ``counts`` has at least ``files`` and ``bytes``."""

    def __init__(self, job: Job, expected: Effort) -> None:
        self._job = job
        self._expected = expected
        self._lock = threading.Lock()
        self._under_way = 0
        self.counts: Counter[str] = Counter()

    def count(self, **more: int) -> None:
        with self._lock:
            self.counts.update(more)
            self._tell()

    @contextmanager
    def under_way(self, *, readings: int = 1) -> Iterator[Told]:
        """One file: its bytes count as they pass, until it counts as a whole or has failed. ``readings``: how often
        each passes."""
        passed = 0

        def told(size: int) -> None:
            nonlocal passed
            with self._lock:
                passed += size // readings
                self._under_way += size // readings
                self._tell()

        try:
            yield told
        finally:
            with self._lock:
                self._under_way -= passed

    def _tell(self) -> None:
        done, files = self.counts["bytes"] + self._under_way, self.counts["files"]
        total = max(done, self._expected.expected_bytes), max(files, self._expected.expected_entries)
        self._job.tell(Progress(done, total[0], files, total[1]))
