"""Many hands on one tree: processes that each run several lanes, and a coordinator that deals tasks out.

A task is small (a directory, a range of a file) and yields further tasks. Python's cost per file bounds a copy on
a local disk, so there is a process a core; on a network file system waiting bounds it, so that lanes (threads)
are added to the processes for as long as the cores are idle although there is work.

The coordinator is the only one that holds state. A lane that dies takes the run down with it: a later run finds
what is there.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import selectors
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol

from project_migration.workers.channel import Channel, Closed
from project_migration.workers.spill import SpillStack

LANES_A_PROCESS = 16
MOST_TASKS_AT_ONCE = 16

#: Seconds after which a lane tells what it has, even in the middle of a task.
BREATH = 0.5

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Crashed(Exception):  # noqa: N818 - an outcome, caught by name
    """A lane met an error of the program, or its process was killed."""


class Hand(Protocol):
    """What a lane does with a task."""

    def run(self, task: NamedTuple) -> None: ...


class Wire:
    """The kinds of tasks and notes that travel; a kind's place in the tuple stands for it."""

    def __init__(self, *kinds: type[NamedTuple]) -> None:
        self._kinds = kinds
        self._numbers = {kind: number for number, kind in enumerate(kinds)}

    def pack(self, thing: NamedTuple) -> tuple[Any, ...]:
        return (self._numbers[type(thing)], *thing)

    def unpack(self, packed: tuple[Any, ...]) -> NamedTuple:
        thing: NamedTuple = self._kinds[packed[0]](*packed[1:])
        return thing


class Outbox:
    """What one lane has to say: tasks it found, notes for the coordinator, and counts."""

    def __init__(self, channel: Channel, wire: Wire, shared: mmap.mmap, counts: int) -> None:
        self._channel = channel
        self._wire = wire
        self._shared = shared
        self._tasks: list[tuple[Any, ...]] = []
        self._notes: list[tuple[Any, ...]] = []
        self.counts = [0] * counts
        """Counts since the last message; a lane adds to them by index."""
        self._breath = 0.0

    @property
    def others_idle(self) -> bool:
        """Whether a lane waits for work, so that a long task had better be divided."""
        return self._shared[0] != 0

    def give(self, task: NamedTuple) -> None:
        self._tasks.append(self._wire.pack(task))
        if self.others_idle or len(self._tasks) >= 512:
            self.send(done=False)

    def note(self, note: NamedTuple) -> None:
        self._notes.append(self._wire.pack(note))
        if len(self._notes) >= 512:
            self.send(done=False)

    def breathe(self) -> None:
        """Called often by a lane in a long task, so that progress is told."""
        now = time.monotonic()
        if now >= self._breath:
            self._breath = now + BREATH
            self.send(done=False)

    def send(self, *, done: bool) -> None:
        self._channel.send((done, self._tasks, self._notes, self.counts))
        self._tasks, self._notes = [], []
        self.counts[:] = [0] * len(self.counts)


MakeHand = Callable[[Outbox], Hand]


class _Crash(NamedTuple):
    text: str


@dataclass(slots=True)
class _Lane:
    channel: Channel
    process: int
    """Its process's place among the processes."""
    busy: bool = False


