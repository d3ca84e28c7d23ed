"""What a platform supplies to the engine: which volumes it uses, what its helpers do, its part of the itinerary.

A platform does no I/O. It names units of work; the engine runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from project_migration.engine.effects import Mount, SecretMount
from project_migration.model.document import Side, Spec, Volume
from project_migration.model.errors import Failure
from project_migration.model.records import Record


@dataclass(frozen=True, slots=True)
class VolumeUse:
    """A volume that the migration reads (Side.SOURCE) or writes (Side.TARGET), and in which unit."""

    unit: str
    side: Side
    volume: Volume


@dataclass(frozen=True, slots=True)
class UnitWork:
    """One helper's work within a step."""

    name: str
    worker: str
    mounts: tuple[Mount, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    secrets: tuple[SecretMount, ...] = ()
    network: bool = False
    """Whether it talks to a server. Such a helper keeps no owners of files, and gets no right to."""


class Platform(Protocol):
    def uses(self, spec: Spec) -> tuple[VolumeUse, ...]:
        """Every volume, in the document's order."""

    def surveys(self, spec: Spec) -> tuple[UnitWork, ...]:
        """Looks at what is there, without writing."""

    def judge_survey(self, spec: Spec, unit: str, record: Record, *, written: bool) -> tuple[Failure, ...]:
        """All that stands against the migration in what a survey found. ``written``: this migration has begun to
        write to the target, so what lies there is its own."""

    def copies(self, spec: Spec, *, share: int, written: bool) -> tuple[UnitWork, ...]:
        """Moves it. ``share``: how many of these run at the same time, for limits that they have to share."""

    def verifications(self, spec: Spec) -> tuple[UnitWork, ...]:
        """Proves that it arrived, independently of the copy."""
