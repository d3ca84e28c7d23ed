"""Which releases of MLflow have which schema.

From the directories ``mlflow/store/db_migrations/versions`` of the releases' wheels; the name is the one row of
``alembic_version``.
"""

from __future__ import annotations

from enum import Enum

#: In order; the last one of each release.
HEADS: tuple[tuple[str, str], ...] = (
    ("97727af70f4d", "1.30 to 2.2"),
    ("3500859a5d39", "2.3"),
    ("7f2a7d5fae7d", "2.4 to 2.7"),
    ("acf3f17fdcc7", "2.8 to 2.12"),
    ("867495a8f9d4", "2.13.0"),
    ("5b0e9adcef9c", "2.13.2 to 2.14"),
    ("4465047574b1", "2.15 to 2.16"),
    ("f5a4f2784254", "2.17"),
    ("0584bdc529eb", "2.18 to 2.22"),
    ("6953534de441", "3.0.0, 3.1.0"),
    ("bda7b8c39065", "3.0.1 to 3.1.4"),
    ("770bee3ae1dd", "3.2"),
    ("1a0cddfcaa16", "3.3"),
    ("71994744cf8e", "3.4"),
    ("bf29a5ff90ea", "3.5 to 3.7"),
    ("1bd49d398cd23", "3.8"),
    ("d3e4f5a6b7c8", "3.9"),
    ("1b5f0d9ad7c1", "3.10"),
    ("c3d6457b6d8a", "3.11"),
    ("7d34483879f0", "3.12"),
    ("da6fb0208061", "3.13"),
    ("b7e4c1a90f23", "3.14"),
    ("6f8d9c3b2a1e", "3.15"),
    ("b7e2c1a4d9f3", "3.16"),
    ("dc11669786a5", "3.17"),
)
_PLACES = {revision: (place, releases) for place, (revision, releases) in enumerate(HEADS)}


class Order(Enum):
    """How a source's schema stands to its target's."""

    EQUAL = "equal"
    OLDER = "older"
    NEWER = "newer"
    UNKNOWN = "unknown"


def releases(revision: str) -> str:
    """``3.5 to 3.7``; a revision that no known release ends with is not in a list of these."""
    found = _PLACES.get(revision)
    return found[1] if found else "no known release"


def order(source: str, target: str) -> Order:
    """A revision that is not known is taken for newer than every known one: this list ends with its writing."""
    if source == target:
        return Order.EQUAL
    places = [_PLACES.get(revision) for revision in (source, target)]
    if places == [None, None]:
        return Order.UNKNOWN
    ours, theirs = (found[0] if found else len(HEADS) for found in places)
    return Order.OLDER if ours < theirs else Order.NEWER
