"""An archive that an export made: compared with the CDSW that it was made of, and taken away again on the way back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from project_migration.model.records import Progress, Record
from project_migration.workers import reasons
from project_migration.workers.cdsw import tables, workspace
from project_migration.workers.cdsw.archive import go_through
from project_migration.workers.cdsw.comparing import Comparison, Fault
from project_migration.workers.cdsw.dump import Head, events
from project_migration.workers.cdsw.inflating import Inflated
from project_migration.workers.cdsw.listing import Listing, Row
from project_migration.workers.cdsw.request import Side
from project_migration.workers.harness import Job, write_durably
from project_migration.workers.ownership import Ownership
from project_migration.workers.postgres.session import opened, quoted, value
from project_migration.workers.tree import open_root

LISTING = "cdsw/exported.sqlite"

#: Which file was made: whatever has its name later need not be it.
_MADE = "cdsw/exported.json"

HALF = ".half"

_PACKED = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)


def read_anew(job: Job, archive: str, path: Path) -> tuple[Listing, Head]:
    """The archive from its beginning to its end, each file with its checksum. Raises ``Refused``."""
    listing, head = Listing(path, fresh=True), Head()

    def take_dump(pieces: Iterator[bytes]) -> None:
        for _ in events(pieces, head):
            pass

    def take_entry(row: Row, pieces: Iterator[bytes]) -> None:
        checksum = hashlib.sha256()
        for piece in pieces:
            checksum.update(piece)
        if row.size or row.kind == "f":
            listing.checked(row.path, checksum.hexdigest())

    def tick(stream: Inflated) -> None:
        job.tell(Progress(stream.done, stream.size, 0, 0))

    go_through(archive, listing, take_dump=take_dump, take_entry=take_entry, tick=tick)
    listing.finish()
    return listing, head


def compare(job: Job, source: Side, target: Side) -> Record:
    """Files against the CDSW's own, by content; rows by table against its database, which rests."""
    listing, head = read_anew(job, target.archive, job.workspace / LISTING)
    root = open_root(source.root(job))
    try:
        total = listing.count()

        def tick(done: int, size: int) -> None:
            job.tell(Progress(size, size, done, total))

        comparison = Comparison(root, Ownership(), tick)
        for fault in comparison.run(listing):
            if _counts(root, fault):
                job.lists.add(*fault)
            else:
                comparison.counts["extra"] -= 1
    finally:
        os.close(root)
        listing.close()
    counts = dict(comparison.counts) | {"tables": len(head.rows), "rows": sum(head.rows.values())}
    for title, there, packed in _other_rows(job, source, head):
        counts["different"] = counts.get("different", 0) + 1
        job.lists.add("different", title, f"{there} rows, and {packed} in the archive")
    faults = [kind for kind in ("missing", "different", "extra") if counts.get(kind)]
    message = "; ".join(f"{counts[kind]} {kind}: {job.lists.say(kind)}" for kind in faults)
    reason = reasons.VERIFY_FAILED if faults else ""
    digest = hashlib.sha256(f"{comparison.digest} {sorted(head.rows.items())}".encode()).hexdigest()
    return job.record(reason=reason, message=message, counts=counts, digest=f"sha256:{digest}")


def _counts(root: int, fault: Fault) -> bool:
    """Pipes, sockets and devices have no place in an archive, and were named when it was made."""
    kind, path, _ = fault
    if kind != "extra":
        return True
    try:
        status = os.stat(path, dir_fd=root, follow_symlinks=False)
    except OSError:
        return True
    return stat.S_IFMT(status.st_mode) in _PACKED


def _other_rows(job: Job, source: Side, head: Head) -> Iterator[tuple[str, int, int]]:
    """Tables of which the archive does not hold as many rows as the CDSW; those of credentials come without any."""
    with opened(source.endpoint(job)) as session:
        for schema, name in workspace.all_tables(session):
            if schema == tables.PUBLIC and name in tables.SENSITIVE:
                continue
            place = quoted(schema, name)
            there = int(value(session, f"SELECT count(*) FROM ONLY {place}"))  # noqa: S608 - a quoted name
            packed = head.rows.get(f"{schema}.{name}", 0)
            if there != packed:
                yield f"{schema}.{name}", there, packed


def remember(job: Job, made: Path) -> None:
    """Before it gets its name."""
    told = job.workspace / _MADE
    told.parent.mkdir(parents=True, exist_ok=True)
    write_durably(told, json.dumps(_identity(made.stat())))


def remove(job: Job, place: Path) -> int:
    """Takes away what this migration made under that name, whole or half; how many files."""
    removed = 0
    half = place.with_name(f"{place.name}{HALF}")
    with contextlib.suppress(FileNotFoundError):
        half.unlink()
        removed += 1
    try:
        ours = json.loads((job.workspace / _MADE).read_text(encoding="utf-8"))
        if _identity(place.lstat()) == ours:
            place.unlink()
            removed += 1
    except FileNotFoundError:
        pass
    return removed


def _identity(status: os.stat_result) -> list[int]:
    return [status.st_ino, status.st_size, status.st_mtime_ns]
