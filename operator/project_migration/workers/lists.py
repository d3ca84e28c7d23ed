"""Names of what failed, changed, is missing and the like: some for the record, all of them in the workspace.

A list is ``lists/<step>-<unit>-<kind>.txt``: one escaped name a line, and after a tab the cause where there is one.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from project_migration.model.records import NAMES_LIMIT
from project_migration.workers.printable import escape, shorten

KINDS = (
    "failed",
    "changed",
    "vanished",
    "notPreserved",
    "skipped",
    "extra",
    "unreadable",
    "missing",
    "different",
    "privilegesDropped",
    "unmapped",
    "pausedJobs",
    "stoppedApplications",
    "renamed",
    "usersLeft",
    "projectsWithoutFiles",
    "failedChecks",
    "kept",
)


class NameLists:
    def __init__(self, workspace: Path, stem: str) -> None:
        self._workspace = workspace
        self._stem = stem
        self._files: dict[str, TextIO] = {}
        self._first: dict[str, list[str]] = {}
        self._causes: dict[str, list[str]] = {}
        self._prefix = ""
        self.counts: Counter[str] = Counter()
        for kind in KINDS:  # those of an earlier attempt
            self._path(kind).unlink(missing_ok=True)

    @contextmanager
    def below(self, prefix: str) -> Iterator[None]:
        """Names that are added meanwhile are those of a part of the tree: ``1/``."""
        before, self._prefix = self._prefix, prefix
        try:
            yield
        finally:
            self._prefix = before

    def add(self, kind: str, name: str, cause: str = "") -> None:
        text = escape(f"{self._prefix}{name}") or "."
        self.counts[kind] += 1
        first = self._first.setdefault(kind, [])
        if len(first) < NAMES_LIMIT:
            first.append(shorten(text))
            self._causes.setdefault(kind, []).append(cause)
        self._file(kind).write(f"{text}\t{cause}\n" if cause else f"{text}\n")

    def _file(self, kind: str) -> TextIO:
        if kind not in self._files:
            path = self._path(kind)
            path.parent.mkdir(exist_ok=True)
            self._files[kind] = path.open("w", encoding="utf-8")
        return self._files[kind]

    def _path(self, kind: str) -> Path:
        return self._workspace / "lists" / f"{self._stem}-{kind}.txt"

    def close(self) -> None:
        """Flushed to the disk: a record points at them."""
        for stream in self._files.values():
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()

    @property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        return {kind: tuple(found) for kind, found in self._first.items()}

    @property
    def paths(self) -> Mapping[str, str]:
        """Whole lists by kind, below the workspace."""
        return {kind: str(self._path(kind).relative_to(self._workspace)) for kind in self._files}

    def say(self, kind: str, limit: int = 3) -> str:
        """The first few names with their causes, for a message."""
        found = list(zip(self._first.get(kind, ()), self._causes.get(kind, ()), strict=True))[:limit]
        said = ", ".join(f"{name} ({cause})" if cause else name for name, cause in found)
        return f"{said}, …" if self.counts[kind] > limit else said
