"""What lies in the projects' claim against the listing of an archive: each entry is read again."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator

from project_migration.workers.cdsw.listing import Listing, Row
from project_migration.workers.cdsw.tarball import Kind
from project_migration.workers.cdsw.walking import walk
from project_migration.workers.copying.placing import lstat
from project_migration.workers.ownership import KEEP, Ownership, OwnershipMode
from project_migration.workers.proving.rows import same_moment
from project_migration.workers.reasons import cause_of
from project_migration.workers.tree import Tree, split

PIECE = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TYPES = {
    Kind.FILE: stat.S_IFREG,
    Kind.HARD_LINK: stat.S_IFREG,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.SYMLINK: stat.S_IFLNK,
}

#: A kind of list, a name, and what is wrong.
Fault = tuple[str, str, str]


class Comparison:
    """``tick`` is given entries and bytes that were read."""

    def __init__(self, root: int, ownership: Ownership, tick: Callable[[int, int], None]) -> None:
        self._root = root
        self._ownership = ownership
        self._tick = tick
        self._told = hashlib.sha256()
        self.counts: Counter[str] = Counter()

    @property
    def digest(self) -> str:
        return f"sha256:{self._told.hexdigest()}"

    def run(self, listing: Listing) -> Iterator[Fault]:
        tree = Tree(self._root, read_only=True)
        try:
            for row in listing.rows():
                self.counts["entries"] += 1
                fault = self._judge(tree, row)
                if fault:
                    self.counts[fault[0]] += 1
                    yield fault
                else:
                    self.counts["verified"] += 1
                self._told.update(
                    f"{row.kind}\0{row.size}\0{row.checksum}\0{row.link}\0{row.path}\n".encode(
                        "utf-8", "surrogateescape"
                    )
                )
                self._tick(self.counts["entries"], self.counts["bytes"])
            for path, _ in walk(tree):
                if not listing.has(path):
                    self.counts["extra"] += 1
                    yield "extra", path, ""
        finally:
            tree.close()

    def _judge(self, tree: Tree, row: Row) -> Fault | None:
        directory, name = split(row.path)
        try:
            parent = tree.directory(directory)
            there = lstat(parent, name)
            if there is None:
                return "missing", row.path, ""
            found = [*self._looks(row, there), *self._content(tree, row, name, there)]
        except (FileNotFoundError, NotADirectoryError):
            return "missing", row.path, ""
        except OSError as error:
            return "different", row.path, cause_of(error)
        return ("different", row.path, ", ".join(found)) if found else None

    def _looks(self, row: Row, there: os.stat_result) -> Iterator[str]:
        if stat.S_IFMT(there.st_mode) != _TYPES[row.kind] and row.kind is not Kind.HARD_LINK:
            yield "type"
            return
        uid, gid = self._wanted(row)
        if uid != KEEP and (there.st_uid, there.st_gid) != (uid, gid):
            yield f"owner {there.st_uid}:{there.st_gid}"
        if row.kind is not Kind.SYMLINK and not stat.S_ISLNK(there.st_mode):
            mode = stat.S_IMODE(there.st_mode)
            if mode != self._ownership.mode_bits(row.mode):
                yield f"mode {mode:04o}"
        if row.mtime is not None and not same_moment(row.mtime, there.st_mtime_ns):
            yield "mtime"

    def _wanted(self, row: Row) -> tuple[int, int]:
        if self._ownership.mode is OwnershipMode.PRESERVE:
            return row.uid, row.gid
        return self._ownership.uid, self._ownership.gid

    def _content(self, tree: Tree, row: Row, name: str, there: os.stat_result) -> Iterator[str]:
        if row.kind is Kind.HARD_LINK:
            directory, first = split(row.link)
            if not os.path.samestat(there, os.stat(first, dir_fd=tree.directory(directory), follow_symlinks=False)):
                yield "hard links"
        elif row.kind is Kind.SYMLINK and stat.S_ISLNK(there.st_mode):
            if os.readlink(name, dir_fd=tree.directory(split(row.path)[0])) != row.link:
                yield "link target"
        elif row.kind is Kind.FILE and stat.S_ISREG(there.st_mode):
            if there.st_size != row.size:
                yield "size"
            elif self._checksum(tree.directory(split(row.path)[0]), name) != row.checksum:
                yield "content"

    def _checksum(self, parent: int, name: str) -> str:
        checksum = hashlib.sha256()
        descriptor = os.open(name, _READ, dir_fd=parent)
        try:
            while piece := os.read(descriptor, PIECE):
                checksum.update(piece)
                self.counts["bytes"] += len(piece)
        finally:
            os.close(descriptor)
        return checksum.hexdigest()
