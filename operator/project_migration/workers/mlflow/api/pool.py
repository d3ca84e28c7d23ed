"""A bounded pool of threads: the servers do the work, and a thread only waits for one of them.

The threads are daemons: a helper that is told to end does not wait for an answer that may take minutes.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

Task = Callable[[], None]


class Pool:
    """``submit`` waits while as many tasks as threads are waiting; an error of a task ends the whole."""

    def __init__(self, threads: int) -> None:
        self._tasks: queue.Queue[Task | None] = queue.Queue(maxsize=threads)
        self._error: BaseException | None = None
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[..., None], *arguments: Any) -> None:
        self._raise()
        self._tasks.put(lambda: work(*arguments))

    def drain(self) -> None:
        """Waits until all is done, and raises what went wrong."""
        self._tasks.join()
        self._raise()

    def close(self) -> None:
        self._error = self._error or RuntimeError("closed")  # what still waits is not begun
        for _ in self._threads:
            self._tasks.put(None)

    def _run(self) -> None:
        while True:
            task = self._tasks.get()
            try:
                if task is None:
                    return
                if self._error is None:
                    task()
            except BaseException as error:
                self._error = self._error or error
            finally:
                self._tasks.task_done()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
