"""The mark that a target carries while work on it is unfinished, and the lock that keeps two copies apart.

``.project-migration/`` in the target's root holds ``lock`` and ``owner.json``::

    {"uid": "…", "name": "vision", "namespace": "ml", "started": "2026-01-01T00:00:00Z", "finished": false}

When a migration has succeeded, ``arrived.json`` is left in their place. It says which document was carried out there,
so that the same one, applied again, does not write over what users have done since::

    {"uid": "…", "name": "vision", "namespace": "ml", "at": "2026-01-01T00:10:00Z", "document": ["sha256:…"]}

It counts for nothing beside an ``owner.json``, and goes with the first write of whoever comes next.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from project_migration.model.records import Request
from project_migration.workers.reasons import TARGET_BUSY, Refusal
from project_migration.workers.reserved import MARK

_LOCK = "lock"
_OWNER = "owner.json"
_ARRIVED = "arrived.json"
_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

#: What we write is some hundred bytes; anything larger is not ours.
_LARGEST = 65536

#: Errors of flock(2) on file systems that have no locks. The operator's lease keeps copies apart there.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose unfinished work lies in a target."""

    uid: str
    name: str
    namespace: str
    started: str
    finished: bool = False
    """Whether its last copy ended well, so that no temporary name is left."""

    @classmethod
    def of(cls, request: Request, *, finished: bool = False) -> Owner:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return cls(request.migration_uid, request.migration_name, request.namespace, now, finished)


