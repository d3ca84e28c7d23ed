"""Worker ``cdsw.files``: the projects' files of an archive, or of a live CDSW, into the claim of the workspace.

Params: ``source``, ``target.projects``; ``ownership`` as of ``copy_tree``; ``workers``, ``bandwidth``. Owners, modes,
times and links are set in the same pass. Directories of the installation's own (``scratch``, ``addons``, ``cdn``,
``output``) are neither brought nor touched. What an interrupted run left is gone on with.

An archive's entries are listed in ``cdsw/files.sqlite`` of the workspace with their checksums: ``cdsw.verify`` compares
with that, ``cdsw.clear`` removes by it. Counts: ``files``, ``directories``, ``symlinks``, ``hardLinks``, ``bytes``,
``copied``, ``alreadyThere``, ``leftOut``, ``linksOut`` (absolute links, kept as they are), ``attributesLeft``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from project_migration.model.records import Progress, Record
from project_migration.workers import copy_tree, reasons
from project_migration.workers.cdsw import before, emptiness
from project_migration.workers.cdsw.archive import Found, go_through
from project_migration.workers.cdsw.inflating import Inflated
from project_migration.workers.cdsw.listing import Listing
from project_migration.workers.cdsw.program import main
from project_migration.workers.cdsw.request import SOURCE, TARGET, Side, side_of
from project_migration.workers.cdsw.tables import SITE_DIRECTORIES
from project_migration.workers.cdsw.unpacking import Unpacking
from project_migration.workers.cdsw.walking import list_tree
from project_migration.workers.copying import marks
from project_migration.workers.flushing import Flusher
from project_migration.workers.harness import Job
from project_migration.workers.pace import Pace
from project_migration.workers.params import Params
from project_migration.workers.printable import escape, shorten
from project_migration.workers.tree import open_root

LISTING = "cdsw/files.sqlite"

#: Patterns of gitignore: what of a live CDSW's directory is not moved.
EXCLUDED = tuple(f"/{name}" for name in SITE_DIRECTORIES)


def listing_path(job: Job) -> Path:
    return job.workspace / LISTING


def work(job: Job) -> Record:
    source, target = side_of(job, SOURCE), side_of(job, TARGET)
    params = Params(job.request.params)
    ownership, effort = params.ownership, params.effort
    root = open_root(target.root(job))
    try:
        emptiness.refuse_strangers(job, root)
        before.write(job, root)
        if not source.is_archive:
            return _copy(job, source, target)
        os.umask(0)
        with marks.hold(root) as mark, Listing(listing_path(job), fresh=True) as listing:
            emptiness.refuse_strangers(job, root)  # again: nobody else can begin now
            mark.write(marks.Owner.of(job.request))
            unpacking = Unpacking(root, listing, ownership)
            try:
                found = _unpack(job, source.archive, listing, unpacking, root, effort.bandwidth)
            finally:
                unpacking.close()
            listing.finish()
            mark.write(marks.Owner.of(job.request, finished=True))
        counts = {**found.counts, **unpacking.counts}
        return job.record(counts=counts, facts={"leftOut": dict(found.left_out)})
    finally:
        os.close(root)


def _unpack(job: Job, archive: str, listing: Listing, unpacking: Unpacking, root: int, bandwidth: int | None) -> Found:
    def tick(stream: Inflated) -> None:
        done = unpacking.counts["copied"] + unpacking.counts["alreadyThere"]
        job.tell(Progress(stream.done, stream.size, done, done))

    try:
        with Flusher(root):
            found = go_through(
                archive,
                listing,
                take_dump=lambda _: None,
                take_entry=unpacking.take,
                pace=Pace(bandwidth),
                tick=tick,
            )
            unpacking.dress_directories()
        return found
    except OSError as error:
        reason, passing = reasons.reason_of(error.errno)
        name = shorten(escape(os.fsdecode(error.filename or "")))
        raise reasons.Refusal(reason, f"{name}: {reasons.cause_of(error)}", passing) from error


def _copy(job: Job, source: Side, target: Side) -> Record:
    """A live CDSW's directory, by the program that copies any tree, which goes on where it was interrupted."""
    with Listing(listing_path(job), fresh=True) as listing:
        list_tree(source.root(job), listing)
        listing.finish()
    with as_tree(job, source, target):
        record = copy_tree.copy(job)
    return replace(record, request_digest=job.request.digest)


@contextlib.contextmanager
def as_tree(job: Job, source: Side, target: Side) -> Iterator[None]:
    """The same request in the words of ``copy_tree`` and ``manifest``; their record gets the request's own digest."""
    request = job.request
    roots = {**request.roots, "source": source.root(job), "target": target.root(job)}
    job.request = replace(request, roots=roots, params={**request.params, "exclude": list(EXCLUDED)})
    try:
        yield
    finally:
        job.request = request


if __name__ == "__main__":
    main("files", __doc__ or "", work)
