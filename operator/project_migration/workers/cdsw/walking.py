"""Lists the directory of a live CDSW's projects as an archive of it would be."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from project_migration.workers.cdsw.listing import Listing
from project_migration.workers.cdsw.tables import SITE_DIRECTORIES
from project_migration.workers.cdsw.tarball import Kind, Member
from project_migration.workers.reserved import is_reserved
from project_migration.workers.tree import Tree, join, open_root

_KINDS = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.SYMLINK, stat.S_IFIFO: Kind.PIPE}


def walk(tree: Tree, *, without: tuple[str, ...] = SITE_DIRECTORIES) -> Iterator[tuple[str, os.stat_result]]:
    """Every entry below the root, a directory before what it holds, names in order; ``without``: names in the root.

    Raises ``OSError``.
    """
    waiting = [""]
    while waiting:
        path = waiting.pop()
        directory = tree.directory(path)
        names = sorted(os.listdir(directory))
        below = []
        for name in names:
            if (not path and name in without) or is_reserved(name, at_root=not path):
                continue
            status = os.stat(name, dir_fd=tree.directory(path), follow_symlinks=False)
            yield join(path, name), status
            if stat.S_ISDIR(status.st_mode):
                below.append(join(path, name))
        waiting += reversed(below)


def member_of(path: str, status: os.stat_result, link: str) -> Member:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), Kind.DEVICE)
    size = status.st_size if kind is Kind.FILE else 0
    mode = stat.S_IMODE(status.st_mode)
    return Member(path, kind, size, mode, status.st_uid, status.st_gid, status.st_mtime_ns, link, False)


def list_tree(root: str, listing: Listing) -> None:
    """Names, types and sizes, without contents. Raises ``OSError``."""
    descriptor = open_root(root)
    tree = Tree(descriptor, read_only=True)
    try:
        for path, status in walk(tree):
            member = member_of(path, status, "")
            if member.kind is not Kind.DEVICE:
                listing.add(path, member)
    finally:
        tree.close()
        os.close(descriptor)
