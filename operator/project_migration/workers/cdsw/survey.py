"""Worker ``cdsw.survey``: both sides are looked at as a whole; everything that stands in the way is told at once.

Params: all that the other workers have. An archive is read once, to its end, and nothing of it is unpacked to a disk;
its names go to ``cdsw/survey.sqlite`` of the workspace. The target is not changed. What the tables of the dump are is
tried in a database of its own on the target's server where the role may make one, and that is dropped again; where it
may not, ``cdsw.load`` and ``cdsw.adapt`` find the same and change nothing then.

The record succeeds when the look was taken, whatever it saw. Facts::

    source: {archive, archiveBytes, files, …, dumpBytes, serverMajor, toolMajor, restricted, tables, rows, users, teams,
             sensitiveRows, leftOut, linksOut} or {reachable, major, version, tables, rows (estimated), files, bytes}
    target: {reachable, arrived, major, version, administrator, projects, heldFiles, freeBytes, freeInodes, tried,
             clients: [[application, host, sessions]], addresses: [those hosts], state}
    tools: {needed, found: {"18": directory}}
    problems: {found: [{reason, message, passing}], count}

Counts: ``files``, ``bytes``, ``tables``, ``rows``, ``problems``, ``targetEmpty``, ``targetMajor`` (the
major version of the client tools that are needed).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from project_migration.model.records import Progress, Record
from project_migration.workers import reasons
from project_migration.workers.cdsw import failures, sides
from project_migration.workers.cdsw.archive import go_through
from project_migration.workers.cdsw.inflating import Inflated
from project_migration.workers.cdsw.listing import Listing
from project_migration.workers.cdsw.program import main
from project_migration.workers.cdsw.request import (
    SOURCE,
    TARGET,
    Side,
    Unlisted,
    administrator,
    flags,
    side_of,
    user_mode,
)
from project_migration.workers.cdsw.scanning import Scan
from project_migration.workers.cdsw.trial import Trial
from project_migration.workers.harness import Job
from project_migration.workers.pace import Pace
from project_migration.workers.params import Params
from project_migration.workers.postgres import tools
from project_migration.workers.postgres.session import Connection, connect, major

PROBLEMS_LIMIT = 12
LISTING = "cdsw/survey.sqlite"


def work(job: Job) -> Record:
    source, target = side_of(job, SOURCE), side_of(job, TARGET)
    flags(job)
    survey = _Survey(job, source, target)
    if target.is_archive:
        survey.source_server()
        survey.target_archive()
    else:
        administrator(job), user_mode(job)
        survey.all()
    found = [_told(problem) for problem in survey.problems[:PROBLEMS_LIMIT]]
    facts = {**survey.facts, "problems": {"found": found, "count": len(survey.problems)}}
    return job.record(counts=survey.counts(), facts=facts)


class _Survey:
    def __init__(self, job: Job, source: Side, target: Side) -> None:
        self._job, self._source, self._target = job, source, target
        self.facts: dict[str, dict[str, Any]] = {"source": {}, "target": {}}
        self.problems: list[reasons.Refusal] = []
        self._scan = Scan()

    def all(self) -> None:
        with ExitStack() as stack:
            session = self._connected(stack, self._target)
            if session is not None:
                told, problems = sides.target_database(self._job, session)
                self.facts["target"] |= told
                self.problems += problems
                self._tools(major(session))
            trial = stack.enter_context(Trial(self._job, self._target, session)) if session is not None else None
            if self._source.is_archive:
                self._archive(trial)
            else:
                self.source_server()
                self._live_dump(trial)
            if session is not None:
                self._together(session, trial)
        self._target_files()

    def _connected(self, stack: ExitStack, side: Side) -> Connection | None:
        facts = self.facts[side.side]
        try:
            session = connect(side.endpoint(self._job))
        except reasons.Refusal as refused:
            facts |= {"reachable": False, "reason": refused.reason, "message": refused.message[:200]}
            self.problems.append(refused)
            return None
        stack.callback(session.close)
        facts["reachable"] = True
        return session

    def _tools(self, needed: int) -> None:
        """Here: another helper may have another image, so it is no problem yet."""
        self.facts["tools"] = {"needed": needed, "found": {str(k): v for k, v in tools.found().items()}}

    def _archive(self, trial: Trial | None) -> None:
        """One pass: names, sizes, rows, users, and what the tables are."""
        path = self._job.workspace / LISTING
        pace = Pace(Params(self._job.request.params).effort.bandwidth)

        def tick(stream: Inflated) -> None:
            self._job.tell(Progress(stream.done, stream.size, 0, 0))

        def take_dump(pieces: Iterator[bytes]) -> None:
            try:
                self._scan.read(pieces, trial)
            except reasons.Refusal as refused:
                if refused.reason in (failures.ARCHIVE_UNREADABLE, reasons.SOURCE_CHANGED):  # the archive has no more
                    raise
                self.problems.append(refused)

        try:
            with Listing(path, fresh=True) as listing:
                found = go_through(
                    self._source.archive,
                    listing,
                    take_dump=take_dump,
                    take_entry=lambda *_: None,
                    pace=pace,
                    tick=tick,
                )
        except reasons.Refusal as refused:
            self.problems.append(refused)
            return
        size = os.path.getsize(self._source.archive)
        told = {"archive": os.path.basename(self._source.archive), "archiveBytes": size, "dumpBytes": found.dump_bytes}
        self.facts["source"] |= {**told, **found.counts, "leftOut": dict(found.left_out)}

    def source_server(self) -> None:
        with ExitStack() as stack:
            session = self._connected(stack, self._source)
            if session is not None:
                if self._target.is_archive:
                    self._tools(major(session))
                told, problems = sides.source_database(session)
                self.facts["source"] |= told
                self.problems += problems
        told, problems = sides.source_files(self._job, self._source)
        self.facts["source"] |= told
        self.problems += problems

    def _live_dump(self, trial: Trial | None) -> None:
        """What the tables of a live CDSW are and who its users are, where tools to say so are here."""
        if trial is None or not self.facts["source"].get("reachable"):
            return
        try:
            self._scan.read_live(self._source.endpoint(self._job), trial)
        except reasons.Refusal as refused:
            if refused.reason != "ClientToolsMissing":
                self.problems.append(refused)

    def _together(self, session: Connection, trial: Trial | None) -> None:
        """What one side alone does not show."""
        self.facts["source"] |= self._scan.facts()
        if self._scan.head.server_major > major(session):
            message = f"the dump is of PostgreSQL {self._scan.head.server_major}, the target is {major(session)}"
            self.problems.append(failures.Refused("TargetOlder", message))
        self.problems += self._scan.problems(self._job, session)
        if trial is not None:
            self.facts["target"]["tried"] = trial.was_made
            self.problems += trial.problems(self._scan.rows, Unlisted.of(self._job))

    def _target_files(self) -> None:
        needed = (int(self.facts["source"].get("bytes", 0)), int(self.facts["source"].get("entries", 0)))
        told, problems = sides.target_files(self._job, self._target, *needed)
        self.facts["target"] |= told
        self.problems += problems

    def target_archive(self) -> None:
        told, problems = sides.target_archive(self._target, int(self.facts["source"].get("bytes", 0)))
        self.facts["target"] |= told
        self.problems += problems

    def counts(self) -> dict[str, int]:
        source, target = self.facts["source"], self.facts["target"]
        counts = {name: int(source.get(name, 0)) for name in ("files", "entries", "bytes", "tables", "rows")}
        if "tools" in self.facts:
            counts["targetMajor"] = self.facts["tools"]["needed"]
        # a workspace without projects has settings and users, which are kept; an archive's place has nothing
        empty = self._target.is_archive and not target.get("exists")
        return counts | {"problems": len(self.problems), "targetEmpty": int(empty)}


def _told(problem: reasons.Refusal) -> dict[str, Any]:
    return {"reason": problem.reason, "message": problem.message[:300], "passing": problem.passing}


if __name__ == "__main__":
    main("survey", __doc__ or "", work)
