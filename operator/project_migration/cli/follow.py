"""The loop of `run`: passes of the engine, one after the other, until the migration is over or somebody interrupts.

All signals are only noted by their handlers and acted on between two passes. A first Ctrl-C ends the helpers and
leaves everything else as it is on disk; a second one leaves at once, and the kernel ends the helpers.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from project_migration.backends.local.backend import LocalBackend
from project_migration.cli.errors import INTERRUPTED, Trouble
from project_migration.engine.decide import UPKEEP_SECONDS
from project_migration.engine.step import Pace
from project_migration.engine.world import Migration
from project_migration.model.errors import PassingError, Reason
from project_migration.observing.display import Display
from project_migration.reconcile import one_pass

#: On one machine a look costs next to nothing.
PACE = Pace(helper=0.5, wait=0.3, lock=2.0)

#: Whoever looks away from a bar for longer believes that it hangs.
LONGEST_WAIT = 1.0

#: After so long without an answer from what runs here (docker, systemd, a program), it is time for a person.
PATIENCE_SECONDS = 600.0


class Interruption:
    """Which signals came. ``wait`` returns early when one does, or when a helper ends.

    Signals arrive as bytes in a pipe, which the interpreter itself writes. A handler runs between any two instructions
    of the main thread, also of another handler: one that takes a lock, as ``threading.Event.set`` does, can wait for
    itself for ever.
    """

    def __init__(self) -> None:
        self.asked = False
        self._arrived, self._wakeup = socket.socketpair()
        for end in (self._arrived, self._wakeup):
            end.setblocking(False)

    def wait(self, seconds: float) -> None:
        select.select((self._arrived,), (), (), max(0.0, seconds))
        with suppress(BlockingIOError):
            while self._arrived.recv(4096):
                pass

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Handles signals while inside. SIGHUP counts: a closed terminal is no reason to lose anything."""
        handled = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._stop) for number in handled}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, _noted)
        wakeup = signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            os._exit(INTERRUPTED)
        self.asked = True


def _noted(_number: int, _frame: FrameType | None) -> None:
    """A signal without a handler would not reach the pipe."""


def follow(backend: LocalBackend, display: Display, interruption: Interruption) -> Migration:
    """Passes until the migration is over, or somebody asked to stop. Returns it as it is stored then."""
    silent_since: float | None = None
    while True:
        try:
            wanted = one_pass(backend, backend.key, pace=PACE)
            silent_since = None
        except PassingError as error:
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since > PATIENCE_SECONDS:
                raise Trouble(f"{error} (for {PATIENCE_SECONDS:.0f}s; the same command goes on)") from error
            display.note(f"{error}; trying again")
            wanted = LONGEST_WAIT
        migration = backend.load(backend.key)
        display.show(migration)
        for note in notes(backend, migration):
            display.note(note)
        if interruption.asked or over(migration, wanted):
            return migration
        interruption.wait(min(wanted if wanted is not None else LONGEST_WAIT, LONGEST_WAIT))


def over(migration: Migration, wanted: float | None) -> bool:
    """Whether nothing is left to do but to look again now and then."""
    return migration.status.finished_at is not None and (wanted is None or wanted >= UPKEEP_SECONDS)


def notes(backend: LocalBackend, migration: Migration) -> Iterator[str]:
    """What only this machine knows: commands that failed, and where the migration that is in the way lies."""
    for ref, problem in backend.workloads.notices.copy().items():
        yield f"{ref}: {problem}"
    waiting = any(c.type == "TargetLocked" and c.status == "True" for c in migration.status.conditions)
    lease = backend.blocker() if waiting else None
    if lease is not None:
        yield (
            f"{Reason.TARGET_LOCKED}: {'/'.join(lease.holder.split('/')[:2])} owns the target until it is over; its"
            f" state is in {lease.state_dir}. Run it to its end, or let it go:"
            f" project-migration forget --state {lease.state_dir}"
        )
