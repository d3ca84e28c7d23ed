"""What a pair's target held, kept before the migration writes to it, and put back from there.

The same programs as for the migration itself, the other way round: the target's whole tree is copied to a directory
of its own in the backup, without any filter, and compared by content; a restore is a copy back that also removes
what came since. A target that was empty, and of which nothing was kept, is made empty again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from project_migration.engine.effects import Mount
from project_migration.engine.platform import BACKUP_UNIT, Backing, UnitWork
from project_migration.model.document import OwnershipMode, Spec
from project_migration.model.endpoints import Volume


class Held(Protocol):
    """A unit whose target is a volume."""

    @property
    def name(self) -> str: ...

    @property
    def target(self) -> Volume: ...


def surveys(spec: Spec, pairs: Sequence[Held], backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
    return tuple(
        UnitWork(f"{BACKUP_UNIT}{pair.name}", "survey", _mounts(pair.target, place, write=True), as_it_is(spec))
        for pair, place in _kept(pairs, backings)
    )


def backups(spec: Spec, pairs: Sequence[Held], backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
    return tuple(
        UnitWork(pair.name, "copy_tree", _mounts(pair.target, place, write=True), _copy(spec))
        for pair, place in _kept(pairs, backings)
    )


def backup_proofs(spec: Spec, pairs: Sequence[Held], backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
    return tuple(
        UnitWork(pair.name, "manifest", _mounts(pair.target, place, write=False), _proof(spec))
        for pair, place in _kept(pairs, backings)
    )


def restores(spec: Spec, pairs: Sequence[Held], backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
    back = (
        UnitWork(pair.name, "copy_tree", _mounts(place, pair.target, write=True), _copy(spec))
        for pair, place in _kept(pairs, backings)
    )
    cleared = (
        UnitWork(pair.name, "clear_tree", (Mount("target", pair.target, read_only=False),), _clear(spec, backing))
        for pair, backing in _empty(pairs, backings)
    )
    return (*back, *cleared)


def restore_proofs(spec: Spec, pairs: Sequence[Held], backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
    back = (
        UnitWork(pair.name, "manifest", _mounts(place, pair.target, write=False), _proof(spec))
        for pair, place in _kept(pairs, backings)
    )
    cleared = (
        UnitWork(pair.name, "clear_tree", (Mount("target", pair.target, read_only=True),), {"look": True})
        for pair, _ in _empty(pairs, backings)
    )
    return (*back, *cleared)


def settlements(spec: Spec, pairs: Sequence[Held], arrived: Sequence[str]) -> tuple[UnitWork, ...]:
    return tuple(
        UnitWork(
            pair.name,
            "release",
            (Mount("target", pair.target, read_only=False),),
            {"workers": spec.transfer.workers, "arrived": list(arrived)},
        )
        for pair in pairs
    )


def _kept(pairs: Sequence[Held], backings: Sequence[Backing]) -> Iterator[tuple[Held, Volume]]:
    places = {backing.unit: backing.place for backing in backings}
    for pair in pairs:
        place = places.get(pair.name)
        if place is not None:
            yield pair, place


def _empty(pairs: Sequence[Held], backings: Sequence[Backing]) -> Iterator[tuple[Held, Backing]]:
    found = {backing.unit: backing for backing in backings if backing.place is None}
    for pair in pairs:
        if pair.name in found:
            yield pair, found[pair.name]


def _mounts(source: Volume, target: Volume, *, write: bool) -> tuple[Mount, ...]:
    return (Mount("source", source, read_only=True), Mount("target", target, read_only=not write))


def as_it_is(spec: Spec) -> Mapping[str, Any]:
    """With all its owners where helpers may give them; else whose the helper is."""
    helper = spec.ownership.mode is OwnershipMode.HELPER
    mode = OwnershipMode.HELPER if helper else OwnershipMode.PRESERVE
    uid, gid = (spec.ownership.uid, spec.ownership.gid) if helper else (None, None)
    return {"ignoreFile": "", "ownership": {"mode": str(mode), "uid": uid, "gid": gid}}


def _copy(spec: Spec) -> Mapping[str, Any]:
    # what came to the other side since an earlier attempt goes; nothing of ours stays on either side
    return {**as_it_is(spec), "workers": spec.transfer.workers, "delete": True, "release": True}


def _proof(spec: Spec) -> Mapping[str, Any]:
    return {**as_it_is(spec), "workers": spec.transfer.workers, "verify": "Checksum", "delete": True}


def _clear(spec: Spec, backing: Backing) -> Mapping[str, Any]:
    # where the helper is an ordinary user, the directory's own attributes never were its to change
    mine = spec.ownership.mode is not OwnershipMode.HELPER
    root = dict(backing.root) if mine else {}
    return {"workers": spec.transfer.workers, "root": root, "ours": backing.settled}
