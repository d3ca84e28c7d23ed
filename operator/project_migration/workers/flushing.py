"""Brings to the disk what was written, while more is being written."""

from __future__ import annotations

import threading
from types import TracebackType

from project_migration.workers.roots import sync

#: Seconds between the end of one flush and the begin of the next.
PAUSE = 0.25


class Flusher:
    """Use as a context manager around the writing; on leaving it in good order, everything is on the disk.

    The kernel by itself begins to write when a tenth of the memory waits for it, so that a copy would be followed
    by a wait for the disk that did nothing before. Started after processes were forked, because it is a thread.
    Leaving raises the ``OSError`` of any flush: the kernel tells an error of writing to a descriptor only once.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._error: OSError | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flusher", daemon=True)

    def _run(self) -> None:
        while self._error is None and not self._over.wait(PAUSE):
            try:
                sync(self._root)
            except OSError as error:
                self._error = error

    def __enter__(self) -> Flusher:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        if error is not None:  # who ends a copy does not wait for a disk
            return
        self._thread.join()
        if self._error is not None:
            raise self._error
        sync(self._root)
