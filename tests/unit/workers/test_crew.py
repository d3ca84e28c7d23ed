"""Lanes are added while cores are idle and work is waiting, as it is on a network file system."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import pytest

from project_migration.workers import crew as crews
from project_migration.workers.crew import LANES_A_PROCESS, Crew, Outbox, Wire


class Wait(NamedTuple):
    seconds: float


class Waited(NamedTuple):
    began: float
    ended: float


class Waiter:
    """A hand that does nothing but wait, as for a server's answer."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def run(self, task: NamedTuple) -> None:
        assert isinstance(task, Wait)
        began = time.monotonic()
        time.sleep(task.seconds)
        self._outbox.note(Waited(began, time.monotonic()))


def at_once(notes: list[Waited]) -> int:
    """The most waits that were going on at one moment."""
    return max(sum(one.began <= other.began < one.ended for one in notes) for other in notes)


def test_waits_overlap_with_every_lane_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose last lane had been started ended once, and the copy with it."""
    monkeypatch.setattr(crews._Watch, "INTERVAL", 0.01)
    monkeypatch.setattr(crews._Watch, "cores_are_idle", lambda _: True)
    notes: list[Waited] = []

    def on_note(note: NamedTuple) -> None:
        assert isinstance(note, Waited)
        notes.append(note)

    wire = Wire(Wait, Waited)
    with Crew(Waiter, wire, 1, processes=1, scratch=tmp_path, on_note=on_note, on_tick=lambda: None) as crew:
        crew.work(Wait(0.02) for _ in range(600))

    assert len(notes) == 600
    assert at_once(notes) > LANES_A_PROCESS // 2
