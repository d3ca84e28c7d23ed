"""A target's manifest beside the one that an earlier proof left of it: what is gone, what is different, what is more.

Both are read once, row by row, in their common order, so that memory does not grow with them. What is compared is what
the digest of a manifest covers (``rows.py``): times and extended attributes are not.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from project_migration.workers.printable import unescape
from project_migration.workers.proving.blocks import order
from project_migration.workers.tree import split

Tell = Callable[[str, str, str], None]
"""Takes a kind (missing, different, extra), a name and a cause."""

_LINKS = "="
_WORDS = ("type", "mode", "owner", "size", "content", "name", "link target")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a manifest, without what its digest leaves out."""

    content: tuple[str, ...]
    path: str
    place: tuple[bool, bytes, bytes]
    """By which rows are in order: a directory before its entries, the names of one file after all objects."""

    @property
    def is_link(self) -> bool:
        return self.content[0] == _LINKS

    @classmethod
    def of(cls, line: bytes) -> Row:
        """Raises ``ValueError`` for what is no line of a manifest."""
        cells = line.decode("utf-8", "surrogateescape").removesuffix("\n").split("\t")
        if cells[0] == _LINKS and len(cells) == 3:
            path = unescape(cells[1])
            return cls(tuple(cells), path, (True, os.fsencode(path), b""))
        if not 8 <= len(cells) <= 9:
            raise ValueError(f"a row of {len(cells)} columns")
        kind, mode, owner, size, checksum, _, _, name = cells[:8]
        path = "" if name == "." else unescape(name)
        directory, last = (path, "") if kind == "d" else split(path)
        content = (kind, mode, owner, size, checksum, name, cells[8] if len(cells) == 9 else "")
        return cls(content, path, (False, order(directory), os.fsencode(last)))


@dataclass(slots=True)
class Found:
    """How many objects there are of each kind."""

    same: int = 0
    missing: int = 0
    different: int = 0
    extra: int = 0


def is_whole(path: Path, digest: str) -> bool:
    """Whether the manifest is there, and the very one that has this digest."""
    return digest_of(path) == digest


def digest_of(path: Path) -> str:
    """Of the manifest as it is; empty where none can be read."""
    whole = hashlib.sha256()
    try:
        for row in rows(path):
            whole.update(hashlib.sha256("\0".join(row.content).encode("utf-8", "surrogateescape")).digest())
    except (OSError, EOFError, ValueError, zlib.error):
        return ""
    return f"sha256:{whole.hexdigest()}"


def compare(before: Path, now: Path, root: int, tell: Tell) -> Found:
    """``root``: a descriptor of the tree that ``now`` tells of. Raises ``OSError``, ``ValueError``."""
    found = Found()
    ours, theirs = rows(before), rows(now)
    old, new = next(ours, None), next(theirs, None)
    while old is not None or new is not None:
        if old is None or (new is not None and new.place < old.place):
            assert new is not None  # noqa: S101 - one of them is there
            _more(found, new, tell)
            new = next(theirs, None)
        elif new is None or old.place < new.place:
            _gone(found, old, root, tell)
            old = next(ours, None)
        else:
            _both(found, old, new, root, tell)
            old, new = next(ours, None), next(theirs, None)
    return found


def rows(path: Path) -> Iterator[Row]:
    """Of a manifest, in its order. Raises ``OSError``, ``EOFError``, ``ValueError``, ``zlib.error``."""
    with gzip.open(path, "rb") as stream:
        for line in stream:
            yield Row.of(line)


def _more(found: Found, new: Row, tell: Tell) -> None:
    if not new.is_link:  # a further name of a file is told of as the object that it is
        found.extra += 1
        tell("extra", new.path, "")


def _gone(found: Found, old: Row, root: int, tell: Tell) -> None:
    """A row that is not there any more: the object may be, and be something that could not be read."""
    if old.is_link:
        _names(found, old, root, tell)
        return
    try:
        status = os.stat(old.path or ".", dir_fd=root, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        found.missing += 1
        tell("missing", old.path, "")
        return
    except OSError as error:
        cause = os.strerror(error.errno or 0)
    else:
        same = stat.S_ISDIR(status.st_mode) == (old.content[0] == "d")
        cause = "it is there, and could not be read as it was" if same else "type"
    found.different += 1
    tell("different", old.path, cause)


def _both(found: Found, old: Row, new: Row, root: int, tell: Tell) -> None:
    if old.is_link:
        if old.content != new.content:
            _names(found, old, root, tell)
        return
    causes = [word for word, a, b in zip(_WORDS, old.content, new.content, strict=True) if a != b]
    if not causes:
        found.same += 1
        return
    found.different += 1
    tell("different", old.path, ", ".join(causes))


def _names(found: Found, old: Row, root: int, tell: Tell) -> None:
    """Two names of one file: whether they still are. One that is missing is told of as an object."""
    try:
        one, other = (
            os.stat(path, dir_fd=root, follow_symlinks=False) for path in (old.path, unescape(old.content[2]))
        )
    except OSError:
        return
    if not os.path.samestat(one, other):
        found.different += 1
        found.same -= found.same > 0
        tell("different", old.path, "hard links")
