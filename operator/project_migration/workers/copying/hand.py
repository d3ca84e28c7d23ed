"""What one lane of a copy does with a task."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from project_migration.workers import attributes
from project_migration.workers.copying.content import Content
from project_migration.workers.copying.extras import Extras
from project_migration.workers.copying.finishing import Finisher
from project_migration.workers.copying.links import LinkPlacer
from project_migration.workers.copying.placing import Place, Placer, Trouble, lstat, source_trouble
from project_migration.workers.copying.plan import (
    Count,
    Directory,
    Ending,
    Flag,
    Kind,
    Large,
    Late,
    LateNote,
    Links,
    Names,
    Remove,
    Settings,
)
from project_migration.workers.copying.swift import Swift
from project_migration.workers.crew import Outbox
from project_migration.workers.filters import Verdict
from project_migration.workers.pace import Pace
from project_migration.workers.reasons import PATHS_OVERLAP
from project_migration.workers.reserved import is_reserved, staged_name
from project_migration.workers.tree import Tree, join, split

#: A directory with more entries is dealt out in pieces, and its names are not kept in memory.
LARGE_DIRECTORY = 50_000

#: Entries of such a piece.
PIECE = 2_000

#: Entries between two looks at whether others are idle, and at progress.
BREATHS = 8

#: Files that are open and on their way from the disk at once, in a lane.
AHEAD = 32

_FILE, _DIRECTORY, _TAKE = int(Kind.FILE), int(Kind.DIRECTORY), int(Verdict.TAKE)

#: A piece of work with fewer entries is not divided among idle lanes.
DIVISIBLE = 48

Entry = tuple[str, int, int]
"""Name, kind, and the filter's verdict."""

#: By kind.
_TYPES = (Count.FILES, Count.DIRECTORIES, Count.SYMLINKS, Count.SPECIALS)


