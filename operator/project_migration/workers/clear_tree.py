"""Makes a target empty again that was proved empty before the migration wrote to it."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import NamedTuple

from project_migration.model.records import Progress, Record
from project_migration.workers.copying import marks
from project_migration.workers.copying.removal import remove_tree, unlink
from project_migration.workers.crew import Crew, Outbox, Wire
from project_migration.workers.harness import Job, main
from project_migration.workers.params import Params
from project_migration.workers.printable import escape, shorten
from project_migration.workers.reasons import (
    COPY_INCOMPLETE,
    TARGET_NOT_EMPTY,
    Refusal,
    cause_of,
)
from project_migration.workers.reserved import LOST_AND_FOUND, MARK
from project_migration.workers.roots import open_many_files, open_target, processes, scratch, sync
from project_migration.workers.tree import Tree, join

HELP = """\
Removes everything from a target, and gives its directory the mode, owner and time it had.

roots:  target, workspace
params: look     only see whether the target is empty (false)
        away     the directory itself goes too (false)
        ours     whether all that is there is known to be the migration's, or came after it (false)
        root     {"rootMode": …, "rootUid": …, "rootGid": …, "rootMtimeNs": …} of the directory itself
        workers  processes at most (a process a core)

Unless it is known to be ours, a target that holds something and does not carry this migration's mark is left alone.
What is not there any more is no failure.
"""

REMOVED, FAILED = 0, 1
_KEPT = frozenset([MARK, LOST_AND_FOUND])


class Clear(NamedTuple):
    path: str


class Cannot(NamedTuple):
    path: str
    cause: str


WIRE = Wire(Clear, Cannot)


class Clearer:
    """One lane: removes what is no directory, and hands on the directories. They are empty then, and go at the end."""

    def __init__(self, root: int, outbox: Outbox) -> None:
        self._tree = Tree(root, read_only=False)
        self._outbox = outbox

    def run(self, task: NamedTuple) -> None:
        if not isinstance(task, Clear):
            raise TypeError(f"no task of a clearing: {task!r}")
        try:
            directory = self._tree.directory(task.path)
            with os.scandir(directory) as entries:
                found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError as error:
            self._cannot(task.path, error)
            return
        for name, is_directory in found:
            if not task.path and name in _KEPT:
                continue
            if is_directory:
                self._outbox.give(Clear(join(task.path, name)))
                continue
            try:
                unlink(directory, name)
                self._outbox.counts[REMOVED] += 1
            except OSError as error:
                self._cannot(join(task.path, name), error)
            self._outbox.breathe()

    def _cannot(self, path: str, error: OSError) -> None:
        self._outbox.counts[FAILED] += 1
        self._outbox.note(Cannot(path, cause_of(error)))


def clear(job: Job) -> Record:
    open_many_files()
    params = Params(job.request.params)
    look = params.flag("look")
    if not os.path.isdir(job.root("target")):
        return job.record(counts={"removed": 0}, message="the target is not there")
    target = open_target(job, make=False)
    try:
        if look:
            return _looked(job, target)
        _refuse_strangers(job, target, ours=params.flag("ours"))
        with marks.hold(target) as mark:
            record = _cleared(job, params, target)
            if record.succeeded:
                marks.lift(mark, target)
                _dress(target, params.numbers("root"))
        sync(target)
        if record.succeeded and params.flag("away"):
            _go(job.root("target"))
        return record
    finally:
        os.close(target)


def _go(root: str) -> None:
    with contextlib.suppress(OSError):  # an empty directory that stays harms nobody
        os.rmdir(root)


def _looked(job: Job, target: int) -> Record:
    found = [name for name in os.listdir(target) if name != LOST_AND_FOUND]
    if found:
        message = f"the target is not empty: it holds {shorten(escape(found[0]))}"
        return job.record(reason=TARGET_NOT_EMPTY, message=message, counts={"entries": len(found)})
    return job.record(message="the target is empty", counts={"entries": 0})


def _refuse_strangers(job: Job, target: int, *, ours: bool) -> None:
    """A copy marks a target before it writes anything there: what has no mark of ours is somebody else's."""
    owner = marks.read_owner(target)
    if owner is not None and owner.uid == job.request.migration_uid:
        return
    if owner is not None:
        whose = f"the mark is another migration's ({owner.namespace}/{owner.name})"
        raise Refusal(TARGET_NOT_EMPTY, f"{whose}: the target is left alone")
    found = [name for name in os.listdir(target) if name not in _KEPT]
    if found and not ours:
        what = shorten(escape(found[0]))
        raise Refusal(TARGET_NOT_EMPTY, f"the target holds {what} without this migration's mark: it is left alone")


def _cleared(job: Job, params: Params, target: int) -> Record:
    def on_note(note: NamedTuple) -> None:
        if isinstance(note, Cannot):
            job.lists.add("failed", note.path, note.cause)

    def tick() -> None:
        job.tell(Progress(items_done=crew.counts[REMOVED], items_total=crew.counts[REMOVED]))

    with scratch(job) as directory:
        crew = Crew(
            lambda outbox: Clearer(target, outbox),
            WIRE,
            2,
            processes=processes(params.effort.workers),
            scratch=directory,
            on_note=on_note,
            on_tick=tick,
        )
        with crew:
            crew.work([Clear("")])
    removed = crew.counts[REMOVED]
    for name in os.listdir(target):
        if name not in _KEPT:
            try:
                removed += _remove(target, name)
            except OSError as error:
                job.lists.add("failed", name, cause_of(error))
    told = {"removed": removed, "failed": job.lists.counts["failed"]}
    if told["failed"]:
        message = f"{told['failed']} objects cannot be removed: {job.lists.say('failed')}"
        return job.record(reason=COPY_INCOMPLETE, message=message, counts=told)
    return job.record(counts=told, message=f"{removed} objects removed")


def _remove(target: int, name: str) -> int:
    if stat.S_ISDIR(os.stat(name, dir_fd=target, follow_symlinks=False).st_mode):
        return remove_tree(target, name)
    unlink(target, name)
    return 1


def _dress(target: int, root: dict[str, int]) -> None:
    """The directory itself, as the survey saw it before anything was written."""
    if not root:
        return
    with contextlib.suppress(PermissionError):  # what is not the helper's to change, a copy did not change
        _dress_as(target, root)


def _dress_as(target: int, root: dict[str, int]) -> None:
    status = os.fstat(target)
    if (status.st_uid, status.st_gid) != (root["rootUid"], root["rootGid"]):
        os.chown(target, root["rootUid"], root["rootGid"])
    os.chmod(target, root["rootMode"])
    os.utime(target, ns=(status.st_atime_ns, root["rootMtimeNs"]))


if __name__ == "__main__":
    main("clear_tree", HELP, ("target",), clear)
