"""Proves that the files of a tracking server arrived, where one side at least is a bucket: both are read anew."""

from __future__ import annotations

import hashlib
import threading

from project_migration.model.records import Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job, main
from project_migration.workers.mlflow.api.pool import Pool
from project_migration.workers.mlflow.buckets import opening
from project_migration.workers.mlflow.buckets.course import Course
from project_migration.workers.mlflow.buckets.items import Item, ItemFailed, Place
from project_migration.workers.mlflow.buckets.meter import Meter
from project_migration.workers.mlflow.buckets.opening import Effort
from project_migration.workers.mlflow.buckets.streams import digest_of
from project_migration.workers.pace import Pace

HELP = """\
Proves that every file that mlflow/moves.json names is in its place on the target.

roots, params: as mlflow.buckets.copy
        verify   "Checksum" reads every file on both sides; "Metadata" compares names and sizes

The digest is over the paths on the target, with sizes and, with Checksum, SHA-256 of contents.
"""

CHECKSUM, METADATA = "Checksum", "Metadata"
TRIES = 3


def verify(job: Job) -> Record:
    effort = Effort.of(job)
    course = Course.read(job.workspace)
    with opening.source(job, effort) as source, opening.target(job, effort) as target:
        source.check()
        target.check()
        return Proof(job, effort, course, source, target).run()


class Proof:
    def __init__(self, job: Job, effort: Effort, course: Course, source: Place, target: Place) -> None:
        self._job = job
        self._threads = effort.threads
        self._reads = effort.params.choice("verify", (CHECKSUM, METADATA)) == CHECKSUM
        self._course = course
        self._source = source
        self._target = target
        self._pace = Pace(None)
        self._lock = threading.Lock()
        self._meter = Meter(job, effort.params.effort)
        self._sum = 0

    def run(self) -> Record:
        pool = Pool(self._threads)
        try:
            for root in self._course.roots:
                for item in self._source.items(root):
                    pool.submit(self._compare, item)
            pool.drain()
        finally:
            pool.close()
        for name, cause in self._source.left().items():
            self._job.lists.add("unreadable", name, cause)
        return self._record()

    def _compare(self, item: Item) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                self._judge(item)
                return
            except ItemFailed as failure:
                if attempt == TRIES or not failure.passing:
                    self._name("unreadable", item.path, failure.cause)
                    return

    def _judge(self, item: Item) -> None:
        place = self._course.place(item.path)
        there = self._target.look(place)
        if there is None:
            self._name("missing", place, "")
            return
        fault = f"{there.size} bytes instead of {item.size}" if there.size != item.size else ""
        content = ""
        if self._reads and not fault:
            with self._meter.under_way(readings=2) as told:
                ours = digest_of(self._source, item, self._pace, told)
                theirs = digest_of(self._target, there, self._pace, told)
            fault = "" if ours == theirs else "the content differs"
            content = theirs[1]
        if fault:
            self._name("different", place, fault)
            return
        self._proved(place, there.size, content)

    def _proved(self, place: str, size: int, content: str) -> None:
        row = f"{place}\0{size}\0{content}".encode("utf-8", "surrogateescape")
        number = int.from_bytes(hashlib.sha256(row).digest(), "big")
        with self._lock:
            # a sum, since files come in no order
            self._sum = (self._sum + number) % (1 << 256)
        self._meter.count(verified=1, files=1, bytes=size)

    def _name(self, kind: str, name: str, cause: str) -> None:
        with self._lock:
            self._job.lists.add(kind, name, cause)

    def _record(self) -> Record:
        lists = self._job.lists
        faults = {kind: lists.counts[kind] for kind in ("missing", "different", "unreadable")}
        said = [f"{number} file(s) {kind}: {lists.say(kind)}" for kind, number in faults.items() if number]
        found = self._meter.counts
        counts = {"entries": found["files"] + sum(faults.values()), "verified": 0, "bytes": 0}
        return self._job.record(
            reason=reasons.VERIFY_FAILED if said else "",
            message="; ".join(said),
            counts={**counts, **found, **faults},
            digest=f"sha256:{self._sum:064x}",
        )


if __name__ == "__main__":
    main("mlflow.buckets.verify", HELP, (), verify)
