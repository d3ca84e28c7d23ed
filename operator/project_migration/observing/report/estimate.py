"""How long a migration may take, for people who read its account."""

from __future__ import annotations

from project_migration.engine.estimate import Estimate, reckon
from project_migration.model.document import Transfer
from project_migration.observing.report.account import Account


def estimate(told: Account, transfer: Transfer) -> Estimate | None:
    """None when nothing is known of what would move."""
    if not told.items and not told.bytes:
        return None
    return reckon(told.files, told.bytes, transfer)
