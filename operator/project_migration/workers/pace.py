"""A limit of bytes a second, shared by all processes and lanes of one helper."""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
import time
from struct import Struct

_TIME = Struct("<d")

#: At most so many bytes pass between two looks at the clock.
GRAIN = 256 * 1024


class Pace:
    """Made before the processes fork: the time at which the next bytes may go lies in memory that they share."""

    def __init__(self, bytes_per_second: int | None) -> None:
        self.limit = bytes_per_second
        self._threads = threading.Lock()
        if bytes_per_second:
            # a lock between processes that needs no directory to lie in
            self._lock = os.memfd_create("pace")
            self._shared = mmap.mmap(-1, mmap.PAGESIZE)

    def take(self, size: int) -> None:
        """Waits until ``size`` more bytes may go."""
        if not self.limit or not size:
            return
        with self._threads:
            fcntl.lockf(self._lock, fcntl.LOCK_EX)
            try:
                now = time.monotonic()
                start = max(now, _TIME.unpack_from(self._shared, 0)[0])
                _TIME.pack_into(self._shared, 0, start + size / self.limit)
            finally:
                fcntl.lockf(self._lock, fcntl.LOCK_UN)
        if start > now:
            time.sleep(start - now)
