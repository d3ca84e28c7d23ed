"""What a step of an itinerary is, what it sees, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from typing import Protocol

from project_migration.engine.clock import seconds_since
from project_migration.engine.effects import Effect
from project_migration.engine.platform import Platform
from project_migration.engine.world import Migration, Questions, World
from project_migration.model.document import Side, Spec
from project_migration.model.errors import Failure
from project_migration.model.status import State, Status, StepStatus, along


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between looks: how often a helper, a wait, a lock is observed."""

    helper: float = 2.0
    wait: float = 1.0
    lock: float = 5.0
    queue: float = 10.0
    parallel_helpers: int = 4


Press = Callable[[Migration], Mapping[str, str]]
"""Makes the files of a report, each name with its content packed for a request (``workers/report.py``).

Given from above, since reports are made of what the engine knows. Empty when they cannot be made.
"""


def no_press(_migration: Migration) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class View:
    """What can be seen without asking the surroundings: enough to say what to ask."""

    migration: Migration
    status: Status
    platform: Platform | None
    pace: Pace

    @property
    def spec(self) -> Spec:
        """The document's spec. A step that runs without a document (an ending) must not ask for it."""
        assert self.migration.document is not None  # noqa: S101 - decide() sends such a migration to its ending
        return along(self.migration.document.spec, self.status)

    @property
    def name(self) -> str:
        return self.migration.key.name

    def finds_users(self, side: Side) -> bool:
        """Whether what uses this side rests without being listed: where the document says so, and of a target that is
        looked up as a whole."""
        document = self.migration.document
        if document is None:
            return False
        as_a_whole = document.spec.cdsw is not None and document.spec.cdsw.target.namespace is not None
        return document.spec.quiesce.discover or (as_a_whole and side is Side.TARGET)


@dataclass(frozen=True, slots=True)
class Context(View):
    """A view together with the answers."""

    world: World
    press: Press = no_press

    @property
    def now(self) -> datetime:
        return self.world.now

    def step(self, step_id: str) -> StepStatus:
        return next(step for step in self.status.steps if step.id == step_id)

    def waited(self, step_id: str) -> float:
        """Seconds since the step began."""
        return seconds_since(self.step(step_id).started_at, self.now)

    def with_status(self, status: Status) -> Context:
        return replace(self, status=status)


class Verdict(Enum):
    WAIT = auto()
    DONE = auto()
    FAILED = auto()
    ALREADY = auto()
    """There is nothing to do in any step: it was all done before."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A step's answer. Made by :meth:`wait`, :meth:`done`, :meth:`fail` and :meth:`already` only."""

    verdict: Verdict
    status: Status
    effects: tuple[Effect, ...] = ()
    message: str = ""
    failure: Failure | None = None
    again_in: float = 0.0

    @classmethod
    def wait(cls, status: Status, message: str, effects: Sequence[Effect] = (), *, again_in: float = 1.0) -> Outcome:
        return cls(Verdict.WAIT, status, tuple(effects), message, again_in=again_in)

    @classmethod
    def done(cls, status: Status, message: str = "", effects: Sequence[Effect] = ()) -> Outcome:
        return cls(Verdict.DONE, status, tuple(effects), message)

    @classmethod
    def already(cls, status: Status, message: str, effects: Sequence[Effect] = ()) -> Outcome:
        return cls(Verdict.ALREADY, status, tuple(effects), message)

    @classmethod
    def fail(cls, status: Status, failure: Failure, effects: Sequence[Effect] = ()) -> Outcome:
        return cls(Verdict.FAILED, status, tuple(effects), failure.message, failure)


class Step(Protocol):
    """One row of an itinerary: pure, and safe to run again at any point."""

    @property
    def id(self) -> str: ...

    @property
    def phase(self) -> str:
        """The word that people see while it is at work."""

    @property
    def weight(self) -> int:
        """Its share of the migration's percent."""

    @property
    def writes_target(self) -> bool: ...

    @property
    def needs_quiet(self) -> bool:
        """Whether it relies on the workloads being down, so that one that is scaled back fails it."""

    def ask(self, view: View) -> Questions:
        """What it has to know to go on."""

    def advance(self, context: Context) -> Outcome:
        """One stroke: the status as it shall be saved, and the effects to apply after that."""


def with_step(status: Status, changed: StepStatus) -> Status:
    """The status with the step of that id replaced."""
    steps = tuple(changed if step.id == changed.id else step for step in status.steps)
    return status.model_copy(update={"steps": steps})


def begun(step: StepStatus) -> bool:
    return step.state is not State.PENDING


def finished(step: StepStatus) -> bool:
    return step.state in (State.SUCCEEDED, State.SKIPPED)
