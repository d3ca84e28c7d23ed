"""The names in a directory, and how one with too many of them is divided so that the parts stay in order."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from project_migration.workers.reserved import is_reserved

#: Most names that are held at once for one directory.
LARGE_DIRECTORY = 50_000

#: Names of a part of such a directory, roughly.
PART = 20_000

_SAMPLE = 4_096


class TooMany(Exception):  # noqa: N818 - an outcome, caught by name
    """A directory has to be divided: at these names."""

    def __init__(self, at: list[str]) -> None:
        super().__init__(len(at))
        self.at = at


def listing(path: str, directories: Mapping[int, int], first: str, last: str) -> dict[int, dict[str, bool]]:
    """By side, the names from ``first`` to below ``last`` in byte order, and whether each is a directory.

    ``directories`` are descriptors by side. Raises :class:`TooMany`, and ``OSError``.
    """
    found: dict[int, dict[str, bool]] = {side: {} for side in directories}
    sample: _Sample | None = None
    low, high = os.fsencode(first), os.fsencode(last)
    for side, descriptor in directories.items():
        names = found[side]
        with os.scandir(descriptor) as entries:
            for entry in entries:
                name = entry.name
                if is_reserved(name, at_root=not path):
                    continue
                if (low or high) and not (low <= os.fsencode(name) and (not high or os.fsencode(name) < high)):
                    continue
                if sample is not None:
                    sample.add(name)
                    continue
                names[name] = entry.is_dir(follow_symlinks=False)
                if len(names) > LARGE_DIRECTORY:
                    sample = _Sample.of(found)
    if sample is not None:
        raise TooMany(sample.cuts())
    return found


@dataclass(slots=True)
class _Sample:
    """Every ``one_in``-th name by its checksum, which is the same on both sides; fewer of them as more names come."""

    middle: str
    """Of the names that were listed first."""
    one_in: int = 1
    names: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, found: Mapping[int, Mapping[str, bool]]) -> _Sample:
        known = sorted({name for names in found.values() for name in names}, key=os.fsencode)
        sample = cls(known[len(known) // 2])
        for name in known:
            sample.add(name)
        return sample

    def add(self, name: str) -> None:
        if zlib.crc32(os.fsencode(name)) % self.one_in == 0:
            self.names.add(name)
            while len(self.names) > _SAMPLE:
                self.one_in *= 2
                self.names = {kept for kept in self.names if zlib.crc32(os.fsencode(kept)) % self.one_in == 0}

    def cuts(self) -> list[str]:
        """Names that divide the directory into parts of about :data:`PART` names; none of them is the first."""
        ordered = sorted(self.names, key=os.fsencode)
        step = max(1, PART // self.one_in)
        return ordered[step::step] or [self.middle]
