"""Reads both sides of a migration again, writes down what is there, and proves that it is the same.

How it works together (``proving/``): the lanes of a crew go through both trees at once, a directory at a time, with
the filter of the copy but with nothing else of it. A lane writes the rows of what it read to a file of its own and
tells the coordinator where they belong; the coordinator puts them in order at the end, so that memory does not
grow with the trees. Comparing happens where both sides are at hand, in the lane.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from project_migration.model.records import Progress, Record
from project_migration.workers.crew import Crew, Outbox
from project_migration.workers.harness import Job, WrongRequest, main
from project_migration.workers.ownership import Capability, effective_capabilities
from project_migration.workers.params import Effort, Params, Proved
from project_migration.workers.proving.against import compare, is_whole
from project_migration.workers.proving.blocks import Index
from project_migration.workers.proving.hand import ProofHand
from project_migration.workers.proving.plan import (
    WIRE,
    Block,
    Count,
    Itself,
    LinkSeen,
    Named,
    Needed,
    Part,
    Settings,
    Side,
)
from project_migration.workers.proving.rows import Expectation
from project_migration.workers.reasons import INTERNAL_ERROR, SOURCE_CHANGED, VERIFY_FAILED, Refusal
from project_migration.workers.roots import open_many_files, open_source, open_target, processes, scratch

HELP = """\
Reads a source and a target, writes a manifest of each to the workspace, and proves that they are the same.

roots:  source, target (or the one of them that params.rootsToRead names), workspace
params: include, exclude, ignoreFile, ownership, specials   as they were given to copy_tree
        verify       "Checksum" reads every file; "Metadata" compares all but contents
        delete       whether what the target holds beyond the source is a fault (false)
        workers      processes at most (a process a core)
        rootsToRead  ["source", "target"]; with one of them, its manifest is written and nothing is compared
        against      {"manifest": …, "digest": …}: with the target alone, it is compared with this earlier manifest of
                     it (a path below the workspace; proving/against.py), or, where that is gone, with its digest only

