"""Copies a tree onto a target, in parallel, with everything that belongs to its files, and can be cut short anywhere.

How it works together (``copying/``): the coordinator, which is this module, takes the target's lock and deals
directories out to the lanes of a :class:`~project_migration.workers.crew.Crew`. A lane places a directory's
entries. A directory that the target lacks is made under a temporary name beside its place and gets its own name
when all below it is done, so that its files need no temporary names of their own; in a directory that is there
already, each file is made under a temporary name and renamed. What has to wait for others (large files, files
with several names, directories' own attributes) is noted, and done in that order at the end. Nothing is synced
file by file: syncfs(2) of the target goes on beside the copy, and comes once more before the record is written. A
file counts as there by size and time, which journalling file systems and NFS store after its data.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from project_migration.model.records import Progress, Record
from project_migration.workers.copying import marks
from project_migration.workers.copying.hand import CopyHand
from project_migration.workers.copying.ledger import Ledger
from project_migration.workers.copying.plan import (
    TYPES,
    VERDICTS,
    WIRE,
    Count,
    Directory,
    Ending,
    Flag,
    LateNote,
    LinkNote,
    Named,
    Settings,
)
from project_migration.workers.crew import Crew, Outbox
from project_migration.workers.flushing import Flusher
from project_migration.workers.harness import Job, main
from project_migration.workers.ownership import effective_capabilities
from project_migration.workers.pace import Pace
from project_migration.workers.params import Effort, Params
from project_migration.workers.printable import escape, shorten
from project_migration.workers.reasons import (
    COPY_INCOMPLETE,
    INTERNAL_ERROR,
    NOT_PRESERVED,
    PERMISSION_DENIED,
    SOURCE_CHANGED,
    TARGET_NOT_EMPTY,
    Refusal,
    reason_of,
)
from project_migration.workers.reserved import LOST_AND_FOUND, MARK, owner_prefix
from project_migration.workers.roots import inode, open_many_files, open_roots, processes, refuse_overlap, scratch

HELP = """\
Copies the tree of one volume onto another: contents, owners, modes, times, links, holes, attributes.

roots:  source (only read), target (made if it is missing), workspace
params: include, exclude  lists of gitignore patterns; what is not taken is not touched on the target either
        ignoreFile        name of a file of such patterns in the source's root ("" for none)
        ownership         {"mode": "Preserve" | "Set" | "Helper", "uid": …, "gid": …}
        workers           processes at most                       (a process a core)
        bandwidth         bytes a second at most, null for all there is
        delete            remove what the source lacks            (false)
        requireEmpty      refuse a target that holds anything but this migration's own work (false)
        release           take the mark off the target once all is there (false)
        specials          "Fail" when a device or pipe cannot be made, or "Skip" all of them
        compare           "Metadata": size and time tell whether a file is there; "Checksum": its content does
        expectedEntries, expectedBytes   totals for progress, as a survey found them

A copy that was cut short is gone on with. Exit codes: 0 copied, 1 failed, 2 wrong request, 143 ended by SIGTERM.
"""


@dataclass(slots=True)
class Tally:
    """What the notes of the lanes add up to."""

    job: Job
    ledger: Ledger
    failures: Counter[str] = field(default_factory=Counter)
    """Failed objects by the reason of their errors."""
    lasting: int = 0
    """Failed objects that no other attempt will copy."""

    def note(self, note: NamedTuple) -> None:
        match note:
            case Named(kind, name, cause, number):
                self.job.lists.add(kind, name, cause)
                if kind == "failed":
                    reason, passing = reason_of(number)
                    self.failures[reason] += 1
                    self.lasting += not passing
            case LinkNote():
                self.ledger.add_link(note)
            case LateNote():
                self.ledger.add_late(note)
            case Ending(reason, message):
                raise Refusal(reason, message)


def copy(job: Job) -> Record:
    os.umask(0)
    open_many_files()
    params = Params(job.request.params)
    effort = params.effort
    settings = _settings(params, job)
    with open_roots(job) as (source, target):
        refuse_overlap(job)
        settings = replace(
            settings, selection=params.selection(source), source_root=inode(source), target_root=inode(target)
        )
        if params.flag("requireEmpty"):
            _refuse_strangers(job, target)
        with marks.hold(target) as mark, scratch(job) as directory:
            if params.flag("requireEmpty"):  # again: nobody else can begin now
                _refuse_strangers(job, target)
            mark.write(marks.Owner.of(job.request))
            settings = replace(settings, granularity=mark.granularity())
            record = _copied(job, effort, settings, (source, target), directory)
            if record.succeeded and params.flag("release"):
                marks.lift(mark, target)
            elif record.succeeded:
                mark.write(marks.Owner.of(job.request, finished=True))
            return record


def _settings(params: Params, job: Job) -> Settings:
    """What the request says, so that it is found wrong before anything is made. The roots are still to come."""
    return Settings(
        selection=params.selection(None),
        ownership=params.ownership,
        capabilities=effective_capabilities(),
        prefix=owner_prefix(job.request.migration_uid),
        delete=params.flag("delete"),
        skip_specials=params.choice("specials", ("Fail", "Skip")) == "Skip",
        compare_content=params.choice("compare", ("Metadata", "Checksum")) == "Checksum",
        granularity=1,
        source_root=(-1, -1),
        target_root=(-1, -1),
    )


def _refuse_strangers(job: Job, target: int) -> None:
    """Raises :class:`Refusal` unless the target is empty, or all in it is this migration's own."""
    owner = marks.read_owner(target)
    if owner is not None and owner.uid == job.request.migration_uid:
        return
    if owner is not None:
        whose = f"the target holds unfinished work of another migration ({owner.namespace}/{owner.name})"
        raise Refusal(TARGET_NOT_EMPTY, whose)
    with os.scandir(target) as entries:
        found = next((entry.name for entry in entries if entry.name not in (MARK, LOST_AND_FOUND)), None)
    if found is not None:
        raise Refusal(TARGET_NOT_EMPTY, f"the target is not empty: it holds {shorten(escape(found))}")


