"""What the API server refused to do for a migration, kept so that the next pass can say so.

In memory only: what is decided rests on the status and on what is observed, and an operator that has forgotten this
asks again and is refused again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from project_migration.model.errors import Failure

#: A refusal is told for this long after it was last heard.
SECONDS = 300.0


class Refusals:
    """By migration (UID), then by the name of what could not be made or changed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._heard: dict[str, dict[str, tuple[float, Failure]]] = {}

    def note(self, uid: str, name: str, failure: Failure) -> None:
        with self._lock:
            self._heard.setdefault(uid, {})[name] = (self._clock(), failure)

    def clear(self, uid: str, name: str) -> None:
        with self._lock:
            self._heard.get(uid, {}).pop(name, None)

    def of(self, uid: str) -> Mapping[str, Failure]:
        oldest = self._clock() - SECONDS
        with self._lock:
            fresh = {name: found for name, found in self._heard.get(uid, {}).items() if found[0] >= oldest}
            if fresh:
                self._heard[uid] = fresh
            else:
                self._heard.pop(uid, None)
        return {name: failure for name, (_, failure) in fresh.items()}
