"""The bytes of regular files: by the kernel alone where it can, and never a hole filled with zeros."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator

from project_migration.workers.pace import GRAIN, Pace

#: Files up to this size are read and written at once.
SMALL = 1 << 20

#: Bytes that pass between two looks at progress.
PIECE = 8 << 20

#: The kernel cannot do it between these two files, or is not allowed to: another way has to do.
_CANNOT = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF, errno.ETXTBSY}
)

Mover = Callable[[int, int, int, int], int]


class Content:
    """``told`` is called with the number of bytes that passed."""

    def __init__(self, pace: Pace, told: Callable[[int], None]) -> None:
        self._pace = pace
        self._told = told
        self._piece = GRAIN if pace.limit else PIECE
        self._movers: list[Mover] = [_in_kernel, _by_hand]

    def copy(self, source: int, target: int, status: os.stat_result) -> int:
        """Copies a file of any size into an empty one. Returns the bytes of data that were written."""
        written = 0
        if is_sparse(status):
            for start, end in data_ranges(source, status.st_size):
                written += self.copy_range(source, target, start, end)
            os.ftruncate(target, status.st_size)
        else:
            written = self.copy_range(source, target, 0, status.st_size)
        return written

    def write(self, target: int, data: bytes) -> None:
        """A small file's whole content."""
        self._pace.take(len(data))
        written = os.write(target, data) if data else 0
        while written < len(data):
            written += os.write(target, memoryview(data)[written:])

    def copy_range(self, source: int, target: int, start: int, end: int) -> int:
        """Until ``end`` or the end of the file, whichever comes first: it may be cut meanwhile."""
        offset = start
        while offset < end:
            count = min(self._piece, end - offset)
            self._pace.take(count)
            moved = self._move(source, target, offset, count)
            if moved == 0:
                break
            if not self._pace.limit and end - start > PIECE:
                # has the disk begin with what is there, while we read on
                os.posix_fadvise(target, offset, moved, os.POSIX_FADV_DONTNEED)
            offset += moved
            self._told(moved)
        return offset - start

    def _move(self, source: int, target: int, offset: int, count: int) -> int:
        while True:
            try:
                moved = self._movers[0](source, target, offset, count)
            except OSError as error:
                if len(self._movers) == 1 or error.errno not in _CANNOT:
                    raise
            else:
                if moved or len(self._movers) == 1:
                    return moved
                # at the end of the file, or a file system whose copy_file_range(2) copies nothing: read it to know
                return _by_hand(source, target, offset, count)
            self._movers.pop(0)


def _in_kernel(source: int, target: int, offset: int, count: int) -> int:
    return os.copy_file_range(source, target, count, offset, offset)


def _by_hand(source: int, target: int, offset: int, count: int) -> int:
    data = os.pread(source, min(count, SMALL), offset)
    view = memoryview(data)
    done = 0
    while done < len(data):
        done += os.pwrite(target, view[done:], offset + done)
    return done


def is_sparse(status: os.stat_result) -> bool:
    """Whether a file takes less room than its size. Compressing file systems say so of whole files too."""
    return status.st_blocks * 512 < status.st_size


def data_ranges(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Start and end of each piece that is no hole; one piece where the file system knows of none (lseek(2))."""
    offset = 0
    with contextlib.suppress(_NoMoreDataError):
        while offset < size:
            start = _seek(descriptor, offset, os.SEEK_DATA)
            end = min(size, _seek(descriptor, start, os.SEEK_HOLE))
            if start >= end:
                return
            yield start, end
            offset = end


class _NoMoreDataError(Exception):
    pass


def _seek(descriptor: int, offset: int, whence: int) -> int:
    try:
        return os.lseek(descriptor, offset, whence)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise _NoMoreDataError from error
        raise
