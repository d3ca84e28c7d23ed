"""The params of a request, read strictly: a wrong one is named before anything is looked at."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from project_migration.workers import filters
from project_migration.workers.harness import WrongRequest
from project_migration.workers.ownership import Ownership

IGNORE_FILE = ".exportignore"
MOST_WORKERS = 64


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard a worker may try, and what it may expect; nothing of it changes the outcome."""

    workers: int
    """Processes at most."""
    bandwidth: int | None
    """Bytes a second."""
    expected_bytes: int
    expected_entries: int
    """Totals for progress until more is found."""


@dataclass(frozen=True, slots=True)
class Proved:
    """What an earlier proof left: the path of its list, below the workspace, and the digest of that."""

    manifest: str
    digest: str


@dataclass(frozen=True, slots=True)
class Params:
    """A view of ``request.params`` whose readers raise :class:`WrongRequest` naming the param."""

    data: Mapping[str, Any]

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.data.get(name, default)
        if not isinstance(value, bool):
            raise WrongRequest(f"params.{name} is not true or false")
        return value

    def number(self, name: str, default: int, least: int = 0) -> int:
        value = self.data.get(name)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise WrongRequest(f"params.{name} is not a whole number of at least {least}")
        return value

    def numbers(self, name: str) -> dict[str, int]:
        """A mapping to whole numbers; empty when left out."""
        value = self.data.get(name) or {}
        if not isinstance(value, dict) or not all(isinstance(number, int) for number in value.values()):
            raise WrongRequest(f"params.{name} is not a mapping to whole numbers")
        return value

    def choice(self, name: str, among: Sequence[str]) -> str:
        """One of ``among``; the first is the default."""
        value = self.data.get(name, among[0])
        if value not in among:
            raise WrongRequest(f"params.{name} is none of {', '.join(among)}")
        return str(value)

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.data.get(name) or []
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise WrongRequest(f"params.{name} is not a list of texts")
        return tuple(value)

    def proved(self, name: str) -> Proved | None:
        """None when it is left out."""
        value = self.data.get(name)
        if value is None:
            return None
        given = value if isinstance(value, dict) else {}
        manifest, digest = (str(given.get(key) or "") for key in ("manifest", "digest"))
        if not manifest or not digest or os.path.isabs(manifest) or ".." in manifest.split("/"):
            raise WrongRequest(f"params.{name} does not name a manifest below the workspace, and its digest")
        return Proved(manifest, digest)

    @property
    def ownership(self) -> Ownership:
        try:
            return Ownership.from_params(self.data.get("ownership") or {})
        except ValueError as error:
            raise WrongRequest(f"params.ownership: {error}") from error

    @property
    def effort(self) -> Effort:
        return Effort(
            workers=min(MOST_WORKERS, self.number("workers", max(2, len(os.sched_getaffinity(0))), least=1)),
            bandwidth=self.number("bandwidth", 0) or None,
            expected_bytes=self.number("expectedBytes", 0),
            expected_entries=self.number("expectedEntries", 0),
        )

    def selection(self, root: int | None) -> filters.Selection:
        """The filter, with the ignore file of the tree whose root is given as a descriptor."""
        name = self.data.get("ignoreFile", "")
        if not isinstance(name, str) or "/" in name:
            raise WrongRequest("params.ignoreFile is not the name of a file in the root")
        try:
            ignored = filters.ignore_lines(root, name) if root is not None else ()
            return filters.selection(self.texts("include"), self.texts("exclude"), ignored)
        except ValueError as error:
            raise WrongRequest(f"params: {error}") from error
