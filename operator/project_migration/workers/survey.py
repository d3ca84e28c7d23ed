"""Looks at both sides of a migration and writes to neither: what is there, what may be done, how much room there is.

A problem that it finds is a fact, not a failed record: the operator judges facts.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from project_migration.model.records import Progress, Record
from project_migration.workers.copying.marks import read_arrived, read_owner
from project_migration.workers.copying.placing import lstat
from project_migration.workers.crew import Crew, Outbox, Wire
from project_migration.workers.filters import Selection, Verdict
from project_migration.workers.harness import Job, main
from project_migration.workers.mounts import is_mounted_read_only
from project_migration.workers.ownership import Capability, effective_capabilities, in_user_namespace
from project_migration.workers.params import Effort, Params
from project_migration.workers.reasons import cause_of
from project_migration.workers.reserved import LOST_AND_FOUND, MARK, is_reserved, owner_prefix
from project_migration.workers.roots import inode, open_many_files, overlap, processes, refuse_links, scratch
from project_migration.workers.tree import Tree, join, open_root

HELP = """\
Looks at the source and the target of a migration, and writes to neither.

roots:  source, target (left out: it is still to be made), workspace
params: include, exclude, ignoreFile   what of the source counts (as for copy_tree)
        workers                        processes at most (a process a core)
        count                          false: only the roots, without walking the trees

The record's facts.source and facts.target say what was found; it fails only when it could not look.
"""

SIDES = ("source", "target")


class Seen(IntEnum):
    """Indexes of a side's counts; the target's come after the source's."""

    ENTRIES = 0
    FILES = 1
    DIRECTORIES = 2
    SYMLINKS = 3
    SPECIAL = 4
    SOCKETS = 5
    BYTES = 6
    DISK_BYTES = 7
    HARD_LINKS = 8
    UNREADABLE = 9
    FOREIGN_OWNERS = 10

    @property
    def label(self) -> str:
        first, *rest = self.name.lower().split("_")
        return first + "".join(word.capitalize() for word in rest)


class Look(NamedTuple):
    """Count a directory's entries. ``staged``: it lies in what a copy has not shown yet."""

    side: int
    path: str
    staged: bool


class Inode(NamedTuple):
    """A file with several names was met: its bytes count once."""

    side: int
    device: int
    number: int
    size: int
    disk: int


class Unreadable(NamedTuple):
    side: int
    path: str
    cause: str


class Overlap(NamedTuple):
    path: str


WIRE = Wire(Look, Inode, Unreadable, Overlap)


@dataclass(frozen=True, slots=True)
class Sides:
    """What every lane knows. ``roots`` are descriptors, -1 for a side that cannot be walked."""

    roots: tuple[int, int]
    inodes: tuple[tuple[int, int], tuple[int, int]]
    selection: Selection
    prefix: str
    user: int
    groups: frozenset[int]


class Looker:
    """One lane."""

    def __init__(self, sides: Sides, outbox: Outbox) -> None:
        self._sides = sides
        self._outbox = outbox
        self._trees = {side: Tree(root, read_only=True) for side, root in enumerate(sides.roots) if root >= 0}

    def run(self, task: NamedTuple) -> None:
        if not isinstance(task, Look):
            raise TypeError(f"no task of a survey: {task!r}")
        try:
            directory = self._trees[task.side].directory(task.path)
            status = os.fstat(directory)
            if task.path and (status.st_dev, status.st_ino) == self._sides.inodes[1 - task.side]:
                self._outbox.note(Overlap(task.path))
                return
            with os.scandir(directory) as entries:
                for entry in entries:
                    self._entry(task, directory, entry)
        except OSError as error:
            self._unreadable(task.side, task.path, error)

    def _entry(self, task: Look, directory: int, entry: os.DirEntry[str]) -> None:
        is_directory = entry.is_dir(follow_symlinks=False)
        path = join(task.path, entry.name)
        staged = task.staged or (is_directory and task.side == 1 and entry.name.startswith(self._sides.prefix))
        if is_reserved(entry.name, at_root=not task.path):
            if staged and not task.staged:
                self._outbox.give(Look(task.side, path, True))
            return
        if not staged:
            verdict = self._sides.selection.judge(path, is_directory)
            if verdict is Verdict.ENTER:
                self._outbox.give(Look(task.side, path, False))
            if verdict is not Verdict.TAKE:
                return
        status = lstat(directory, entry.name)
        if status is None:
            return
        self._count(task.side, status, staged)
        if stat.S_ISDIR(status.st_mode):
            self._outbox.give(Look(task.side, path, staged))
        elif stat.S_ISREG(status.st_mode) and not staged and not _readable(directory, entry.name):
            self._unreadable(task.side, path, PermissionError(13, "Permission denied"))
        self._outbox.breathe()

    def _count(self, side: int, status: os.stat_result, staged: bool) -> None:
        counts, at = self._outbox.counts, side * len(Seen)
        if stat.S_ISREG(status.st_mode):
            if status.st_nlink > 1 and not staged:
                counts[at + Seen.HARD_LINKS] += 1
                inode = status.st_dev, status.st_ino
                self._outbox.note(Inode(side, *inode, status.st_size, status.st_blocks * 512))
            else:
                counts[at + Seen.BYTES] += status.st_size
                counts[at + Seen.DISK_BYTES] += status.st_blocks * 512
        else:
            counts[at + Seen.DISK_BYTES] += status.st_blocks * 512
        if staged:
            return
        counts[at + Seen.ENTRIES] += 1
        counts[at + _kind(status.st_mode)] += 1
        if status.st_uid != self._sides.user or status.st_gid not in self._sides.groups:
            counts[at + Seen.FOREIGN_OWNERS] += 1

    def _unreadable(self, side: int, path: str, error: OSError) -> None:
        if side == 0:
            self._outbox.counts[Seen.UNREADABLE] += 1
            self._outbox.note(Unreadable(side, path, cause_of(error)))


