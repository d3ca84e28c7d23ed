"""Single params of a request, read strictly: a wrong one is named before anything is looked at."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from project_migration.workers.harness import WrongRequest

Params = Mapping[str, Any]


def flag(params: Params, name: str) -> bool:
    value = params.get(name, False)
    if not isinstance(value, bool):
        raise WrongRequest(f"params.{name} is not true or false")
    return value


def number(params: Params, name: str, default: int, least: int = 0) -> int:
    value = params.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise WrongRequest(f"params.{name} is not a whole number of at least {least}")
    return value


def choice(params: Params, name: str, among: Sequence[str]) -> str:
    """One of ``among``; the first is the default."""
    value = params.get(name, among[0])
    if value not in among:
        raise WrongRequest(f"params.{name} is none of {', '.join(among)}")
    return str(value)


def text(params: Params, name: str, default: str = "") -> str:
    value = params.get(name, default)
    if not isinstance(value, str):
        raise WrongRequest(f"params.{name} is not a text")
    return value


def workers(params: Params) -> int:
    """Sessions a side that carry rows; without a word, one a core and never fewer than two."""
    return min(64, number(params, "workers", max(2, len(os.sched_getaffinity(0))), least=1))
