"""Gives directories their attributes once nothing in them changes any more, and shows those that were staged."""

from __future__ import annotations

import contextlib
import os
import stat

from project_migration.workers import attributes
from project_migration.workers.copying.dressing import Dresser, Losses
from project_migration.workers.copying.extras import Extras
from project_migration.workers.copying.placing import Place, Placer, Trouble, lstat, source_trouble
from project_migration.workers.copying.plan import Count, Directory, Flag, Late, LateNote, Settings
from project_migration.workers.crew import Outbox
from project_migration.workers.ownership import Capability
from project_migration.workers.tree import Tree, split

_KEPT = Flag.MADE | Flag.TENTATIVE | Flag.LARGE


class Finisher:
    def __init__(
        self, settings: Settings, outbox: Outbox, placer: Placer, extras: Extras, source: Tree, target: Tree
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._counts = outbox.counts
        self._placer = placer
        self._extras = extras
        self._source = source
        self._target = target
        self._dresser = Dresser(settings)
        self._may_enter_any = Capability.DAC_OVERRIDE in settings.capabilities
        self._may_change_any = Capability.FOWNER in settings.capabilities

    def finish(self, task: Directory, place: Place, listed: os.stat_result) -> None:
        """At once while its descriptors are open, or later when something in it is still going to change."""
        locks_us_out = not self._may_enter_any and listed.st_mode & 0o700 != 0o700
        if place.late or locks_us_out or not task.source or task.shown or task.flags & Flag.TENTATIVE:
            self.put_off(task, listed)
            return
        late = Late(task.source, task.target, task.flags, "", listed.st_mtime_ns, listed.st_ctime_ns)
        try:
            verdict, losses = self._settle(late, place.from_fd, place.to_fd)
        except Trouble as trouble:
            self._placer.give(trouble.verdict, task.source, trouble.cause, trouble.number)
        except OSError as error:
            self._placer.target_trouble(task.source, error)
        else:
            self._placer.give_dressed(verdict, task.source, losses)

    def put_off(self, task: Directory, listed: os.stat_result, more: int = Flag.NONE) -> None:
        flags = task.flags & _KEPT | more
        times = listed.st_mtime_ns, listed.st_ctime_ns
        self._outbox.note(LateNote((task.source, task.target, flags, task.shown, *times)))

    def finish_late(self, late: Late) -> None:
        if late.flags & Flag.TENTATIVE and not late.flags & Flag.NEEDED:
            self._sweep_passed(late)
            return
        if late.flags & Flag.TENTATIVE:  # it is taken after all
            self._counts[Count.EXCLUDED] -= 1
            self._counts[Count.DIRECTORIES] += 1
        try:
            verdict, losses = self._finished(late)
        except Trouble as trouble:
            self._placer.give(trouble.verdict, late.source, trouble.cause, trouble.number)
        except OSError as error:
            self._placer.target_trouble(late.source, error)
        else:
            self._placer.give_dressed(verdict, late.source, losses)

    def _sweep_passed(self, late: Late) -> None:
        """A large directory through which a filter leads: nothing is taken, but the target may hold too much."""
        with contextlib.suppress(OSError):  # it is not on both sides
            from_fd, to_fd = self._source.directory(late.source), self._target.directory(late.target)
            self._extras.sweep(Place(late.source, late.target, from_fd, to_fd, late.flags))

    def _finished(self, late: Late) -> tuple[Count, Losses | None]:
        try:
            from_fd = self._source.directory(late.source)
        except OSError as error:
            raise source_trouble(error) from error
        to_fd = self._target.directory(late.target)
        if late.flags & Flag.LARGE and not late.flags & Flag.MADE:
            self._extras.sweep(Place(late.source, late.target, from_fd, to_fd, late.flags))
        trouble: Trouble | None = None
        verdict, losses = Count.COPIED, None
        try:
            verdict, losses = self._settle(late, from_fd, to_fd)
        except Trouble as found:  # what is there is shown all the same
            trouble = found
        if late.shown:
            self._show(late)
        if trouble is not None:
            raise trouble
        return verdict, losses

    def _settle(self, late: Late, from_fd: int, to_fd: int) -> tuple[Count, Losses | None]:
        """Raises :class:`Trouble` when entries came or went meanwhile: the listing may not have had them."""
        try:
            status = os.fstat(from_fd)
            attrs = attributes.read(from_fd)
        except OSError as error:
            raise source_trouble(error) from error
        there = os.fstat(to_fd)
        verdict, losses = Count.ALREADY_THERE, None
        if late.source or there.st_uid == os.geteuid() or self._may_change_any:
            verdict, losses = self._dressed(late, to_fd, status, there, attrs)
        # else the volume's own root, which belongs to somebody else: its attributes are not the project's
        if late.mtime and (status.st_mtime_ns, status.st_ctime_ns) != (late.mtime, late.ctime):
            raise Trouble(Count.CHANGED, "entries came or went while it was copied")
        return verdict, losses

    def _dressed(
        self, late: Late, to_fd: int, status: os.stat_result, there: os.stat_result, attrs: attributes.Attributes
    ) -> tuple[Count, Losses | None]:
        attrs_now = attributes.read(to_fd)
        if not late.flags & Flag.MADE:
            same_times = self._settings.same_time(status.st_mtime_ns, there.st_mtime_ns)
            if same_times and self._dresser.matches(status, there, attrs, attrs_now):
                return Count.ALREADY_THERE, None
        losses = self._dresser.dress(to_fd, status, attrs, now=there, attrs_now=attrs_now)
        return Count.COPIED if late.flags & Flag.MADE else Count.METADATA_FIXED, losses

    def _show(self, late: Late) -> None:
        above, name = split(late.target)
        self._target.forget(late.target)
        parent = self._target.directory(above)
        there = lstat(parent, late.shown)
        if there is not None and not stat.S_ISDIR(there.st_mode):
            os.unlink(late.shown, dir_fd=parent)  # a directory cannot be renamed over it
            self._counts[Count.REPLACED] += 1
        os.rename(name, late.shown, src_dir_fd=parent, dst_dir_fd=parent)
