"""Writes an archive that the guide's script and any tar can read: ``db.sql`` first, then ``projects/`` in order.

GNU format, since the busybox of the guide's helper does not read pax headers. Memory does not grow with the tree: names
of files that have several are kept on disk.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import IO

from project_migration.workers import reasons
from project_migration.workers.cdsw import failures, safety
from project_migration.workers.cdsw.tables import SITE_DIRECTORIES
from project_migration.workers.cdsw.tarball import BLOCK
from project_migration.workers.cdsw.walking import walk
from project_migration.workers.copying.placing import lstat
from project_migration.workers.pace import Pace
from project_migration.workers.printable import escape, shorten
from project_migration.workers.tree import Tree, split

PIECE = 1 << 20
_LEVEL = 6  # gzip's own
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TYPES = {stat.S_IFREG: tarfile.REGTYPE, stat.S_IFDIR: tarfile.DIRTYPE, stat.S_IFLNK: tarfile.SYMTYPE}

#: CDSW and CML take scratch out; the directory itself is kept, as the guide's command does.
_SCRATCH = SITE_DIRECTORIES[0]


class Packing:
    """Use as a context manager; ``path`` is written in full and durable when it is left in good order.

    ``tick`` is given bytes that were packed, ``skip`` what is neither file, directory nor link.
    """

    def __init__(
        self, path: Path, scratch: Path, pace: Pace, tick: Callable[[int], None], skip: Callable[[str], None]
    ) -> None:
        self._file = path.open("wb", buffering=0)
        self._pace = pace
        self._tick = tick
        self._skip = skip
        self._deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        self._written = 0
        self._links = sqlite3.connect(scratch / "links.sqlite", isolation_level=None)
        self._links.execute("PRAGMA synchronous = OFF")
        self._links.execute(
            "CREATE TABLE links (device INTEGER, inode INTEGER, name BLOB, PRIMARY KEY (device, inode))"
        )
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> Packing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._put(bytes(2 * BLOCK))
                self._put(bytes(-self._written % tarfile.RECORDSIZE))
                self._store(self._deflater.flush())
                os.fsync(self._file.fileno())
        finally:
            self._file.close()
            self._links.close()

    def add_dump(self, stream: IO[bytes]) -> None:
        """All that was written to a file."""
        stream.flush()
        status = os.fstat(stream.fileno())
        info = tarfile.TarInfo(safety.DUMP)
        info.size, info.mtime, info.mode = status.st_size, int(status.st_mtime), 0o600
        self._head(info)
        stream.seek(0)
        self._content(iter(lambda: stream.read(PIECE), b""), status.st_size, safety.DUMP)

    def add_tree(self, root: int) -> None:
        """All of a projects' directory but what lies in scratch. Raises ``OSError``, ``Refused`` (SourceChanged)."""
        tree = Tree(root, read_only=True)
        try:
            self._entry(tree, "", os.fstat(root))
            names = [name for name in (_SCRATCH,) if (found := lstat(root, name)) and stat.S_ISDIR(found.st_mode)]
            for name in names:
                self._entry(tree, name, os.stat(name, dir_fd=root, follow_symlinks=False))
            for path, status in walk(tree, without=(_SCRATCH,)):
                self._entry(tree, path, status)
        finally:
            tree.close()

    def _entry(self, tree: Tree, path: str, status: os.stat_result) -> None:
        directory, name = split(path)
        info = tarfile.TarInfo(f"{safety.PROJECTS}/{path}" if path else safety.PROJECTS)
        info.mode, info.uid, info.gid = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
        info.mtime = status.st_mtime_ns // 10**9
        kind = _TYPES.get(stat.S_IFMT(status.st_mode))
        if kind is None:  # sockets and pipes live with their programs; devices have no place in a project
            self.counts["skipped"] += 1
            self._skip(path)
            return
        info.type = kind
        if kind == tarfile.SYMTYPE:
            info.linkname = os.readlink(name, dir_fd=tree.directory(directory))
            self.counts["symlinks"] += 1
        elif kind == tarfile.DIRTYPE:
            self.counts["directories"] += 1
        elif status.st_nlink > 1 and (first := self._first(status, info.name)):
            info.type, info.linkname = tarfile.LNKTYPE, first
            self.counts["hardLinks"] += 1
        else:
            self._file_content(tree, directory, name, info)
            return
        self._head(info)

    def _file_content(self, tree: Tree, directory: str, name: str, info: tarfile.TarInfo) -> None:
        descriptor = os.open(name, _READ, dir_fd=tree.directory(directory))
        try:
            before = os.fstat(descriptor)
            info.size = before.st_size
            self._head(info)
            self._content(iter(lambda: os.read(descriptor, PIECE), b""), info.size, info.name)
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise _changed(info.name)
        self.counts["files"] += 1
        self.counts["bytes"] += info.size

    def _first(self, status: os.stat_result, name: str) -> str:
        """The name under which a file with several was stored before; none for the first."""
        key = (status.st_dev, status.st_ino)
        found = self._links.execute("SELECT name FROM links WHERE device = ? AND inode = ?", key).fetchone()
        if found:
            return os.fsdecode(found[0])
        self._links.execute("INSERT INTO links VALUES (?, ?, ?)", (*key, os.fsencode(name)))
        return ""

    def _head(self, info: tarfile.TarInfo) -> None:
        self._put(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))

    def _content(self, pieces: Iterable[bytes], size: int, name: str) -> None:
        left = size
        for piece in pieces:
            left -= len(piece)
            if left < 0:
                raise _changed(name)
            self._put(piece)
        if left:
            raise _changed(name)
        self._put(bytes(-size % BLOCK))

    def _put(self, piece: bytes) -> None:
        self._pace.take(len(piece))
        self._written += len(piece)
        self._store(self._deflater.compress(piece))
        self._tick(self._written)

    def _store(self, packed: bytes) -> None:
        view = memoryview(packed)
        while view:
            view = view[self._file.write(view) or 0 :]


def _changed(name: str) -> failures.Refused:
    message = f"{shorten(escape(name))} changed while it was read"
    return failures.Refused(reasons.SOURCE_CHANGED, message, True)
