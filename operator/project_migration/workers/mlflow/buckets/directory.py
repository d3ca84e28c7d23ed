"""A directory as a place for files that come from a bucket or go to one. No step leads through a symbolic link."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from project_migration.workers import reasons
from project_migration.workers.filters import Selection, Verdict
from project_migration.workers.mlflow.buckets.items import CHANGED, PIECE, Item, ItemFailed, Left, Reading
from project_migration.workers.ownership import KEEP, Capability, Ownership, OwnershipMode, effective_capabilities
from project_migration.workers.reasons import ENDING_ERRORS, Refusal, cause_of, reason_of
from project_migration.workers.reserved import is_reserved
from project_migration.workers.roots import sync
from project_migration.workers.tree import join, split

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass
class Directory:
    """``root`` is a descriptor, and the caller's to close. ``prefix``: what names of half-made files begin with."""

    side: str
    root: int
    prefix: str
    selection: Selection
    ownership: Ownership = field(default_factory=Ownership)
    name: str = "the directory"
    _left: Left = field(default_factory=Left)

    def __post_init__(self) -> None:
        """A bucket knows no owners: new files get the wanted one, or the directory's own where that can be given."""
        status = os.fstat(self.root)
        self._owner = self.ownership.wanted(status)
        if self.ownership.mode is OwnershipMode.PRESERVE and Capability.CHOWN not in effective_capabilities():
            self._owner = KEEP, KEEP

    def check(self) -> None:
        """Its descriptor was opened, so it is there."""

    def items(self, below: str = "") -> Iterator[Item]:
        try:
            directory = self._step_to(below)
        except (FileNotFoundError, NotADirectoryError):
            return  # an experiment without files has no directory
        try:
            yield from self._walk(directory, below)
        finally:
            os.close(directory)

    def _walk(self, directory: int, below: str) -> Iterator[Item]:
        with os.scandir(directory) as entries:
            for entry in entries:
                path = join(below, entry.name)
                is_directory = entry.is_dir(follow_symlinks=False)
                if is_reserved(entry.name, at_root=not below) or self._is_left_out(path, is_directory):
                    continue
                if is_directory:
                    yield from self._entered(directory, entry.name, path)
                elif entry.is_file(follow_symlinks=False):
                    yield _item(path, entry.stat(follow_symlinks=False))
                else:
                    self._left.add(path, "a bucket holds no links and no devices")

    def _entered(self, directory: int, name: str, path: str) -> Iterator[Item]:
        try:
            inner = os.open(name, _DIRECTORY, dir_fd=directory)
        except OSError as error:
            self._left.add(path, cause_of(error))
            return
        try:
            yield from self._walk(inner, path)
        finally:
            os.close(inner)

    def _is_left_out(self, path: str, is_directory: bool) -> bool:
        return self.selection.judge(path, is_directory) is Verdict.LEAVE

    def left(self) -> Mapping[str, str]:
        return self._left.names

    def holds_anything(self) -> bool:
        return next(self.items(), None) is not None

    def look(self, path: str) -> Item | None:
        with _told(), suppress(FileNotFoundError, NotADirectoryError), self._above(path) as (directory, name):
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                return _item(path, status)
        return None

    @contextmanager
    def reading(self, item: Item) -> Iterator[Reading]:
        with _told(), self._above(item.path) as (directory, name):
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        try:
            yield _File(descriptor, item)
        finally:
            os.close(descriptor)

    def write(self, path: str, item: Item, content: Reading) -> None:
        if any(part in ("", ".", "..") or "\0" in part for part in path.split("/")):
            raise ItemFailed("no file can have this name")
        with _told(), self._above(path, make=True) as (directory, name):
            half = f"{self.prefix}f{hashlib.sha256(path.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"
            try:
                self._fill(directory, half, item, content)
                os.rename(half, name, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                with suppress(OSError):
                    os.unlink(half, dir_fd=directory)
                raise

    def _fill(self, directory: int, half: str, item: Item, content: Reading) -> None:
        descriptor = os.open(half, _NEW, 0o644, dir_fd=directory)
        try:
            written = 0
            while piece := content.read(PIECE):
                written += len(piece)
                while piece:
                    piece = piece[os.write(descriptor, piece) :]
            if written != item.size:
                raise ItemFailed(CHANGED, passing=True)
            self._own(descriptor)
            os.utime(descriptor, ns=(item.modified_ns, item.modified_ns))
        finally:
            os.close(descriptor)

    def _own(self, descriptor: int) -> None:
        if self._owner != (KEEP, KEEP):
            os.fchown(descriptor, *self._owner)

    def remove(self, path: str) -> None:
        with _told(), self._above(path) as (directory, name):
            os.unlink(name, dir_fd=directory)

    def finish(self) -> None:
        sync(self.root)

    def close(self) -> None:
        """The descriptor is the caller's."""

    @contextmanager
    def _above(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        above, name = split(path)
        directory = self._step_to(above, make=make)
        try:
            yield directory, name
        finally:
            os.close(directory)

    def _step_to(self, path: str, *, make: bool = False) -> int:
        """A descriptor, the caller's to close."""
        here = os.open(".", _DIRECTORY, dir_fd=self.root)
        for part in path.split("/") if path else ():
            try:
                below = self._step(here, part, make=make)
            finally:
                os.close(here)
            here = below
        return here

    def _step(self, here: int, name: str, *, make: bool) -> int:
        try:
            return os.open(name, _DIRECTORY, dir_fd=here)
        except FileNotFoundError:
            if not make:
                raise
        with suppress(FileExistsError):  # another thread makes it too
            os.mkdir(name, 0o755, dir_fd=here)
        below = os.open(name, _DIRECTORY, dir_fd=here)
        self._own(below)
        return below


class _File:
    headers: Mapping[str, str] = {}

    def __init__(self, descriptor: int, item: Item) -> None:
        self._descriptor = descriptor
        self._item = item

    def read(self, size: int, /) -> bytes:
        with _told():
            piece = os.read(self._descriptor, size)
            if not piece and _stamp(os.fstat(self._descriptor)) != self._item.stamp:
                raise ItemFailed(CHANGED, passing=True)
            return piece


def _item(path: str, status: os.stat_result) -> Item:
    return Item(path, status.st_size, _stamp(status), status.st_mtime_ns)


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


@contextmanager
def _told() -> Iterator[None]:
    """One file's error is that file's; a full disk ends all."""
    try:
        yield
    except OSError as error:
        if error.errno in ENDING_ERRORS:
            raise Refusal(reason_of(error.errno)[0], f"target: {cause_of(error)}") from error
        reason, passing = reason_of(error.errno)
        raise ItemFailed(cause_of(error), passing=passing and reason != reasons.PERMISSION_DENIED) from error
