"""What a tree is, read without any of the workers' own code, so that it can be held against a copy."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

MARK = ".project-migration"


@dataclass(frozen=True)
class Thing:
    kind: str
    mode: int
    owner: tuple[int, int]
    mtime: int
    size: int = 0
    content: str = ""
    link: str = ""
    device: int = 0
    attributes: tuple[tuple[str, bytes], ...] = ()
    names: tuple[str, ...] = ()
    """All names of a file that has several."""
    hollow: bool = False


def look(root: Any, *, reserved: bool = False) -> dict[str, Thing]:
    """Every object below ``root`` by path, the root itself under the empty one."""
    found: dict[str, Thing] = {}
    inodes: dict[tuple[int, int], list[str]] = defaultdict(list)
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _look(descriptor, "", found, inodes, reserved)
    finally:
        os.close(descriptor)
    for names in inodes.values():
        if len(names) > 1:
            for name in names:
                found[name] = replace(found[name], names=tuple(sorted(names)))
    return found


def _look(directory: int, path: str, found: dict[str, Thing], inodes: Any, reserved: bool) -> None:
    found[path] = _thing(os.fstat(directory), f"/proc/self/fd/{directory}/.", directory, "")
    for name in os.listdir(directory):
        if not reserved and ((name == MARK and not path) or name.startswith(".project-migration-tmp.")):
            continue
        inner = f"{path}/{name}" if path else name
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            try:
                _look(below, inner, found, inodes, reserved)
            finally:
                os.close(below)
            continue
        found[inner] = _thing(status, f"/proc/self/fd/{directory}/{name}", directory, name)
        if status.st_nlink > 1:
            inodes[status.st_dev, status.st_ino].append(inner)


def _thing(status: os.stat_result, where: str, directory: int, name: str) -> Thing:
    attributes = tuple(
        sorted(
            (key, os.getxattr(where, key, follow_symlinks=False)) for key in os.listxattr(where, follow_symlinks=False)
        )
    )
    kind = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link", stat.S_IFIFO: "pipe"}.get(
        stat.S_IFMT(status.st_mode), "other"
    )
    thing = Thing(
        kind,
        stat.S_IMODE(status.st_mode) if kind != "link" else 0,
        (status.st_uid, status.st_gid),
        status.st_mtime_ns,
        attributes=attributes,
    )
    if kind == "file":
        content = _content(directory, name)
        hollow = status.st_blocks * 512 < status.st_size
        return replace(thing, size=status.st_size, content=content, hollow=hollow)
    if kind == "link":
        return replace(thing, link=os.readlink(name, dir_fd=directory))
    return replace(thing, device=status.st_rdev, kind=kind if kind != "other" else oct(stat.S_IFMT(status.st_mode)))


def _content(directory: int, name: str) -> str:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
    with os.fdopen(descriptor, "rb") as stream:
        return hashlib.md5(stream.read()).hexdigest()


SOCKET = oct(stat.S_IFSOCK)


def without_sockets(things: dict[str, Thing]) -> dict[str, Thing]:
    return {path: thing for path, thing in things.items() if thing.kind != SOCKET}


def differences(expected: dict[str, Thing], actual: dict[str, Thing], *, but: tuple[str, ...] = ()) -> list[str]:
    """In words, all of them; ``but`` names fields that are not compared. Empty for equal trees."""
    found = [f"{path!r} is missing" for path in expected.keys() - actual.keys()]
    found += [f"{path!r} is too many" for path in actual.keys() - expected.keys()]
    for path in expected.keys() & actual.keys():
        one, other = expected[path], actual[path]
        for field in Thing.__dataclass_fields__:
            if field not in but and getattr(one, field) != getattr(other, field):
                found.append(f"{path!r}: {field} {getattr(one, field)!r} became {getattr(other, field)!r}")
    return sorted(found)
