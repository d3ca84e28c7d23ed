"""Whether the claim of a workspace holds projects already: anything at all, folders and links included."""

from __future__ import annotations

import os
import stat

from project_migration.workers import reasons
from project_migration.workers.cdsw.tables import SITE_DIRECTORIES
from project_migration.workers.copying import marks
from project_migration.workers.copying.placing import lstat
from project_migration.workers.harness import Job
from project_migration.workers.printable import escape, shorten
from project_migration.workers.reasons import Refusal
from project_migration.workers.reserved import LOST_AND_FOUND, MARK

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def is_ours(job: Job, root: int) -> bool:
    owner = marks.read_owner(root)
    return owner is not None and owner.uid == job.request.migration_uid


def refuse_strangers(job: Job, root: int) -> None:
    """Raises ``Refusal`` unless the claim, whose root is given, is free of projects or holds only our own work."""
    if is_ours(job, root):
        return
    owner = marks.read_owner(root)
    if owner is not None:
        whose = f"the projects' claim holds unfinished work of another migration ({owner.namespace}/{owner.name})"
        raise Refusal(reasons.TARGET_NOT_EMPTY, whose)
    held = first_held(root)
    if held:
        raise Refusal(reasons.TARGET_NOT_EMPTY, f"the projects' claim is not empty: it holds {held}")


def first_held(root: int) -> str:
    """An entry that stands in the way, as text; nothing where there is none.

    The directories of the installation's own may hold what they like; any other may be there and has to be empty.
    Raises ``OSError``: what cannot be looked into is not empty.
    """
    for name in sorted(os.listdir(root)):
        if name in (*SITE_DIRECTORIES, MARK, LOST_AND_FOUND):
            continue
        status = lstat(root, name)
        if status is not None and stat.S_ISDIR(status.st_mode):
            directory = os.open(name, _DIRECTORY, dir_fd=root)
            try:
                found = sorted(os.listdir(directory))
            finally:
                os.close(directory)
            if found:
                return shorten(escape(f"{name}/{found[0]}"))
        elif status is not None:
            return shorten(escape(name))
    return ""
