"""The two cases that nearly all files are: a small plain one that goes into a new directory, and one that is there.

Each is one function without calls of our own, since a call costs as much as a system call here: this halves the
processor time of a copy of many small files. Whatever is not plain, and every error, is left to the
:class:`~project_migration.workers.copying.placing.Placer`, which does it again and knows what to say.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable

from project_migration.workers.copying.content import SMALL
from project_migration.workers.copying.dressing import FURTHEST_SAFE_TIME
from project_migration.workers.copying.placing import MAKE, READ, Place
from project_migration.workers.copying.plan import Count, Settings
from project_migration.workers.crew import Outbox
from project_migration.workers.ownership import KEEP, OwnershipMode

#: Type and set-id bits of a mode.
_PLAIN = 0o177000

# plain integers, for the same reason
_COPIED, _THERE, _OWNED = int(Count.COPIED), int(Count.ALREADY_THERE), int(Count.OWNED)
_BYTES, _BYTES_COPIED, _STREAMED = int(Count.BYTES), int(Count.BYTES_COPIED), int(Count.STREAMED)


class Swift:
    def __init__(self, settings: Settings, outbox: Outbox) -> None:
        self._counts = outbox.counts
        self._ahead: dict[str, int] = {}
        self._preserves = settings.ownership.mode is OwnershipMode.PRESERVE
        self._owner = settings.ownership.uid, settings.ownership.gid
        self._owns = self._preserves or settings.ownership.uid != KEEP

    def read_ahead(self, place: Place, names: Iterable[str]) -> None:
        """Opens the files that are copied next, and has the kernel begin to read them all.

        The waits of a disk or a server overlap so, without the cost of threads: a tree that is not in the page cache
        is copied in 0.6 of the time.
        """
        self.forget()
        for name in names:
            with contextlib.suppress(OSError):
                source = self._ahead[name] = os.open(name, READ | place.noatime, dir_fd=place.from_fd)
                os.posix_fadvise(source, 0, SMALL, os.POSIX_FADV_WILLNEED)

    def forget(self) -> None:
        """Closes what was read ahead and not asked for."""
        for source in self._ahead.values():
            os.close(source)
        self._ahead.clear()

    def copy(self, place: Place, name: str) -> bool:
        """Copies a file that was read ahead into a directory that is new and inherits nothing.

        False: not done, and nothing is made.
        """
        source = self._ahead.pop(name, -1)
        if source < 0:
            return False
        try:
            status = os.fstat(source)
            size = status.st_size
            if (
                size > SMALL
                or status.st_nlink != 1
                or status.st_mode & _PLAIN != stat.S_IFREG
                or status.st_blocks * 512 < size
                or not 0 <= status.st_mtime_ns <= FURTHEST_SAFE_TIME
                or os.listxattr(source)
            ):
                return False
            data = os.read(source, size + 1)
            after = os.fstat(source)
            if (
                len(data) != size
                or after.st_size != size
                or after.st_ctime_ns != status.st_ctime_ns
                or after.st_mtime_ns != status.st_mtime_ns
            ):
                return False
        except OSError:
            return False
        finally:
            os.close(source)
        return self._write(place, name, status, data)

    def _write(self, place: Place, name: str, status: os.stat_result, data: bytes) -> bool:
        target, size = -1, len(data)
        try:
            target = os.open(name, MAKE, status.st_mode & 0o777, dir_fd=place.to_fd)
            if data and os.write(target, data) != size:
                raise OSError
            if self._owns:
                if place.newcomers is None:
                    new = os.fstat(target)
                    place.newcomers = new.st_uid, new.st_gid
                owner = (status.st_uid, status.st_gid) if self._preserves else self._owner
                if owner != place.newcomers:
                    os.chown(target, *owner)
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        except OSError:
            if target >= 0:
                os.close(target)
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=place.to_fd)
            return False
        os.close(target)
        counts = self._counts
        counts[_COPIED] += 1
        counts[_OWNED] += self._owns
        counts[_BYTES] += size
        counts[_BYTES_COPIED] += size
        counts[_STREAMED] += size
        return True

    def is_there(self, place: Place, name: str) -> bool:
        """Whether a plain file is on the target in every respect. False: it is not, or it takes a closer look."""
        try:
            ours = os.lstat(name, dir_fd=place.from_fd)
            theirs = os.lstat(name, dir_fd=place.to_fd)
            owner = (ours.st_uid, ours.st_gid) if self._preserves else self._owner
            if (
                ours.st_mtime_ns != theirs.st_mtime_ns
                or ours.st_size != theirs.st_size
                or ours.st_mode != theirs.st_mode
                or ours.st_mode & _PLAIN != stat.S_IFREG
                or ours.st_nlink != 1
                or theirs.st_nlink != 1
                or (self._owns and (theirs.st_uid, theirs.st_gid) != owner)
                or os.listxattr(f"/proc/self/fd/{place.from_fd}/{name}", follow_symlinks=False)
                or os.listxattr(f"/proc/self/fd/{place.to_fd}/{name}", follow_symlinks=False)
            ):
                return False
        except OSError:
            return False
        counts = self._counts
        counts[_THERE] += 1
        counts[_OWNED] += self._owns
        counts[_BYTES] += ours.st_size
        counts[_STREAMED] += ours.st_size
        return True
