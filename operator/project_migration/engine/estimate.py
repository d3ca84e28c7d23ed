"""How long a migration may take, before anything was measured: a range, and what it rests on."""

from __future__ import annotations

from dataclasses import dataclass

from project_migration.model.document import Transfer, Verify
from project_migration.model.quantities import human_bytes, parse_bytes

MIB = 1024 * 1024

#: A network disk, and a local one: bytes a second of one stream, and objects a second of one worker.
SLOW_BYTES, FAST_BYTES = 60 * MIB, 600 * MIB
SLOW_OBJECTS, FAST_OBJECTS = 100, 2000

#: What a migration takes that moves nothing: looks, locks, starts of helpers.
LEAST, LEAST_SLOW = 3.0, 15.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds, and in words what they were reckoned from."""

    shortest: float
    longest: float
    assumption: str


def reckon(items: int, size: int, transfer: Transfer) -> Estimate | None:
    """For so many objects and bytes; None when nothing is known of what would move."""
    if not items and not size:
        return None
    limit = parse_bytes(transfer.bandwidth) if transfer.bandwidth else None
    slow, fast = (min(rate, limit) if limit else rate for rate in (SLOW_BYTES, FAST_BYTES))
    # a proof by checksum reads both sides once more, at the same time
    reads = 2 if transfer.verify is Verify.CHECKSUM else 1
    workers = transfer.workers

    def seconds(rate: float, objects: float) -> float:
        proof_rate = max(rate, SLOW_BYTES)  # the limit is on the transfer only
        copied = size / rate + items / (objects * workers)
        return copied + (reads - 1) * size / proof_rate + items / (objects * workers)

    words = f"disks of {human_bytes(SLOW_BYTES)} to {human_bytes(FAST_BYTES)} a second, {workers} files at a time"
    if limit:
        words += f", at most {human_bytes(limit)} a second by transfer.bandwidth"
    shortest, longest = LEAST + seconds(fast, FAST_OBJECTS), LEAST_SLOW + seconds(slow, SLOW_OBJECTS)
    return Estimate(shortest, longest, words)
