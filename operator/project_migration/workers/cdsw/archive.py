"""One pass through a whole archive, each name judged before anything is done with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

from project_migration.workers.cdsw import failures, safety
from project_migration.workers.cdsw.inflating import Inflated
from project_migration.workers.cdsw.listing import Listing, Row
from project_migration.workers.cdsw.tables import SITE_DIRECTORIES
from project_migration.workers.cdsw.tarball import Kind, Member, Tarball
from project_migration.workers.pace import Pace
from project_migration.workers.reserved import is_reserved

#: Takes the pieces of ``db.sql``; it may stop before their end.
TakeDump = Callable[[Iterator[bytes]], None]
#: Takes an entry below the projects' root, and its pieces where it is a file.
TakeEntry = Callable[[Row, Iterator[bytes]], None]


@dataclass(slots=True)
class Found:
    """What went by."""

    counts: Counter[str] = field(default_factory=Counter)
    """``files``, ``directories``, ``symlinks``, ``hardLinks``, ``bytes``, ``linksOut``, ``leftOut``,
    ``attributesLeft``."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Entries by the directory of the installation's own that they lie in, or ``pipe``."""
    dump_bytes: int = -1
    has_projects: bool = False


_COUNTED = {
    Kind.FILE: "files",
    Kind.DIRECTORY: "directories",
    Kind.SYMLINK: "symlinks",
    Kind.HARD_LINK: "hardLinks",
}


def go_through(
    path: str,
    listing: Listing,
    *,
    take_dump: TakeDump,
    take_entry: TakeEntry,
    pace: Pace | None = None,
    tick: Callable[[Inflated], None] = lambda _: None,
) -> Found:
    """To the archive's end. Raises ``Refused`` (ArchiveUnreadable, ArchiveUnsafe, SourceChanged)."""
    found = Found()
    with Inflated(path, pace) as stream:
        tarball = Tarball(stream)

        def pieces() -> Iterator[bytes]:
            for piece in tarball.content():
                tick(stream)
                yield piece

        for member in tarball.members():
            tick(stream)
            parts = safety.place(member)
            found.has_projects |= parts is not None and parts[0] == safety.PROJECTS
            if parts is None or parts == (safety.PROJECTS,):
                continue
            if parts[0] == safety.DUMP:
                if found.dump_bytes >= 0:
                    raise failures.unreadable(f"the archive holds {safety.DUMP} twice")
                found.dump_bytes = member.size
                take_dump(pieces())
            else:
                _entry(member, parts[1:], listing, found, take_entry, pieces)
    if found.dump_bytes < 0:
        raise failures.unreadable(f"the archive holds no {safety.DUMP}")
    if not found.has_projects:
        raise failures.unreadable(f"the archive holds no {safety.PROJECTS}/")
    return found


def dump_pieces(path: str, pace: Pace | None = None) -> Generator[bytes, None, None]:
    """``db.sql`` alone; what comes behind it is not read. Raises ``Refused``."""
    with Inflated(path, pace) as stream:
        tarball = Tarball(stream)
        for member in tarball.members():
            if safety.place(member) == (safety.DUMP,):
                yield from tarball.content()
                return
    raise failures.unreadable(f"the archive holds no {safety.DUMP}")


def _entry(
    member: Member,
    parts: tuple[str, ...],
    listing: Listing,
    found: Found,
    take: TakeEntry,
    pieces: Callable[[], Iterator[bytes]],
) -> None:
    link = "/".join(safety.link_place(member)) if member.kind is Kind.HARD_LINK else ""
    if _is_left_out(member, parts):
        found.counts["leftOut"] += 1
        found.left_out[parts[0] if parts[0] in SITE_DIRECTORIES else "pipe"] += 1
        return
    if member.kind is Kind.SYMLINK:
        safety.judge_link(member, parts)
    row = listing.add("/".join(parts), member, link)
    found.counts["entries"] += 1
    found.counts[_COUNTED[member.kind]] += 1
    found.counts["bytes"] += member.size
    found.counts["linksOut"] += member.kind is Kind.SYMLINK and member.link.startswith("/")
    found.counts["attributesLeft"] += member.has_attributes
    take(row, pieces())


def _is_left_out(member: Member, parts: tuple[str, ...]) -> bool:
    if parts[0] in SITE_DIRECTORIES or member.kind is Kind.PIPE:
        return True
    return any(is_reserved(part, at_root=not depth) for depth, part in enumerate(parts))
