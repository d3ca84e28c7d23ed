"""The one way from the engine to the surroundings; Kubernetes, one machine and the fake stand behind it.

Errors of every method: :class:`~project_migration.model.errors.Gone` (the migration's object is not there any more),
:class:`~project_migration.model.errors.Conflict` (something was changed since it was read; observe again) and
:class:`~project_migration.model.errors.PassingError` (the surroundings do not answer; try again later).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from project_migration.engine.effects import Effect
from project_migration.engine.names import Key
from project_migration.engine.world import Migration, Questions, World
from project_migration.model.status import Status


class Backend(Protocol):
    def keys(self) -> Sequence[Key]:
        """Every migration that is stored, for the sweep at start."""

    def load(self, key: Key) -> Migration:
        """The migration as it is stored now. Raises Gone."""

    def observe(self, migration: Migration, questions: Questions) -> World:
        """Facts at one moment. What is asked for and does not exist is a fact too (``exists`` False)."""

    def save(self, migration: Migration, status: Status) -> Migration:
        """Store the status if nothing of the migration changed since it was loaded. Raises Conflict, Gone."""

    def apply(self, migration: Migration, effects: Sequence[Effect]) -> None:
        """Carry effects out in order. One that is refused as late (Conflict) or has become needless is passed over:
        the next pass sees what is. Raises PassingError when the surroundings do not answer."""
