"""A directory whose entries two lanes share is gone on with as a whole."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from project_migration.workers.copying.hand import DIVISIBLE, CopyHand
from project_migration.workers.copying.plan import Kind
from project_migration.workers.filters import Verdict
from project_migration.workers.reserved import staged_name

PREFIX = ".project-migration-tmp.test-"


class Idle:
    """Another lane waits all the time, so that every directory is divided."""

    others_idle = True

    def __init__(self) -> None:
        self.given: list[Any] = []

    def give(self, task: Any) -> None:
        self.given.append(task)

    def breathe(self) -> None:
        """Nobody listens."""


def test_what_another_lane_goes_on_with_is_not_taken_for_left_over() -> None:
    hand: Any = CopyHand.__new__(CopyHand)
    hand._outbox = Idle()
    hand._settings = SimpleNamespace(prefix=PREFIX, compare_content=True)
    hand._placer = SimpleNamespace(place=lambda *_: None, attempt=lambda _place, action: action())
    hand._swift = SimpleNamespace(forget=lambda: None)
    hand._into = lambda _place, name: staged_name(PREFIX, name)
    names = [f"d{number}" for number in range(3 * DIVISIBLE)]
    entries = [(name, int(Kind.DIRECTORY), int(Verdict.TAKE)) for name in names]
    existing = {names[-1]: True}
    place: Any = SimpleNamespace(source="", target="", flags=0, late=False, existing=existing)

    staged = hand._entries(place, entries, 0)

    assert hand._outbox.given, "some of it went to another lane"
    # all that is staged, here or there; the last has its own name on the target already, and is not staged
    assert {staged_name(PREFIX, name) for name in names[:-1]} <= staged
    assert staged_name(PREFIX, names[-1]) not in staged
