"""Target claims that do not exist yet and that the document wants made: which, how large, and of what kind.

What the document leaves out is as the source claim is. Pairs that share a target claim share one new claim, which has
room for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from project_migration.engine.effects import EnsureClaim, volume_key
from project_migration.engine.platform import VolumeUse
from project_migration.engine.step import View
from project_migration.engine.world import ClaimFacts, World
from project_migration.model.document import Side
from project_migration.model.endpoints import AccessMode, NewClaim
from project_migration.model.errors import Failure, Reason
from project_migration.model.quantities import as_quantity, human_bytes, parse_bytes
from project_migration.model.status import ClaimStatus, Status, UnitStatus

#: What a file system needs beside the files, as a share of them: of a size that a person gave, and of one we choose.
LEAST_SPARE, AMPLE_SPARE = 0.02, 0.10


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A claim that may be made, and for what."""

    name: str
    create: NewClaim
    units: tuple[str, ...]
    sources: tuple[str, ...]
    """Keys of the volumes that go there, each once."""


def made_on_request(view: View) -> frozenset[str]:
    """Keys of the target claims that the document wants made where they do not exist."""
    return frozenset(f"claim/{wanted.name}" for wanted in _wanted(view))


def to_be_made(view: View, world: World) -> tuple[ClaimStatus, ...]:
    """Those of them that do not exist, with the size that the claims themselves tell; empty where none does."""
    return tuple(
        _described(wanted, world.claims)
        for wanted in _wanted(view)
        if not world.claims.get(f"claim/{wanted.name}", ClaimFacts(exists=True)).exists
    )


def noted(view: View, world: World) -> tuple[ClaimStatus, ...]:
    """What goes on record when a round begins: what is to be made, and what an earlier round made."""
    made = (
        claim
        for claim in view.status.claims
        if claim.uid and world.claims.get(f"claim/{claim.name}", ClaimFacts(exists=False)).uid == claim.uid
    )
    return (*made, *to_be_made(view, world))


def ensure(claim: ClaimStatus) -> EnsureClaim:
    return EnsureClaim(claim.name, claim.size, claim.storage_class or None, claim.access_modes, stays=True)


def unmade(status: Status) -> tuple[ClaimStatus, ...]:
    return tuple(claim for claim in status.claims if not claim.uid)


def units_without_target(view: View, claims: Iterable[ClaimStatus]) -> frozenset[str]:
    """Units whose target is one of these: only their sources can be looked at."""
    names = {claim.name for claim in claims}
    return frozenset(unit for wanted in _wanted(view) if wanted.name in names for unit in wanted.units)


def too_small(view: View, unit: UnitStatus) -> Failure | None:
    """What stands against the size that the document gives, for one unit alone."""
    for wanted in _wanted(view):
        if unit.name in wanted.units and any(claim.name == wanted.name for claim in unmade(view.status)):
            return _too_small(wanted, (unit,))
    return None


def sized(view: View, units: Iterable[UnitStatus]) -> tuple[tuple[ClaimStatus, ...], tuple[Failure, ...]]:
    """The claims on record with room for what the surveys of these units counted, and what stands against a size."""
    surveyed = {unit.name: unit for unit in units}
    by_name = {wanted.name: wanted for wanted in _wanted(view)}
    claims: list[ClaimStatus] = []
    failures: list[Failure] = []
    for claim in view.status.claims:
        wanted = by_name.get(claim.name)
        if claim.uid or wanted is None:
            claims.append(claim)
            continue
        counted = tuple(surveyed[name] for name in wanted.units if name in surveyed)
        failure = _too_small(wanted, counted)
        failures.extend((failure,) if failure else ())
        claims.append(_with_room(claim, wanted, counted))
    return tuple(claims), tuple(failures)


def words(claim: ClaimStatus) -> str:
    """``claim data-new: 10Gi, class fast, ReadWriteOnce``"""
    kind = f"class {claim.storage_class}" if claim.storage_class else "the default class"
    return f"claim {claim.name}: {claim.size}, {kind}, {', '.join(claim.access_modes)}"


def _wanted(view: View) -> Iterator[_Wanted]:
    uses = view.platform.uses(view.spec) if view.platform else ()
    create: dict[str, NewClaim] = {}
    for use in uses:
        if use.create is not None and use.volume.claim_name and _is_ours(view, use):
            create.setdefault(use.volume.claim_name, use.create)
    for name, how in create.items():
        units = tuple(use.unit for use in uses if use.side is Side.TARGET and use.volume.claim_name == name)
        sources = (volume_key(use.volume) for use in uses if use.side is Side.SOURCE and use.unit in units)
        yield _Wanted(name, how, units, tuple(dict.fromkeys(sources)))


def _is_ours(view: View, use: VolumeUse) -> bool:
    return use.volume.namespace in (None, view.migration.key.namespace)


def _described(wanted: _Wanted, known: Mapping[str, ClaimFacts]) -> ClaimStatus:
    sources = [facts for key in wanted.sources if (facts := known.get(key)) is not None and facts.exists]
    create = wanted.create
    modes = {mode: None for facts in sources[:1] for mode in facts.access_modes if mode in tuple(AccessMode)}
    return ClaimStatus(
        name=wanted.name,
        size=create.size or _size_of(sources),
        storage_class=create.storage_class_name or next((facts.storage_class for facts in sources), ""),
        access_modes=tuple(create.access_modes or modes or (AccessMode.READ_WRITE_ONCE,)),
    )


def _size_of(sources: list[ClaimFacts]) -> str:
    """What the sources have or ask for together; empty when of one of them neither is known."""
    sizes = [max(facts.capacity or 0, facts.requested or 0) for facts in sources]
    return as_quantity(sum(sizes)) if sizes and all(sizes) else ""


def _needed(units: Iterable[UnitStatus]) -> int:
    return sum(unit.counts.get("diskBytes", unit.counts.get("bytes", 0)) for unit in units)


def _too_small(wanted: _Wanted, units: tuple[UnitStatus, ...]) -> Failure | None:
    if wanted.create.size is None:
        return None
    needs = int(_needed(units) * (1 + LEAST_SPARE))
    if needs <= parse_bytes(wanted.create.size):
        return None
    names = ", ".join(unit.name for unit in units)
    message = f"{names}: {human_bytes(needs)} needed, and target.create makes claim {wanted.name} {wanted.create.size}"
    return Failure(Reason.NOT_ENOUGH_SPACE, message)


def _with_room(claim: ClaimStatus, wanted: _Wanted, units: tuple[UnitStatus, ...]) -> ClaimStatus:
    """The source's size is only a default: a driver that heeds no limit lets a claim hold more than it says."""
    if wanted.create.size is not None:
        return claim
    needs = int(_needed(units) * (1 + AMPLE_SPARE))
    if needs <= parse_bytes(claim.size):
        return claim
    return claim.model_copy(update={"size": as_quantity(needs)})
