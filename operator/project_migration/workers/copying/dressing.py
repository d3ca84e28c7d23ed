"""Owner, extended attributes, mode and times of an object on the target, in the order in which they survive.

chown(2) clears set-id bits and capabilities, and an ACL changes the mode's group bits: so owner, attributes, mode,
and the times last.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

from project_migration.workers import attributes
from project_migration.workers.attributes import Attributes
from project_migration.workers.copying.plan import Settings
from project_migration.workers.ownership import KEEP
from project_migration.workers.reasons import ENDING_ERRORS, cause_of

#: Nanoseconds until which every file system keeps times.
FURTHEST_SAFE_TIME = (2**31 - 1) * 10**9
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


@dataclass(slots=True)
class Losses:
    """What could not be kept, in words; ``privileges`` are no failure where files go to the helper's own user."""

    things: list[str] = field(default_factory=list)
    privileges: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.things or self.privileges)


class Dresser:
    """``where`` is a descriptor, or a path that leads to one object only (``/proc/self/fd/N``)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ownership = settings.ownership

    def dress(
        self,
        where: int | str,
        wanted: os.stat_result,
        attrs: Attributes,
        *,
        now: os.stat_result | None = None,
        attrs_now: Attributes = attributes.NOTHING,
        owner_now: tuple[int, int] | None = None,
        mode_now: int = -1,
    ) -> Losses | None:
        """Makes an object what it is in the source; what is ``now`` true already is left alone.

        Raises ``OSError`` when the file system is full or read-only; everything else is a loss.
        """
        losses = Losses()
        if now is not None:
            owner_now, mode_now = (now.st_uid, now.st_gid), stat.S_IMODE(now.st_mode)
        owned = self._own(where, wanted, owner_now, losses)
        if attrs or attrs_now:
            self._attribute(where, attrs, attrs_now, losses)
            mode_now = -1  # an ACL may have changed it
        mode = stat.S_IMODE(wanted.st_mode)
        if not owned:
            mode &= 0o1777  # set-id bits for another owner than the source's would be a gift
        if mode != mode_now or (owned and mode & _SPECIAL_BITS):
            self._bits(where, mode, losses)
        if now is None or not self._settings.same_time(wanted.st_mtime_ns, now.st_mtime_ns):
            self._times(where, wanted, losses)
        return losses or None

    def _own(self, where: int | str, wanted: os.stat_result, now: tuple[int, int] | None, losses: Losses) -> bool:
        uid, gid = self._ownership.wanted(wanted)
        if uid == KEEP or (uid, gid) == now:
            return True
        try:
            os.chown(where, uid, gid)
        except OSError as error:
            _note(error, f"owner {uid}:{gid}", losses.things)
            return False
        return True

    def _attribute(self, where: int | str, attrs: Attributes, now: Attributes, losses: Losses) -> None:
        for name, value in attrs.items():
            if now.get(name) == value:
                continue
            try:
                os.setxattr(where, name, value)
            except OSError as error:
                self._lose(name, f"attribute {name} ({cause_of(error)})", losses)
        for name in attributes.stale(now, attrs):
            try:
                os.removexattr(where, name)
            except OSError as error:
                self._lose(name, f"attribute {name} too many ({cause_of(error)})", losses)

    def _lose(self, name: str, what: str, losses: Losses) -> None:
        given_up = attributes.is_privilege(name) and not self._ownership.keeps_privileges
        (losses.privileges if given_up else losses.things).append(what)

    def _bits(self, where: int | str, mode: int, losses: Losses) -> None:
        try:
            os.chmod(where, mode)
            if not mode & _SPECIAL_BITS:
                return
            left = mode & ~stat.S_IMODE(os.stat(where).st_mode)
        except OSError as error:
            left = mode & _SPECIAL_BITS
            if not left:
                _note(error, f"mode {mode:o}", losses.things)
                return
            try:  # without them, what else is in the mode
                os.chmod(where, mode & 0o777)
            except OSError as again:
                _note(again, f"mode {mode:o}", losses.things)
                return
        if left:
            given_up = not self._ownership.mode_bits(left)
            (losses.privileges if given_up else losses.things).append(f"mode bits {left:o}")

    def _times(self, where: int | str, wanted: os.stat_result, losses: Losses) -> None:
        try:
            os.utime(where, ns=(wanted.st_atime_ns, wanted.st_mtime_ns))
            if 0 <= wanted.st_mtime_ns <= FURTHEST_SAFE_TIME:
                return
            # file systems cut what they cannot hold without a word (utimensat(2))
            if not self._settings.same_time(wanted.st_mtime_ns, os.stat(where).st_mtime_ns):
                losses.things.append("modification time")
        except OSError as error:
            _note(error, "times", losses.things)

    def matches(self, source: os.stat_result, target: os.stat_result, attrs: Attributes, attrs_now: Attributes) -> bool:
        """Whether owner, mode and attributes are what they have to be; content and times are the caller's."""
        uid, gid = self._ownership.wanted(source)
        if uid != KEEP and (target.st_uid, target.st_gid) != (uid, gid):
            return False
        if self._ownership.mode_bits(source.st_mode ^ target.st_mode) and not stat.S_ISLNK(source.st_mode):
            return False
        if self._ownership.keeps_privileges:
            return attributes.equal(attrs_now, attrs)
        return attributes.equal(attributes.unprivileged(attrs_now), attributes.unprivileged(attrs))


def _note(error: OSError, what: str, into: list[str]) -> None:
    if error.errno in ENDING_ERRORS:
        raise error
    into.append(f"{what} ({cause_of(error)})")
