"""The backend that the engine sees. What it does stands in the modules beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from project_migration.backends.kubernetes.client import Client
from project_migration.backends.kubernetes.effects import Effects
from project_migration.backends.kubernetes.migrations import Migrations
from project_migration.backends.kubernetes.observation import Observation
from project_migration.backends.kubernetes.orphans import drop_abandoned_leases, restore_orphans
from project_migration.backends.kubernetes.pods import PodReader
from project_migration.backends.kubernetes.refusals import Refusals
from project_migration.engine.effects import Effect
from project_migration.engine.names import Key
from project_migration.engine.world import Migration, Questions, World
from project_migration.model.status import Status
from project_migration.settings import Settings


class KubernetesBackend:
    """Implements :class:`~project_migration.backends.backend.Backend`. Threads may share it."""

    def __init__(
        self,
        settings: Settings,
        client: Client | None = None,
        *,
        on_late: Callable[[str], None] = lambda _kind: None,
        on_load: Callable[[Migration], None] = lambda _migration: None,
    ) -> None:
        """``on_late`` is called with the kind of each effect that was refused as late, ``on_load`` with each
        migration that was loaded, in the thread that loads it.

        Raises PassingError when no way to a cluster is configured.
        """
        self._settings = settings
        self._on_load = on_load
        self._client = client or Client(
            timeout_seconds=settings.request_timeout_seconds, connections=3 * settings.passes
        )
        self._executor = ThreadPoolExecutor(max_workers=2 * settings.passes, thread_name_prefix="read")
        pods, refusals = PodReader(self._client), Refusals()
        self._migrations = Migrations(self._client, settings.namespaces)
        self._observation = Observation(self._client, settings, pods, self._executor, refusals)
        self._effects = Effects(self._client, settings, self._migrations, pods, refusals, on_late)

    def keys(self) -> Sequence[Key]:
        return self._migrations.keys()

    def load(self, key: Key) -> Migration:
        migration = self._migrations.load(key)
        self._on_load(migration)
        return migration

    def observe(self, migration: Migration, questions: Questions) -> World:
        return self._observation.world(migration, questions)

    def save(self, migration: Migration, status: Status) -> Migration:
        return self._migrations.save(migration, status)

    def apply(self, migration: Migration, effects: Sequence[Effect]) -> None:
        self._effects.apply(migration, effects)

    def restore_orphans(self) -> Sequence[str]:
        """Bring back workloads, and free locks, whose migration is gone. Says which workloads."""
        restored = restore_orphans(self._client, self._settings.namespaces)
        drop_abandoned_leases(self._client, self._settings.namespaces)
        return restored

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._client.close()
