"""The directories that a request names, and what a worker needs of the system before it goes through them."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from project_migration.workers.harness import Job
from project_migration.workers.printable import escape
from project_migration.workers.reasons import (
    PATH_IS_A_LINK,
    PATHS_OVERLAP,
    SOURCE_NOT_A_DIRECTORY,
    SOURCE_NOT_FOUND,
    SOURCE_UNREADABLE,
    TARGET_NOT_A_DIRECTORY,
    Refusal,
)
from project_migration.workers.tree import open_root

MOST_OPEN_FILES = 65_536


def open_source(job: Job) -> int:
    """A descriptor. Raises :class:`Refusal`."""
    try:
        return open_root(job.root("source"))
    except FileNotFoundError as error:
        raise Refusal(SOURCE_NOT_FOUND, "the source directory does not exist") from error
    except NotADirectoryError as error:
        raise Refusal(SOURCE_NOT_A_DIRECTORY, "the source is not a directory") from error
    except PermissionError as error:
        raise Refusal(SOURCE_UNREADABLE, "the source directory cannot be read") from error
    except OSError as error:
        raise _a_link("source", error) from error


def open_target(job: Job, *, make: bool) -> int:
    """A descriptor; with ``make``, of a directory that is made if it is missing. Raises :class:`Refusal`."""
    try:
        return open_root(job.root("target"), make=make)
    except (NotADirectoryError, FileExistsError) as error:
        raise Refusal(TARGET_NOT_A_DIRECTORY, "the target is not a directory") from error
    except OSError as error:
        raise _a_link("target", error) from error


def refuse_links(job: Job, *sides: str) -> None:
    """For who looks at roots that may be missing or unreadable, and takes only a link for an error."""
    for side in sides:
        try:
            os.close(open_root(job.root(side)))
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise _a_link(side, error) from error


def _a_link(side: str, error: OSError) -> Exception:
    """A link on the way to a root is refused; any other error is what it is."""
    if error.errno != errno.ELOOP:
        return error
    return Refusal(PATH_IS_A_LINK, f"the {side}'s path leads through a symbolic link: {escape(str(error.filename))}")


@contextlib.contextmanager
def open_roots(job: Job) -> Iterator[tuple[int, int]]:
    """Source and target of a copy."""
    source = open_source(job)
    try:
        target = open_target(job, make=True)
        try:
            yield source, target
        finally:
            os.close(target)
    finally:
        os.close(source)


def overlap(source: str, target: str) -> bool:
    """Whether two paths are one place, or one lies in the other, as far as paths and inodes tell.

    Two mounts of one volume may hide it; who walks the trees finds it by the roots' inodes then.
    """
    one, other = os.path.realpath(source), os.path.realpath(target)
    if os.path.commonpath([one, other]) in (one, other):
        return True
    try:
        return os.path.samestat(os.stat(one), os.stat(other))
    except OSError:
        return False


def refuse_overlap(job: Job) -> None:
    if overlap(job.root("source"), job.root("target")):
        raise Refusal(PATHS_OVERLAP, "source and target are the same place, or one lies in the other")


@contextlib.contextmanager
def scratch(job: Job) -> Iterator[Path]:
    """A directory in the workspace that is empty now, and gone afterwards."""
    directory = job.workspace / "scratch" / job.stem
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        with contextlib.suppress(OSError):  # another helper may be using it
            directory.parent.rmdir()


def inode(root: int) -> tuple[int, int]:
    """Device and number of an open root, by which it is known wherever it is met; nothing that exists for -1."""
    if root < 0:
        return -1, -1
    status = os.fstat(root)
    return status.st_dev, status.st_ino


def open_many_files() -> None:
    """Every lane keeps some directories open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_OPEN_FILES)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def processes(workers: int) -> int:
    """One a core: more would only take turns. Two at least, so that one can wait for a disk."""
    return min(workers, max(2, len(os.sched_getaffinity(0))))


def sync(root: int) -> None:
    """Everything that was written to a file system is on its disk when this returns. Raises ``OSError``."""
    if ctypes.CDLL(None, use_errno=True).syncfs(root) != 0:
        number = ctypes.get_errno() or errno.EIO
        raise OSError(number, os.strerror(number))
