"""What was done, counted and named, from any thread: nothing is left out in silence."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from project_migration.model.records import Progress
from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.mlflow.api.artifacts import no_space
from project_migration.workers.mlflow.api.failures import ObjectFailed, said
from project_migration.workers.pace import Pace


class Account:
    """Counts by name; lists through the job; progress in objects and bytes."""

    def __init__(self, job: Job, pace: Pace | None = None) -> None:
        self._job = job
        self._lock = threading.Lock()
        self._pace = pace or Pace(None)
        self.counts: Counter[str] = Counter()
        self._broken: set[tuple[str, str]] = set()
        self._items = self._items_seen = self._bytes = self._bytes_seen = 0

    def count(self, name: str, number: int = 1) -> None:
        with self._lock:
            self.counts[name] += number

    def name(self, kind: str, what: str, cause: str = "") -> None:
        """Into one of the lists that the record points at."""
        with self._lock:
            self.counts[kind] += 1
            self._job.lists.add(kind, what, cause)

    def expect(self, items: int = 0, size: int = 0) -> None:
        with self._lock:
            self._items_seen += items
            self._bytes_seen += size
            self._tell()

    def finished(self, items: int = 1) -> None:
        with self._lock:
            self._items += items
            self._tell()

    def moved(self, size: int) -> None:
        self._pace.take(size)
        with self._lock:
            self._bytes += size
            self._bytes_seen = max(self._bytes_seen, self._bytes)
            self._tell()

    def _tell(self) -> None:
        self._items_seen = max(self._items_seen, self._items)
        self._job.tell(Progress(self._bytes, self._bytes_seen, self._items, self._items_seen))

    def broken(self, what: str, cause: str) -> None:
        """What a source lists and cannot give; it may be met more than once."""
        with self._lock:
            known = (what, cause) in self._broken
            self._broken.add((what, cause))
        if not known:
            self.name("failed", what, cause)

    @contextmanager
    def one(self, what: str) -> Iterator[None]:
        """Work on one object: what goes wrong with it is named, and the others go on."""
        try:
            yield
        except ObjectFailed as failure:
            self.name("failed", what, str(failure))
        except OSError as error:
            refusal = no_space(error)
            if refusal is not None:
                raise refusal from error
            self.name("failed", what, reasons.cause_of(error))
        except (KeyError, TypeError, ValueError) as error:
            # a server or a file gave something that none of the releases writes
            self.name("failed", what, f"it is not as expected: {type(error).__name__}: {said(str(error))}")
        finally:
            self.finished()
