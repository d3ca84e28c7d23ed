"""Worker ``cdsw.export``: a live CDSW into an archive, as the guide of fxu1024/cdsw-migration has it made.

Params: ``source`` (``database`` and ``projects``), ``target.archive``; ``bandwidth`` in bytes a second; ``major`` of
the client tools (the server's own without it). Rows of credentials and the positions of their sequences are left out,
and what lies in ``scratch``. ``db.sql`` lies in the workspace, without a name, until it is packed; files go straight
into the archive, which is written under another name, read back as a whole and renamed.

Counts: ``tables``, ``rows``, ``files``, ``directories``, ``symlinks``, ``hardLinks``, ``bytes``, ``skipped`` (pipes,
sockets and devices, which are named), ``archiveBytes``. The digest is the SHA-256 of the archive.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from project_migration.model.records import Progress, Record
from project_migration.workers.cdsw import dumping, exported, failures
from project_migration.workers.cdsw.archive import go_through
from project_migration.workers.cdsw.dump import Head, events
from project_migration.workers.cdsw.inflating import Inflated
from project_migration.workers.cdsw.listing import Listing
from project_migration.workers.cdsw.packing import Packing
from project_migration.workers.cdsw.program import main
from project_migration.workers.cdsw.request import SOURCE, TARGET, Side, side_of
from project_migration.workers.harness import Job, WrongRequest
from project_migration.workers.pace import Pace
from project_migration.workers.params import Params
from project_migration.workers.postgres.session import major, opened
from project_migration.workers.roots import scratch
from project_migration.workers.tree import open_root

PIECE = 1 << 20


def work(job: Job) -> Record:
    source, target = side_of(job, SOURCE), side_of(job, TARGET)
    if source.is_archive or not target.is_archive:
        raise WrongRequest("an export goes from a live CDSW into an archive")
    place = Path(target.archive)
    half = place.with_name(f"{place.name}{exported.HALF}")
    root = open_root(source.root(job))
    try:
        # the dump holds hashes of passwords: its file has no name, and is gone with the helper
        with scratch(job) as directory, tempfile.TemporaryFile(dir=directory) as dump:
            head = _dump(job, source, dump)
            packing = _pack(job, half, directory, dump, root)
            counts = _read_back(job, half, head, packing, directory)
        digest = _digest(half)
        exported.remember(job, half)
        half.replace(place)
        _sync(place.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
        raise
    finally:
        os.close(root)
    counts |= {"skipped": packing.counts["skipped"], "archiveBytes": place.stat().st_size}
    return job.record(counts=counts, digest=f"sha256:{digest}")


def _dump(job: Job, source: Side, dump: IO[bytes]) -> Head:
    endpoint = source.endpoint(job)
    with opened(endpoint) as session:
        version = Params(job.request.params).number("major", major(session), least=1)
    head, size = Head(), 0

    def kept(pieces: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal size
        for piece in pieces:
            dump.write(piece)
            size += len(piece)
            job.tell(Progress(size, size, 0, 0))
            yield piece

    # the files are what takes long: the dump is short, and not held up for them
    for _ in events(kept(dumping.dumped(endpoint, version, Pace(None))), head):
        pass
    return head


def _pack(job: Job, half: Path, directory: Path, dump: IO[bytes], root: int) -> Packing:
    half.unlink(missing_ok=True)
    pace = Pace(Params(job.request.params).effort.bandwidth)
    os.umask(0o077)

    def tick(size: int) -> None:
        job.tell(Progress(size, size, 0, 0))

    with Packing(half, directory, pace, tick, lambda name: job.lists.add("skipped", name)) as packing:
        packing.add_dump(dump)
        packing.add_tree(root)
    return packing


def _read_back(job: Job, half: Path, head: Head, packing: Packing, directory: Path) -> dict[str, int]:
    """The archive as whoever gets it will find it. Raises ``Refused`` (ArchiveUnreadable) where it is another."""
    found_head = Head()

    def take_dump(pieces: Iterator[bytes]) -> None:
        for _ in events(pieces, found_head):
            pass

    def tick(stream: Inflated) -> None:
        job.tell(Progress(stream.done, stream.size, 0, 0))

    with Listing(directory / "read-back.sqlite", fresh=True) as listing:
        found = go_through(str(half), listing, take_dump=take_dump, take_entry=lambda *_: None, tick=tick)
    left = found.counts["leftOut"]
    for kind in ("files", "directories", "symlinks", "hardLinks"):
        if found.counts[kind] + left < packing.counts[kind] - (kind == "directories"):
            raise failures.unreadable(f"the archive was read back with {found.counts[kind]} {kind}: try again")
    if found_head.rows != head.rows:
        raise failures.unreadable("the dump was read back with other rows: try again")
    return {"tables": len(head.rows), "rows": sum(head.rows.values()), **packing.counts}


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while piece := stream.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    main("export", __doc__ or "", work)