manifests/<step>-<unit>-<root>.tsv.gz has a line for each entry; project_migration/workers/proving/rows.py says how.
"""

SIDES = {"source": Side.SOURCE, "target": Side.TARGET}


def prove(job: Job) -> Record:
    open_many_files()
    params = Params(job.request.params)
    params.selection(None)
    effort = params.effort
    names = params.texts("rootsToRead") or tuple(SIDES)
    against = params.proved("against")
    if against is not None and names != ("target",):
        raise WrongRequest("params.against is for the target alone")
    for name in names:
        if name not in SIDES or not os.path.isabs(job.request.roots.get(name, "")):
            raise WrongRequest(f"params.rootsToRead: {name!r} is no root of this request")
    roots = {side: _open(job, side, against) for name, side in SIDES.items() if name in names}
    try:
        with scratch(job) as directory:
            return _proved(job, effort, _settings(params, roots, directory), directory, against)
    finally:
        for descriptor in roots.values():
            os.close(descriptor)


def _open(job: Job, side: Side, against: Proved | None) -> int:
    if side is Side.SOURCE:
        return open_source(job)
    try:
        return open_target(job, make=False)
    except FileNotFoundError as error:
        if against is None:
            raise
        raise Refusal(VERIFY_FAILED, "the target directory does not exist any more") from error


def _settings(params: Params, roots: dict[Side, int], directory: Path) -> Settings:
    expectation = Expectation(
        ownership=params.ownership,
        content=params.choice("verify", ("Checksum", "Metadata")) == "Checksum",
        may_change_any=Capability.FOWNER in effective_capabilities(),
        user=os.geteuid(),
    )
    return Settings(
        selection=params.selection(roots.get(Side.SOURCE, next(iter(roots.values())))),
        expectation=expectation,
        roots=roots,
        skip_specials=params.choice("specials", ("Fail", "Skip")) == "Skip",
        delete=params.flag("delete"),
        scratch=str(directory),
    )


def _proved(job: Job, effort: Effort, settings: Settings, directory: Path, against: Proved | None) -> Record:
    index = Index(directory)

    def on_note(note: NamedTuple) -> None:
        if isinstance(note, Named):
            job.lists.add(note.kind, note.name, note.cause)
        elif isinstance(note, Block | LinkSeen | Needed):
            index.add(note)

    def make_hand(outbox: Outbox) -> ProofHand:
        return ProofHand(settings, outbox)

    def tick() -> None:
        done, items = crew.counts[Count.READ], crew.counts[Count.ENTRIES]
        sides = len(settings.roots)
        job.tell(Progress(done, max(done, effort.expected_bytes * sides), items, max(items, effort.expected_entries)))

    crew = Crew(
        make_hand,
        WIRE,
        len(Count),
        processes=processes(effort.workers),
        scratch=directory,
        on_note=on_note,
        on_tick=tick,
    )
    try:
        with crew:
            crew.work([Part("", int(settings.sides))])
            crew.work(Itself(path) for path in index.needed())
        index.group_links()
        if settings.sides is Side.BOTH:
            _judge_links(job, index, crew.counts)
        facts = _write_down(job, index, settings)
    finally:
        index.close()
    if against is not None:
        return _judged_against(job, settings, crew.counts, facts, against)
    return _judged(job, settings, crew.counts, facts)


def _judge_links(job: Job, index: Index, counts: list[int]) -> None:
    """An entry that was found the same is different after all, when its names are not the same ones."""
    for path in index.links_that_differ():
        job.lists.add("different", path, "hard links")
        counts[Count.DIFFERENT] += 1
        counts[Count.VERIFIED] -= counts[Count.VERIFIED] > 0


def _write_down(job: Job, index: Index, settings: Settings) -> dict[str, dict[str, str]]:
    """The manifests, and what is to be known of each."""
    facts = {}
    for name, side in SIDES.items():
        if side in settings.roots:
            path = job.workspace / "manifests" / f"{job.stem}-{name}.tsv.gz"
            path.parent.mkdir(exist_ok=True)
            digest = index.assemble(side, path)
            facts[name] = {"manifest": str(path.relative_to(job.workspace)), "digest": digest}
    return facts


def _judged(job: Job, settings: Settings, counts: Sequence[int], facts: dict[str, dict[str, str]]) -> Record:
    kept = {count.label: counts[count] for count in Count if count is not Count.READ}
    digests = [found["digest"] for found in facts.values()]
    digest = digests[0]
    faults = [count for count in (Count.FAILED, Count.MISSING, Count.DIFFERENT) if counts[count]]
    if counts[Count.EXTRA] and settings.delete:
        faults.append(Count.EXTRA)
    message = _message(job, counts, faults)
    if faults:
        return job.record(reason=VERIFY_FAILED, message=message, counts=kept, digest=digest, facts=facts)
    if counts[Count.CHANGED]:
        return job.record(reason=SOURCE_CHANGED, passing=True, message=message, counts=kept, digest=digest, facts=facts)
    if len(set(digests)) != 1:
        message = "no difference was found, and yet the digests differ"
        return job.record(reason=INTERNAL_ERROR, message=message, counts=kept, facts=facts)
    return job.record(message=message, counts=kept, digest=digest, facts=facts)


def _judged_against(
    job: Job, settings: Settings, counts: Sequence[int], facts: dict[str, dict[str, str]], proved: Proved
) -> Record:
    """What is on the target alone is no fault: its users work there."""
    now, before = facts["target"]["digest"], job.workspace / proved.manifest
    kept = {count.label: counts[count] for count in Count if count is not Count.READ}
    if now == proved.digest:
        return job.record(message="all of it is as it was proved", counts=kept, digest=now, facts=facts)
    if not is_whole(before, proved.digest):
        message = (
            f"the target is not what was proved; which objects differ cannot be told, since {proved.manifest} is not in"
            " the workspace as the proof left it"
        )
        kept |= {"verified": 0}
        return job.record(reason=VERIFY_FAILED, message=message, counts=kept, digest=now, facts=facts)
    found = compare(before, job.workspace / facts["target"]["manifest"], settings.roots[Side.TARGET], job.lists.add)
    kept |= {"verified": found.same, "missing": found.missing, "different": found.different, "extra": found.extra}
    parts = [f"{kept[kind]} {kind}: {job.lists.say(kind)}" for kind in ("missing", "different") if kept[kind]]
    more = [f"{found.extra} more on the target"] if found.extra else []
    message = "; ".join([*parts, *more, f"{found.same} as they were proved"])
    reason = VERIFY_FAILED if parts else ""
    return job.record(reason=reason, message=message, counts=kept, digest=now, facts=facts)


def _message(job: Job, counts: Sequence[int], faults: list[Count]) -> str:
    parts = [f"{counts[count]} {count.label}: {job.lists.say(count.label)}" for count in faults]
    if counts[Count.CHANGED]:
        parts.append(f"{counts[Count.CHANGED]} changed meanwhile: {job.lists.say('changed')}")
    if counts[Count.EXTRA] and Count.EXTRA not in faults:
        parts.append(f"{counts[Count.EXTRA]} extra on the target, left alone")
    return "; ".join([*parts, f"{counts[Count.VERIFIED]} of {counts[Count.ENTRIES]} verified"])


if __name__ == "__main__":
    main("manifest", HELP, (), prove)
