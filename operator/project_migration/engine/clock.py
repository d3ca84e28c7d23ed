"""Moments as they stand in a status: RFC 3339 in UTC, to the second, as everywhere in Kubernetes."""

from __future__ import annotations

from datetime import UTC, datetime


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def seconds_since(text: str | None, now: datetime) -> float:
    """0.0 when there is no such moment yet; never negative, whatever clocks do."""
    return max(0.0, (now - moment(text)).total_seconds()) if text else 0.0
