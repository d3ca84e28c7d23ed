"""One entry of a directory: whether it is there already, and if not, made whole before it gets its name."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from project_migration.workers import attributes
from project_migration.workers.attributes import Attributes
from project_migration.workers.copying.content import SMALL, Content, is_sparse
from project_migration.workers.copying.dressing import Dresser, Losses
from project_migration.workers.copying.plan import Count, Ending, Flag, Kind, Large, LinkNote, Named, Settings
from project_migration.workers.copying.removal import remove_tree
from project_migration.workers.crew import Outbox
from project_migration.workers.ownership import KEEP
from project_migration.workers.reasons import ENDING_ERRORS, cause_of, reason_of
from project_migration.workers.tree import by_handle, join, make_writable, open_handle

Outcome = TypeVar("Outcome")

#: Larger files are tasks of their own.
LARGE = 32 << 20

#: A file that changes while it is read is read again so often.
ATTEMPTS = 3

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FULL_ACCESS = 0o600


@dataclass(slots=True)
class Place:
    """A source directory and the target directory that its entries go to, both open."""

    source: str
    target: str
    from_fd: int
    to_fd: int
    flags: int
    existing: dict[str, bool] | None = None
    """Names in the target, and whether each is a directory; None when they have to be asked for one by one."""
    late: bool = False
    """Whether something is still going to change in the target directory after this task."""
    noatime: int = os.O_NOATIME
    inherits_acl: bool = False
    newcomers: tuple[int, int] | None = None
    """Owner that the kernel gives to what is made here; None until something was."""
    deferred: bool = False
    """Whether this is the task to which a file was put off, so that it is not put off again."""

    @property
    def direct(self) -> bool:
        """Whether nobody sees this directory yet, so that files may be written under their final names."""
        return bool(self.flags & (Flag.FRESH | Flag.STAGED))

    def may_hold(self, name: str) -> bool:
        return not self.flags & Flag.FRESH and (self.existing is None or name in self.existing)


class Trouble(Exception):  # noqa: N818 - an outcome, caught by name
    """An object that cannot be copied now: which verdict, and why."""

    def __init__(self, verdict: Count, cause: str, number: int = 0) -> None:
        self.verdict = verdict
        self.cause = cause
        self.number = number


class _Read(NamedTuple):
    status: os.stat_result
    attrs: Attributes
    data: bytes | None
    """None for what is too large or too hollow to be read at once."""


def source_trouble(error: OSError) -> Trouble:
    """What an error of reading the source says about an object that its directory listed."""
    if error.errno == errno.ENOENT:
        return Trouble(Count.VANISHED, "gone since it was listed")
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
        return Trouble(Count.CHANGED, "became something else since it was listed")
    return Trouble(Count.FAILED, f"read: {cause_of(error)}", error.errno or 0)


class Placer:
    def __init__(self, settings: Settings, outbox: Outbox, content: Content) -> None:
        self._settings = settings
        self._outbox = outbox
        self._counts = outbox.counts
        self._content = content
        self._dresser = Dresser(settings)
        self._run = os.urandom(5).hex()
        self._serial = 0

    # ---- verdicts

    def give(self, verdict: Count, path: str, cause: str = "", number: int = 0) -> None:
        """Counts an entry's verdict, and names what is not well."""
        self._counts[verdict] += 1
        if verdict in (Count.FAILED, Count.CHANGED, Count.VANISHED, Count.NOT_PRESERVED, Count.SKIPPED):
            self._outbox.note(Named(verdict.label, path, cause, number))

    def give_dressed(self, verdict: Count, path: str, losses: Losses | None) -> None:
        """The verdict of something that is in place, but perhaps not in all its attributes."""
        if losses is None:
            self._counts[verdict] += 1
        elif losses.things:
            self.give(Count.NOT_PRESERVED, path, "; ".join(losses.things))
        else:
            self._counts[verdict] += 1
            self._counts[Count.PRIVILEGES_DROPPED] += 1
            self._outbox.note(Named("privilegesDropped", path, "; ".join(losses.privileges), 0))
        if self._settings.ownership.uid != KEEP or self._settings.ownership.keeps_privileges:
            self._counts[Count.OWNED] += losses is None or not any(t.startswith("owner") for t in losses.things)

    def target_trouble(self, path: str, error: OSError) -> None:
        if error.errno in ENDING_ERRORS:
            self.end(path, error)
        self.give(Count.FAILED, path, f"write: {cause_of(error)}", error.errno or 0)

    def end(self, path: str, error: OSError) -> None:
        """The target takes nothing more: the coordinator ends the run."""
        reason, _ = reason_of(error.errno)
        self._outbox.note(Ending(reason, f"{path or '.'}: {cause_of(error)}"))
        self._outbox.send(done=False)

    # ---- any entry but a directory

    def place(self, place: Place, name: str, kind: int) -> None:
        path = join(place.source, name)
        one = self._file if kind == Kind.FILE else self._other
        try:
            try:
                one(place, name, path)
            except PermissionError:
                if not make_writable(place.to_fd):
                    raise
                one(place, name, path)
        except Trouble as trouble:
            self.give(trouble.verdict, path, trouble.cause, trouble.number)
        except OSError as error:
            self.target_trouble(path, error)

    def attempt(self, place: Place, action: Callable[[], Outcome]) -> Outcome:
        """An action that writes to a directory, which may have a read-only mode from an earlier run."""
        try:
            return action()
        except PermissionError:
            if not make_writable(place.to_fd):
                raise
            return action()

    def _file(self, place: Place, name: str, path: str) -> None:
        there: os.stat_result | None = None
        if place.may_hold(name):
            there = lstat(place.to_fd, name)
            if there is not None and stat.S_ISREG(there.st_mode):
                status = self.status(place, name)
                if self._defer(place, name, status) or self.mended(place, name, path, status, there):
                    return
        self.copy(place, name, path, there)

    def copy(self, place: Place, name: str, path: str, there: os.stat_result | None, lost: str = "") -> None:
        """Copies a regular file, over what is ``there``; ``lost`` is what is known not to be kept of it.

        Raises :class:`Trouble`, and ``OSError`` of the target.
        """
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(0.05 * attempt)
            descriptor, status = self._open(place, name)
            try:
                if self._defer(place, name, status):
                    return
                if self._copied(place, name, path, descriptor, status, there, lost):
                    return
            finally:
                os.close(descriptor)
        raise Trouble(Count.CHANGED, "changes while it is read")

    def status(self, place: Place, name: str) -> os.stat_result:
        try:
            return os.stat(name, dir_fd=place.from_fd, follow_symlinks=False)
        except OSError as error:
            raise source_trouble(error) from error

    def _open(self, place: Place, name: str) -> tuple[int, os.stat_result]:
        try:
            try:
                descriptor = os.open(name, READ | place.noatime, dir_fd=place.from_fd)
            except PermissionError as error:
                if not place.noatime or error.errno != errno.EPERM:
                    raise
                place.noatime = 0  # open(2): only for the owner; the next ones are hardly ours either
                descriptor = os.open(name, READ, dir_fd=place.from_fd)
        except OSError as error:
            raise source_trouble(error) from error
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise Trouble(Count.CHANGED, "became something else since it was listed")
        return descriptor, status

    def _defer(self, place: Place, name: str, status: os.stat_result) -> bool:
        """Files with several names are copied at the end, when all of them are known; large ones by themselves."""
        if place.deferred:
            return False
        if status.st_nlink > 1:
            member = (place.source, place.target, int(place.flags), name)
            self._outbox.note(LinkNote(status.st_dev, status.st_ino, member))
        elif status.st_size >= LARGE:
            self._outbox.give(Large(place.source, place.target, int(place.flags), name))
        else:
            return False
        place.late = True
        return True

    def mended(
        self, place: Place, name: str, path: str, status: os.stat_result, there: os.stat_result, links: int = 1
    ) -> bool:
        """Whether the target has this file's content, under so many names; its attributes are mended then."""
        same = (
            status.st_size == there.st_size
            and there.st_nlink == links
            and self._settings.same_time(status.st_mtime_ns, there.st_mtime_ns)
        )
        if not same:
            return False
        if self._settings.compare_content and not self._equal_content(place, name, status):
            return False
        self.mend(place, name, path, status, there)
        self._counts[Count.BYTES] += status.st_size
        self._counts[Count.STREAMED] += status.st_size
        return True

    def mend(self, place: Place, name: str, path: str, status: os.stat_result, there: os.stat_result) -> None:
        """The attributes of something whose content is right."""
        attrs = self._attributes(place, name)
        attrs_now = attributes.read(f"{by_handle(place.to_fd)}/{name}")
        if self._dresser.matches(status, there, attrs, attrs_now) and self._settings.same_time(
            status.st_mtime_ns, there.st_mtime_ns
        ):
            self.give_dressed(Count.ALREADY_THERE, path, None)
            return
        handle = open_handle(place.to_fd, name)
        try:
            losses = self._dresser.dress(by_handle(handle), status, attrs, now=there, attrs_now=attrs_now)
        finally:
            os.close(handle)
        self.give_dressed(Count.METADATA_FIXED, path, losses)

    def _attributes(self, place: Place, name: str) -> Attributes:
        try:
            return attributes.read(f"{by_handle(place.from_fd)}/{name}")
        except OSError as error:
            raise source_trouble(error) from error

    def _equal_content(self, place: Place, name: str, status: os.stat_result) -> bool:
        ours, _ = self._open(place, name)
        try:
            theirs = os.open(name, READ, dir_fd=place.to_fd)
            try:
                return all(
                    os.pread(ours, SMALL, offset) == os.pread(theirs, SMALL, offset)
                    for offset in range(0, status.st_size, SMALL)
                )
            finally:
                os.close(theirs)
        finally:
            os.close(ours)

    def _copied(
        self,
        place: Place,
        name: str,
        path: str,
        source: int,
        status: os.stat_result,
        there: os.stat_result | None,
        lost: str,
    ) -> bool:
        """Copies what is open. False when it changed meanwhile; nothing has got its name then."""
        size = status.st_size
        try:
            attrs = attributes.read(source)
            data = os.read(source, size + 1) if size <= SMALL and not is_sparse(status) else None
            if data is not None and (len(data) != size or _differs(status, os.fstat(source))):
                return False
        except OSError as error:
            raise source_trouble(error) from error
        if there is not None and place.direct:
            self.clear(place, name, there)
            there = None
        unseen = place.direct and data is not None
        made = name if unseen else self.temporary_name()
        target, losses = self._make(place, made, status, attrs, source, data)
        if target < 0:
            return False
        os.close(target)
        if not unseen:
            self.show(place, made, name, there)
        self._counts[Count.BYTES] += size
        self._counts[Count.BYTES_COPIED] += size
        if data is not None:
            self._counts[Count.STREAMED] += size
        if lost:
            losses = losses or Losses()
            losses.things.append(lost)
        self.give_dressed(Count.COPIED, path, losses)
        return True

    def _make(
        self,
        place: Place,
        made: str,
        status: os.stat_result,
        attrs: Attributes,
        source: int,
        data: bytes | None,
    ) -> tuple[int, Losses | None]:
        """A whole file under the name ``made``: its descriptor, -1 when the source changed while it was read."""
        # what nobody else can reach may have its final mode at once, which saves a call for most files
        mode = status.st_mode & 0o777 if place.direct and not attrs and not place.inherits_acl else _FULL_ACCESS
        target = os.open(made, MAKE, mode, dir_fd=place.to_fd)
        try:
            if data is None:
                self._content.copy(source, target, status)
                whole = not _differs(status, os.fstat(source))
            else:
                self._content.write(target, data)
                whole = True
            if whole:
                if place.newcomers is None:
                    new = os.fstat(target)
                    place.newcomers = (new.st_uid, new.st_gid)
                attrs_now = attributes.read(target) if place.inherits_acl else attributes.NOTHING
                losses = self._dresser.dress(
                    target, status, attrs, attrs_now=attrs_now, owner_now=place.newcomers, mode_now=mode
                )
                return target, losses
        except BaseException:
            os.close(target)
            _discard(place.to_fd, made)
            raise
        os.close(target)
        _discard(place.to_fd, made)
        return -1, None

    # ---- names

    def temporary_name(self) -> str:
        """Like no other, those that an earlier run left behind included."""
        self._serial += 1
        return f"{self._settings.prefix}f{self._run}-{self._serial:x}"

    def show(self, place: Place, made: str, name: str, there: os.stat_result | None) -> None:
        """Gives a made object its name. What has the name is replaced at once, unless it is a directory."""
        try:
            if there is not None and stat.S_ISDIR(there.st_mode):
                self.clear(place, name, there)
            os.rename(made, name, src_dir_fd=place.to_fd, dst_dir_fd=place.to_fd)
        except OSError:
            _discard(place.to_fd, made)
            raise

    def clear(self, place: Place, name: str, there: os.stat_result) -> None:
        """Makes room for something of another type, or for a file that was left half written in a staged place."""
        if stat.S_ISDIR(there.st_mode):
            aside = self.temporary_name()  # first out of sight, as a whole
            os.rename(name, aside, src_dir_fd=place.to_fd, dst_dir_fd=place.to_fd)
            remove_tree(place.to_fd, aside)
            self._counts[Count.REPLACED] += 1
        else:
            os.unlink(name, dir_fd=place.to_fd)

    # ---- links, pipes, devices

    def _other(self, place: Place, name: str, path: str) -> None:
        status = self.status(place, name)
        if stat.S_ISSOCK(status.st_mode):
            self._counts[Count.SPECIALS] -= 1
            self._counts[Count.SOCKETS] += 1
            self.give(Count.SKIPPED, path, "a socket lives only as long as its server")
            return
        if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
            raise Trouble(Count.CHANGED, "became something else since it was listed")
        link = self._link(place, name) if stat.S_ISLNK(status.st_mode) else None
        if link is None and self._settings.skip_specials:
            self.give(Count.SKIPPED, path, "a device or pipe, which the request leaves out")
            return
        there = lstat(place.to_fd, name) if place.may_hold(name) else None
        if there is not None and self._same_other(place, name, status, link, there):
            if link is None:
                self.mend(place, name, path, status, there)
            else:
                self._mend_link(place, name, path, status, there)
            return
        if there is not None and place.direct:
            self.clear(place, name, there)
            there = None
        made = name if place.direct else self.temporary_name()
        losses = self._make_other(place, name, made, status, link)
        if made != name:
            self.show(place, made, name, there)
        self.give_dressed(Count.COPIED, path, losses)

    def _link(self, place: Place, name: str) -> str:
        try:
            return os.readlink(name, dir_fd=place.from_fd)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise Trouble(Count.CHANGED, "became something else since it was listed") from error
            raise source_trouble(error) from error

    def _same_other(
        self, place: Place, name: str, status: os.stat_result, link: str | None, there: os.stat_result
    ) -> bool:
        if stat.S_IFMT(status.st_mode) != stat.S_IFMT(there.st_mode):
            return False
        if link is not None:
            return os.readlink(name, dir_fd=place.to_fd) == link
        return status.st_rdev == there.st_rdev

    def _make_other(
        self, place: Place, name: str, made: str, status: os.stat_result, link: str | None
    ) -> Losses | None:
        if link is not None:
            os.symlink(link, made, dir_fd=place.to_fd)
            return self._dress_link(place, made, status, self._attributes(place, name), None)
        try:
            if stat.S_ISFIFO(status.st_mode):
                os.mkfifo(made, _FULL_ACCESS, dir_fd=place.to_fd)
            else:
                kind = stat.S_IFMT(status.st_mode)
                os.mknod(made, kind | _FULL_ACCESS, status.st_rdev, dir_fd=place.to_fd)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL):
                raise Trouble(Count.NOT_PRESERVED, f"device or pipe: {cause_of(error)}", error.errno) from error
            raise
        attrs = self._attributes(place, name)
        handle = open_handle(place.to_fd, made)
        try:
            attrs_now = attributes.read(by_handle(place.to_fd) + f"/{made}")
            return self._dresser.dress(by_handle(handle), status, attrs, attrs_now=attrs_now)
        finally:
            os.close(handle)

    def _mend_link(self, place: Place, name: str, path: str, status: os.stat_result, there: os.stat_result) -> None:
        attrs = self._attributes(place, name)
        attrs_now = attributes.read(f"{by_handle(place.to_fd)}/{name}")
        same_time = self._settings.same_time(status.st_mtime_ns, there.st_mtime_ns)
        if same_time and self._dresser.matches(status, there, attrs, attrs_now):
            self.give_dressed(Count.ALREADY_THERE, path, None)
            return
        losses = self._dress_link(place, name, status, attrs, there)
        self.give_dressed(Count.METADATA_FIXED, path, losses)

    def _dress_link(
        self, place: Place, name: str, status: os.stat_result, attrs: Attributes, there: os.stat_result | None
    ) -> Losses | None:
        """A link's own owner, attributes and times; it has no mode of its own (symlink(7))."""
        losses = Losses()
        uid, gid = self._settings.ownership.wanted(status)
        if uid != KEEP and (there is None or (there.st_uid, there.st_gid) != (uid, gid)):
            try:
                os.chown(name, uid, gid, dir_fd=place.to_fd, follow_symlinks=False)
            except OSError as error:
                losses.things.append(f"owner {uid}:{gid} ({cause_of(error)})")
        for key, value in attrs.items():
            try:
                os.setxattr(f"{by_handle(place.to_fd)}/{name}", key, value, follow_symlinks=False)
            except OSError as error:
                lost = losses.things if self._settings.ownership.keeps_privileges else losses.privileges
                lost.append(f"attribute {key} ({cause_of(error)})")
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=place.to_fd, follow_symlinks=False)
        return losses or None


def lstat(directory: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _differs(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_mtime_ns, before.st_ctime_ns, before.st_size) != (
        after.st_mtime_ns,
        after.st_ctime_ns,
        after.st_size,
    )


def _discard(directory: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except OSError:
        return  # a later run clears it away
