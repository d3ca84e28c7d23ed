"""What a target directory holds beyond its source: counted, or removed where the request says so.

What the filter leaves out is protected, and so is what other migrations have begun. What an earlier run of this
migration left half made goes away in any case.
"""

from __future__ import annotations

import os
from collections.abc import Set

from project_migration.workers.copying.placing import Place, Placer, lstat
from project_migration.workers.copying.plan import Count, Named, Remove, Settings
from project_migration.workers.copying.removal import remove_taken, remove_tree, unlink
from project_migration.workers.crew import Outbox
from project_migration.workers.filters import Verdict
from project_migration.workers.reasons import ENDING_ERRORS, cause_of
from project_migration.workers.reserved import is_reserved
from project_migration.workers.tree import Tree, join


class Extras:
    def __init__(self, settings: Settings, outbox: Outbox, placer: Placer) -> None:
        self._settings = settings
        self._outbox = outbox
        self._placer = placer

    def find(self, place: Place, names: Set[str], staged: Set[str]) -> bool:
        """Deals with what is in ``place.existing`` and neither among the source's ``names`` nor ``staged`` now.

        Whether tasks were given that change the directory later.
        """
        later = False
        for name, is_directory in (place.existing or {}).items():
            if name not in names and name not in staged:
                later = self._deal_with(place, name, is_directory) or later
        return later

    def sweep(self, place: Place) -> None:
        """The same for a directory too large to keep its names, when nothing is staged in it any more."""
        with os.scandir(place.to_fd) as entries:
            for entry in entries:
                if lstat(place.from_fd, entry.name) is None or entry.name.startswith(self._settings.prefix):
                    is_directory = entry.is_dir(follow_symlinks=False)
                    if self._deal_with(place, entry.name, is_directory, inline=True):
                        self._outbox.breathe()

    def _deal_with(self, place: Place, name: str, is_directory: bool, *, inline: bool = False) -> bool:
        path = join(place.source, name)
        if name.startswith(self._settings.prefix):
            return self._drop(place, name, is_directory, Remove(place.target, name, path, extra=False), inline)
        if is_reserved(name, at_root=not place.source):
            return False
        verdict = Verdict.TAKE
        if not self._settings.selection.takes_all:
            verdict = self._settings.selection.judge(path, is_directory)
        if verdict is Verdict.LEAVE:
            return False
        if self._settings.delete:
            return self._drop(place, name, is_directory, Remove(place.target, name, path, extra=True), inline)
        if verdict is Verdict.TAKE:
            self._outbox.counts[Count.EXTRA] += 1
            self._outbox.note(Named("extra", path, "", 0))
        return False

    def _drop(self, place: Place, name: str, is_directory: bool, task: Remove, inline: bool) -> bool:
        if is_directory and not inline:
            self._outbox.give(task)
            return True
        try:
            if is_directory:
                self._remove(place.to_fd, task)
            else:
                unlink(place.to_fd, name)
                self._outbox.counts[Count.DELETED] += task.extra
        except OSError as error:
            self._cannot(task, error)
        return is_directory

    def remove(self, target: Tree, task: Remove) -> None:
        try:
            self._remove(target.directory(task.directory), task)
        except OSError as error:
            self._cannot(task, error)

    def _remove(self, parent: int, task: Remove) -> None:
        if task.extra:
            self._outbox.counts[Count.DELETED] += remove_taken(parent, task.name, task.path, self._settings.selection)
        else:
            remove_tree(parent, task.name)

    def _cannot(self, task: Remove, error: OSError) -> None:
        if error.errno in ENDING_ERRORS:
            self._placer.end(task.path, error)
        self._outbox.counts[Count.NOT_DELETED] += 1
        self._outbox.note(Named("failed", task.path, f"delete: {cause_of(error)}", error.errno or 0))