def _copied(job: Job, effort: Effort, settings: Settings, roots: tuple[int, int], directory: Path) -> Record:
    pace = Pace(effort.bandwidth)
    ledger = Ledger(directory)
    tally = Tally(job, ledger)

    def make_hand(outbox: Outbox) -> CopyHand:
        return CopyHand(settings, *roots, pace, outbox)

    def tick() -> None:
        job.tell(progress(crew.counts, effort))

    crew = Crew(
        make_hand,
        WIRE,
        len(Count),
        processes=processes(effort.workers),
        scratch=directory,
        on_note=tally.note,
        on_tick=tick,
    )
    crew.counts[Count.ENTRIES] = crew.counts[Count.DIRECTORIES] = 1  # the root, which no directory lists
    try:
        with crew, Flusher(roots[1]):
            crew.work([Directory("", "", Flag.NONE)])
            crew.work(ledger.links())
            for at in ledger.depths():
                crew.work(ledger.late(at))
    except Refusal as refusal:
        refusal.counts = record_counts(crew.counts)
        raise
    finally:
        ledger.close()
    tick()
    return _judged(job, tally, crew.counts)


def progress(counts: Sequence[int], effort: Effort) -> Progress:
    """Bytes, and entries as a survey counts them: those that are taken, without the root."""
    done, total = counts[Count.STREAMED], counts[Count.ENTRIES] - counts[Count.EXCLUDED] - 1
    items = sum(counts[verdict] for verdict in VERDICTS if verdict is not Count.EXCLUDED)
    total = max(effort.expected_entries, total)
    return Progress(done, max(effort.expected_bytes, done), min(items, total), total)


def record_counts(counts: Sequence[int]) -> dict[str, int]:
    return {count.label: counts[count] for count in Count if count is not Count.STREAMED}


def _judged(job: Job, tally: Tally, counts: Sequence[int]) -> Record:
    """The record: succeeded only if every entry that was listed is accounted for and none was lost."""
    kept = record_counts(counts)
    reason, passing = _reason(tally, counts)
    listed = counts[Count.ENTRIES]
    typed = sum(counts[count] for count in (*TYPES, Count.EXCLUDED))
    judged = sum(counts[verdict] for verdict in VERDICTS)
    if not reason and not listed == typed == judged:
        message = f"the counts do not add up: {listed} listed, {typed} by type, {judged} by verdict"
        return job.record(reason=INTERNAL_ERROR, message=message, counts=kept)
    return job.record(reason=reason, passing=passing, message=_message(job, counts), counts=kept)


def _reason(tally: Tally, counts: Sequence[int]) -> tuple[str, bool]:
    """The weightiest reason, and whether another attempt may end better. Nothing when all is well."""
    if tally.failures:
        if len(tally.failures) > 1 and tally.lasting:
            return COPY_INCOMPLETE, False
        reason = next(iter(tally.failures))
        return (reason if reason == PERMISSION_DENIED or not tally.lasting else COPY_INCOMPLETE), not tally.lasting
    if counts[Count.NOT_PRESERVED]:
        return NOT_PRESERVED, False
    if counts[Count.CHANGED] or counts[Count.VANISHED]:
        return SOURCE_CHANGED, True
    return "", False


_DONE = {Count.COPIED: "copied", Count.ALREADY_THERE: "there already", Count.METADATA_FIXED: "mended"}

_LOST = {
    "failed": "failed",
    "notPreserved": "not wholly preserved",
    "changed": "changed meanwhile",
    "vanished": "vanished meanwhile",
    "skipped": "left out by nature",
}


def _message(job: Job, counts: Sequence[int]) -> str:
    lost = [
        f"{job.lists.counts[kind]} {words}: {job.lists.say(kind)}"
        for kind, words in _LOST.items()
        if job.lists.counts[kind]
    ]
    return "; ".join([*lost, *(f"{counts[count]} {words}" for count, words in _DONE.items() if counts[count])])


if __name__ == "__main__":
    main("copy_tree", HELP, ("source", "target"), copy)
