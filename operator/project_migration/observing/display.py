"""How a migration looks while it is at work: bars on a terminal, a line a transition anywhere else."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from project_migration.engine.clock import moment, seconds_since
from project_migration.engine.world import Migration
from project_migration.model.quantities import human_bytes, human_seconds
from project_migration.model.status import Progress, State, Status, StepStatus, UnitStatus
from project_migration.observing.report.words import state_words, step_words, workload_words

MARKS = {
    State.PENDING: Text("·", "dim"),
    State.SUCCEEDED: Text("✓", "green"),
    State.FAILED: Text("✗", "bold red"),
    State.SKIPPED: Text("-", "dim"),
}

#: A plain display says how far it is so often, in seconds: enough for a log, not too much.
PLAIN_SECONDS = 30.0

#: So many units of a step are shown, those at work first.
UNITS_SHOWN = 8


class Display(Protocol):
    def show(self, migration: Migration) -> None:
        """The migration as it is now."""

    def note(self, text: str) -> None:
        """Something that is not in the migration, such as a manager that does not answer."""

    def close(self) -> None:
        """Leaves the screen to whoever speaks next."""


class Silent:
    def show(self, migration: Migration) -> None:
        """Nobody looks."""

    def note(self, text: str) -> None:
        """Nobody listens."""

    def close(self) -> None:
        """There is nothing to close."""


class Bars:
    """For a terminal: every step, the one at work with a bar a unit, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner = Spinner("dots", style="cyan")
        self._migration: Migration | None = None
        self._note = ""
        self._live = Live(
            console=console, get_renderable=self._picture, refresh_per_second=8, transient=True, redirect_stderr=False
        )
        self._live.start()

    def show(self, migration: Migration) -> None:
        self._migration = migration
        self._note = ""

    def note(self, text: str) -> None:
        self._note = text

    def close(self) -> None:
        """The last picture is left standing, without the spinner."""
        self._live.stop()
        if self._migration is not None:
            self._console.print(steps_picture(self._migration, None))

    def _picture(self) -> RenderableType:
        if self._migration is None:
            return self._spinner
        parts: list[RenderableType] = [head(self._migration), steps_picture(self._migration, self._spinner)]
        parts.extend(Text(f"  {line}", "dim") for line in workload_lines(self._migration))
        if self._note:
            parts.append(Text(f"  {self._note}", "yellow"))
        return Group(*parts)


