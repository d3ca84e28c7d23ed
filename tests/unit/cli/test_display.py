from __future__ import annotations

import io
import itertools

import pytest
from rich.console import Console

from project_migration.model.status import Status
from project_migration.observing import display
from project_migration.observing.display import Bars, Lines, Silent, display_for, transitions

from . import samples


def console(**options) -> Console:
    return Console(file=io.StringIO(), width=100, **options)


def said(at: Console) -> str:
    assert isinstance(at.file, io.StringIO)
    return at.file.getvalue()


def test_bars_are_for_terminals_and_lines_for_everything_else() -> None:
    assert isinstance(display_for(console()), Lines)
    assert isinstance(display_for(console(), quiet=True), Silent)
    bars = display_for(console(force_terminal=True))
    assert isinstance(bars, Bars)
    bars.close()


def test_a_picture_shows_every_step_and_the_units_at_work() -> None:
    at = console(force_terminal=True, color_system=None)
    bars = Bars(at)
    bars.show(samples.at_work())
    bars.note("docker does not answer")
    at.print(bars._picture())
    bars.close()
    for words in ("43 %", "220.0 MiB/s", "1m 50s left", "17.9 GiB/41.7 GiB", "quiesce target", "clean up",
                  "Deployment web (3): down", "docker does not answer"):  # fmt: skip
        assert words in said(at)


def test_a_narrow_terminal_is_no_reason_to_fail() -> None:
    at = Console(file=io.StringIO(), width=20, force_terminal=True)
    bars = Bars(at)
    bars.show(samples.at_work())
    bars.close()


def test_a_transition_is_one_line_and_is_not_repeated() -> None:
    at = console()
    lines = Lines(at)
    for sample in (samples.at_work(), samples.at_work()):
        lines.show(sample)
    found = [line[10:] for line in said(at).splitlines()]
    assert found.count("copy begun") == 1
    assert found.count("preflight done: everything is in order") == 1
    assert "Deployment web (3): down" in found
    assert not any("\x1b" in line for line in found)


def test_a_counting_message_is_told_once_and_a_new_one_again() -> None:
    def waiting(message: str) -> Status:
        return Status(steps=(samples.step("lock", 0, message=message),))

    messages = ["attempt 2 in 5s", "attempt 2 in 4s", "TargetLocked: migration ml/x holds the target"]
    statuses = [waiting(message) for message in messages]
    found = [line for pair in itertools.pairwise([None, *statuses]) for line in transitions(*pair)]
    assert found == ["lock begun", "lock: TargetLocked: migration ml/x holds the target"]


def test_another_round_is_told_from_its_beginning() -> None:
    before = samples.failed().status
    after = samples.at_work().status
    assert before.itinerary is not None
    assert after.itinerary is not None
    assert "copy begun" in list(transitions(before, after))


def test_a_long_step_says_how_far_it_is_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "PLAIN_SECONDS", 0.0)
    at = console()
    Lines(at).show(samples.at_work())
    assert "copy: 43 %, 36.1 GiB of 59.9 GiB, 220.0 MiB/s, 1m 50s left in this step" in said(at)


def test_a_note_is_told_once() -> None:
    at = console()
    lines = Lines(at)
    lines.note("docker does not answer; trying again")
    lines.note("docker does not answer; trying again")
    assert said(at).count("docker") == 1
