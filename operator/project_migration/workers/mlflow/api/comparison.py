"""Two sides laid beside each other: what is expected, what was found, and how often they were alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock

from project_migration.model.records import Compared
from project_migration.workers.mlflow.api import facts
from project_migration.workers.mlflow.api.account import Account
from project_migration.workers.mlflow.api.choices import Choices
from project_migration.workers.mlflow.api.facts import Fact
from project_migration.workers.mlflow.api.ids import IdMap, Shelf
from project_migration.workers.mlflow.api.pool import Pool
from project_migration.workers.mlflow.api.sides import Side

Told = tuple[str, str, Fact]
"""Key by which both sides know an object, its name for people, and what it is."""


@dataclass
class Tally:
    source: int = 0
    target: int = 0
    alike: int = 0
    expected: facts.Sum = field(default_factory=facts.Sum)
    found: facts.Sum = field(default_factory=facts.Sum)
    lock: Lock = field(default_factory=Lock)

    def file(self, name: str, expected: object, found: object, *, there: bool = True) -> None:
        """One file, from any thread: what tells it on each side."""
        with self.lock:
            self.source += 1
            self.expected.add(f"{name} {expected}")
            if there:
                self.target += 1
                self.alike += expected == found
                self.found.add(f"{name} {found}")

    def compared(self, kind: str) -> Compared:
        return Compared(kind, self.source, self.target, self.expected.short, self.found.short)


@dataclass
class Comparison:
    choices: Choices
    source: Side
    target: Side
    ids: IdMap
    shelf: Shelf
    account: Account
    pool: Pool
    tallies: dict[str, Tally] = field(default_factory=dict)
    total: facts.Sum = field(default_factory=facts.Sum)
    files: Tally = field(default_factory=Tally)
    sampled: int = 0
    sampled_bytes: int = 0

    @property
    def archive(self) -> bool:
        """Whether the target keeps the source's ids."""
        return self.target.archive is not None

    def compare(self, kind: str, expected: Iterator[Told], found: Iterator[Told]) -> None:
        tally = self.tallies.setdefault(kind, Tally())
        for key, title, fact in expected:
            tally.source += 1
            self.account.expect(items=1)
            tally.expected.add(f"{key} {facts.digest(fact)}")
            self.shelf.put(kind, key, (title, fact))
        for key, _, fact in found:
            for title, wanted in self.shelf.pop(kind, key):
                tally.target += 1
                self._judge(kind, key, title, wanted, fact, tally)
        for _, (title, _) in self.shelf.items(kind):
            self.account.name("missing", title)
            self.account.finished()

    def _judge(self, kind: str, key: str, title: str, wanted: Fact, fact: Fact, tally: Tally) -> None:
        parts = facts.differences(wanted, fact)
        self.account.finished()
        if parts:
            self.account.name("different", title, ", ".join(parts))
            tally.found.add(f"{key} {facts.digest(fact)} different")
            return
        tally.alike += 1
        tally.found.add(f"{key} {facts.digest(wanted)}")
        self.total.add(f"{kind} {key} {facts.digest(wanted)}")
