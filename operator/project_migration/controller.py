"""The operator without its framework: a backend, a scheduler, and the sweep that runs at start and now and then."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from project_migration.backends.backend import Backend
from project_migration.engine.names import Key
from project_migration.engine.step import Pace
from project_migration.engine.world import Migration
from project_migration.model.errors import Gone, MigrationError
from project_migration.model.status import Status
from project_migration.observing import logs
from project_migration.observing.metrics import Metrics
from project_migration.reconcile import one_pass
from project_migration.scheduler import Rhythm, Scheduler
from project_migration.settings import Settings

log = logging.getLogger(__name__)


class ClusterBackend(Backend, Protocol):
    """What an operator needs beyond passes."""

    def restore_orphans(self) -> Sequence[str]: ...

    def close(self) -> None: ...


class Controller:
    def __init__(
        self,
        settings: Settings,
        backend: Callable[[Controller], ClusterBackend],
        metrics: Metrics,
    ) -> None:
        """``backend`` is made with this controller's :meth:`loaded` and :meth:`late` as its ears."""
        self.settings = settings
        self._metrics = metrics
        self._backend = backend(self)
        self._pace = Pace(helper=settings.helper_poll_seconds)
        self._signatures: dict[Key, str] = {}
        self._stopping = threading.Event()
        self._scheduler = Scheduler(self._pass, workers=settings.passes, rhythm=Rhythm(resync=settings.resync_seconds))
        self._sweeper = threading.Thread(target=self._sweep_now_and_then, name="sweep", daemon=True)

    def begin(self) -> bool:
        """Has every migration looked at; False as long as they cannot be listed, because the CRD is not there yet."""
        try:
            keys = self._backend.keys()
        except MigrationError as error:
            log.warning("waiting for the API server and the CRD: %s", error)
            return False
        for key in keys:
            self._scheduler.wake(key)
        self._scheduler.start()
        self._sweeper.start()
        return True

    def stop(self) -> None:
        self._stopping.set()
        self._scheduler.stop()
        self._backend.close()

    def alive(self) -> bool:
        return self._scheduler.alive()

    def wake(self, key: Key) -> None:
        self._scheduler.wake(key)

    def changed(self, key: Key, signature: str) -> None:
        """The migration's object was seen: a pass, if ``signature`` is not the one that was seen before."""
        if self._signatures.get(key) != signature:
            self._signatures[key] = signature
            self._scheduler.wake(key)

    def gone(self, key: Key) -> None:
        self._signatures.pop(key, None)
        self._scheduler.forget(key)
        self._metrics.forget(key)

    def late(self, effect: str) -> None:
        """To be called by the backend: an effect of this kind was refused because the view was old."""
        self._metrics.observe_late(effect)

    def loaded(self, migration: Migration) -> None:
        """To be called by the backend, in the thread of the pass."""
        logs.about_uid(migration.uid)
        self._metrics.observe_phase(migration.key, migration.status.phase)

    def _pass(self, key: Key) -> float | None:
        with logs.about(key), self._metrics.one_pass():
            again_in = one_pass(self._backend, key, pace=self._pace, observer=self._saved)
            if again_in is None:
                self._forget_if_gone(key)
            return again_in

    def _forget_if_gone(self, key: Key) -> None:
        """A deletion is an event, and an event may be missed."""
        try:
            self._backend.load(key)
        except Gone:
            self.gone(key)

    def _saved(self, migration: Migration, status: Status) -> None:
        self._metrics.observe_transition(migration, migration.status, status)

    def _sweep_now_and_then(self) -> None:
        while not self._stopping.is_set():
            self._sweep()
            self._stopping.wait(self.settings.sweep_seconds)

    def _sweep(self) -> None:
        try:
            self._metrics.observe_orphans(len(self._backend.restore_orphans()))
            known = self._scheduler.known()
            for key in set(self._backend.keys()) - set(known):
                self._scheduler.wake(key)
        except MigrationError as error:
            log.warning("the sweep is put off: %s", error)
        except Exception:
            log.exception("the sweep failed")
