"""Where things are on one machine, and when two names mean the same directory."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from project_migration.engine.names import Key

#: https://www.kernel.org/doc/html/latest/filesystems/proc.html (3.5 /proc/<pid>/mountinfo)
MOUNTS = Path("/proc/self/mountinfo")


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """Where migrations keep their state by default, with the locks between them.

    Root's is one for the whole machine whatever HOME says, since `sudo` keeps HOME on some systems and not on others,
    and a helper that runs as an ordinary user has to reach its workspace there.
    """
    given = environ.get("XDG_STATE_HOME")
    if given:
        return Path(given) / "project-migration"
    if os.geteuid() == 0:
        return Path("/var/lib/project-migration")
    return Path.home() / ".local" / "state" / "project-migration"


def default_state_dir(key: Key, base: Path | None = None) -> Path:
    return (base or home()) / f"{key.namespace}-{key.name}"


class MountPoint(NamedTuple):
    """A mounted file system, or a part of one. ``root`` is that part, ``device`` is ``major:minor``."""

    path: Path
    root: Path
    device: str


def mount_points(text: str) -> tuple[MountPoint, ...]:
    """What ``/proc/self/mountinfo`` holds, in its order: a later mount hides an earlier one at the same place."""
    found = []
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) >= 5:
            found.append(MountPoint(Path(_plain(fields[4])), Path(_plain(fields[3])), fields[2]))
    return tuple(found)


def _plain(text: str) -> str:
    """The kernel writes spaces, tabs, line ends and backslashes in paths as octal."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def real(path: Path) -> Path:
    """Absolute, without symbolic links; what does not exist yet stays as it is written."""
    return Path(os.path.realpath(path))


class Place(NamedTuple):
    """A directory by file system and path within it: the same before and after it is made, and through bind mounts.

    Device and inode would name it too, but a target often gets its inode only when the copy makes it, and a lock must
    not change its name by that.
    """

    device: str
    path: Path

    def __str__(self) -> str:
        return f"{self.device}:{self.path}"

    @property
    def uid(self) -> str:
        """Short enough for a lock's name in a status, whatever the path's length."""
        return "dir-" + hashlib.sha256(os.fsencode(str(self))).hexdigest()[:24]

    def overlaps(self, other: Place) -> bool:
        """Whether one is the other or lies inside it."""
        return self.device == other.device and (
            self.path.is_relative_to(other.path) or other.path.is_relative_to(self.path)
        )


def place_of(path: Path, mounts: Iterable[MountPoint] | None = None) -> Place:
    """Where a directory really is. Without ``/proc`` (not Linux) the resolved path has to do."""
    target = real(path)
    if mounts is None:
        mounts = mount_points(MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")) if MOUNTS.exists() else ()
    best: MountPoint | None = None
    for mount in mounts:
        if target.is_relative_to(mount.path) and (best is None or len(mount.path.parts) >= len(best.path.parts)):
            best = mount
    if best is None:
        return Place("", target)
    return Place(best.device, best.root / target.relative_to(best.path))


def nearest_existing(path: Path) -> Path:
    """The directory itself, or the closest one above it that exists."""
    for candidate in (path, *path.parents):
        if candidate.exists():
            return candidate
    return Path("/")
