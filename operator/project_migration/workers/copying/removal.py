"""Removes trees of the target without ever leaving it, however deep they are."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field

from project_migration.workers.filters import Selection, Verdict
from project_migration.workers.reserved import is_reserved
from project_migration.workers.tree import Tree, join, make_writable, split

#: Listing again helps where entries were passed over because others were removed meanwhile (NFS).
_LISTINGS = 3


def remove_tree(parent: int, name: str) -> int:
    """Removes a directory with all in it; ``parent`` is a descriptor. Returns the number of entries.

    Raises ``OSError``.
    """
    return _Removal(parent, name, None, "").run()


def remove_taken(parent: int, name: str, path: str, selection: Selection) -> int:
    """Removes what the filter takes of a directory called ``path`` in the tree, and it too if nothing is left."""
    return _Removal(parent, name, selection, path).run()


def unlink(directory: int, name: str) -> None:
    """Also from a directory that has a read-only mode already."""
    try:
        os.unlink(name, dir_fd=directory)
    except PermissionError:
        if not make_writable(directory):
            raise
        os.unlink(name, dir_fd=directory)


def _rmdir(directory: int, name: str) -> None:
    try:
        os.rmdir(name, dir_fd=directory)
    except PermissionError:
        if not make_writable(directory):
            raise
        os.rmdir(name, dir_fd=directory)


@dataclass(slots=True)
class _Removal:
    parent: int
    name: str
    selection: Selection | None
    """None for what is removed wholly, reserved names included."""
    path: str
    count: int = 0
    kept: set[str] = field(default_factory=set)
    """Directories in which something stays."""

    def run(self) -> int:
        tree = Tree(self.parent, read_only=False, capacity=16)
        waiting = [(self.name, 0)]
        try:
            while waiting:
                directory, listings = waiting.pop()
                if listings == 0 or (listings < _LISTINGS and directory not in self.kept):
                    if listings and self._removed(tree, directory):
                        continue
                    waiting.append((directory, listings + 1))
                    waiting.extend((inner, 0) for inner in self._clear(tree, directory))
                elif not self._removed(tree, directory):
                    self.kept.add(split(directory)[0])
        finally:
            tree.close()
        return self.count

    def _clear(self, tree: Tree, directory: str) -> list[str]:
        """Removes what is no directory. Returns the directories that are to be cleared."""
        descriptor = tree.directory(directory)
        inner = []
        with os.scandir(descriptor) as entries:
            for entry in entries:
                path = join(directory, entry.name)
                is_directory = entry.is_dir(follow_symlinks=False)
                verdict = self._judge(entry.name, path, is_directory)
                if is_directory and verdict is not Verdict.LEAVE:
                    inner.append(path)
                elif verdict is Verdict.TAKE:
                    unlink(descriptor, entry.name)
                    self.count += 1
                else:
                    self.kept.add(directory)
        return inner

    def _judge(self, name: str, path: str, is_directory: bool) -> Verdict:
        if self.selection is None:
            return Verdict.TAKE
        if is_reserved(name, at_root=False):
            return Verdict.LEAVE
        return self.selection.judge(self._in_tree(path), is_directory)

    def _in_tree(self, path: str) -> str:
        return self.path + path[len(self.name) :]

    def _removed(self, tree: Tree, directory: str) -> bool:
        if directory in self.kept:
            return False
        if self.selection is not None and self.selection.judge(self._in_tree(directory), True) is not Verdict.TAKE:
            return False
        tree.forget(directory)
        above, name = split(directory)
        try:
            _rmdir(tree.directory(above), name)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        self.count += 1
        return True
