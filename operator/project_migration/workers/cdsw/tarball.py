"""The members of a tar archive, as a stream. Bounded in memory, and strict where a lenient reader would stop in
silence.

Formats: ustar, GNU (long names) and pax (POSIX.1-2001, "pax Interchange Format"). A header that is none, an end without
the two zero blocks or with anything behind them are errors: what follows would be left out without a word.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from project_migration.workers.cdsw import failures
from project_migration.workers.cdsw.inflating import Inflated
from project_migration.workers.printable import escape, shorten

BLOCK = 512

#: Long names and pax headers; nobody's are longer, and they are read into memory.
_LARGEST_HEADER = 1 << 20
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL, _SPARSE = b"L", b"K", b"x", b"g", b"S"


class Kind(StrEnum):
    """Letters as in the manifests of proofs; ``h`` is another name of a file that came before."""

    FILE = "f"
    DIRECTORY = "d"
    SYMLINK = "l"
    HARD_LINK = "h"
    PIPE = "p"
    DEVICE = "c"


_KINDS = {
    tarfile.REGTYPE: Kind.FILE,
    tarfile.AREGTYPE: Kind.FILE,
    tarfile.CONTTYPE: Kind.FILE,
    tarfile.DIRTYPE: Kind.DIRECTORY,
    tarfile.SYMTYPE: Kind.SYMLINK,
    tarfile.LNKTYPE: Kind.HARD_LINK,
    tarfile.FIFOTYPE: Kind.PIPE,
    tarfile.CHRTYPE: Kind.DEVICE,
    tarfile.BLKTYPE: Kind.DEVICE,
}


@dataclass(frozen=True, slots=True)
class Member:
    """``name`` and ``link`` as they stand in the archive, undecodable bytes as :func:`os.fsdecode` gives them."""

    name: str
    kind: Kind
    size: int
    mode: int
    uid: int
    gid: int
    mtime: int
    """Nanoseconds since 1970."""
    link: str
    has_attributes: bool
    """Whether the archive holds extended attributes or ACLs of it."""


class Tarball:
    """The members of an archive, one after the other; the content of each is there until the next is asked for."""

    def __init__(self, stream: Inflated) -> None:
        self._stream = stream
        self._global: dict[str, str] = {}
        self._left, self._padding = 0, 0

    def members(self) -> Iterator[Member]:
        """Raises ``Refused`` (ArchiveUnreadable)."""
        own: dict[str, str] = {}
        while True:
            block = self._header()
            if block is None:
                return
            info = _parsed(block)
            if info.type in (_LONG_NAME, _LONG_LINK):
                text = self._long(info).rstrip(b"\0").decode("utf-8", "surrogateescape")
                own.setdefault("path" if info.type == _LONG_NAME else "linkpath", text)
            elif info.type in (_PAX, _PAX_GLOBAL):
                (own if info.type == _PAX else self._global).update(_records(self._long(info), info.name))
            else:
                member = _member(info, {**self._global, **own})
                own = {}
                self._left, self._padding = member.size, _padded(member.size) - member.size
                yield member
                for _ in self.content():
                    pass
                self._stream.read(self._padding)

    def content(self) -> Iterator[bytes]:
        """What is left to read of the present member. Raises ``Refused`` where the archive ends before it."""
        while self._left:
            for piece in self._stream.pieces(self._left):
                self._left -= len(piece)
                yield piece
            if self._left:
                raise failures.unreadable("the archive ends in the middle of a file")

    def _header(self) -> bytes | None:
        block = self._stream.read(BLOCK)
        if len(block) < BLOCK:
            raise failures.unreadable("the archive has no end: it was cut between two members")
        if block.count(0) != BLOCK:
            return block
        for piece in self._stream.rest():
            if piece.count(0) != len(piece):
                raise failures.unreadable("the archive goes on behind its end: two were put together")
        return None

    def _long(self, info: tarfile.TarInfo) -> bytes:
        if info.size > _LARGEST_HEADER:
            raise failures.unreadable(f"the archive has a header of {info.size} bytes")
        text = self._stream.read(_padded(info.size))
        if len(text) < _padded(info.size):
            raise failures.unreadable("the archive ends in the middle of a header")
        return text[: info.size]


def _parsed(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as error:
        raise failures.unreadable(f"the archive holds something that is no member ({error})") from error


def _member(info: tarfile.TarInfo, pax: Mapping[str, str]) -> Member:
    name = pax.get("path", info.name)
    said = shorten(escape(name))
    if info.type == _SPARSE or any(key.startswith("GNU.sparse.") for key in pax):
        raise failures.unreadable(f"{said} is stored as a sparse file: make the archive without --sparse")
    kind = _KINDS.get(info.type)
    if kind is None:
        raise failures.unreadable(f"{said} is of the unknown type {info.type!r}")
    if kind is Kind.FILE and name.endswith("/"):
        kind = Kind.DIRECTORY
    try:
        seconds, _, parts = pax.get("mtime", str(int(info.mtime))).partition(".")
        fraction = int((parts + "000000000")[:9])
        mtime = int(seconds) * 10**9 + (-fraction if seconds.startswith("-") else fraction)
        size, uid, gid = (int(pax.get(key, known)) for key, known in _numbers(info))
    except ValueError as error:
        raise failures.unreadable(f"{said} has a header that cannot be read ({error})") from error
    if size < 0:
        raise failures.unreadable(f"{said} has a negative size")
    attributed = any(key.startswith(("SCHILY.xattr.", "SCHILY.acl.")) for key in pax)
    link = pax.get("linkpath", info.linkname) if kind in (Kind.SYMLINK, Kind.HARD_LINK) else ""
    return Member(name, kind, size if kind is Kind.FILE else 0, info.mode & 0o7777, uid, gid, mtime, link, attributed)


def _numbers(info: tarfile.TarInfo) -> tuple[tuple[str, int], ...]:
    return ("size", info.size), ("uid", info.uid), ("gid", info.gid)


def _records(text: bytes, name: str) -> Iterator[tuple[str, str]]:
    """``LENGTH KEY=VALUE\\n``, one after the other."""
    at = 0
    while at < len(text):
        length, space, _ = text[at : at + 20].partition(b" ")
        end = at + int(length) if length.isdigit() else 0
        record = text[at + len(length) + 1 : end - 1]
        key, equals, value = record.partition(b"=")
        if not space or not equals or end <= at or text[end - 1 : end] != b"\n":
            raise failures.unreadable(f"the archive has a header that cannot be read before {shorten(escape(name))}")
        yield key.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape")
        at = end


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
