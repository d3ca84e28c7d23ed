"""Files with several names: copied once, and linked to all the others."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from project_migration.workers.copying.placing import Place, Placer, Trouble, lstat
from project_migration.workers.copying.plan import Count, Member, Settings
from project_migration.workers.crew import Outbox
from project_migration.workers.reasons import cause_of
from project_migration.workers.tree import join

#: link(2): too many names, another file system below this name, or none that knows of links.
_CANNOT_LINK = frozenset({errno.EMLINK, errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})

MakePlace = Callable[[str, str, int], Place]


@dataclass(slots=True)
class _Name:
    member: Member
    path: str
    status: os.stat_result
    there: os.stat_result | None = None

    @property
    def inode(self) -> tuple[int, int]:
        """On the target; nothing there equals nothing there."""
        return (self.there.st_dev, self.there.st_ino) if self.there else (-1, -1)


class LinkPlacer:
    def __init__(self, settings: Settings, outbox: Outbox, placer: Placer, make_place: MakePlace) -> None:
        self._settings = settings
        self._outbox = outbox
        self._counts = outbox.counts
        self._placer = placer
        self._make_place = make_place

    def place(self, members: Sequence[Member]) -> None:
        """Every member gets its verdict. ``make_place`` lends descriptors, so a place is made anew for each use."""
        names = [name for member in members if (name := self._look(member)) is not None]
        base = self._present(names) or self._copied(names)
        if base is None:
            return
        for name in names:
            if name is base:
                continue
            self._outbox.breathe()
            if name.there is not None and name.inode == base.inode:
                self._counts[Count.HARD_LINKS] += 1
                self._placer.give_dressed(Count.ALREADY_THERE, name.path, None)
            else:
                self._link(base, name)

    def _look(self, member: Member) -> _Name | None:
        source, target, flags, name = member
        path = join(source, name)
        try:
            place = self._make_place(source, target, flags)
            status = self._placer.status(place, name)
            if not stat.S_ISREG(status.st_mode):
                raise Trouble(Count.CHANGED, "became something else since it was listed")
            return _Name(member, path, status, lstat(place.to_fd, name) if place.may_hold(name) else None)
        except Trouble as trouble:
            self._placer.give(trouble.verdict, path, trouble.cause, trouble.number)
        except OSError as error:
            self._placer.target_trouble(path, error)
        return None

    def _present(self, names: list[_Name]) -> _Name | None:
        """The first name whose file on the target is this one, and is known by these names only."""
        counted = Counter(name.inode for name in names if name.there is not None)
        for name in names:
            there = name.there
            if there is None or not stat.S_ISREG(there.st_mode) or there.st_nlink != counted[name.inode]:
                continue
            source, target, flags, own = name.member
            try:
                place = self._make_place(source, target, flags)
                if self._placer.mended(place, own, name.path, name.status, there, there.st_nlink):
                    return name
            except Trouble as trouble:
                self._placer.give(trouble.verdict, name.path, trouble.cause, trouble.number)
                names.remove(name)
                return self._present(names)
            except OSError as error:
                self._placer.target_trouble(name.path, error)
                names.remove(name)
                return self._present(names)
        return None

    def _copied(self, names: list[_Name]) -> _Name | None:
        """Copies the file under the first name for which that works. Names that fail are done with."""
        while names:
            name = names[0]
            source, target, flags, own = name.member
            try:
                place = self._make_place(source, target, flags)
                self._placer.attempt(place, partial(self._placer.copy, place, own, name.path, name.there))
                name.there = os.stat(own, dir_fd=place.to_fd, follow_symlinks=False)
                return name
            except Trouble as trouble:
                self._placer.give(trouble.verdict, name.path, trouble.cause, trouble.number)
            except OSError as error:
                self._placer.target_trouble(name.path, error)
            del names[0]
        return None

    def _link(self, base: _Name, name: _Name) -> None:
        base_source, base_target, base_flags, base_name = base.member
        source, target, flags, _ = name.member
        base_fd = -1
        try:
            # a duplicate, since a descriptor is lent only until others are asked for
            base_fd = os.dup(self._make_place(base_source, base_target, base_flags).to_fd)
            place = self._make_place(source, target, flags)
            self._placer.attempt(place, partial(self._linked, place, base_fd, base_name, name))
            self._counts[Count.HARD_LINKS] += 1
            self._placer.give_dressed(Count.COPIED, name.path, None)
        except OSError as error:
            if error.errno in _CANNOT_LINK:
                self._copy_apart(name, error)
            else:
                self._placer.target_trouble(name.path, error)
        finally:
            if base_fd >= 0:
                os.close(base_fd)

    def _linked(self, place: Place, base_fd: int, base_name: str, name: _Name) -> None:
        own = name.member[3]
        if name.there is not None and place.direct:
            self._placer.clear(place, own, name.there)
            name.there = None
        made = own if place.direct else self._placer.temporary_name()
        os.link(base_name, made, src_dir_fd=base_fd, dst_dir_fd=place.to_fd, follow_symlinks=False)
        if made != own:
            self._placer.show(place, made, own, name.there)

    def _copy_apart(self, name: _Name, why: OSError) -> None:
        """Content first: the file arrives, and that its names do not belong together is told."""
        source, target, flags, own = name.member
        try:
            place = self._make_place(source, target, flags)
            self._placer.copy(place, own, name.path, name.there, lost=f"hard link ({cause_of(why)})")
        except Trouble as trouble:
            self._placer.give(trouble.verdict, name.path, trouble.cause, trouble.number)
        except OSError as error:
            self._placer.target_trouble(name.path, error)
