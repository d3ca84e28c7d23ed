"""One line of a manifest: what an entry is, as far as it has to be the same on both sides.

Columns, with a tab between them::

    kind  mode  owner  size  checksum  mtime  attributes  path  [link target, or major:minor of a device]

``kind`` is f, d, l, p (pipe), b or c (devices); ``checksum`` is SHA-256, as ``sha256sum`` prints it; ``mtime`` is in
nanoseconds since 1970; ``attributes`` is a SHA-256 over the extended attributes. ``-`` stands where an entry has
none, or where nothing was to be compared. Names are escaped as ``printable.escape`` says.

The digest of a manifest is the SHA-256 over the SHA-256 of each row's *content*: all columns but ``mtime`` and
``attributes``, joined by NUL. Owners are those that the target has to have, so that it is one digest for both sides.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass

from project_migration.workers import attributes
from project_migration.workers.attributes import Attributes
from project_migration.workers.ownership import KEEP, Ownership
from project_migration.workers.printable import escape

NONE = "-"

_KINDS = {
    stat.S_IFREG: "f",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFIFO: "p",
    stat.S_IFBLK: "b",
    stat.S_IFCHR: "c",
}

#: Nanoseconds to which file systems cut times: FAT and old NFS servers, then SMB.
_GRANULARITIES = (2 * 10**9, 10**9, 10**6, 10**3, 100)


@dataclass(frozen=True, slots=True)
class Entry:
    """What was read of one object. ``content`` is its checksum, link target, or device number."""

    status: os.stat_result
    attrs: Attributes
    checksum: str = NONE
    link: str = ""

    @property
    def kind(self) -> str:
        return _KINDS[stat.S_IFMT(self.status.st_mode)]

    @property
    def size(self) -> str:
        return str(self.status.st_size) if stat.S_ISREG(self.status.st_mode) else NONE

    @property
    def points_to(self) -> str:
        """A link's target, a device's number, or nothing."""
        if stat.S_ISLNK(self.status.st_mode):
            return self.link
        if stat.S_ISBLK(self.status.st_mode) or stat.S_ISCHR(self.status.st_mode):
            return f"{os.major(self.status.st_rdev)}:{os.minor(self.status.st_rdev)}"
        return ""


def is_known(status: os.stat_result) -> bool:
    """Sockets are left out: they live only as long as their server."""
    return stat.S_IFMT(status.st_mode) in _KINDS


@dataclass(frozen=True, slots=True)
class Expectation:
    """What has to be the same, and how a source's entry is written down for the target."""

    ownership: Ownership
    content: bool
    may_change_any: bool
    """Whether the helper could change objects of others: else a root of somebody else's is not compared."""
    user: int

    def row(self, path: str, entry: Entry, *, is_source: bool) -> tuple[bytes, bytes]:
        """The line, and the SHA-256 of its content."""
        status = entry.status
        mode = owner = NONE
        if path:  # a volume's root may belong to the volume, not to the project
            if not stat.S_ISLNK(status.st_mode):
                mode = f"{self.ownership.mode_bits(stat.S_IMODE(status.st_mode)):04o}"
            uid, gid = self.ownership.wanted(status) if is_source else (status.st_uid, status.st_gid)
            if self.ownership.wanted(status)[0] != KEEP:
                owner = f"{uid}:{gid}"
        name, link = escape(path) or ".", escape(entry.points_to)
        content = (entry.kind, mode, owner, entry.size, entry.checksum, name, link)
        line = (
            entry.kind,
            mode,
            owner,
            entry.size,
            entry.checksum,
            str(status.st_mtime_ns),
            _summary(entry.attrs),
            name,
        )
        text = "\t".join((*line, link) if link else line)
        return f"{text}\n".encode(), hashlib.sha256("\0".join(content).encode()).digest()

    def differences(self, path: str, source: Entry, target: Entry) -> tuple[str, ...]:
        """What of an entry is not as it has to be, in words."""
        if source.kind != target.kind:
            return ("type",)
        found = []
        if source.size != target.size:
            found.append("size")
        elif source.checksum != target.checksum:
            found.append("content")
        if source.points_to != target.points_to:
            found.append("link target" if source.kind == "l" else "device")
        if path or self.may_change_any or target.status.st_uid == self.user:
            found += self._attributes(path, source, target)
        return tuple(found)

    def _attributes(self, path: str, source: Entry, target: Entry) -> list[str]:
        ours, theirs = source.status, target.status
        found = []
        uid, gid = self.ownership.wanted(ours)
        if uid != KEEP and (theirs.st_uid, theirs.st_gid) != (uid, gid):
            found.append(f"owner {theirs.st_uid}:{theirs.st_gid}")
        if self.ownership.mode_bits(ours.st_mode ^ theirs.st_mode) and source.kind != "l":
            found.append(f"mode {stat.S_IMODE(theirs.st_mode):04o}")
        if path and not same_moment(ours.st_mtime_ns, theirs.st_mtime_ns):
            found.append("mtime")
        if not self._same_attributes(source.attrs, target.attrs):
            found.append("attributes")
        return found

    def _same_attributes(self, ours: Attributes, theirs: Attributes) -> bool:
        if self.ownership.keeps_privileges:
            return attributes.equal(theirs, ours)
        return attributes.equal(attributes.unprivileged(theirs), attributes.unprivileged(ours))


def same_moment(source: int, target: int) -> bool:
    """Whether two times in nanoseconds are one, as far as the target's file system can tell.

    A time that is cut to a whole second is taken for a coarse file system's: this proof does not write to it to see.
    """
    if source == target:
        return True
    return any(target % unit == 0 and source // unit * unit == target for unit in _GRANULARITIES)


def _summary(attrs: Attributes) -> str:
    if not attrs:
        return NONE
    told = hashlib.sha256()
    for name in sorted(attrs):
        told.update(f"{name}\0{len(attrs[name])}\0".encode("utf-8", "surrogateescape"))
        told.update(attrs[name])
    return told.hexdigest()
