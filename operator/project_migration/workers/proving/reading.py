"""Reads one object of a tree for its row: never through a link, never leaving a trace in a source."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator

from project_migration.workers import attributes
from project_migration.workers.copying.content import data_ranges, is_sparse
from project_migration.workers.proving.rows import NONE, Entry
from project_migration.workers.tree import by_handle

#: A file that changes while it is read is read again so often.
ATTEMPTS = 3

#: Larger files are tasks of their own.
LARGE = 32 << 20

#: Bytes read at once; hashlib lets other threads run meanwhile.
PIECE = 1 << 20

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ZEROS = memoryview(bytes(PIECE))

#: Most checksums of files with several names that a lane keeps.
_REMEMBERED = 4_096


class Changed(Exception):  # noqa: N818 - an outcome, caught by name
    """An object was not the same after it was read."""


class Large(Exception):  # noqa: N818 - an outcome, caught by name
    """A file is large enough to be a task of its own."""


class Reader:
    """``content`` whether files are read at all; ``told`` is called with the number of bytes that were."""

    def __init__(self, *, content: bool, told: Callable[[int], None]) -> None:
        self._content = content
        self._told = told
        self._checksums: dict[tuple[int, int, int], str] = {}
        self._ahead: dict[tuple[int, str], int] = {}

    def read_ahead(self, directory: int, names: Iterable[str]) -> None:
        """Opens those that are files, and has the kernel begin to read them, so that the waits of a disk overlap."""
        for name in names if self._content else ():
            with contextlib.suppress(OSError):
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and status.st_size < LARGE:
                    descriptor = self._ahead[directory, name] = self._open(directory, name)
                    os.posix_fadvise(descriptor, 0, PIECE, os.POSIX_FADV_WILLNEED)

    def forget(self) -> None:
        """Closes what was read ahead and not asked for."""
        for descriptor in self._ahead.values():
            os.close(descriptor)
        self._ahead.clear()

    def entry(self, directory: int, name: str, *, large: bool) -> Entry:
        """Raises ``OSError``, :class:`Changed`, and :class:`Large` unless ``large`` files may be read here."""
        ahead = self._ahead.pop((directory, name), -1)
        if ahead >= 0:
            return self._file(ahead)
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode) and self._content:
            if status.st_size >= LARGE and not large:
                raise Large
            return self._file(self._open(directory, name))
        attrs = attributes.read(f"{by_handle(directory)}/{name}")
        if stat.S_ISLNK(status.st_mode):
            return Entry(status, attrs, link=os.readlink(name, dir_fd=directory))
        return Entry(status, attrs)

    def directory(self, descriptor: int) -> Entry:
        return Entry(os.fstat(descriptor), attributes.read(descriptor))

    def _file(self, descriptor: int) -> Entry:
        """Of an open file, which is closed then."""
        try:
            for _ in range(ATTEMPTS):
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise Changed
                checksum = self._known(status) or self._checksum(descriptor, status)
                after = os.fstat(descriptor)
                if (status.st_mtime_ns, status.st_ctime_ns, status.st_size) == (
                    after.st_mtime_ns,
                    after.st_ctime_ns,
                    after.st_size,
                ):
                    self._remember(status, checksum)
                    return Entry(status, attributes.read(descriptor), checksum)
        finally:
            os.close(descriptor)
        raise Changed

    def _open(self, directory: int, name: str) -> int:
        try:
            return os.open(name, _READ | os.O_NOATIME, dir_fd=directory)
        except PermissionError as error:
            if error.errno != errno.EPERM:
                raise
            return os.open(name, _READ, dir_fd=directory)

    def _checksum(self, descriptor: int, status: os.stat_result) -> str:
        size = status.st_size
        if size <= PIECE and not is_sparse(status):
            data = os.pread(descriptor, size + 1, 0)
            self._told(len(data))
            return hashlib.sha256(data).hexdigest() if data or not size else NONE
        sha256 = hashlib.sha256()
        for piece in _pieces(descriptor, status):
            sha256.update(piece)
            self._told(len(piece))
        return sha256.hexdigest()

    def _known(self, status: os.stat_result) -> str | None:
        if status.st_nlink == 1:
            return None
        return self._checksums.get((status.st_dev, status.st_ino, status.st_ctime_ns))

    def _remember(self, status: os.stat_result, checksum: str) -> None:
        if status.st_nlink > 1:
            if len(self._checksums) >= _REMEMBERED:
                self._checksums.clear()
            self._checksums[status.st_dev, status.st_ino, status.st_ctime_ns] = checksum


def _pieces(descriptor: int, status: os.stat_result) -> Iterator[memoryview]:
    """A large file's content; its holes are not read."""
    buffer = bytearray(PIECE)
    view, offset = memoryview(buffer), 0
    ranges = data_ranges(descriptor, status.st_size) if is_sparse(status) else iter([(0, status.st_size)])
    for start, end in ranges:
        yield from _zeros(start - offset)
        offset = start
        while offset < end:
            count = os.preadv(descriptor, [view[: min(PIECE, end - offset)]], offset)
            if count == 0:
                return  # it is shorter now, as its status will say
            yield view[:count]
            offset += count
    yield from _zeros(status.st_size - offset)


def _zeros(count: int) -> Iterator[memoryview]:
    while count > 0:
        yield _ZEROS[: min(count, PIECE)]
        count -= PIECE