class Lines:
    """For logs and pipes: one line a transition, and how far it is now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._before: Status | None = None
        self._said = ""
        self._last = time.monotonic()

    def show(self, migration: Migration) -> None:
        before, self._before = self._before, migration.status
        for line in transitions(before, migration.status):
            self._say(line)
        if time.monotonic() - self._last >= PLAIN_SECONDS:
            step = at_work(migration.status)
            self._say(f"{step_words(step.id) if step else ''}: {progress_words(migration.status.progress)}")

    def note(self, text: str) -> None:
        if text and text != self._said:
            self._said = text
            self._say(text)

    def close(self) -> None:
        """Lines need no end."""

    def _say(self, text: str) -> None:
        self._last = time.monotonic()
        self._console.print(Text(f"{datetime.now(UTC):%H:%M:%SZ} {text}"), soft_wrap=True)


def display_for(console: Console, *, quiet: bool = False) -> Display:
    if quiet:
        return Silent()
    return Bars(console) if console.is_terminal else Lines(console)


def at_work(status: Status) -> StepStatus | None:
    return next((step for step in status.steps if step.state is State.RUNNING), None)


def progress_words(progress: Progress) -> str:
    """``43 %, 5.3 GiB of 12.3 GiB, 210.0 MiB/s, 33s left``: what is known of it."""
    parts = [f"{progress.percent} %"]
    if progress.bytes_total:
        parts.append(f"{human_bytes(progress.bytes_done)} of {human_bytes(progress.bytes_total)}")
    elif progress.items_total:
        parts.append(f"{progress.items_done:,} of {progress.items_total:,} objects")
    if progress.bytes_per_second:
        parts.append(f"{human_bytes(progress.bytes_per_second)}/s")
    if progress.eta_seconds is not None and progress.bytes_per_second:
        parts.append(f"{human_seconds(progress.eta_seconds)} left in this step")
    return ", ".join(parts)


def head(migration: Migration) -> Text:
    status = migration.status
    text = Text(f"{migration.key.namespace}/{migration.key.name} ", "bold")
    text.append(f"{status.phase} ", "cyan")
    text.append(f"{status.step} " if status.step else "", "dim")
    return text.append(progress_words(status.progress))


def steps_picture(migration: Migration, spinner: Spinner | None) -> Table:
    """Every step a row; below the one at work, its units with their bars."""
    table = Table.grid(padding=(0, 1))
    table.add_column(width=2, justify="right")
    table.add_column(no_wrap=True)
    table.add_column(width=8, justify="right", style="dim", no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    for step in migration.status.steps:
        running = step.state is State.RUNNING
        mark = spinner if running and spinner else MARKS.get(step.state, Text("…", "cyan"))
        style = "bold" if running else "dim" if step.state is State.PENDING else ""
        table.add_row(mark, Text(step_words(step.id), style), duration(step), Text(step.message, "dim"))
        if running:
            for unit in units_shown(step):
                table.add_row("", Text(f"  {unit.name}"), "", unit_picture(unit))
    return table


def units_shown(step: StepStatus) -> Iterator[UnitStatus]:
    order = {State.RUNNING: 0, State.FAILED: 1, State.PENDING: 2}
    yield from sorted(step.units, key=lambda unit: order.get(unit.state, 3))[:UNITS_SHOWN]


def unit_picture(unit: UnitStatus) -> RenderableType:
    if unit.state is State.PENDING:
        return Text(unit.message or "waits its turn", "dim")
    done, total = (unit.bytes_done, unit.bytes_total) if unit.bytes_total else (unit.items_done, unit.items_total)
    if unit.state is State.SUCCEEDED:
        done = total = total or 1
    row = Table.grid(padding=(0, 1))
    row.add_column(width=28)
    row.add_column(no_wrap=True)
    bar = ProgressBar(
        total=total or None, completed=done, width=28, pulse=not total, complete_style="cyan", finished_style="green"
    )
    row.add_row(bar, Text(amount(unit), "" if unit.state is not State.FAILED else "red"))
    return row


def amount(unit: UnitStatus) -> str:
    text = f"{human_bytes(unit.bytes_done)}/{human_bytes(unit.bytes_total)}" if unit.bytes_total else ""
    if unit.items_total:
        text += f"  {unit.items_done:,}/{unit.items_total:,} objects"
    if unit.attempt % 100 > 1:
        text += f"  attempt {unit.attempt % 100}"
    return text.strip()


def duration(step: StepStatus) -> str:
    if step.started_at is None:
        return ""
    end = moment(step.finished_at) if step.finished_at else datetime.now(UTC)
    return human_seconds(int(seconds_since(step.started_at, end))).replace(".0s", "s")


def workload_lines(migration: Migration) -> Iterator[str]:
    for workload in migration.status.workloads:
        yield f"{workload_words(workload)}: {state_words(workload)}"


def transitions(before: Status | None, after: Status) -> Iterator[str]:
    """What is new since the status before, one line a change."""
    old = {step.id: step for step in before.steps} if before else {}
    same_round = before is None or (before.itinerary and before.itinerary.round) == (
        after.itinerary and after.itinerary.round
    )
    for step in after.steps:
        was = old.get(step.id) if same_round else None
        yield from _step_lines(was, step)
    known = {(w.kind, w.name): w.state for w in before.workloads} if before else {}
    for workload in after.workloads:
        if known.get((workload.kind, workload.name)) is not workload.state:
            yield f"{workload_words(workload)}: {state_words(workload)}"


def _step_lines(was: StepStatus | None, step: StepStatus) -> Iterator[str]:
    name = step_words(step.id)
    if step.state is not (was.state if was else State.PENDING):
        told = {State.RUNNING: "begun", State.SUCCEEDED: "done", State.FAILED: "failed", State.SKIPPED: "skipped"}
        words = f": {step.message}" if step.message and step.state is not State.RUNNING else ""
        yield f"{name} {told.get(step.state, '')}{words}"
    elif step.state is State.RUNNING and step.message and _told_apart(was.message if was else "", step.message):
        yield f"{name}: {step.message}"


def _told_apart(one: str, other: str) -> bool:
    """Whether two messages differ by more than a number that counts."""
    return re.sub(r"[0-9.,]+", "", one) != re.sub(r"[0-9.,]+", "", other)
