"""How long each step took, as stretches of one common time: what the report draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from project_migration.model.status import State
from project_migration.observing.report.account import Account, Lane
from project_migration.observing.report.words import step_words, whole_seconds

#: Percent of the width that even a moment gets: moments in a status are whole seconds.
LEAST = 0.7

#: So many units of one step are drawn; their table has them all.
UNITS_DRAWN = 12

#: Where a scale may have its marks, in seconds.
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of the picture; ``left`` and ``width`` are percent."""

    name: str
    state: State
    left: float
    width: float
    duration: str
    inner: bool = False
    """A unit of the step above."""


@dataclass(frozen=True, slots=True)
class Mark:
    left: float
    label: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """``rest``: from where to where workloads were down, in percent; None when none was."""

    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    rest: tuple[float, float] | None


def timeline(told: Account) -> Timeline | None:
    """None when nothing has begun yet."""
    lanes = [inner for lane in told.steps for inner in (lane, *lane.units)]
    moments = [moment for lane in lanes for moment in (lane.start, lane.end) if moment]
    if told.end is None and told.last_look is not None:
        moments.append(told.last_look)
    if not moments:
        return None
    begin, end = min(moments), max(moments)
    if end - begin < timedelta(seconds=1):
        end = begin + timedelta(seconds=1)
    scale = _Scale(begin, end)
    bars = tuple(bar for lane in told.steps for bar in _bars(lane, scale))
    return Timeline(bars, tuple(_marks(scale)), _rest(told, scale))


@dataclass(frozen=True, slots=True)
class _Scale:
    begin: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return (self.end - self.begin).total_seconds()

    def at(self, moment: datetime) -> float:
        return round(100 * (moment - self.begin).total_seconds() / self.seconds, 2)


def _bars(lane: Lane, scale: _Scale) -> Iterator[Bar]:
    yield _bar(lane, scale, inner=False)
    if len(lane.units) > 1:
        for unit in [unit for unit in lane.units if unit.start][:UNITS_DRAWN]:
            yield _bar(unit, scale, inner=True)


def _bar(lane: Lane, scale: _Scale, *, inner: bool) -> Bar:
    name = lane.name if inner else step_words(lane.name)
    if lane.start is None:
        return Bar(name, lane.state, 0.0, 0.0, "", inner)
    left, right = scale.at(lane.start), scale.at(lane.end or scale.end)
    width = max(LEAST, right - left)
    duration = "at work" if lane.end is None else whole_seconds(lane.seconds or 0.0)
    return Bar(name, lane.state, round(min(left, 100 - width), 2), round(width, 2), duration, inner)


def _marks(scale: _Scale) -> Iterator[Mark]:
    """Three to six round moments from the beginning on."""
    step = next((step for step in STEPS if scale.seconds / step <= 5), 86400 * (int(scale.seconds / 86400 / 5) + 1))
    for number in range(int(scale.seconds // step) + 1):
        seconds = number * step
        label = whole_seconds(seconds).replace(" 0s", "").replace(" 0m", "") if number else "start"
        yield Mark(round(100 * seconds / scale.seconds, 2), label)


def _rest(told: Account, scale: _Scale) -> tuple[float, float] | None:
    begun = told.rest_began
    over = [lane.end for lane in told.steps if lane.name in ("resume", "bring_back") and lane.end]
    if begun is None:
        return None
    left, right = scale.at(begun), scale.at(max(over)) if over else 100.0
    return left, max(LEAST, round(right - left, 2))
