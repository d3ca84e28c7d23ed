"""Limits so small that small trees meet what otherwise only huge ones do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from project_migration.workers import crew, spill
from project_migration.workers.copying import content, hand, ledger, placing
from project_migration.workers.proving import listing, reading

SMALL = (
    (hand, "LARGE_DIRECTORY", 12),
    (hand, "PIECE", 3),
    (hand, "DIVISIBLE", 2),
    (placing, "LARGE", 3000),
    (placing, "SMALL", 1500),
    (content, "PIECE", 1 << 16),
    (ledger, "_BATCH", 3),
    (listing, "LARGE_DIRECTORY", 12),
    (listing, "PART", 3),
    (listing, "_SAMPLE", 8),
    (reading, "LARGE", 3000),
    (reading, "PIECE", 1500),
    (crew, "MOST_TASKS_AT_ONCE", 2),
)


@contextlib.contextmanager
def all_small() -> Iterator[None]:
    """The workers are forks of this process, and have these limits too."""
    with pytest.MonkeyPatch.context() as limits:
        for module, name, value in SMALL:
            limits.setattr(module, name, value)
        limits.setattr(spill.SpillStack.__init__, "__defaults__", (10,))
        yield