def _kind(mode: int) -> Seen:
    if stat.S_ISREG(mode):
        return Seen.FILES
    if stat.S_ISDIR(mode):
        return Seen.DIRECTORIES
    if stat.S_ISLNK(mode):
        return Seen.SYMLINKS
    return Seen.SOCKETS if stat.S_ISSOCK(mode) else Seen.SPECIAL


def _readable(directory: int, name: str) -> bool:
    """As the server sees it too, where that squashes root."""
    return os.access(name, os.R_OK, dir_fd=directory, effective_ids=True)


class Inodes:
    """Which files with several names were counted; on disk, since they may be millions."""

    def __init__(self, directory: Path) -> None:
        os.environ["SQLITE_TMPDIR"] = str(directory)
        self._database = sqlite3.connect(directory / "inodes.sqlite", isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;"
            "CREATE TABLE seen (side, device, number, PRIMARY KEY (side, device, number)) WITHOUT ROWID; BEGIN;"
        )

    def is_new(self, inode: Inode) -> bool:
        key = inode.side, str(inode.device), str(inode.number)
        return self._database.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", key).rowcount == 1

    def close(self) -> None:
        self._database.close()


def survey(job: Job) -> Record:
    open_many_files()
    params = Params(job.request.params)
    params.selection(None)
    effort = params.effort
    refuse_links(job, *(side for side in SIDES if side in job.request.roots))
    facts, roots = _look_at_roots(job)
    selection = params.selection(roots[0] if roots[0] >= 0 else None)
    if params.flag("count", default=True):
        with scratch(job) as directory:
            _count(job, effort, selection, facts, roots, directory)
    nested = "target" in job.request.roots and overlap(job.root("source"), job.root("target"))
    for side, root in zip(SIDES, roots, strict=True):
        facts[side]["nested"] = nested or facts[side].get("nested", False)
        if root >= 0:
            os.close(root)
    return job.record(counts=_record_counts(facts), facts=facts, message=_message(facts))


Facts = dict[str, dict[str, Any]]


def _look_at_roots(job: Job) -> tuple[Facts, tuple[int, int]]:
    source = _root_facts(job.root("source"))
    target = _root_facts(job.root("target")) if "target" in job.request.roots else {"exists": False, "root": -1}
    roots = source.pop("root"), target.pop("root")
    target |= _target_facts(job, roots[1])
    return {"source": source, "target": target}, roots


def _root_facts(path: str) -> dict[str, Any]:
    try:
        status = os.stat(path)
    except OSError:
        return {"exists": False, "root": -1}
    if not stat.S_ISDIR(status.st_mode):
        return {"exists": True, "isDirectory": False, "root": -1}
    facts: dict[str, Any] = {"exists": True, "isDirectory": True, "device": status.st_dev}
    try:
        return {**facts, "readable": True, "root": open_root(path)}
    except OSError:
        return {**facts, "readable": False, "root": -1}


def _target_facts(job: Job, root: int) -> dict[str, Any]:
    capabilities = effective_capabilities()
    # an owner that is given away can only be followed by modes and times with FOWNER
    may_own = {Capability.CHOWN, Capability.FOWNER, Capability.DAC_OVERRIDE} <= capabilities
    facts: dict[str, Any] = {
        "uid": os.geteuid(),
        "gid": os.getegid(),
        "capabilities": sorted(capability.name for capability in capabilities),
        "inUserNamespace": in_user_namespace(),
        "canChown": may_own,
        "canMknod": Capability.MKNOD in capabilities and not in_user_namespace(),
    }
    if "target" not in job.request.roots:
        return facts
    if root < 0:
        return {**facts, **_room_above(job.root("target"))}
    owner = read_owner(root)
    own = owner is not None and owner.uid == job.request.migration_uid
    prefix = owner_prefix(job.request.migration_uid)
    space = os.fstatvfs(root)
    read_only = is_mounted_read_only(root)
    status = os.fstat(root)
    return {
        **facts,
        "rootMode": stat.S_IMODE(status.st_mode),
        "rootUid": status.st_uid,
        "rootGid": status.st_gid,
        "rootMtimeNs": status.st_mtime_ns,
        "empty": _is_empty(root, prefix),
        "ownWork": own,
        "otherWork": owner is not None and not own,
        "arrived": " ".join(read_arrived(root)),
        "freeBytes": space.f_bavail * space.f_frsize,
        "freeInodes": space.f_favail if space.f_files else None,
        # a pod may mount read-only what its successor will mount to write: that says nothing of the volume
        "readOnlyMount": read_only,
        "writable": read_only or _writable(root, space),
    }


