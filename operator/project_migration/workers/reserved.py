"""Names in a tree that belong to the workers and to the file system, never to the project that is moved.

:data:`MARK` lies in a target's root while work on it is unfinished. Names that begin with :data:`TEMPORARY`
are half-made objects: ``.project-migration-tmp.<owner>.<rest>``, where ``owner`` stands for one migration, so
that one migration never takes another's unfinished work for its own.
"""

from __future__ import annotations

import hashlib

MARK = ".project-migration"
TEMPORARY = ".project-migration-tmp."

#: mke2fs makes this directory in the root of every ext file system, and only root may read it.
LOST_AND_FOUND = "lost+found"


def is_reserved(name: str, at_root: bool) -> bool:
    """Whether a directory entry is no part of any project."""
    return name.startswith(TEMPORARY) or (at_root and name in (MARK, LOST_AND_FOUND))


def owner_prefix(migration_uid: str) -> str:
    """What the temporary names of one migration begin with."""
    return f"{TEMPORARY}{hashlib.sha256(migration_uid.encode()).hexdigest()[:8]}."


def staged_name(prefix: str, name: str) -> str:
    """Where a directory called ``name`` is made before it is shown: always the same place, so it is found again."""
    return f"{prefix}d{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"
