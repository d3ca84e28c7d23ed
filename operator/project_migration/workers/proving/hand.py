"""What one lane of a proof does: it reads both sides of a directory, writes down each, and compares."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from project_migration.workers.crew import Outbox
from project_migration.workers.filters import Verdict
from project_migration.workers.proving.blocks import BlockWriter
from project_migration.workers.proving.extras import extras_below
from project_migration.workers.proving.listing import TooMany, listing
from project_migration.workers.proving.plan import Count, Itself, LinkSeen, Named, Needed, One, Part, Settings, Side
from project_migration.workers.proving.reading import Changed, Large, Reader
from project_migration.workers.proving.rows import Entry, is_known, same_moment
from project_migration.workers.reasons import cause_of
from project_migration.workers.tree import Tree, join, split

#: A part with fewer names left is not divided among idle lanes.
DIVISIBLE = 48

#: Files of each side that are open and on their way from the disk at once, in a lane.
AHEAD = 32

_TYPES = {
    stat.S_IFREG: Count.FILES,
    stat.S_IFDIR: Count.DIRECTORIES,
    stat.S_IFLNK: Count.SYMLINKS,
}


class ProofHand:
    def __init__(self, settings: Settings, outbox: Outbox) -> None:
        self._settings = settings
        self._outbox = outbox
        self._counts = outbox.counts
        self._trees = {side: Tree(root, read_only=True) for side, root in settings.roots.items()}
        self._reader = Reader(content=settings.expectation.content, told=self._read)
        self._writer = BlockWriter(settings.scratch)
        #: The side whose entries are proved: the source, unless only the target is read.
        self._reference = Side.SOURCE if Side.SOURCE in settings.roots else Side.TARGET
        self._rows: dict[Side, list[tuple[bytes, bytes]]] = {side: [] for side in settings.roots}
        self._first = ""
        self._path = ""

    def run(self, task: NamedTuple) -> None:
        match task:
            case Part():
                self._part(task)
            case One(path, sides, name):
                self._begin(path)
                directories = self._open(path, Side(sides))
                if directories is not None:
                    self._large(join(path, name), name, directories)
                self._end()
            case Itself(path):
                self._begin(path)
                directories = self._open(path, self._settings.sides)
                if directories is not None:
                    self._directory(path, directories)
                self._end()
            case _:
                raise TypeError(f"no task of a proof: {task!r}")

    def _read(self, count: int) -> None:
        self._counts[Count.READ] += count
        self._outbox.breathe()

    # ---- verdicts

    def _give(self, verdict: Count, path: str, cause: str = "") -> None:
        self._counts[Count.ENTRIES] += 1
        self._counts[verdict] += 1
        if verdict is not Count.VERIFIED:
            self._outbox.note(Named(verdict.label, path, cause))

    # ---- rows in order

    def _begin(self, path: str) -> None:
        self._path, self._first = path, ""

    def _row(self, side: Side, path: str, entry: Entry, name: str) -> None:
        if not any(self._rows.values()):
            self._first = name
        row = self._settings.expectation.row(path, entry, is_source=side is Side.SOURCE)
        self._rows[side].append(row)

    def _end(self) -> None:
        """What was written down so far is a block; the next row begins another."""
        for side, rows in self._rows.items():
            if rows:
                self._outbox.note(self._writer.write(int(side), self._path, self._first, rows))
                rows.clear()

    # ---- directories

    def _open(self, path: str, sides: Side) -> dict[Side, int] | None:
        """Descriptors by side. None when the side that counts cannot be read, which is told then."""
        found = {}
        for side in self._trees:
            if side not in sides:
                continue
            try:
                found[side] = self._trees[side].directory(path)
            except OSError as error:
                if side is self._reference:
                    self._trouble(side, path, error)
                    return None
                if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    self._outbox.note(Named("failed", path, f"{_name(side)}: {cause_of(error)}"))
                    self._counts[Count.FAILED] += 1
        return found

    def _part(self, task: Part) -> None:
        self._begin(task.path)
        directories = self._open(task.path, Side(task.sides))
        if directories is None:
            return
        reference = directories[self._reference]
        try:
            before = os.fstat(reference)
            found = listing(task.path, {int(side): fd for side, fd in directories.items()}, task.first, task.last)
        except TooMany as too_many:
            self._divide(task, too_many.at)
            return
        except OSError as error:
            self._trouble(self._reference, task.path, error)
            return
        if not task.first and not task.tentative:
            after = os.fstat(reference)
            if (before.st_mtime_ns, before.st_ctime_ns) != (after.st_mtime_ns, after.st_ctime_ns):
                self._give(Count.CHANGED, task.path, "entries came or went")
            else:
                self._directory(task.path, directories, told=task.told)
        self._names(task, directories, found)
        self._end()

    def _divide(self, task: Part, at: list[str]) -> None:
        edges = [task.first, *at, task.last]
        for first, last in itertools.pairwise(edges):
            self._outbox.give(task._replace(first=first, last=last))

    def _directory(self, path: str, directories: Mapping[Side, int], *, told: bool = False) -> None:
        try:
            entries = {side: self._reader.directory(descriptor) for side, descriptor in directories.items()}
        except OSError as error:
            self._give(Count.FAILED, path, cause_of(error))
            return
        self._compare(path, "", entries, told=told)

    def _names(self, task: Part, directories: Mapping[Side, int], found: Mapping[int, Mapping[str, bool]]) -> None:
        ordered = sorted({name for names in found.values() for name in names}, key=os.fsencode)
        needed = False
        for number, name in enumerate(ordered):
            if number % AHEAD == 0:
                self._read_ahead(task.path, directories, found, ordered[number : number + AHEAD])
            there = {side: found[side][name] for side in directories if name in found[side]}
            needed = self._one(task, directories, name, there) or needed
            self._outbox.breathe()
            left = len(ordered) - number - 1
            if self._outbox.others_idle and left > DIVISIBLE:
                cut = ordered[number + 1 + left // 2]
                self._reader.forget()
                self._outbox.give(task._replace(first=cut))
                self._need(task, needed)
                self._names(task._replace(last=cut), directories, _part_of(found, name, cut))
                return
        self._reader.forget()
        self._need(task, needed)

    def _read_ahead(
        self,
        path: str,
        directories: Mapping[Side, int],
        found: Mapping[int, Mapping[str, bool]],
        names: Sequence[str],
    ) -> None:
        """Of what is taken, and is there on the side that counts."""
        self._reader.forget()
        selection, ours = self._settings.selection, found[self._reference]
        taken = [
            name
            for name in names
            if ours.get(name) is False
            and (selection.takes_all or selection.judge(join(path, name), False) is Verdict.TAKE)
        ]
        for side, directory in directories.items():
            self._reader.read_ahead(directory, [name for name in taken if name in found[side]])

    def _need(self, task: Part, needed: bool) -> None:
        """Something in a directory is taken, so that it is part of the tree with all above it."""
        path = task.path
        for _ in range(task.tentative if needed else 0):
            self._outbox.note(Needed(path))
            path = split(path)[0]

    def _one(self, task: Part, directories: Mapping[Side, int], name: str, there: Mapping[Side, bool]) -> bool:
        """Proves one name. ``there``: by side where it is, whether it is a directory. Whether it is taken."""
        path = join(task.path, name)
        is_directory = there.get(self._reference, any(there.values()))
        verdict = self._settings.selection.judge(path, is_directory)
        if self._reference not in there:
            self._extra(path, verdict, is_directory)
            return False
        if verdict is Verdict.LEAVE:
            self._counts[Count.EXCLUDED] += 1
            return False
        if is_directory:
            self._into(task, path, verdict, there)
            return verdict is Verdict.TAKE
        self._object(path, name, {side: directories[side] for side in there})
        return True

    def _extra(self, path: str, verdict: Verdict, is_directory: bool) -> None:
        """On the target only. Where that is a fault, what the filter protects in a directory is none."""
        found = [path] if verdict is Verdict.TAKE else []
        if self._settings.delete and is_directory and verdict is not Verdict.LEAVE:
            try:
                found = list(extras_below(self._trees[Side.TARGET], path, self._settings.selection))
            except OSError as error:
                self._outbox.note(Named("failed", path, f"target: {cause_of(error)}"))
                self._counts[Count.FAILED] += 1
        for name in found:
            self._counts[Count.EXTRA] += 1
            self._outbox.note(Named("extra", name, ""))

    def _into(self, task: Part, path: str, verdict: Verdict, there: Mapping[Side, bool]) -> None:
        sides = Side(0)
        for side, is_directory in there.items():
            sides |= side if is_directory else Side(0)
        tentative = task.tentative + 1 if verdict is Verdict.ENTER else 0
        other_type = sides != self._settings.sides and len(there) == len(self._settings.roots)
        if other_type and not tentative:
            self._count_type(stat.S_IFDIR)
            self._give(Count.DIFFERENT, path, "type")
        self._outbox.give(Part(path, int(sides), tentative=tentative, told=other_type))

    # ---- other objects

    def _object(self, path: str, name: str, directories: Mapping[Side, int]) -> None:
        try:
            entries = self._read_all(path, name, directories, large=False)
        except Large:
            sides = Side(0)
            for side in directories:
                sides |= side
            self._end()
            self._outbox.give(One(self._path, int(sides), name))
            return
        if entries is not None:
            self._compare(path, name, entries)

    def _large(self, path: str, name: str, directories: Mapping[Side, int]) -> None:
        entries = self._read_all(path, name, directories, large=True)
        if entries is not None:
            self._compare(path, name, entries)

    def _read_all(
        self, path: str, name: str, directories: Mapping[Side, int], *, large: bool
    ) -> dict[Side, Entry] | None:
        """The object on every side; None when its verdict is given. A large file's sides are read at once."""
        outcomes: dict[Side, Entry | OSError | Changed] = {}

        def read(side: Side) -> None:
            try:
                outcomes[side] = self._reader.entry(directories[side], name, large=large)
            except (OSError, Changed) as error:
                outcomes[side] = error

        others = [side for side in directories if side is not self._reference]
        threads = [threading.Thread(target=read, args=(side,), daemon=True) for side in others] if large else []
        for thread in threads:
            thread.start()
        read(self._reference)
        for side in [] if threads else others:
            read(side)
        for thread in threads:
            thread.join()
        entries = {}
        for side, outcome in outcomes.items():
            if isinstance(outcome, Entry):
                entries[side] = outcome
            elif not self._missing(side, outcome):
                self._trouble(side, path, outcome)
                return None
        return entries

    def _missing(self, side: Side, outcome: OSError | Changed) -> bool:
        """Gone from the target since it was listed: that is missing, and not a trouble of reading."""
        return side is not self._reference and isinstance(outcome, FileNotFoundError)

    def _trouble(self, side: Side, path: str, error: OSError | Changed) -> None:
        if isinstance(error, Changed):
            self._give(Count.CHANGED, path, f"{_name(side)}: changes while it is read")
        elif side is self._reference and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            self._give(Count.CHANGED, path, f"{_name(side)}: gone, or something else, since it was listed")
        else:
            self._give(Count.FAILED, path, f"{_name(side)}: {cause_of(error)}")

    def _compare(self, path: str, name: str, entries: Mapping[Side, Entry], *, told: bool = False) -> None:
        ours = entries[self._reference]
        kind = stat.S_IFMT(ours.status.st_mode)
        if not is_known(ours.status) or (self._settings.skip_specials and kind not in _TYPES):
            self._counts[Count.SKIPPED] += 1
            return
        if not told:
            self._count_type(kind)
        if kind == stat.S_IFREG:
            self._counts[Count.BYTES] += ours.status.st_size
        for side, entry in entries.items():
            if is_known(entry.status):
                self._row(side, path, entry, name)
        self._tell_links(path, entries)
        if not told:
            self._judge(path, entries)

    def _count_type(self, kind: int) -> None:
        self._counts[_TYPES.get(kind, Count.SPECIALS)] += 1

    def _judge(self, path: str, entries: Mapping[Side, Entry]) -> None:
        if len(entries) < len(self._settings.roots):
            self._give(Count.MISSING, path)
        elif len(entries) == 1:
            self._give(Count.VERIFIED, path)
        else:
            ours, theirs = entries[Side.SOURCE], entries[Side.TARGET]
            found = ("type",) if not is_known(theirs.status) else self._differences(path, ours, theirs)
            self._give(Count.DIFFERENT if found else Count.VERIFIED, path, ", ".join(found))

    def _differences(self, path: str, ours: Entry, theirs: Entry) -> tuple[str, ...]:
        times = ours.status.st_mtime_ns, theirs.status.st_mtime_ns
        self._counts[Count.TIMES_ROUNDED] += bool(path) and times[0] != times[1] and same_moment(*times)
        return self._settings.expectation.differences(path, ours, theirs)

    def _tell_links(self, path: str, entries: Mapping[Side, Entry]) -> None:
        """Names that belong together must do so on both sides; a name that is missing is told of already."""
        if len(entries) < len(self._settings.roots) or all(e.status.st_nlink == 1 for e in entries.values()):
            return
        for side, entry in entries.items():
            if stat.S_ISREG(entry.status.st_mode):
                self._outbox.note(LinkSeen(int(side), entry.status.st_dev, entry.status.st_ino, path))


def _part_of(found: Mapping[int, Mapping[str, bool]], above: str, below: str) -> dict[int, dict[str, bool]]:
    low, high = os.fsencode(above), os.fsencode(below)
    return {
        side: {name: is_directory for name, is_directory in names.items() if low < os.fsencode(name) < high}
        for side, names in found.items()
    }


def _name(side: Side) -> str:
    return "source" if side is Side.SOURCE else "target"
