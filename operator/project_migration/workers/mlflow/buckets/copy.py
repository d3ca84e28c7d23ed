"""Copies the files of a tracking server from or to a bucket, several at a time, each once and whole."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice

from project_migration.model.records import Record
from project_migration.workers import reasons
from project_migration.workers.copying import marks
from project_migration.workers.harness import Job, main
from project_migration.workers.mlflow.api.pool import Pool
from project_migration.workers.mlflow.buckets import opening
from project_migration.workers.mlflow.buckets.bucket import Bucket
from project_migration.workers.mlflow.buckets.course import Course
from project_migration.workers.mlflow.buckets.items import CHANGED, Item, ItemFailed, Place
from project_migration.workers.mlflow.buckets.journal import Journal
from project_migration.workers.mlflow.buckets.meter import Meter
from project_migration.workers.mlflow.buckets.opening import Effort
from project_migration.workers.mlflow.buckets.streams import Passing, digest_of
from project_migration.workers.mlflow.database.failures import NAME_CLASH
from project_migration.workers.pace import Pace
from project_migration.workers.roots import open_target

HELP = """\
Copies the files of a tracking server where one side at least is a bucket. mlflow/moves.json in the workspace says which
directories are wanted, and which get another name.

roots:  source, target (of a side that is a directory), workspace; <side>-store-credentials, <side>-store-ca
params: source, target   a bucket, or left out for a directory
        exclude          patterns of files of a source directory that do not move
        ownership, requireEmpty, release   of a target directory, as for copy_tree
        replace          whether an object of the target that differs is replaced (false)
        workers          files at a time; bandwidth: bytes a second

