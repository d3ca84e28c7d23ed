"""Kubernetes quantities and the durations of our documents, parsed once at the edge."""

from __future__ import annotations

import re

#: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/ (no exponents: nobody writes 1e3Mi)
QUANTITY_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,3})?(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$"

#: hours, minutes, seconds, in this order: ``1h30m``, ``90s``
DURATION_PATTERN = r"^([0-9]{1,4}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$"

_FACTORS = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
}


def parse_bytes(text: str) -> int:
    """``200Mi`` → 209715200. Raises ``ValueError`` for anything that the schema's pattern refuses."""
    if not re.match(QUANTITY_PATTERN, text):
        raise ValueError(f"{text!r} is not a quantity such as 200Mi or 10Gi")
    number = text.rstrip("KMGTPki")
    return int(float(number) * _FACTORS[text[len(number) :]])


def parse_seconds(text: str) -> float:
    """``1h30m`` → 5400.0. Raises ``ValueError`` for anything that the schema's pattern refuses."""
    if not text or not re.match(DURATION_PATTERN, text):
        raise ValueError(f"{text!r} is not a duration such as 90s, 15m or 1h30m")
    found = re.findall(r"([0-9]+)([hms])", text)
    return float(sum(int(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in found))


def as_quantity(count: int) -> str:
    """10737418240 → ``10Gi``: at least so many bytes, as a claim asks for them, in whole mebibytes or more."""
    for unit in ("Ti", "Gi"):
        if count >= _FACTORS[unit] and count % _FACTORS[unit] == 0:
            return f"{count // _FACTORS[unit]}{unit}"
    return f"{max(1, -(-count // _FACTORS['Mi']))}Mi"


def human_bytes(count: float) -> str:
    """1536 → ``1.5 KiB``, for people."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} PiB"


def human_seconds(seconds: float) -> str:
    """3725 → ``1h 2m``; 8.2 → ``8.2s``, for people."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m"
