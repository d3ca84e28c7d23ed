"""One tree, reached by directory descriptors only, so that no link and no long path ever leads out of it.

Every step down is ``openat(parent, name, O_DIRECTORY | O_NOFOLLOW)``: a directory that somebody turns into a
symbolic link meanwhile is an error, not a way out, and paths may be longer than the 4,096 bytes that the kernel
takes at once (PATH_MAX). A directory that is itself moved elsewhere while it is open cannot be told from one that
was not; on a mounted volume there is no elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def split(path: str) -> tuple[str, str]:
    directory, _, name = path.rpartition("/")
    return directory, name


def depth(path: str) -> int:
    return path.count("/") + 1 if path else 0


def open_root(path: str, *, make: bool = False) -> int:
    """A descriptor of a root, which is an absolute path without a symbolic link in it: backends name real places.

    A root lies in somebody's volume as soon as a document gives a ``subPath``, and a link there could lead to
    another mount. With ``make``, what is missing on the way is made. Raises ``OSError``; ELOOP for a link.
    """
    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in os.path.normpath(path).strip("/").split("/"):
            if not part:
                continue
            below = _step(here, part, make=make)
            os.close(here)
            here = below
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
    finally:
        os.close(here)


def _step(here: int, name: str, *, make: bool) -> int:
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=here)
    except FileNotFoundError:
        if not make:
            raise
    except NotADirectoryError as error:  # open(2): a symbolic link is none either, when it may not be followed
        if stat.S_ISLNK(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name) from error
        raise
    with contextlib.suppress(FileExistsError):  # another helper makes it too
        os.mkdir(name, 0o755, dir_fd=here)
    return os.open(name, flags, dir_fd=here)


class Tree:
    """The directories of one tree that a lane has open: the last ``capacity`` it used.

    A descriptor is lent until ``capacity`` others were asked for; nobody but the tree closes it.
    """

    def __init__(self, root: int, *, read_only: bool, capacity: int = 32) -> None:
        self._open: dict[str, int] = {}
        self._capacity = capacity
        #: Reading a source must not change its access times, where we may ask for that.
        self._noatime = os.O_NOATIME if read_only else 0
        self._repairs = not read_only
        # of our own: lanes that listed one descriptor would share its place in the listing
        self._root = self.step(root, ".")

    def directory(self, path: str) -> int:
        """The descriptor of a directory. Raises ``OSError``: ELOOP or ENOTDIR when a link stands in its way."""
        if not path:
            return self._root
        found = self._open.pop(path, None)
        if found is None:
            found = self._walk(path)
        self._open[path] = found  # now the youngest
        return found

    def _walk(self, path: str) -> int:
        parent = path
        while parent and parent not in self._open:
            parent = split(parent)[0]
        descriptor = self.directory(parent)
        names = path[len(parent) + 1 if parent else 0 :].split("/")
        for name in names[:-1]:
            parent = join(parent, name)
            descriptor = self.step(descriptor, name)
            self._keep(parent, descriptor)
        descriptor = self.step(descriptor, names[-1])
        self._make_room()
        return descriptor

    def _keep(self, path: str, descriptor: int) -> None:
        self._make_room()
        self._open[path] = descriptor

    def _make_room(self) -> None:
        while len(self._open) >= self._capacity:
            oldest = next(iter(self._open))
            os.close(self._open.pop(oldest))

    def step(self, parent: int, name: str) -> int:
        """Opens a directory in another; the caller closes it."""
        try:
            return os.open(name, _DIRECTORY | self._noatime, dir_fd=parent)
        except PermissionError as error:
            if self._noatime and error.errno == errno.EPERM:  # open(2): only the owner may use O_NOATIME
                return os.open(name, _DIRECTORY, dir_fd=parent)
            if self._repairs and unlock(parent, name):
                return os.open(name, _DIRECTORY, dir_fd=parent)
            raise

    def forget(self, path: str) -> None:
        """Closes a directory, and all below it, that goes away or gets another name."""
        gone = [known for known in self._open if known == path or known.startswith(f"{path}/")]
        for known in gone:
            os.close(self._open.pop(known))

    def close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()
        os.close(self._root)


def unlock(parent: int, name: str) -> bool:
    """Lets the owner of a directory into it again, whose final mode keeps him out; the mode is set anew at the end."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        status = os.fstat(handle)
        if status.st_uid != os.geteuid() or status.st_mode & 0o700 == 0o700:
            return False
        os.chmod(by_handle(handle), stat.S_IMODE(status.st_mode) | 0o700)
        return True
    finally:
        os.close(handle)


def make_writable(directory: int) -> bool:
    """After a refusal to change an open directory: whether its owner, being locked out by its mode, no longer is.

    Who asks for this sets its mode anew at the end, or removes it.
    """
    status = os.fstat(directory)
    if status.st_uid != os.geteuid() or status.st_mode & 0o300 == 0o300:
        return False
    os.chmod(directory, stat.S_IMODE(status.st_mode) | 0o700)
    return True


def by_handle(descriptor: int) -> str:
    """A path for the very object that a descriptor holds, for calls that take no O_PATH descriptor (proc(5))."""
    return f"/proc/self/fd/{descriptor}"


def open_handle(parent: int, name: str) -> int:
    """A descriptor of an object of any type that neither reads nor follows nor wakes it; the caller closes it."""
    return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
