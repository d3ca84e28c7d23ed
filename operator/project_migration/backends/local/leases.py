"""Locks between migrations of one machine: files that say who writes which directories.

A migration owns its target for as long as its state directory exists, whether or not a `run` is at work: one that was
killed half-way has left a half-written target. `project-migration forget --state DIR` ends that.

A cluster locks claims, which are the same or not; directories can also lie inside one another. So each lease notes the
directories that its migration writes, and one that overlaps counts as taken. A database's lease is told by its name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from project_migration.backends.local.files import held, read_json, write_json
from project_migration.backends.local.places import Place
from project_migration.backends.local.state import is_kept
from project_migration.engine.world import LeaseFacts


@dataclass(frozen=True, slots=True)
class Lease:
    name: str
    holder: str
    state_dir: Path
    count: int
    places: tuple[Place, ...]

    @property
    def version(self) -> str:
        return str(self.count)

    @property
    def alive(self) -> bool:
        return is_kept(self.state_dir, self.holder)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Lease:
        places = tuple(Place(device, Path(path)) for device, path in data["places"])
        return cls(data["name"], data["holder"], Path(data["stateDir"]), data["count"], places)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "holder": self.holder,
            "stateDir": str(self.state_dir),
            "count": self.count,
            "places": [[place.device, str(place.path)] for place in self.places],
        }


@dataclass(frozen=True, slots=True)
class Leases:
    """The leases of this machine as one migration sees them. ``places``: the directories that it writes."""

    directory: Path
    holder: str
    state_dir: Path
    places: tuple[Place, ...]

    def facts(self, names: Iterable[str]) -> dict[str, LeaseFacts]:
        """Of those asked for, the ones that exist, or that another migration's directory stands in the way of."""
        found = {}
        for name in names:
            lease = self._read(name)
            if lease is None or lease.holder != self.holder:
                lease = self.in_the_way() or lease
            if lease is not None:
                found[name] = LeaseFacts(lease.holder, lease.version, lease.alive)
        return found

    def take(self, name: str, holder: str, version: str | None) -> None:
        with held(self.directory):
            before = self._read(name)
            if (before.version if before else None) != version or self.in_the_way() is not None:
                return
            count = before.count + 1 if before else 1
            lease = Lease(name, holder, self.state_dir, count, self.places)
            write_json(self._path(name), lease.as_json(), 0o644)

    def drop(self, name: str, version: str) -> None:
        with held(self.directory):
            before = self._read(name)
            if before is not None and before.version == version:
                self._path(name).unlink()

    def forget(self) -> None:
        """Gives back all that this migration holds."""
        with held(self.directory):
            for lease in self._all():
                if lease.holder == self.holder:
                    self._path(lease.name).unlink()

    def in_the_way(self, names: Collection[str] = ()) -> Lease | None:
        """The lease of another migration, which still exists, on a directory that this one writes, or of that name."""
        for lease in self._all():
            same = lease.name in names or _overlap(lease.places, self.places)
            if same and lease.holder != self.holder and lease.alive:
                return lease
        return None

    def _all(self) -> Iterator[Lease]:
        for path in sorted(self.directory.glob("*.json")):
            data = read_json(path)
            if data is not None:
                yield Lease.from_json(data)

    def _read(self, name: str) -> Lease | None:
        data = read_json(self._path(name))
        return Lease.from_json(data) if data else None

    def _path(self, name: str) -> Path:
        return self.directory / f"{quote(name, safe='')}.json"


def _overlap(some: tuple[Place, ...], others: tuple[Place, ...]) -> bool:
    return any(one.overlaps(other) for one in some for other in others)
