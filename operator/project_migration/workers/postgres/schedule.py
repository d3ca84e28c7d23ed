"""Tasks for a few threads: each runs when what it needs is done and the tables it locks are free.

``CREATE INDEX`` takes a lock that lets others of its kind in; keys lock their table, foreign keys two (manual,
"Table-Level Locks"). A thread that waited for a lock inside the server would be idle, and two could wait for each
other; so the locks are known here, and nothing is started that would wait.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from project_migration.workers.postgres.session import Connection

TICK = 0.25


@dataclass(frozen=True, slots=True)
class Sessions:
    """What one thread works with: the source at the snapshot, and the target."""

    source: Connection
    target: Connection


@dataclass(frozen=True, slots=True)
class Task:
    title: str
    run: Callable[[Sessions], None]
    #: Bytes of the table behind it: the longest work is begun first.
    weight: float = 0.0
    key: Hashable = None
    needs: frozenset[Hashable] = frozenset()
    exclusive: frozenset[int] = frozenset()
    shared: frozenset[int] = frozenset()


@dataclass
class _State:
    waiting: list[Task]
    done: set[Hashable] = field(default_factory=set)
    #: Unfinished tasks by key: a key is done when all that carry it are.
    left: Counter[Hashable] = field(default_factory=Counter)
    exclusive: Counter[int] = field(default_factory=Counter)
    shared: Counter[int] = field(default_factory=Counter)
    running: int = 0
    failure: BaseException | None = None
    failed: str = ""


class Crew:
    """Runs tasks on threads of their own, each with its sessions; ``stop`` ends what they are at."""

    def __init__(
        self, workers: int, open_sessions: Callable[[], Sessions], on_stop: Callable[[], None] = lambda: None
    ) -> None:
        self._workers = workers
        self._open = open_sessions
        self._on_stop = on_stop
        self._condition = threading.Condition()
        self._sessions: list[Sessions] = []
        self._stopped = False

    def run(self, tasks: Iterable[Task], tick: Callable[[], None]) -> None:
        """Until all are done; ``tick`` is called in between. Raises what the first task that failed raised."""
        waiting = sorted(tasks, key=lambda task: -task.weight)
        state = _State(waiting, left=Counter(task.key for task in waiting))
        threads = [
            threading.Thread(target=self._work, args=(state,), name=f"copy-{number}", daemon=True)
            for number in range(min(self._workers, len(waiting)))
        ]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                with self._condition:
                    self._condition.wait(TICK)
                tick()
        except BaseException:
            self.stop()
            raise
        finally:
            for thread in threads:
                thread.join(30)
        if state.failure is not None:
            raise state.failure
        if state.waiting:
            names = ", ".join(task.title for task in state.waiting[:3])
            raise RuntimeError(f"tasks that nothing sets free: {names}")

    def stop(self) -> None:
        """Statements of the threads are cancelled on their servers; no further task begins."""
        with self._condition:
            self._stopped = True
            sessions = list(self._sessions)
            self._condition.notify_all()
        self._on_stop()
        for pair in sessions:
            for session in (pair.source, pair.target):
                session.cancel()

    def _work(self, state: _State) -> None:
        try:
            pair = self._open()
        except BaseException as error:
            self._fail(state, error, "")
            return
        with self._condition:
            self._sessions.append(pair)
        try:
            while (task := self._next(state)) is not None:
                try:
                    task.run(pair)
                except BaseException as error:
                    self._fail(state, error, task.title)
                    return
                self._finish(state, task)
        finally:
            with self._condition:
                self._sessions.remove(pair)
            for session in (pair.source, pair.target):
                session.close()

    def _next(self, state: _State) -> Task | None:
        with self._condition:
            while True:
                if self._stopped or state.failure is not None or not state.waiting:
                    return None
                task = next((task for task in state.waiting if _may_run(task, state)), None)
                if task is not None:
                    state.waiting.remove(task)
                    state.exclusive.update(task.exclusive)
                    state.shared.update(task.shared)
                    state.running += 1
                    return task
                if not state.running:
                    return None
                self._condition.wait()

    def _finish(self, state: _State, task: Task) -> None:
        with self._condition:
            state.exclusive.subtract(task.exclusive)
            state.shared.subtract(task.shared)
            state.running -= 1
            state.left[task.key] -= 1
            if not state.left[task.key]:
                state.done.add(task.key)
            self._condition.notify_all()

    def _fail(self, state: _State, error: BaseException, title: str) -> None:
        with self._condition:
            state.running -= 1 if title else 0
            if state.failure is None:
                state.failure, state.failed = error, title
            self._condition.notify_all()
        self.stop()


def _may_run(task: Task, state: _State) -> bool:
    """A key that no task carries counts as done."""
    if any(need not in state.done and state.left[need] for need in task.needs):
        return False
    busy = any(state.exclusive[oid] for oid in (*task.exclusive, *task.shared))
    return not busy and not any(state.shared[oid] for oid in task.exclusive)