class CopyHand:
    """``source`` and ``target`` are descriptors of the roots."""

    def __init__(self, settings: Settings, source: int, target: int, pace: Pace, outbox: Outbox) -> None:
        self._settings = settings
        self._outbox = outbox
        self._counts = outbox.counts
        self._source = Tree(source, read_only=True)
        self._target = Tree(target, read_only=False)
        self._placer = Placer(settings, outbox, Content(pace, self._streamed))
        self._swift = Swift(settings, outbox)
        self._is_paced = bool(pace.limit)
        self._links = LinkPlacer(settings, outbox, self._placer, self._place_again)
        self._extras = Extras(settings, outbox, self._placer)
        self._finisher = Finisher(settings, outbox, self._placer, self._extras, self._source, self._target)

    def run(self, task: NamedTuple) -> None:
        match task:
            case Directory():
                self._directory(task)
            case Names():
                self._piece(task)
            case Large():
                self._large(task)
            case Links():
                self._links.place(task.members)
            case Late():
                self._finisher.finish_late(task)
            case Remove():
                self._extras.remove(self._target, task)
            case _:
                raise TypeError(f"no task of a copy: {task!r}")

    def _streamed(self, count: int) -> None:
        self._counts[Count.STREAMED] += count
        self._outbox.breathe()

    def _from(self, path: str) -> int:
        """A source directory. Raises :class:`Trouble`."""
        try:
            return self._source.directory(path)
        except OSError as error:
            raise source_trouble(error) from error

    def _place_again(self, source: str, target: str, flags: int) -> Place:
        """For what was put off. Raises :class:`Trouble`, and ``OSError`` of the target."""
        from_fd = self._from(source)
        to_fd = self._target.directory(target)
        # it may have come to hold something since it was listed, this very name included
        return self._made_place(source, target, from_fd, to_fd, flags & ~Flag.FRESH, None, deferred=True)

    def _made_place(
        self,
        source: str,
        target: str,
        from_fd: int,
        to_fd: int,
        flags: int,
        existing: dict[str, bool] | None,
        *,
        deferred: bool = False,
    ) -> Place:
        inherits = not flags & Flag.CLEAN and attributes.DEFAULT_ACL in attributes.read(to_fd)
        return Place(source, target, from_fd, to_fd, flags, existing, deferred=deferred, inherits_acl=inherits)

    def _large(self, task: Large) -> None:
        path = join(task.source, task.name)
        try:
            place = self._place_again(task.source, task.target, task.flags)
        except Trouble as trouble:
            self._placer.give(trouble.verdict, path, trouble.cause, trouble.number)
        except OSError as error:
            self._placer.target_trouble(path, error)
        else:
            self._placer.place(place, task.name, Kind.FILE)

    # ---- a directory

    def _directory(self, task: Directory) -> None:
        try:
            from_fd = self._source.directory(task.source)
            listed = os.fstat(from_fd)
            if (listed.st_dev, listed.st_ino) == self._settings.target_root:
                self._outbox.note(Ending(PATHS_OVERLAP, f"{task.source or '.'}: the target lies inside the source"))
            pieces = self._listing(from_fd, task.source)
            first = next(pieces, [])
            second = next(pieces, None)
            if second is not None:
                self._deal_out(task, listed, [first, second], pieces)
        except OSError as error:
            if not task.flags & Flag.TENTATIVE:
                trouble = source_trouble(error)
                self._placer.give(trouble.verdict, task.source, trouble.cause, trouble.number)
            return
        if second is None:
            self._small(task, from_fd, listed, first)

    def _listing(self, from_fd: int, path: str) -> Iterator[list[Entry]]:
        """The source's entries, in one piece unless there are many."""
        selection = self._settings.selection
        entries: list[Entry] = []
        limit = LARGE_DIRECTORY
        with os.scandir(from_fd) as found:
            for entry in found:
                name = entry.name
                if is_reserved(name, at_root=not path):
                    continue
                kind = _kind(entry)
                verdict = Verdict.TAKE
                if not selection.takes_all:
                    verdict = selection.judge(join(path, name), kind is Kind.DIRECTORY)
                entries.append((name, int(kind), int(verdict)))
                if len(entries) >= limit:
                    yield entries
                    entries, limit = [], PIECE
        if entries:
            yield entries

    def _count(self, entries: Sequence[Entry]) -> None:
        counts = self._counts
        counts[Count.ENTRIES] += len(entries)
        for _, kind, verdict in entries:
            counts[_TYPES[kind] if verdict == Verdict.TAKE else Count.EXCLUDED] += 1

    def _small(self, task: Directory, from_fd: int, listed: os.stat_result, entries: list[Entry]) -> None:
        self._count(entries)
        if task.flags & Flag.TENTATIVE and not _takes_any(entries):
            self._pass_through(task, entries)
            self._extras_of_passed(task, from_fd, entries)
            return
        try:
            to_fd = self._open_target(task)
            existing = {} if task.flags & Flag.FRESH else _names(to_fd)
            flags = self._cleaned(task, to_fd)
            place = self._made_place(task.source, task.target, from_fd, to_fd, flags, existing)
        except OSError as error:
            self._placer.target_trouble(task.source, error)
            self._give_up(task.source, entries, error)
            return
        staged = self._entries(place, entries, task.tentative)
        if existing:
            place.late |= self._extras.find(place, {name for name, _, _ in entries}, staged)
        self._finisher.finish(task, place, listed)

    def _give_up(self, directory: str, entries: Sequence[Entry], error: OSError) -> None:
        """The target directory cannot be used: nothing that should go there is copied."""
        for name, _, verdict in entries:
            if verdict == Verdict.TAKE:
                self._placer.target_trouble(join(directory, name), error)

    def _pass_through(self, task: Directory | Names, entries: Sequence[Entry]) -> None:
        """Nothing here is taken, but something below may be."""
        for name, kind, verdict in entries:
            if kind == Kind.DIRECTORY and verdict == Verdict.ENTER:
                self._enter(task.source, task.target, task.flags & Flag.STAGED, name, task.tentative)

    def _extras_of_passed(self, task: Directory, from_fd: int, entries: Sequence[Entry]) -> None:
        with contextlib.suppress(OSError):  # the target has no such directory, and needs none
            to_fd = self._target.directory(task.target)
            place = Place(task.source, task.target, from_fd, to_fd, task.flags, _names(to_fd))
            self._extras.find(place, {name for name, _, _ in entries}, frozenset())

    def _enter(self, source: str, target: str, flags: int, name: str, tentative: int) -> None:
        flags = flags & Flag.STAGED | Flag.TENTATIVE
        self._outbox.give(Directory(join(source, name), join(target, name), flags, "", tentative + 1))

    def _deal_out(
        self, task: Directory, listed: os.stat_result, first: list[list[Entry]], rest: Iterator[list[Entry]]
    ) -> None:
        """A large directory: its pieces are tasks, and it is finished when all of them are done."""
        for entries in itertools.chain(first, rest):
            self._count(entries)
            for start in range(0, len(entries), PIECE):
                piece = tuple(entries[start : start + PIECE])
                self._outbox.give(Names(task.source, task.target, task.flags, task.tentative, piece))
            self._outbox.breathe()
        self._finisher.put_off(task, listed, Flag.LARGE)

    def _piece(self, task: Names) -> None:
        if task.flags & Flag.TENTATIVE and not _takes_any(task.names):
            self._pass_through(task, task.names)
            return
        try:
            from_fd = self._from(task.source)
            to_fd = self._open_target(task)
            place = self._made_place(task.source, task.target, from_fd, to_fd, task.flags, None)
        except Trouble as trouble:
            for name, _, verdict in task.names:
                if verdict == Verdict.TAKE:
                    self._placer.give(trouble.verdict, join(task.source, name), trouble.cause, trouble.number)
        except OSError as error:
            self._give_up(task.source, task.names, error)
        else:
            self._entries(place, task.names, task.tentative)

    def _open_target(self, task: Directory | Names) -> int:
        """The target directory; one that the filter does not take by itself is made now that it is needed."""
        if not task.flags & Flag.TENTATIVE:
            return self._target.directory(task.target)
        source, target = task.source, task.target
        chain = []
        for _ in range(task.tentative):
            chain.append((source, target))
            source, target = split(source)[0], split(target)[0]
        descriptor = self._target.directory(target)
        for source, target in reversed(chain):
            made = self._make(descriptor, split(target)[1])
            descriptor = self._target.directory(target)
            flags = Flag.TENTATIVE | Flag.NEEDED | (Flag.MADE if made else Flag.NONE)
            self._outbox.note(LateNote((source, target, flags, "", 0, 0)))
        return descriptor

    def _make(self, parent: int, name: str) -> bool:
        """Whether the directory was made; something of another type in its place is replaced."""
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            there = lstat(parent, name)
            if there is not None and stat.S_ISDIR(there.st_mode):
                return False
            os.unlink(name, dir_fd=parent)
            os.mkdir(name, 0o700, dir_fd=parent)
        return True

    def _cleaned(self, task: Directory, to_fd: int) -> int:
        """A directory that was just made may have inherited an ACL, which its files would inherit in turn."""
        if task.flags & Flag.FRESH and not task.flags & Flag.CLEAN:
            if attributes.DEFAULT_ACL in attributes.read(to_fd):
                os.removexattr(to_fd, attributes.DEFAULT_ACL)
            return task.flags | Flag.CLEAN
        return task.flags

    # ---- its entries

    def _entries(self, place: Place, entries: Sequence[Entry], tentative: int) -> frozenset[str]:
        """Places what is taken. Returns the names under which directories are staged here."""
        directories = []
        swift = self._way(place)
        ahead = swift is not None and bool(place.flags & Flag.FRESH)
        for number, (name, kind, verdict) in enumerate(entries):
            if ahead and number % AHEAD == 0:
                self._read_ahead(place, entries[number : number + AHEAD])
            if kind == _DIRECTORY:
                directories.append((name, verdict))
            elif verdict == _TAKE and not (swift is not None and kind == _FILE and swift(place, name)):
                self._placer.place(place, name, kind)
            if number % BREATHS:
                continue
            self._outbox.breathe()
            if self._outbox.others_idle and len(entries) - number > DIVISIBLE:
                self._swift.forget()
                middle = number + 1 + (len(entries) - number) // 2
                flags = place.flags
                self._outbox.give(Names(place.source, place.target, flags, tentative, tuple(entries[middle:])))
                place.late = True
                rest = self._entries(place, entries[number + 1 : middle], tentative)
                elsewhere = self._staged_elsewhere(place, entries[middle:])
                return rest | elsewhere | self._descend(place, directories, tentative)
        self._swift.forget()
        return self._descend(place, directories, tentative)

    def _read_ahead(self, place: Place, entries: Sequence[Entry]) -> None:
        taken = (name for name, kind, verdict in entries if kind == _FILE and verdict == _TAKE)
        self._swift.read_ahead(place, taken)

    def _way(self, place: Place) -> Callable[[Place, str], bool] | None:
        """How to try a plain file first, if any way is quicker here."""
        if place.flags & Flag.FRESH:
            return None if place.inherits_acl or self._is_paced else self._swift.copy
        return None if self._settings.compare_content else self._swift.is_there

    def _staged_elsewhere(self, place: Place, entries: Sequence[Entry]) -> frozenset[str]:
        """The names under which another lane will go on with directories: what an earlier run left is not left over."""
        there = place.existing or {}
        return frozenset(
            staged_name(self._settings.prefix, name)
            for name, kind, verdict in entries
            if kind == Kind.DIRECTORY and verdict == Verdict.TAKE and not there.get(name)
        )

    def _descend(self, place: Place, directories: list[tuple[str, int]], tentative: int) -> frozenset[str]:
        staged = set()
        for name, verdict in directories:
            if verdict == Verdict.ENTER:
                self._enter(place.source, place.target, place.flags, name, tentative)
                place.late = True
            elif verdict == Verdict.TAKE:
                try:
                    staged.add(self._placer.attempt(place, partial(self._into, place, name)))
                except OSError as error:
                    self._placer.target_trouble(join(place.source, name), error)
        return frozenset(staged)

    def _into(self, place: Place, name: str) -> str:
        """Gives the task for a directory whose place on the target exists now. Returns its staged name, or none."""
        there = lstat(place.to_fd, name) if place.may_hold(name) else None
        is_there = there is not None and stat.S_ISDIR(there.st_mode)
        fresh = Flag.FRESH | Flag.STAGED | Flag.MADE | (Flag.NONE if place.inherits_acl else Flag.CLEAN)
        source = join(place.source, name)
        if is_there:
            self._outbox.give(Directory(source, join(place.target, name), place.flags & Flag.STAGED))
            return ""
        if place.direct:
            if there is not None:
                self._placer.clear(place, name, there)
            os.mkdir(name, 0o700, dir_fd=place.to_fd)
            self._outbox.give(Directory(source, join(place.target, name), fresh))
            return ""
        # not shown before it is whole; what an earlier run began is gone on with
        staged = staged_name(self._settings.prefix, name)
        made = self._make(place.to_fd, staged)
        flags = fresh if made else Flag.STAGED | Flag.MADE
        self._outbox.give(Directory(source, join(place.target, staged), flags, name))
        place.late = True
        return staged


def _kind(entry: os.DirEntry[str]) -> Kind:
    """From the listing itself on most file systems."""
    if entry.is_file(follow_symlinks=False):
        return Kind.FILE
    if entry.is_dir(follow_symlinks=False):
        return Kind.DIRECTORY
    return Kind.SYMLINK if entry.is_symlink() else Kind.OTHER


def _names(descriptor: int) -> dict[str, bool]:
    with os.scandir(descriptor) as entries:
        return {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}


def _takes_any(entries: Sequence[Entry]) -> bool:
    return any(verdict == Verdict.TAKE for _, _, verdict in entries)