class Crew:
    """Use as a context manager: on leaving it no process is left."""

    def __init__(
        self,
        make_hand: MakeHand,
        wire: Wire,
        counts: int,
        *,
        processes: int,
        scratch: Path,
        on_note: Callable[[NamedTuple], None],
        on_tick: Callable[[], None],
    ) -> None:
        self.counts = [0] * counts
        self._make_hand = make_hand
        self._wire = wire
        self._on_note = on_note
        self._on_tick = on_tick
        self._waiting = SpillStack(scratch)
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        self._selector = selectors.DefaultSelector()
        self._pids: list[int] = []
        self._lanes: list[_Lane] = []
        self._reserve: list[_Lane] = []
        self._processes = processes
        self._busy = 0
        self._watch = _Watch()

    def __enter__(self) -> Crew:
        pairs = [[Channel.pair() for _ in range(LANES_A_PROCESS)] for _ in range(self._processes)]
        sys.stdout.flush()
        sys.stderr.flush()
        coordinator = os.getpid()
        for number in range(self._processes):
            pid = os.fork()
            if pid == 0:
                self._be_a_child(number, pairs, coordinator)
            self._pids.append(pid)
        for ends in pairs:
            for _, theirs in ends:
                theirs.close()
        for rank in range(LANES_A_PROCESS):
            self._reserve.extend(_Lane(ends[rank][0], number) for number, ends in enumerate(pairs))
        self._reserve.reverse()
        self._add_lanes(self._processes)
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in self._pids:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self._pids.clear()
        for lane in (*self._lanes, *self._reserve):
            lane.channel.close()
        self._selector.close()

    def _be_a_child(self, number: int, pairs: list[list[tuple[Channel, Channel]]], coordinator: int) -> NoReturn:
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != coordinator:  # it died before we could ask to die with it
                os._exit(1)
            for other, ends in enumerate(pairs):
                for ours, theirs in ends:
                    ours.close()
                    if other != number:
                        theirs.close()
            _serve([theirs for _, theirs in pairs[number]], self._wire, self._shared, len(self.counts), self._make_hand)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)  # the coordinator's own clean-up is not ours to run

    def work(self, tasks: Iterable[NamedTuple]) -> None:
        """Until these tasks and all that came of them are done. Raises :class:`Crashed`, and what notes raise."""
        source = iter(tasks)
        self._fill(source)
        while self._waiting or self._busy:
            self._deal()
            for key, _ in self._selector.select(timeout=0.25):
                self._hear(key.data)
            self._fill(source)
            if self._watch.due():
                self._on_tick()
                if self._watch.cores_are_idle() and self._waiting:
                    self._add_lanes(len(self._lanes))
        self._on_tick()

    def _fill(self, source: Iterator[NamedTuple]) -> None:
        while len(self._waiting) < 1000:
            task = next(source, None)
            if task is None:
                return
            self._waiting.push(self._wire.pack(task))

    def _deal(self) -> None:
        idle = [lane for lane in self._lanes if not lane.busy]
        for lane in idle:
            if not self._waiting:
                break
            share = len(self._waiting) // (2 * len(self._lanes))
            count = max(1, min(MOST_TASKS_AT_ONCE, share))
            lane.channel.send(tuple(self._waiting.pop() for _ in range(min(count, len(self._waiting)))))
            lane.busy = True
            self._busy += 1
        self._shared[0] = 1 if self._busy < len(self._lanes) else 0

    def _hear(self, lane: _Lane) -> None:
        try:
            done, tasks, notes, counts = lane.channel.receive()
        except Closed as error:
            raise Crashed(self._why_gone(lane)) from error
        for task in tasks:
            self._waiting.push(task)
        for index, count in enumerate(counts):
            if count:
                self.counts[index] += count
        if done:
            lane.busy = False
            self._busy -= 1
        for note in notes:
            if note[0] == -1:
                raise Crashed(note[1])
            self._on_note(self._wire.unpack(note))

    def _why_gone(self, lane: _Lane) -> str:
        _, status = os.waitpid(self._pids[lane.process], 0)
        self._pids.pop(lane.process)
        code = os.waitstatus_to_exitcode(status)
        if code == -signal.SIGKILL:
            return "a process of this helper was killed (SIGKILL), as the kernel does when memory runs out"
        return f"a process of this helper ended with {code}"

    def _add_lanes(self, count: int) -> None:
        for _ in range(min(count, len(self._reserve))):
            lane = self._reserve.pop()
            self._selector.register(lane.channel, selectors.EVENT_READ, lane)
            self._lanes.append(lane)


def _serve(ends: list[Channel], wire: Wire, shared: mmap.mmap, counts: int, make_hand: MakeHand) -> None:
    """A child's main thread: a lane is started when its first tasks come, and all end with the coordinator."""
    sys.setswitchinterval(0.0005)  # a lane that comes back from the kernel should not wait 5 ms for its turn
    selector = selectors.DefaultSelector()
    for end in ends:
        selector.register(end, selectors.EVENT_READ, end)
    lanes = []
    while selector.get_map():
        for key, _ in selector.select():
            selector.unregister(key.fileobj)
            lane = threading.Thread(target=_lane, args=(key.data, wire, shared, counts, make_hand), daemon=True)
            lane.start()
            lanes.append(lane)
    for lane in lanes:
        lane.join()


def _lane(channel: Channel, wire: Wire, shared: mmap.mmap, counts: int, make_hand: MakeHand) -> None:
    outbox = Outbox(channel, wire, shared, counts)
    with contextlib.suppress(Closed):
        try:
            hand = make_hand(outbox)
            while True:
                for packed in channel.receive():
                    hand.run(wire.unpack(packed))
                outbox.send(done=True)
        except Closed:
            raise
        except BaseException:
            channel.send((True, [], [(-1, traceback.format_exc())], [0] * counts))


class _Watch:
    """Sees whether cores stand idle while our processes wait for disks or servers."""

    INTERVAL = 0.4

    def __init__(self) -> None:
        self._next = 0.0
        self._idle = (0, 0)

    def due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self.INTERVAL
        return True

    def cores_are_idle(self) -> bool:
        """Over the time since the last question: more than a third of the machine's processor time."""
        before, self._idle = self._idle, _idle_and_all()
        idle, every = (now - then for now, then in zip(self._idle, before, strict=True))
        return before != (0, 0) and idle > every / 3


def _idle_and_all() -> tuple[int, int]:
    """Ticks that all cores spent idle or waiting for a disk, and all ticks: the first line of proc_stat(5)."""
    try:
        with open("/proc/stat", encoding="utf-8") as stream:
            ticks = [int(field) for field in stream.readline().split()[1:9]]
    except (OSError, ValueError):
        return 0, 0
    return ticks[3] + ticks[4], sum(ticks)
