"""A file on its way: counted, slowed down, and with the digest of what passed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from project_migration.workers.mlflow.buckets.items import PIECE, Item, Place, Reading
from project_migration.workers.mlflow.buckets.meter import Told
from project_migration.workers.pace import GRAIN, Pace


class Passing:
    """What is read from ``content``, at the pace that is allowed."""

    def __init__(self, content: Reading, pace: Pace, told: Told) -> None:
        self._content = content
        self._pace = pace
        self._told = told
        self.size = 0
        self.digest = hashlib.sha256()

    @property
    def headers(self) -> Mapping[str, str]:
        return self._content.headers

    def read(self, size: int, /) -> bytes:
        piece = self._content.read(min(size, GRAIN) if self._pace.limit else size)
        self._pace.take(len(piece))
        self._told(len(piece))
        self.size += len(piece)
        self.digest.update(piece)
        return piece


def digest_of(place: Place, item: Item, pace: Pace, told: Told) -> tuple[int, str]:
    """Size and SHA-256 of a file's content, which is read for it. Raises ``ItemFailed``, ``Refusal``."""
    with place.reading(item) as content:
        passing = Passing(content, pace, told)
        while passing.read(PIECE):
            pass
    return passing.size, passing.digest.hexdigest()
