"""Makes the entries of an archive in the projects' claim, each with its owner, mode and time in the same pass.

Directories are reached by descriptors only (:class:`~project_migration.workers.tree.Tree`), so that no link leads out,
also none that somebody puts there meanwhile. What an interrupted run left is known by type, size and time: a file gets
its time last, so one that was cut never has it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator

from project_migration.workers.cdsw.listing import Listing, Row
from project_migration.workers.cdsw.tarball import Kind
from project_migration.workers.copying.placing import lstat
from project_migration.workers.copying.removal import remove_tree
from project_migration.workers.ownership import KEEP, Ownership, OwnershipMode
from project_migration.workers.tree import Tree, by_handle, open_handle, split

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Unpacking:
    """One run; close it in the end."""

    def __init__(self, root: int, listing: Listing, ownership: Ownership) -> None:
        self._tree = Tree(root, read_only=False)
        self._listing = listing
        self._ownership = ownership
        self._known = ""
        self.counts: Counter[str] = Counter()
        """``copied``, ``alreadyThere``, ``bytesCopied``."""

    def close(self) -> None:
        self._tree.close()

    def take(self, row: Row, pieces: Iterator[bytes]) -> None:
        """Raises ``OSError`` with the path below the root as its file name."""
        try:
            self._take(row, pieces)
        except OSError as error:
            error.filename = row.path
            raise

    def _take(self, row: Row, pieces: Iterator[bytes]) -> None:
        directory, name = split(row.path)
        parent = self._directory(directory)
        there = lstat(parent, name)
        if row.kind is Kind.DIRECTORY:
            self._make_directory(parent, name, there)
        elif row.kind is Kind.FILE:
            self._file(row, parent, name, there, pieces)
        elif row.kind is Kind.SYMLINK:
            self._symlink(row, parent, name, there)
        else:
            self._hard_link(row, parent, name, there)

    def _directory(self, path: str) -> int:
        """The descriptor of a directory that the listing has; made where the archive does not hold it itself."""
        if path and path != self._known:
            parent, name = split(path)
            above = self._directory(parent)
            self._make_directory(above, name, lstat(above, name))
            self._known = path
        return self._tree.directory(path)

    def _make_directory(self, parent: int, name: str, there: os.stat_result | None) -> None:
        if there is not None and stat.S_ISDIR(there.st_mode):
            self.counts["alreadyThere"] += 1
            return
        _clear(parent, name, there)
        os.mkdir(name, 0o700, dir_fd=parent)
        self.counts["copied"] += 1

    def _file(self, row: Row, parent: int, name: str, there: os.stat_result | None, pieces: Iterator[bytes]) -> None:
        checksum = hashlib.sha256()
        if there is not None and _is_there(row, there):
            for piece in pieces:
                checksum.update(piece)
            self.counts["alreadyThere"] += 1
            self._dress(row, parent, name, there)
        else:
            _clear(parent, name, there)
            descriptor = os.open(name, _NEW, 0o600, dir_fd=parent)
            try:
                for piece in pieces:
                    checksum.update(piece)
                    _write(descriptor, piece)
                    self.counts["bytesCopied"] += len(piece)
                self._dress_open(row, descriptor, os.fstat(descriptor))
            finally:
                os.close(descriptor)
            self.counts["copied"] += 1
        self._listing.checked(row.path, checksum.hexdigest())

    def _symlink(self, row: Row, parent: int, name: str, there: os.stat_result | None) -> None:
        if there is not None and stat.S_ISLNK(there.st_mode) and os.readlink(name, dir_fd=parent) == row.link:
            self.counts["alreadyThere"] += 1
        else:
            _clear(parent, name, there)
            os.symlink(row.link, name, dir_fd=parent)
            self.counts["copied"] += 1
        uid, gid = self._wanted(row)
        if uid != KEEP:
            os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
        os.utime(name, ns=(row.mtime or 0, row.mtime or 0), dir_fd=parent, follow_symlinks=False)

    def _hard_link(self, row: Row, parent: int, name: str, there: os.stat_result | None) -> None:
        directory, first = split(row.link)
        source = self._tree.directory(directory)
        parent = self._tree.directory(split(row.path)[0])  # the first's directory may have closed it
        if there is not None:
            if os.path.samestat(there, os.stat(first, dir_fd=source, follow_symlinks=False)):
                self.counts["alreadyThere"] += 1
                return
            _clear(parent, name, there)
        os.link(first, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        self.counts["copied"] += 1

    def dress_directories(self) -> None:
        """Owner, mode and time of each, after all below it."""
        for row in self._listing.rows(kind=Kind.DIRECTORY, deepest_first=True):
            directory, name = split(row.path)
            handle = open_handle(self._tree.directory(directory), name)
            try:
                self._set(row, by_handle(handle), os.fstat(handle))
            finally:
                os.close(handle)
            self._tree.forget(row.path)

    def _dress(self, row: Row, parent: int, name: str, there: os.stat_result) -> None:
        handle = open_handle(parent, name)
        try:
            self._set(row, by_handle(handle), there)
        finally:
            os.close(handle)

    def _dress_open(self, row: Row, descriptor: int, status: os.stat_result) -> None:
        self._set(row, descriptor, status)

    def _set(self, row: Row, where: int | str, status: os.stat_result) -> None:
        """The owner first: chown(2) takes set-id bits away; the time last."""
        uid, gid = self._wanted(row)
        if uid != KEEP and (status.st_uid, status.st_gid) != (uid, gid):
            os.chown(where, uid, gid)
        os.chmod(where, self._ownership.mode_bits(row.mode))
        if row.mtime is not None:
            os.utime(where, ns=(row.mtime, row.mtime))

    def _wanted(self, row: Row) -> tuple[int, int]:
        if self._ownership.mode is OwnershipMode.PRESERVE:
            return row.uid, row.gid
        return self._ownership.uid, self._ownership.gid


def _is_there(row: Row, there: os.stat_result) -> bool:
    return stat.S_ISREG(there.st_mode) and (there.st_size, there.st_mtime_ns) == (row.size, row.mtime)


def _clear(parent: int, name: str, there: os.stat_result | None) -> None:
    """What this migration's interrupted run made; nothing else is below a directory that was proved empty."""
    if there is None:
        return
    if stat.S_ISDIR(there.st_mode):
        remove_tree(parent, name)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)


def _write(descriptor: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]
