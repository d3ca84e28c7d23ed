"""One pass over one migration: load, ask, observe, decide, save, apply. Both front doors drive it, and nothing else.

Saved before applied: whatever is about to be scaled or made is on record first. If the save is refused because
somebody else saved meanwhile, nothing is applied and the next pass starts from what they saved.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from project_migration.backends.backend import Backend
from project_migration.engine.decide import ask, decide
from project_migration.engine.names import Key
from project_migration.engine.steering import steer
from project_migration.engine.step import Pace, View
from project_migration.engine.world import Migration
from project_migration.model.errors import Conflict, Gone
from project_migration.model.status import Status
from project_migration.observing.report import printed
from project_migration.platforms.registry import platform_of

#: Called after a save, with the migration as it was and the status that is stored now.
Observer = Callable[[Migration, Status], None]


def one_pass(
    backend: Backend,
    key: Key,
    *,
    pace: Pace | None = None,
    observer: Observer | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> float | None:
    """Seconds until the next pass is wanted; None when nothing is to be done until something changes.

    Raises PassingError when the surroundings do not answer: the pass is safe to repeat.
    """
    pace = pace or Pace()
    try:
        migration = backend.load(key)
        platform = platform_of(migration.document)
        status = steer(migration, now())
        world = backend.observe(migration, ask(View(migration, status, platform, pace)))
        decision = decide(migration, status, world, platform, pace, printed)
        if decision.status != migration.status:
            saved = backend.save(migration, decision.status)
            if observer is not None:
                observer(migration, decision.status)
            migration = saved
        backend.apply(migration, decision.effects)
    except Conflict:
        return 0.0
    except Gone:
        return None
    return decision.again_in
