"""What a name in an archive may be, so that nothing is ever made outside the place that it is unpacked to.

The archive holds ``db.sql`` and ``projects/``, with or without a leading ``./``. A symbolic link is made as it is and
never followed: projects hold links into the image that their sessions run in (``/usr/bin/python3``). Links that could
only lead out of the projects' claim, and links where a directory of the claim has to be, are refused.
"""

from __future__ import annotations

from project_migration.workers.cdsw import failures
from project_migration.workers.cdsw.tarball import Kind, Member
from project_migration.workers.printable import escape, shorten

DUMP = "db.sql"
PROJECTS = "projects"

#: ``projects/0/10``: so many directories make the way to a project, below the root of the claim.
_PROJECT_DEPTH = 3
_LONGEST_NAME = 255


def place(member: Member) -> tuple[str, ...] | None:
    """Where a member goes: ``("db.sql",)``, or ``("projects", …)``; None for the archive's own directory.

    Raises ``Refused`` (ArchiveUnsafe, ArchiveUnreadable).
    """
    parts = _parts(member.name, member)
    if not parts:
        if member.kind is not Kind.DIRECTORY:
            raise failures.unsafe(f"{_said(member)} is no directory")
        return None
    if parts[0] not in (DUMP, PROJECTS):
        raise failures.unreadable(f"the archive holds {_said(member)} beside {DUMP} and {PROJECTS}/")
    if parts[0] == DUMP and (len(parts) > 1 or member.kind is not Kind.FILE):
        raise failures.unsafe(f"{_said(member)}: {DUMP} is no plain file")
    if parts == (PROJECTS,) and member.kind is not Kind.DIRECTORY:
        raise failures.unsafe(f"{_said(member)} is no directory")
    if member.kind is Kind.DEVICE:
        raise failures.unsafe(f"{_said(member)} is a device")
    return parts


def link_place(member: Member) -> tuple[str, ...]:
    """The earlier member, below ``projects``, that a hard link is another name of. Raises ``Refused``."""
    parts = _parts(member.link, member)
    if len(parts) < 2 or parts[0] != PROJECTS:
        raise failures.unsafe(f"{_said(member)} is a link out of the archive's {PROJECTS}/")
    return parts[1:]


def leads_out(parts: tuple[str, ...], link: str) -> bool:
    """Whether a relative link at ``parts`` (below the claim's root) climbs above that root."""
    if link.startswith("/"):
        return False
    depth = len(parts) - 1
    for part in link.split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return True
    return False


def judge_link(member: Member, below: tuple[str, ...]) -> None:
    """For a symbolic link at ``below``, from the claim's root. Raises ``Refused`` (ArchiveUnsafe)."""
    if not member.link or "\0" in member.link:
        raise failures.unsafe(f"{_said(member)} is a link to nothing")
    if len(below) == 1 or (below[0] == PROJECTS and len(below) <= _PROJECT_DEPTH):
        raise failures.unsafe(f"{_said(member)} is a link where a directory has to be")
    if leads_out(below, member.link):
        raise failures.unsafe(f"{_said(member)} is a link out of the archive ({shorten(escape(member.link))})")


def _parts(name: str, member: Member) -> tuple[str, ...]:
    if name.startswith("/"):
        raise failures.unsafe(f"{_said(member)}: the name {shorten(escape(name))} is absolute")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise failures.unsafe(f"{_said(member)}: the name {shorten(escape(name))} leads out of the archive")
    for part in parts:
        if "\0" in part or len(part.encode("utf-8", "surrogateescape")) > _LONGEST_NAME:
            raise failures.unsafe(f"{_said(member)}: no file can have this name")
    return parts


def _said(member: Member) -> str:
    return shorten(escape(member.name)) or "."