def read_owner(root: int) -> Owner | None:
    """Whose mark a target carries; an unreadable mark is nobody's known. ``root`` is a descriptor."""
    try:
        mark = os.open(MARK, _STEP, dir_fd=root)
    except OSError:
        return None
    try:
        descriptor = os.open(_OWNER, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=mark)
        with os.fdopen(descriptor, encoding="utf-8") as stream:
            found = json.load(stream)
        return Owner(
            str(found["uid"]),
            str(found["name"]),
            str(found["namespace"]),
            str(found["started"]),
            bool(found["finished"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    finally:
        os.close(mark)


def is_work(root: int) -> bool:
    """Whether a target carries a mark of work, of whomever; not only the word of what was completed there."""
    try:
        mark = os.open(MARK, _STEP, dir_fd=root)
    except FileNotFoundError:
        return False
    try:
        return any(name != _ARRIVED for name in os.listdir(mark))
    finally:
        os.close(mark)


def read_arrived(root: int) -> tuple[str, ...]:
    """The digests of the document that was carried out on a target; none where that is not known, or not so now."""
    try:
        return tuple(str(digest) for digest in _arrival(root).get("document", ()))
    except TypeError:
        return ()


def _arrival(root: int) -> Mapping[str, Any]:
    try:
        mark = os.open(MARK, _STEP, dir_fd=root)
    except OSError:
        return {}
    try:
        if _OWNER in os.listdir(mark):
            return {}
        descriptor = os.open(_ARRIVED, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=mark)
        with os.fdopen(descriptor, encoding="utf-8") as stream:
            found = json.loads(stream.read(_LARGEST))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}
    finally:
        os.close(mark)


def said_by(root: int) -> str:
    """The UID of the migration that left word of what was carried out on a target; empty where there is none."""
    return str(_arrival(root).get("uid", ""))


class Mark:
    """The mark in one target, held under its lock."""

    def __init__(self, root: int, lock: int, locked: bool) -> None:
        self._root = root
        self._lock = lock
        #: False on a file system without locks.
        self.locked = locked

    def write(self, owner: Owner) -> None:
        """Leaves the mark as it is when it says so already. What was completed before is no more what lies here."""
        self._own(owner)
        with self._opened() as mark, contextlib.suppress(FileNotFoundError):
            os.unlink(_ARRIVED, dir_fd=mark)

    def _own(self, owner: Owner) -> None:
        found = read_owner(self._root)
        if found is not None and (found.uid, found.finished) == (owner.uid, owner.finished):
            return
        if found is not None and found.uid == owner.uid:
            owner = Owner(owner.uid, owner.name, owner.namespace, found.started, owner.finished)
        self._put(_OWNER, asdict(owner))

    def say_arrived(self, request: Request, document: Sequence[str]) -> None:
        """Writes down which document was carried out here; it counts once the mark of work is gone.

        Who may write to the target may do so here as well: the next migration's helper may be another user.
        """
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        whose = {"uid": request.migration_uid, "name": request.migration_name, "namespace": request.namespace}
        self._put(_ARRIVED, {**whose, "at": at, "document": list(document)})
        status = os.fstat(self._root)
        with self._opened() as mark, contextlib.suppress(PermissionError):
            os.fchmod(mark, stat.S_IMODE(status.st_mode) & 0o2777 | 0o700)
            os.fchown(mark, status.st_uid, status.st_gid)

    def remove(self, *, keep: Collection[str] = ()) -> None:
        """Takes the mark away, or what of it is not to be kept. The lock goes last, while it is held."""
        with self._opened() as mark:
            for name in os.listdir(mark):
                if name not in (_LOCK, *keep):
                    os.unlink(name, dir_fd=mark)
            os.unlink(_LOCK, dir_fd=mark)
            os.fsync(mark)
        if not keep:
            os.rmdir(MARK, dir_fd=self._root)

    def _put(self, name: str, data: Mapping[str, object]) -> None:
        half = f"{name}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._opened() as mark:
            descriptor = os.open(half, flags, 0o644, dir_fd=mark)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(data, stream)
                stream.flush()
                os.fsync(descriptor)
            os.rename(half, name, src_dir_fd=mark, dst_dir_fd=mark)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        mark = os.open(MARK, _STEP, dir_fd=self._root)
        try:
            yield mark
        finally:
            os.close(mark)

    def granularity(self) -> int:
        """Nanoseconds to which this file system cuts the times of files, tried on the lock file."""
        odd = 1_700_000_001_123_456_789
        os.utime(self._lock, ns=(odd, odd))
        kept = os.fstat(self._lock).st_mtime_ns
        return next(
            (unit for unit in (1, 100, 1_000, 1_000_000, 1_000_000_000) if odd // unit * unit == kept), 2_000_000_000
        )


def lift(mark: Mark, root: int, *, arrived: bool = False) -> None:
    """Takes the mark off a target that is whole, and leaves no trace of that in its root's times.

    ``arrived``: the word of what was completed here stays.
    """
    before = os.fstat(root)
    mark.remove(keep=(_ARRIVED,) if arrived else ())
    with contextlib.suppress(PermissionError):  # a volume's root may be somebody else's: its times are too
        os.utime(root, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.fsync(root)


@contextlib.contextmanager
def hold(root: int) -> Iterator[Mark]:
    """Makes the mark's directory and takes its lock, which processes forked meanwhile keep with us.

    Raises :class:`Refusal` (TargetBusy) when another copy has it, ``OSError`` when it cannot be made.
    """
    lock = -1
    while lock < 0:
        with contextlib.suppress(FileExistsError):
            os.mkdir(MARK, 0o755, dir_fd=root)
        mark = os.open(MARK, _STEP, dir_fd=root)
        try:
            lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=mark)
            locked = _flock(lock)
            if not _is_same(lock, mark):  # it was released, and removed, between our two calls
                os.close(lock)
                lock = -1
        finally:
            os.close(mark)
    try:
        yield Mark(root, lock, locked)
    finally:
        os.close(lock)


def _flock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        os.close(lock)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise Refusal(TARGET_BUSY, "another copy is writing to the target", passing=True) from error
        raise
    return True


def _is_same(lock: int, mark: int) -> bool:
    ours = os.fstat(lock)
    try:
        there = os.stat(_LOCK, dir_fd=mark, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
