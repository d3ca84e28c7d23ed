"""Takes this migration's mark off a target, with whatever an unfinished copy left half made."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

from project_migration.model.records import Progress, Record
from project_migration.workers.copying import marks
from project_migration.workers.copying.removal import remove_tree
from project_migration.workers.crew import Crew, Outbox, Wire
from project_migration.workers.harness import Job, log, main
from project_migration.workers.params import Params
from project_migration.workers.reasons import COPY_INCOMPLETE, cause_of
from project_migration.workers.reserved import MARK, owner_prefix
from project_migration.workers.roots import open_many_files, open_target, processes, scratch, sync
from project_migration.workers.tree import Tree, join

HELP = """\
Removes what a migration keeps in a target while it works on it: its mark, and objects that are half made.

roots:  target, workspace
params: workers    processes at most (a process a core)
        arrived    digests of the document that was carried out, to be left in the mark's place ([])

Another migration's mark is left alone. What is not there any more is no failure. Where the digests cannot be written
the count ``unmarked`` is 1, and that is no failure either: what was brought is there, and was proved.
"""

REMOVED, FAILED = 0, 1


class Sweep(NamedTuple):
    path: str


class Cannot(NamedTuple):
    path: str
    cause: str


WIRE = Wire(Sweep, Cannot)


class Sweeper:
    """One lane: removes temporary names, and looks into every other directory."""

    def __init__(self, root: int, prefix: str, outbox: Outbox) -> None:
        self._tree = Tree(root, read_only=False)
        self._prefix = prefix
        self._outbox = outbox

    def run(self, task: NamedTuple) -> None:
        if not isinstance(task, Sweep):
            raise TypeError(f"no task of a release: {task!r}")
        try:
            directory = self._tree.directory(task.path)
            with os.scandir(directory) as entries:
                found = [(e.name, e.is_dir(follow_symlinks=False)) for e in entries if self._concerns(e, task.path)]
            self._sweep(task.path, directory, found)
        except OSError as error:
            self._cannot(task.path, error)

    def _concerns(self, entry: os.DirEntry[str], directory: str) -> bool:
        if entry.name.startswith(self._prefix):
            return True
        return entry.is_dir(follow_symlinks=False) and not (entry.name == MARK and not directory)

    def _sweep(self, path: str, directory: int, found: list[tuple[str, bool]]) -> None:
        before = os.fstat(directory)
        removed = 0
        for name, is_directory in found:
            if not name.startswith(self._prefix):
                self._outbox.give(Sweep(join(path, name)))
                continue
            try:
                if is_directory:
                    remove_tree(directory, name)
                else:
                    os.unlink(name, dir_fd=directory)
                removed += 1
            except OSError as error:
                self._cannot(join(path, name), error)
            self._outbox.breathe()
        if removed:
            self._outbox.counts[REMOVED] += removed
            with contextlib.suppress(PermissionError):
                os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))

    def _cannot(self, path: str, error: OSError) -> None:
        self._outbox.counts[FAILED] += 1
        self._outbox.note(Cannot(path, cause_of(error)))


def release(job: Job) -> Record:
    open_many_files()
    params = Params(job.request.params)
    arrived = params.texts("arrived")
    if not os.path.isdir(job.root("target")):
        return job.record(counts={"removed": 0, "failed": 0}, message="the target is not there")
    target = open_target(job, make=False)
    try:
        owner = marks.read_owner(target)
        if owner is not None and owner.uid != job.request.migration_uid:
            message = f"the mark is another migration's ({owner.namespace}/{owner.name}): left alone"
            return job.record(counts={"removed": 0, "failed": 0}, message=message)
        if not marks.is_work(target):
            return _marked(job, arrived, target)
        return _released(job, params, target, owner)
    finally:
        os.close(target)


def _marked(job: Job, arrived: tuple[str, ...], target: int) -> Record:
    """A target that was whole before: nothing is to be taken off it."""
    told = {"removed": 0, "failed": 0}
    if not arrived:
        return job.record(counts=told, message="no mark is there")
    before = os.fstat(target)
    try:
        with marks.hold(target) as mark:
            mark.say_arrived(job.request, arrived)
            marks.lift(mark, target, arrived=True)
        with contextlib.suppress(PermissionError):  # as in lift(): making the mark's directory shows in its times
            os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    except OSError as error:
        return job.record(counts={**told, "unmarked": 1}, message=_unmarked(error))
    sync(target)
    return job.record(counts=told, message="what was carried out is written down")


def _released(job: Job, params: Params, target: int, owner: marks.Owner | None) -> Record:
    arrived = params.texts("arrived")
    problem = ""
    with marks.hold(target) as mark:
        # a copy that ended well has seen every directory: nothing half made is left, and none has to be looked for
        counts = [0, 0] if owner is not None and owner.finished else _swept(job, params, target)
        if not counts[FAILED]:
            problem = _say_arrived(job, mark, arrived)
            marks.lift(mark, target, arrived=bool(arrived) and not problem)
            counts[REMOVED] += 1
    sync(target)
    told = {"removed": counts[REMOVED], "failed": counts[FAILED]}
    if counts[FAILED]:
        message = f"{counts[FAILED]} half-made objects cannot be removed: {job.lists.say('failed')}"
        return job.record(reason=COPY_INCOMPLETE, message=message, counts=told)
    if problem:
        return job.record(counts={**told, "unmarked": 1}, message=problem)
    return job.record(counts=told, message="the mark is removed")


def _say_arrived(job: Job, mark: marks.Mark, arrived: tuple[str, ...]) -> str:
    """Why it could not be written down, if so."""
    try:
        if arrived:
            mark.say_arrived(job.request, arrived)
    except OSError as error:
        return _unmarked(error)
    return ""


def _unmarked(error: OSError) -> str:
    return f"the mark cannot be written: {cause_of(error)}"


def _swept(job: Job, params: Params, target: int) -> list[int]:
    prefix = owner_prefix(job.request.migration_uid)

    def on_note(note: NamedTuple) -> None:
        if isinstance(note, Cannot):
            job.lists.add("failed", note.path, note.cause)

    def tick() -> None:
        job.tell(Progress(items_done=crew.counts[REMOVED], items_total=crew.counts[REMOVED]))

    with scratch(job) as directory:
        crew = Crew(
            lambda outbox: Sweeper(target, prefix, outbox),
            WIRE,
            2,
            processes=processes(params.effort.workers),
            scratch=directory,
            on_note=on_note,
            on_tick=tick,
        )
        with crew:
            crew.work([Sweep("")])
    log(f"{crew.counts[REMOVED]} half-made objects removed")
    return crew.counts


if __name__ == "__main__":
    main("release", HELP, ("target",), release)
