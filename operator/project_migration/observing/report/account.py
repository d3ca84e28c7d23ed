"""The figures of one migration, read from its document and status: what sentences and the HTML report are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from project_migration.engine import retention
from project_migration.engine.clock import moment
from project_migration.engine.itinerary import end_of
from project_migration.engine.platform import CHECKS
from project_migration.engine.steps.ask_server import ASK_SERVER
from project_migration.engine.world import Migration
from project_migration.model.conditions import End
from project_migration.model.document import Mode, Side
from project_migration.model.status import (
    ComparedStatus,
    State,
    Status,
    StepStatus,
    UnitStatus,
    WorkloadState,
    WorkloadStatus,
    along,
)
from project_migration.observing.report.moved import Moved, moved

#: Kinds of objects, as the copy and the survey count them.
KINDS = (
    *("files", "directories", "symlinks", "hardLinks", "specials", "special", "sockets"),
    *("tables", "rows", "sequences", "largeObjects"),
)

#: Of these, the ones that do not count an object twice. A record's ``entries`` also counts what was left out.
OBJECTS = ("files", "directories", "symlinks", "specials", "special", "rows")

#: What a copy did with them, and what that means.
DEEDS: Mapping[str, str] = {
    "copied": "copied",
    "alreadyThere": "there already",
    "replaced": "replaced on the target",
    "metadataFixed": "given times, modes or attributes",
    "owned": "given their owner",
    "deleted": "deleted on the target, which alone had them",
}

#: Counts of what did not arrive as it was, in the order of their weight, and what they mean.
LEFT_OUT: Mapping[str, str] = {
    "failed": "could not be moved",
    "missing": "missing on the target",
    "different": "different on the target",
    "unreadable": "could not be read",
    "changed": "changed while they were read",
    "vanished": "vanished while they were read",
    "notPreserved": "arrived without something that could not be kept",
    "privilegesDropped": "arrived without setuid, setgid or capabilities",
    "skipped": "of a kind that cannot be moved",
    "excluded": "left out as the document or .exportignore says",
    "extra": "on the target only, and left there",
    "notDeleted": "on the target only, and could not be deleted",
    "unmapped": "whom the target does not know: the administrator takes over",
    "usersLeft": "users and teams who did not come along",
    "renamed": "projects that got another address",
    "pausedJobs": "jobs that were active, and are paused",
    "stoppedApplications": "applications that ran, and are stopped",
    "projectsWithoutFiles": "projects of which the source has no files",
    "emptied": "rows of tables that are bound to the old installation",
    "credentialsLeft": "rows of credentials in the dump, which were not loaded",
    "quotasRemoved": "quotas of the old installation",
    "linksOut": "absolute links, kept as they are",
}

#: Of these the document, or the platform's guide, says so.
AS_ASKED = frozenset(
    {
        "excluded",
        "unmapped",
        "usersLeft",
        "renamed",
        "pausedJobs",
        "stoppedApplications",
        "emptied",
        "credentialsLeft",
        "quotasRemoved",
    }
)


@dataclass(frozen=True, slots=True)
class Named:
    """Something left out, or worth a look: how many, what it means, some of the names, where the whole list is."""

    kind: str
    count: int
    meaning: str
    names: tuple[str, ...]
    whole_list: str

    @property
    def asked(self) -> bool:
        """Whether the document asked for it."""
        return self.kind in AS_ASKED


@dataclass(frozen=True, slots=True)
class Lane:
    """A step, or a unit of one, as a stretch of time. ``end`` is None while it is at work."""

    name: str
    state: State
    start: datetime | None
    end: datetime | None
    message: str
    reason: str = ""
    attempts: int = 1
    units: tuple[Lane, ...] = ()

    @property
    def seconds(self) -> float | None:
        return (self.end - self.start).total_seconds() if self.start and self.end else None


@dataclass(frozen=True, slots=True)
class Pair:
    """One pair or database of the document and what became of it."""

    name: str
    source: str
    target: str
    state: State
    known: bool
    """Whether anything was counted."""
    items: int
    bytes: int
    seconds: float | None
    bytes_copied: int
    """In this round: less than ``bytes`` when some of it was there already."""
    kinds: tuple[tuple[str, int], ...]
    deeds: tuple[tuple[str, int], ...]
    left_out: tuple[Named, ...]
    digest: str
    message: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    compared: tuple[ComparedStatus, ...] = ()
    """What the proof compared by table or kind, in the order of names but for those that differ."""
    asked: tuple[ComparedStatus, ...] = ()
    """What the target's own server gave of that, once it was back."""
    checks: tuple[str, ...] = ()
    """Of the target's state that the proof found to hold."""

    @property
    def rate(self) -> float | None:
        return self.bytes_copied / self.seconds if self.seconds else None

    @property
    def rows(self) -> int | None:
        """Of a database; None for directories."""
        kinds = dict(self.kinds)
        return kinds.get("rows", 0) if "tables" in kinds else None


