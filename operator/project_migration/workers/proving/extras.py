"""What a copy with ``delete`` has to have removed of a directory that only the target has, where a filter protects."""

from __future__ import annotations

import os
from collections.abc import Iterator

from project_migration.workers.filters import Selection, Verdict
from project_migration.workers.reserved import is_reserved
from project_migration.workers.tree import Tree, join, split


def extras_below(tree: Tree, top: str, selection: Selection) -> Iterator[str]:
    """The directory itself if nothing in it is protected, else what in it is not. Raises ``OSError``."""
    stays: set[str] = set()
    files: dict[str, list[str]] = {}
    order, waiting = [], [top]
    while waiting:
        directory = waiting.pop()
        order.append(directory)
        files[directory] = []
        with os.scandir(tree.directory(directory)) as entries:
            for entry in entries:
                path, is_directory = join(directory, entry.name), entry.is_dir(follow_symlinks=False)
                verdict = selection.judge(path, is_directory)
                if is_reserved(entry.name, at_root=False) or verdict is Verdict.LEAVE:
                    stays.add(directory)
                elif is_directory:
                    waiting.append(path)
                elif verdict is Verdict.TAKE:
                    files[directory].append(path)
    for directory in reversed(order):  # from below: what holds something that stays, stays
        if directory in stays or selection.judge(directory, is_directory=True) is not Verdict.TAKE:
            stays.add(directory)
            stays.add(split(directory)[0])
    for directory in order:
        if directory in stays:
            yield from files[directory]
        elif directory == top or split(directory)[0] in stays:
            yield directory
