"""What the coordinator of a copy and its lanes say to each other: tasks, notes and counts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from project_migration.workers.crew import Wire
from project_migration.workers.filters import Selection
from project_migration.workers.ownership import Capability, Ownership


class Count(IntEnum):
    """Indexes of a lane's counts. Each entry that is listed gets exactly one of the verdicts."""

    ENTRIES = 0
    # by type, of entries that are taken
    FILES = 1
    DIRECTORIES = 2
    SYMLINKS = 3
    SPECIALS = 4
    SOCKETS = 5
    # verdicts
    COPIED = 6
    ALREADY_THERE = 7
    METADATA_FIXED = 8
    EXCLUDED = 9
    SKIPPED = 10
    FAILED = 11
    CHANGED = 12
    VANISHED = 13
    NOT_PRESERVED = 14
    # besides
    HARD_LINKS = 15
    BYTES = 16
    BYTES_COPIED = 17
    EXTRA = 18
    DELETED = 19
    REPLACED = 20
    OWNED = 21
    PRIVILEGES_DROPPED = 22
    NOT_DELETED = 24
    # progress, in bytes: what streamed by, also of files that failed in the end
    STREAMED = 23

    @property
    def label(self) -> str:
        """As it is called in a record: ``alreadyThere``."""
        first, *rest = self.name.lower().split("_")
        return first + "".join(word.capitalize() for word in rest)


TYPES = (Count.FILES, Count.DIRECTORIES, Count.SYMLINKS, Count.SPECIALS, Count.SOCKETS)
VERDICTS = (
    Count.COPIED,
    Count.ALREADY_THERE,
    Count.METADATA_FIXED,
    Count.EXCLUDED,
    Count.SKIPPED,
    Count.FAILED,
    Count.CHANGED,
    Count.VANISHED,
    Count.NOT_PRESERVED,
)


class Kind(IntEnum):
    """Types of entries as a directory lists them."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2
    OTHER = 3


class Flag:
    """Bits that say what is known of a target directory. Plain integers: they travel, and are asked for every file."""

    NONE = 0
    FRESH = 1  # we just made it, so it is empty
    STAGED = 2  # it lies in a directory that is not shown yet: files are written in place
    TENTATIVE = 4  # the filter does not take it: it is made once something below it is taken
    CLEAN = 8  # what is made in it inherits no ACL
    LARGE = 16  # it has too many entries to keep their names in memory
    MADE = 32  # it was not there before
    NEEDED = 64  # the filter does not take it, but something below it


class Directory(NamedTuple):
    """Copy one directory's entries. ``target`` is where it lies now, staged parts included."""

    source: str
    target: str
    flags: int
    shown: str = ""
    """The name that it gets in the end, where it is staged itself."""
    tentative: int = 0
    """How many directories, it and those above it, the filter does not take by themselves."""


class Names(NamedTuple):
    """Copy some entries of a directory that another lane listed: name, kind and the filter's verdict each."""

    source: str
    target: str
    flags: int
    tentative: int
    names: tuple[tuple[str, int, int], ...]


class Large(NamedTuple):
    """Copy one large file."""

    source: str
    target: str
    flags: int
    name: str


Member = tuple[str, str, int, str]
"""One name of a file that has several: source and target directory, the latter's flags, the name."""


class Links(NamedTuple):
    """Copy one file with all its names."""

    members: tuple[Member, ...]


class Late(NamedTuple):
    """Give a directory its attributes, after all below it, and show it under its final name if it was staged."""

    source: str
    target: str
    flags: int
    shown: str
    mtime: int
    ctime: int
    """The source directory's times in nanoseconds when it was listed; 0 where they do not matter."""


class Remove(NamedTuple):
    """Remove a directory of the target: an extra one as far as the filter takes it, a left-over one wholly."""

    directory: str
    name: str
    path: str
    extra: bool


class LinkNote(NamedTuple):
    device: int
    inode: int
    member: Member


class LateNote(NamedTuple):
    """The fields of a :class:`Late` to come."""

    late: tuple[str, str, int, str, int, int]


class Named(NamedTuple):
    kind: str
    name: str
    cause: str
    number: int
    """The errno, 0 where there is none."""


class Ending(NamedTuple):
    """Nothing more can be written."""

    reason: str
    message: str


WIRE = Wire(Directory, Names, Large, Links, Late, Remove, LinkNote, LateNote, Named, Ending)


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for the whole copy, known to every lane."""

    selection: Selection
    ownership: Ownership
    capabilities: frozenset[Capability]
    prefix: str
    """What temporary names of this migration begin with."""
    delete: bool
    skip_specials: bool
    compare_content: bool
    granularity: int
    """Nanoseconds to which the target's file system cuts times."""
    source_root: tuple[int, int]
    target_root: tuple[int, int]
    """Device and inode of each, which the other must not hold."""

    def same_time(self, source: int, target: int) -> bool:
        return source == target or source // self.granularity == target // self.granularity