@dataclass(frozen=True, slots=True)
class Account:
    """Everything that is told. ``end`` is None while the migration is at work."""

    migration: Migration
    end: End | None
    steps: tuple[Lane, ...]
    pairs: tuple[Pair, ...]

    @property
    def status(self) -> Status:
        return self.migration.status

    @property
    def name(self) -> str:
        return f"{self.migration.key.namespace}/{self.migration.key.name}"

    @property
    def planned(self) -> bool:
        document = self.migration.document
        return document is not None and document.spec.mode is Mode.PLAN

    @property
    def started(self) -> datetime | None:
        """Of the round that is told, not of an earlier one that a retry followed."""
        return min((lane.start for lane in self.steps if lane.start), default=_moment(self.status.started_at))

    @property
    def finished(self) -> datetime | None:
        return _moment(self.status.finished_at)

    @property
    def last_look(self) -> datetime | None:
        """When its figures were last brought up to date."""
        return _moment(self.status.progress.updated_at)

    @property
    def seconds(self) -> float | None:
        return (self.finished - self.started).total_seconds() if self.started and self.finished else None

    @property
    def items(self) -> int:
        return sum(pair.items for pair in self.pairs)

    @property
    def files(self) -> int:
        """Objects that are made one by one, as rows are not."""
        return sum(pair.items for pair in self.pairs if pair.rows is None)

    @property
    def bytes(self) -> int:
        return sum(pair.bytes for pair in self.pairs)

    @property
    def failed_step(self) -> Lane | None:
        return next((lane for lane in self.steps if lane.state is State.FAILED), None)

    @property
    def resting(self) -> tuple[WorkloadStatus, ...]:
        """Workloads that were taken down and are not back: whoever reads this may want to know first."""
        down = (WorkloadState.DOWN, WorkloadState.HELD)
        asked = {(e.kind, e.name) for e in self.status.workloads if e.state is WorkloadState.RECORDED}
        begun = any(lane.name.startswith("quiesce") and lane.start for lane in self.steps)
        return tuple(
            w
            for w in self.status.workloads
            if w.state in down or (begun and not self.end and (w.kind, w.name) in asked)
        )

    @property
    def downtime(self) -> float | None:
        """Seconds from the stop of workloads until they were back, as far as steps tell. None without any."""
        begun = self.rest_began
        over = [lane.end for lane in self.steps if lane.name in ("resume", "bring_back") and lane.end]
        return (max(over) - begun).total_seconds() if begun and over else None

    @property
    def rest_began(self) -> datetime | None:
        """When the source's workloads were stopped, or the target's where the source has none.

        A target may rest for days before a cut-over: that is no stop for those who use the source.
        """
        sides = {workload.side for workload in self.status.workloads}
        begun = {lane.name: lane.start for lane in self.steps if lane.start}
        if Side.SOURCE in sides and "quiesce_source" in begun:
            return begun["quiesce_source"]
        return begun.get("quiesce_target") if Side.TARGET in sides else None


