"""What the projects' claim looked like before the first write: its root, which a copy of a live CDSW dresses as that
one's, and its empty directories, which a way back leaves there."""

from __future__ import annotations

import contextlib
import json
import os
import stat

from project_migration.workers.cdsw import emptiness
from project_migration.workers.copying.placing import lstat
from project_migration.workers.harness import Job, write_durably
from project_migration.workers.tree import by_handle, open_handle

_FILE = "cdsw/before.json"
_ROOT = "."


def write(job: Job, root: int) -> None:
    """Once, and before our mark is there: afterwards it would tell of our own work."""
    path = job.workspace / _FILE
    if emptiness.is_ours(job, root):
        return
    told = {}
    for name in (_ROOT, *os.listdir(root)):
        status = lstat(root, name)
        if status is not None and stat.S_ISDIR(status.st_mode):
            told[name] = [stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, json.dumps(told))


def read(job: Job) -> dict[str, list[int]]:
    """Mode, owner, group and time in nanoseconds, by name; nothing where nothing was written down."""
    try:
        told: dict[str, list[int]] = json.loads((job.workspace / _FILE).read_text(encoding="utf-8"))
        return told
    except FileNotFoundError:
        return {}


def dress(root: int, name: str, told: list[int]) -> None:
    mode, uid, gid, mtime = told
    with contextlib.suppress(FileNotFoundError):
        handle = open_handle(root, name)
        try:
            status = os.fstat(handle)
            if (status.st_uid, status.st_gid) != (uid, gid):
                os.chown(by_handle(handle), uid, gid)
            os.chmod(by_handle(handle), mode)
            os.utime(by_handle(handle), ns=(status.st_atime_ns, mtime))
        finally:
            os.close(handle)