What is there with the same content is left as it is. Into a bucket: every key is written to mlflow/objects.db first,
for the way back. Exit codes: 0 copied, 1 failed, 2 wrong request, 143 ended by SIGTERM.
"""

#: Files whose keys are written down at a time.
AT_ONCE = 200

TRIES = 3


def copy(job: Job) -> Record:
    effort = Effort.of(job)
    course = Course.read(job.workspace)
    with ExitStack() as stack:
        source = stack.enter_context(opening.source(job, effort))
        source.check()
        if opening.is_bucket(job, opening.TARGET):
            target = stack.enter_context(opening.target(job, effort))
            target.check()
            if isinstance(target, Bucket):
                target.forget_arrived()
            journal = Journal(job.workspace)
            stack.callback(journal.close)
            return Copy(job, effort, course, source, target, journal).run()
        root = open_target(job, make=True)
        stack.callback(os.close, root)
        if effort.params.flag("requireEmpty"):
            _refuse_strangers(job, root)
        mark = stack.enter_context(marks.hold(root))
        if effort.params.flag("requireEmpty"):  # again: nobody else can begin now
            _refuse_strangers(job, root)
        mark.write(marks.Owner.of(job.request))
        record = Copy(job, effort, course, source, opening.directory_of(job, effort, root), None).run()
        if record.succeeded and effort.params.flag("release"):
            marks.lift(mark, root)
        elif record.succeeded:
            mark.write(marks.Owner.of(job.request, finished=True))
        return record


def _refuse_strangers(job: Job, root: int) -> None:
    owner = marks.read_owner(root)
    if owner is not None and owner.uid == job.request.migration_uid:
        return
    strangers = opening.directory_of(job, Effort.of(job), root).holds_anything()
    if owner is not None or strangers:
        raise reasons.Refusal(reasons.TARGET_NOT_EMPTY, "the target holds files that this migration did not bring")


class Copy:
    def __init__(
        self, job: Job, effort: Effort, course: Course, source: Place, target: Place, journal: Journal | None
    ) -> None:
        self._job = job
        self._source = source
        self._target = target
        self._course = course
        self._journal = journal
        self._replaces = effort.params.flag("replace") or journal is None
        self._threads = effort.threads
        self._pace = Pace(effort.params.effort.bandwidth)
        self._meter = Meter(job, effort.params.effort)
        self._lock = threading.Lock()
        self._fresh = False
        self._lasting = False
        self._clashes = 0

    def run(self) -> Record:
        # where nothing is there, nothing has to be asked for one by one
        self._fresh = not self._target.holds_anything()
        pool = Pool(self._threads)
        try:
            for some in _batches(self._items(), AT_ONCE):
                self._batch(pool, some)
        finally:
            pool.close()
        self._target.finish()
        for name, cause in self._source.left().items():
            self._fail(name, ItemFailed(cause))
        return self._record()

    def _items(self) -> Iterator[Item]:
        for root in self._course.roots:
            yield from self._source.items(root)

    def _batch(self, pool: Pool, some: list[Item]) -> None:
        """Keys are on the disk before the first object of these is put."""
        found: list[tuple[Item, bool]] = []
        for item in some:
            pool.submit(self._guarded, item, self._ask, item, found)
        pool.drain()
        if self._journal is not None:
            self._journal.write((self._course.place(item.path), replaced) for item, replaced in found)
        for item, _ in found:
            pool.submit(self._guarded, item, self._bring, item)
        pool.drain()

    def _guarded(self, item: Item, work: Callable[..., None], *arguments: object) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                work(*arguments)
                return
            except ItemFailed as failure:
                if attempt == TRIES or not failure.passing or failure.cause == CHANGED:
                    self._fail(item.path, failure)
                    return

    def _ask(self, item: Item, found: list[tuple[Item, bool]]) -> None:
        """Whether it has to be brought at all."""
        there = None if self._fresh else self._target.look(self._course.place(item.path))
        if there is not None and self._is_same(item, there):
            self._meter.count(files=1, alreadyThere=1, bytes=item.size)
            return
        ours = there is None or there.migration == self._job.request.migration_uid
        if not ours and not self._replaces:
            with self._lock:
                self._clashes += 1
            raise ItemFailed("the target has another object of this name")
        with self._lock:
            found.append((item, not ours))

    def _is_same(self, item: Item, there: Item) -> bool:
        if item.size != there.size:
            return False
        if item.stamp and there.copy_of == item.stamp:
            return True
        if self._journal is None and there.modified_ns == item.modified_ns:
            return True  # a file gets its time when it is whole
        if item.md5 and item.md5 == there.md5:
            return True
        with self._meter.under_way(readings=2) as told:
            ours = digest_of(self._source, item, self._pace, told)
            return ours == digest_of(self._target, there, self._pace, told)

    def _bring(self, item: Item) -> None:
        with self._source.reading(item) as content, self._meter.under_way() as told:
            passing = Passing(content, self._pace, told)
            self._target.write(self._course.place(item.path), item, passing)
        if passing.size != item.size:
            raise ItemFailed(CHANGED, passing=True)
        self._meter.count(files=1, copied=1, bytes=item.size, bytesCopied=item.size)

    def _fail(self, name: str, failure: ItemFailed) -> None:
        with self._lock:
            self._job.lists.add("changed" if failure.cause == CHANGED else "failed", name, failure.cause)
            self._lasting = self._lasting or not failure.passing

    def _record(self) -> Record:
        lists = self._job.lists
        failed, changed = lists.counts["failed"], lists.counts["changed"]
        found = self._meter.counts
        counts = {name: number for name, number in sorted(found.items()) if number}
        counts |= {"entries": found["files"] + failed + changed, "failed": failed, "changed": changed}
        counts.setdefault("bytes", 0)
        message = ""
        if failed:
            message = f"{failed} file(s) could not be copied: {lists.say('failed')}"
        elif changed:
            message = f"{changed} file(s) changed while they were read: {lists.say('changed')}"
        reason = self._reason(failed) if failed else reasons.SOURCE_CHANGED if changed else ""
        return self._job.record(
            reason=reason, message=message, passing=bool(reason) and not self._lasting, counts=counts
        )

    def _reason(self, failed: int) -> str:
        return NAME_CLASH if self._clashes == failed else reasons.COPY_INCOMPLETE


def _batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    while some := list(islice(items, size)):
        yield some


if __name__ == "__main__":
    main("mlflow.buckets.copy", HELP, (), copy)