def account(migration: Migration) -> Account:
    return Account(
        migration=migration,
        end=end_of(migration.status),
        # what is done after the end, days later, is no part of how it went
        steps=tuple(_lane(step) for step in migration.status.steps if step.id != retention.STEP),
        pairs=tuple(_pairs(migration)),
    )


def _lane(step: StepStatus) -> Lane:
    units = tuple(
        Lane(
            name=unit.name,
            state=unit.state,
            start=_moment(unit.running_at or unit.created_at),
            end=_moment(unit.finished_at),
            message=unit.message,
            reason=unit.reason,
            attempts=(unit.attempt - 1) % 100 + 1,
        )
        for unit in step.units
    )
    start, end = _moment(step.started_at), _moment(step.finished_at)
    return Lane(step.id, step.state, start, end, step.message, step.reason, units=units)


def _pairs(migration: Migration) -> Iterator[Pair]:
    document = migration.document
    if document is None:
        return
    steps = {step.id: step for step in migration.status.steps}
    for unit in moved(along(document.spec, migration.status)):
        found = {name: left for name, step in steps.items() if (left := step.unit(unit.name)) is not None}
        together = steps["preflight"].unit(unit.surveyed_with) if "preflight" in steps else None
        if together is not None:
            found.setdefault("preflight", together)
        yield _pair(unit, found)


def _pair(pair: Moved, units: Mapping[str, UnitStatus]) -> Pair:
    """From what its units left: the copy's counts where there are any, else what the survey counted."""
    copied, proved, surveyed = units.get("copy"), units.get("verify"), units.get("preflight")
    asked = units.get(ASK_SERVER)
    counts = next((u.counts for u in (copied, surveyed) if u and u.counts), {})
    counts = {kind: count for kind, count in counts.items() if kind not in pair.without}
    latest = asked or proved or copied or surveyed
    lane_start = _moment(copied.running_at) if copied else None
    lane_end = _moment(copied.finished_at) if copied else None
    return Pair(
        name=pair.name,
        source=pair.source,
        target=pair.target,
        state=latest.state if latest else State.PENDING,
        known=bool(counts),
        items=sum(counts.get(kind, 0) for kind in OBJECTS),
        bytes=counts.get("bytes", 0),
        seconds=(lane_end - lane_start).total_seconds() if lane_start and lane_end else None,
        bytes_copied=counts.get("bytesCopied", counts.get("bytes", 0)),
        kinds=tuple((kind, counts[kind]) for kind in KINDS if counts.get(kind)),
        deeds=tuple((DEEDS[deed], counts[deed]) for deed in DEEDS if counts.get(deed)),
        left_out=tuple(_left_out(unit for unit in (surveyed, copied, units.get("adapt"), proved, asked) if unit)),
        digest=proved.digest if proved else "",
        message=next((u.message for u in (asked, proved, copied, surveyed) if u and u.state is State.FAILED), ""),
        include=pair.include,
        exclude=pair.exclude,
        compared=proved.compared if proved else (),
        asked=asked.compared if asked else (),
        checks=proved.names.get(CHECKS, ()) if proved else (),
    )


def _left_out(units: Iterator[UnitStatus]) -> Iterator[Named]:
    """By kind, from the unit that saw it last: the survey expects it, the copy meets it, the proof counts it."""
    latest: dict[str, UnitStatus] = {}
    for unit in units:
        for kind in (*unit.counts, *unit.names):
            if kind in LEFT_OUT and (unit.counts.get(kind) or unit.names.get(kind)):
                latest[kind] = unit
    for kind in LEFT_OUT:
        if kind in latest:
            unit = latest[kind]
            names = unit.names.get(kind, ())
            yield Named(kind, unit.counts.get(kind, len(names)), LEFT_OUT[kind], names, unit.lists.get(kind, ""))


def _moment(text: str | None) -> datetime | None:
    return moment(text) if text else None
