"""A stack of tasks that keeps its bulk in a file: a directory may hold millions of others."""

from __future__ import annotations

import marshal
import tempfile
from pathlib import Path
from typing import Any

Task = tuple[Any, ...]


class SpillStack:
    """Last in, first out, so that a tree is walked depth first and little waits at a time."""

    def __init__(self, directory: Path, limit: int = 40_000) -> None:
        self._directory = directory
        self._limit = limit
        self._held: list[Task] = []
        self._file: Any = None
        self._segments: list[tuple[int, int]] = []
        """Offset and number of tasks of each segment in the file, the last one on top."""

    def __len__(self) -> int:
        return len(self._held) + sum(count for _, count in self._segments)

    def __bool__(self) -> bool:
        return bool(self._held or self._segments)

    def push(self, task: Task) -> None:
        self._held.append(task)
        if len(self._held) > self._limit:
            self._spill()

    def pop(self) -> Task:
        """Raises ``IndexError`` when nothing is left."""
        if not self._held and self._segments:
            self._load()
        return self._held.pop()

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 - lives as long as the stack
        half = self._limit // 2
        bottom, self._held = self._held[:half], self._held[half:]
        offset = self._file.seek(0, 2)
        self._file.write(marshal.dumps(bottom))
        self._segments.append((offset, half))

    def _load(self) -> None:
        offset, _ = self._segments.pop()
        self._file.seek(offset)
        self._held = marshal.loads(self._file.read())  # noqa: S302 - our own file, without a name
        self._file.truncate(offset)
