"""One file, wherever it lies, and what a store of files can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

#: Bytes that are read at a time.
PIECE = 1024 * 1024

#: Why a file failed that was written to while it was read.
CHANGED = "it changed while it was read"


class ItemFailed(Exception):  # noqa: N818 - an outcome: the others go on
    """One file cannot be read or written. ``passing``: another attempt may end better."""

    def __init__(self, cause: str, *, passing: bool = False) -> None:
        super().__init__(cause)
        self.cause = cause
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Item:
    """``path``: below the root, without a slash before it. ``stamp`` changes when the content does."""

    path: str
    size: int
    stamp: str
    modified_ns: int = 0
    md5: str = ""
    """What may be the MD5 of the content, in hexadecimal: some servers put other things there, so that only equality
    says something. Empty where nothing is known."""
    copy_of: str = ""
    """The stamp of what it is a copy of, where a migration wrote it."""
    migration: str = ""
    """The UID of the migration that wrote it."""


class Reading(Protocol):
    """An open file."""

    def read(self, size: int, /) -> bytes: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """What a bucket keeps beside the content, to be kept by the next one; names in small letters."""


class Place(Protocol):
    """A store of files that is open. For several threads, but for :meth:`items`."""

    side: str
    name: str
    """For people: ``s3 mlflow/artifacts at https://minio:9000``."""

    def check(self) -> None:
        """Raises ``Refusal`` where nothing can be done with it at all."""

    def items(self, below: str = "") -> Iterator[Item]:
        """Every file below a directory, in no order; what is no file is told by :meth:`left`."""

    def left(self) -> Mapping[str, str]:
        """What :meth:`items` met and no store can take, with the cause; :data:`MOST_LEFT` at most."""

    def holds_anything(self) -> bool: ...

    def look(self, path: str) -> Item | None: ...

    def reading(self, item: Item) -> AbstractContextManager[Reading]:
        """Raises ``ItemFailed``, ``Refusal``."""

    def write(self, path: str, item: Item, content: Reading) -> None:
        """Writes ``item.size`` bytes, so that there is all of it or nothing. Raises as :meth:`reading`."""

    def remove(self, path: str) -> None: ...

    def finish(self) -> None:
        """Returns when all that was written would survive the loss of power."""

    def close(self) -> None: ...


MOST_LEFT = 10_000


@dataclass
class Left:
    """What was met and cannot be taken: counted all, named up to a bound."""

    count: int = 0
    names: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, cause: str) -> None:
        self.count += 1
        if len(self.names) < MOST_LEFT:
            self.names[name] = cause
