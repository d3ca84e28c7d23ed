"""What Prometheus reads. Figures come from the difference of two statuses, so a restart counts nothing twice.

Names of migrations are no labels: a series a migration for ever is what a metrics store dies of.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, start_http_server

from project_migration.engine.clock import moment
from project_migration.engine.names import Key
from project_migration.engine.world import Migration
from project_migration.model.status import State, Status, StepStatus, UnitStatus

PREFIX = "project_migration_"

#: A step takes seconds (a lock) or a night (a copy).
STEP_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 24 * 3600)
PASS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)

#: A unit in one of these has a helper's work behind it.
ENDED = (State.SUCCEEDED, State.FAILED)


@dataclass(frozen=True, slots=True)
class StepEnded:
    step: str
    state: State
    seconds: float


@dataclass(frozen=True, slots=True)
class HelperEnded:
    """One attempt. ``outcome`` is Succeeded, or the reason it failed for."""

    step: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Transition:
    """What happened between two statuses of one migration."""

    steps: tuple[StepEnded, ...] = ()
    helpers: tuple[HelperEnded, ...] = ()
    copied_bytes: int = 0


def transition(old: Status, new: Status) -> Transition:
    """The difference, as figures. Pure."""
    before = {step.id: step for step in old.steps}
    same_round = (old.itinerary.round if old.itinerary else 0) == (new.itinerary.round if new.itinerary else 0)
    steps: list[StepEnded] = []
    helpers: list[HelperEnded] = []
    copied = 0
    for step in new.steps:
        earlier = before.get(step.id) if same_round else None
        ended = step.state in ENDED and (earlier is None or earlier.state is not step.state)
        if ended and step.started_at and step.finished_at:
            seconds = (moment(step.finished_at) - moment(step.started_at)).total_seconds()
            steps.append(StepEnded(step.id, step.state, max(0.0, seconds)))
        same_pass = earlier is not None and earlier.pass_number == step.pass_number
        for unit in step.units:
            was = earlier.unit(unit.name) if earlier and same_pass else None
            helpers += _attempts(step, was, unit)
            copied += _copied(step, was, unit)
    return Transition(tuple(steps), tuple(helpers), copied)


def _attempts(step: StepStatus, was: UnitStatus | None, unit: UnitStatus) -> Iterator[HelperEnded]:
    """An attempt ended when its unit did, or when the next attempt is on record."""
    if was is not None and unit.attempt > was.attempt:
        yield HelperEnded(step.id, unit.reason or was.reason or "Unknown")
    over = unit.state in ENDED and unit.helper
    if over and (was is None or was.state is not unit.state):
        succeeded = unit.state is State.SUCCEEDED
        yield HelperEnded(step.id, str(State.SUCCEEDED) if succeeded else unit.reason or "Unknown")


def _copied(step: StepStatus, was: UnitStatus | None, unit: UnitStatus) -> int:
    """Bytes that were moved since; what a later attempt finds in place already is not moved again."""
    if step.id != "copy":
        return 0
    return max(0, unit.bytes_done - (was.bytes_done if was else 0))


class Metrics:
    """One set of series; a process has one, a test as many as it likes."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._lock = threading.Lock()
        self._phases: dict[Key, str] = {}
        self._migrations = Gauge(PREFIX + "migrations", "Migrations by phase", ["phase"], registry=self.registry)
        self._steps = Histogram(
            PREFIX + "step_duration_seconds",
            "How long steps took, by outcome",
            ["step", "state"],
            buckets=STEP_SECONDS,
            registry=self.registry,
        )
        self._helpers = Counter(
            PREFIX + "helpers", "Helpers that ended, by outcome", ["step", "outcome"], registry=self.registry
        )
        self._bytes = Counter(PREFIX + "copied_bytes", "Bytes copied by helpers", registry=self.registry)
        self._passes = Histogram(
            PREFIX + "pass_duration_seconds", "How long passes took", buckets=PASS_SECONDS, registry=self.registry
        )
        self._failed = Counter(PREFIX + "passes_failed", "Passes that were put off", registry=self.registry)
        self._late = Counter(
            PREFIX + "effects_late", "Effects refused because the view was old", ["effect"], registry=self.registry
        )
        self._orphans = Counter(
            PREFIX + "workloads_orphaned", "Workloads brought back without their migration", registry=self.registry
        )

    def serve(self, port: int) -> None:
        """Answers on every interface; 0 switches it off."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series for the birth of each series, which nobody asks for
        if port:
            start_http_server(port, registry=self.registry)

    def observe_transition(self, migration: Migration, old: Status, new: Status) -> None:
        """To be called after ``new`` was saved."""
        self.observe_phase(migration.key, new.phase)
        found = transition(old, new)
        for step in found.steps:
            self._steps.labels(step.step, str(step.state)).observe(step.seconds)
        for helper in found.helpers:
            self._helpers.labels(helper.step, helper.outcome).inc()
        if found.copied_bytes:
            self._bytes.inc(found.copied_bytes)

    def observe_phase(self, key: Key, phase: str) -> None:
        with self._lock:
            before = self._phases.get(key)
            if before == phase:
                return
            self._phases[key] = phase
            if before is not None:
                self._migrations.labels(before).dec()
            self._migrations.labels(phase).inc()

    def forget(self, key: Key) -> None:
        with self._lock:
            before = self._phases.pop(key, None)
            if before is not None:
                self._migrations.labels(before).dec()

    def observe_late(self, effect: str) -> None:
        self._late.labels(effect).inc()

    def observe_orphans(self, count: int) -> None:
        self._orphans.inc(count)

    @contextmanager
    def one_pass(self) -> Iterator[None]:
        """Times what is inside, and counts it when it raises."""
        began = time.perf_counter()
        try:
            yield
        except Exception:
            self._failed.inc()
            raise
        finally:
            self._passes.observe(time.perf_counter() - began)
