"""What the coordinator of a proof and its lanes say to each other: tasks, notes and counts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NamedTuple

from project_migration.workers.crew import Wire
from project_migration.workers.filters import Selection
from project_migration.workers.proving.rows import Expectation


class Count(IntEnum):
    """Indexes of a lane's counts."""

    ENTRIES = 0
    FILES = 1
    DIRECTORIES = 2
    SYMLINKS = 3
    SPECIALS = 4
    BYTES = 5
    EXCLUDED = 6
    SKIPPED = 7
    # verdicts on entries
    VERIFIED = 8
    MISSING = 9
    DIFFERENT = 10
    CHANGED = 11
    FAILED = 12
    # besides
    EXTRA = 13
    TIMES_ROUNDED = 14
    READ = 15  # bytes, on either side

    @property
    def label(self) -> str:
        first, *rest = self.name.lower().split("_")
        return first + "".join(word.capitalize() for word in rest)


VERDICTS = (Count.VERIFIED, Count.MISSING, Count.DIFFERENT, Count.CHANGED, Count.FAILED)


class Side(IntFlag):
    SOURCE = 1
    TARGET = 2
    BOTH = 3


class Part(NamedTuple):
    """Prove the entries of a directory whose names are at least ``first`` and below ``last``.

    ``last`` empty: to the end. ``sides`` are those on which the directory is. ``tentative``: how many directories,
    it and those above it, the filter does not take by themselves.
    """

    path: str
    sides: int
    first: str = ""
    last: str = ""
    tentative: int = 0
    told: bool = False
    """Whether the directory's own verdict was given already."""


class One(NamedTuple):
    """Prove one large file."""

    path: str
    sides: int
    name: str


class Itself(NamedTuple):
    """Prove a directory itself that the filter does not take, but something below it."""

    path: str


class Block(NamedTuple):
    """Rows that a lane wrote to a file of its own: where they are, and where they belong."""

    side: int
    path: str
    first: str
    file: str
    offset: int
    length: int
    rows: int


class LinkSeen(NamedTuple):
    side: int
    device: int
    inode: int
    path: str


class Needed(NamedTuple):
    path: str


class Named(NamedTuple):
    kind: str
    name: str
    cause: str


WIRE = Wire(Part, One, Itself, Block, LinkSeen, Needed, Named)


@dataclass(frozen=True, slots=True)
class Settings:
    selection: Selection
    expectation: Expectation
    roots: dict[Side, int]
    """Descriptors of the sides that are read."""
    skip_specials: bool
    delete: bool
    """Whether what the target holds beyond the source is a fault."""
    scratch: str

    @property
    def sides(self) -> Side:
        both = Side(0)
        for side in self.roots:
            both |= side
        return both