def _room_above(path: str) -> dict[str, Any]:
    """Of the directory in which a target that is not there yet will be made."""
    if os.path.lexists(path):  # it is there, and cannot be opened
        return {}
    above = os.path.dirname(path)
    while not os.path.isdir(above):
        above = os.path.dirname(above)
    space = os.statvfs(above)
    return {
        "freeBytes": space.f_bavail * space.f_frsize,
        "freeInodes": space.f_favail if space.f_files else None,
        "writable": not space.f_flag & os.ST_RDONLY and os.access(above, os.W_OK | os.X_OK, effective_ids=True),
    }


def _is_empty(root: int, prefix: str) -> bool:
    with os.scandir(root) as entries:
        return all(entry.name in (MARK, LOST_AND_FOUND) or entry.name.startswith(prefix) for entry in entries)


def _writable(root: int, space: os.statvfs_result) -> bool:
    return not space.f_flag & os.ST_RDONLY and os.access(".", os.W_OK | os.X_OK, dir_fd=root, effective_ids=True)


def _count(
    job: Job, effort: Effort, selection: Selection, facts: Facts, roots: tuple[int, int], directory: Path
) -> None:
    inodes = Inodes(directory)

    def on_note(note: NamedTuple) -> None:
        match note:
            case Inode(side, _, _, size, disk):
                if inodes.is_new(note):
                    crew.counts[side * len(Seen) + Seen.BYTES] += size
                    crew.counts[side * len(Seen) + Seen.DISK_BYTES] += disk
            case Unreadable(_, path, cause):
                job.lists.add("unreadable", path, cause)
            case Overlap():
                facts["source"]["nested"] = facts["target"]["nested"] = True

    def tick() -> None:
        size = crew.counts[Seen.BYTES] + crew.counts[len(Seen) + Seen.BYTES]
        items = crew.counts[Seen.ENTRIES] + crew.counts[len(Seen) + Seen.ENTRIES]
        job.tell(Progress(size, size, items, items))

    sides = _sides(job, selection, roots)
    crew = Crew(
        lambda outbox: Looker(sides, outbox),
        WIRE,
        2 * len(Seen),
        processes=processes(effort.workers),
        scratch=directory,
        on_note=on_note,
        on_tick=tick,
    )
    try:
        with crew:
            crew.work([Look(side, "", False) for side, root in enumerate(roots) if root >= 0])
    finally:
        inodes.close()
    _take_counts(facts, roots, crew.counts)


def _sides(job: Job, selection: Selection, roots: tuple[int, int]) -> Sides:
    source, target = (inode(root) for root in roots)
    return Sides(
        roots=roots,
        inodes=(source, target),
        selection=selection,
        prefix=owner_prefix(job.request.migration_uid),
        user=os.geteuid(),
        groups=frozenset([os.getegid(), *os.getgroups()]),
    )


def _take_counts(facts: Facts, roots: Iterable[int], counts: list[int]) -> None:
    for number, (side, root) in enumerate(zip(SIDES, roots, strict=True)):
        if root >= 0:
            at = number * len(Seen)
            facts[side] |= {seen.label: counts[at + seen] for seen in Seen if number == 0 or seen in _OF_TARGET}
    target = facts["target"]
    if target.get("ownWork"):
        target["bytesThere"] = target["diskBytes"]


_OF_TARGET = (Seen.ENTRIES, Seen.FILES, Seen.DIRECTORIES, Seen.BYTES, Seen.DISK_BYTES)


def _record_counts(facts: Facts) -> dict[str, int]:
    """Of the source; of the target its room, whether it is empty, and what its own directory is like."""
    found = {seen.label: facts["source"][seen.label] for seen in Seen if seen.label in facts["source"]}
    target = facts["target"]
    if not target.get("exists", True):
        found["targetEmpty"] = 1
    if "empty" in target:
        found["targetEmpty"] = int(target["empty"])
    kept = ("freeBytes", "rootMode", "rootUid", "rootGid", "rootMtimeNs")
    return found | {name: target[name] for name in kept if target.get(name) is not None}


def _message(facts: Facts) -> str:
    source = facts["source"]
    if "entries" not in source:
        return "the roots were looked at, the trees were not counted"
    return f"{source['entries']} entries, {source['bytes']} bytes in {source['files']} files"


if __name__ == "__main__":
    main("survey", HELP, ("source",), survey)
