"""Worker ``mlflow.database.copy``: the rows of the arrangement, in one transaction: all of them or none.

Params ``source`` and ``target`` as for ``mlflow.database.survey``; ``bandwidth`` in bytes a second. Reads what
``arrange`` left in the workspace. Run again after it ended in any way, it finds its own work done, or none of it.

Counts: ``rows`` added, ``updated``, ``kept`` (rows of the target that differ and stay, named in the list ``skipped``),
``tables``; ``users``, ``roles`` and ``rights`` that are wanted of the basic-auth app, where ``auth`` is given; facts
``tables``: rows added by table. The digest is the arrangement's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from project_migration.model.records import Progress, Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.mlflow.database import clearing, note, opening, plan, state
from project_migration.workers.mlflow.database.arrangement import Arrangement
from project_migration.workers.mlflow.database.loading import Loaded, Loader
from project_migration.workers.mlflow.database.program import folder, main
from project_migration.workers.mlflow.database.selection import Selection
from project_migration.workers.mlflow.database.sides import SOURCE, TARGET, side_of
from project_migration.workers.mlflow.database.store import Store
from project_migration.workers.mlflow.users import bringing
from project_migration.workers.pace import Pace
from project_migration.workers.postgres import reading


def work(job: Job) -> Record:
    sides = side_of(job, SOURCE), side_of(job, TARGET)
    arrangement = Arrangement.read(job.workspace)
    scratch = folder(job)
    try:
        with opening.reading(sides[0].place, scratch) as source, opening.writing(sides[1].place, scratch) as target:
            record = Copy(job, source, target, arrangement).run()
        if not bringing.are_named(sides):
            return record
        # after the rows, and from connections of its own: both may lie in one database
        conflict = Selection.from_params(job.request.params).on_conflict
        with bringing.opened(job, sides, arrangement, conflict, job.workspace, write=True) as users:
            users.bring()
            return replace(
                record, counts={**record.counts, **users.counts}, names=job.lists.names, lists=job.lists.paths
            )
    finally:
        arrangement.close()


class Copy:
    def __init__(self, job: Job, source: Store, target: Store, arrangement: Arrangement) -> None:
        self._job = job
        self._source = source
        self._target = target
        self._arrangement = arrangement
        self._rows = 0

    def run(self) -> Record:
        pace = Pace(reading.number(self._job.request.params, "bandwidth", 0) or None)
        loader = Loader(self._source, self._target, self._arrangement, pace, self._told, self._keep)
        note.prepare(self._target)
        loader.attach()
        self._target.begin()
        try:
            done = self._done()
            if done is not None:
                self._target.rollback()
                return done
            before = self._prepare()
            plans = plan.plans(self._source, self._target, self._arrangement)
            loaded = loader.run(plans)
            self._leave_note(loaded, before)
            self._target.commit()
        except BaseException:
            self._target.rollback()
            raise
        return self._record(loaded.rows, _counts(loaded))

    def _done(self) -> Record | None:
        found = note.read(self._target)
        if found is None or found.migration != self._job.request.migration_uid:
            return None
        if found.arrangement != self._mark:
            return None
        tables = {name: number for name, number in found.counts.items() if name.startswith("table ")}
        counts = {name: number for name, number in found.counts.items() if name not in tables}
        return self._record({name.removeprefix("table "): number for name, number in tables.items()}, counts)

    @property
    def _mark(self) -> str:
        """What is done. A target that was empty is loaded anew in each round: the last one's proof may have failed."""
        summary = self._arrangement.summary
        number = reading.number(self._job.request.params, "round", 1)
        return f"{summary.digest} {number}" if summary.empty else summary.digest

    def _prepare(self) -> Mapping[str, Any]:
        """The target as it was arranged for, and what a server is born with remembered."""
        summary = self._arrangement.summary
        if state.counts(self._target) != summary.target_state:
            message = "the target is not what it was when this was arranged: something writes to it"
            raise reasons.Refusal(reasons.TARGET_BUSY, message, passing=True)
        if not summary.empty:
            return {}
        found = note.read(self._target)
        if found is not None and found.empty and found.migration == self._job.request.migration_uid:
            clearing.take_back(self._target, found)
        elif not state.is_new(self._target):
            raise reasons.Refusal(reasons.TARGET_NOT_EMPTY, "the target holds rows of somebody else's")
        return clearing.born_with(self._target)

    def _leave_note(self, loaded: Loaded, before: Mapping[str, Any]) -> None:
        summary = self._arrangement.summary
        counts = _counts(loaded) | {f"table {name}": number for name, number in loaded.rows.items()}
        uid = self._job.request.migration_uid
        note.write(self._target, note.Note(uid, self._mark, summary.empty, counts, before))

    def _record(self, tables: Mapping[str, int], counts: Mapping[str, int]) -> Record:
        moved = {name: number for name, number in sorted(tables.items()) if number}
        return self._job.record(counts=counts, digest=self._arrangement.summary.digest, facts={"tables": moved})

    def _told(self, rows: int) -> None:
        self._rows += rows
        total = max(self._rows, sum(self._arrangement.summary.counts.values()))
        self._job.tell(Progress(0, 0, self._rows, total))

    def _keep(self, table: str, key: tuple[Any, ...]) -> None:
        if table == "experiments":
            return  # its number and place are the target's own, as onConflict says
        self._job.lists.add("skipped", f"{table} {', '.join(map(str, key))}", "the target has another and keeps it")


def _counts(loaded: Loaded) -> dict[str, int]:
    rows = loaded.rows
    return {
        "rows": sum(rows.values()),
        "tables": sum(1 for number in rows.values() if number),
        "updated": loaded.updated,
        "kept": loaded.kept,
        "experiments": rows.get("experiments", 0),
        "runs": rows.get("runs", 0),
        "models": rows.get("registered_models", 0),
        "versions": rows.get("model_versions", 0),
        "traces": rows.get("trace_info", 0),
    }


if __name__ == "__main__":
    main("copy", __doc__ or "", work)
