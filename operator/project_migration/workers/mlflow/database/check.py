"""Worker ``mlflow.database.check``: the target alone, read anew and compared with what an earlier proof wrote down.

Params: ``target`` as for ``mlflow.database.survey``; ``against``: the list that the proof left (a path below the
workspace), and its digest. What is on the target only is counted (``extra``) and no fault: its users work there.

Counts: ``entries`` of the list, ``verified``, ``missing``, ``different`` and ``extra`` (objects). The lists ``missing``
and ``different`` name table and object. The digest is as the proof's, over the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from project_migration.model.records import Progress, Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job, WrongRequest
from project_migration.workers.mlflow.database import failures, opening, proved
from project_migration.workers.mlflow.database.objects import condition_of
from project_migration.workers.mlflow.database.program import folder, main
from project_migration.workers.mlflow.database.proving import Tally, brought_to, by_owner
from project_migration.workers.mlflow.database.schema import Table
from project_migration.workers.mlflow.database.sides import TARGET, side_of
from project_migration.workers.mlflow.database.store import Store, Where, batches
from project_migration.workers.params import Params

#: Entries that one statement asks for, by keys of up to six columns.
ASKED_AT_ONCE = 200


def work(job: Job) -> Record:
    given = Params(job.request.params).proved("against")
    if given is None:
        raise WrongRequest("params.against is missing")
    path = job.workspace / given.manifest
    if not proved.is_whole(path, given.digest):
        message = (
            f"{given.manifest} is not in the workspace as the proof left it, and nothing else says what was proved"
        )
        raise failures.Refused(reasons.PROOF_MISSING, message)
    with opening.reading(side_of(job, TARGET).place, folder(job)) as target:
        check = Check(job, target)
        for head, found in groupby(proved.read(path), key=lambda pair: pair[0]):
            check.table(head, (entry for _, entry in found))
    return check.record()


class Check:
    def __init__(self, job: Job, target: Store) -> None:
        self._job = job
        self._target = target
        self._counts: Counter[str] = Counter(dict.fromkeys(("entries", "verified", "missing", "different", "extra"), 0))
        self._tables: dict[str, Tally] = {}
        self._rows = 0

    def table(self, head: proved.Head, entries: Iterator[proved.Entry]) -> None:
        table = self._known(head)
        found_of = self._rows_of if not head.owner else self._objects_of
        there = 0
        for some in batches(entries, ASKED_AT_ONCE):
            now = found_of(head, table, [entry.identity for entry in some])
            for entry in some:
                tally = now.get(_hashable(entry.identity))
                there += tally is not None
                self._compare(head, entry, tally)
        if not head.owner or table.key == (head.owner,):
            self._counts["extra"] += max(self._number(head.table) - there, 0)

    def _known(self, head: proved.Head) -> Table:
        table = self._target.schema.tables.get(head.table)
        lacking = [name for name in head.columns if table is None or table.column(name) is None]
        if table is None or lacking:
            message = (
                f"the target's table {head.table} is not there as it was when this was proved (its server was upgraded"
                " since?)"
            )
            raise failures.Refused(failures.SCHEMA_MISMATCH, message)
        return table

    def _objects_of(self, head: proved.Head, table: Table, owners: list[Any]) -> dict[Any, Tally]:
        convert = brought_to(head.columns, head.forms)
        found: dict[Any, Tally] = {}
        place = head.columns.index(head.owner)
        condition = condition_of(self._target, head.table)
        for chunk in self._target.stream(table, head.columns, Where(head.owner, owners), condition):
            for owner, tally in by_owner(chunk, place, convert).items():
                known = found.setdefault(owner, Tally())
                known += tally
            self._tell(len(chunk))
        return found

    def _rows_of(self, head: proved.Head, table: Table, keys: list[Any]) -> dict[Any, Tally]:
        convert = brought_to(head.columns, head.forms)
        found: dict[Any, Tally] = {}
        for key, row in self._target.existing(table, head.columns, [tuple(key) for key in keys]).items():
            found[key] = Tally()
            found[key].add([row], convert)
        self._tell(len(keys))
        return found

    def _compare(self, head: proved.Head, entry: proved.Entry, now: Tally | None) -> None:
        self._counts["entries"] += 1
        if now is None:
            self._name("missing", head, entry)
            return
        tally = self._tables.setdefault(head.table, Tally())
        tally += now
        if (now.rows, now.total) == (entry.rows, entry.total):
            self._counts["verified"] += 1
        else:
            rows = f"{entry.rows} rows, now {now.rows}" if now.rows != entry.rows else ""
            self._name("different", head, entry, rows)

    def _name(self, what: str, head: proved.Head, entry: proved.Entry, cause: str = "") -> None:
        self._counts[what] += 1
        values = entry.identity if isinstance(entry.identity, list) else [entry.identity]
        self._job.lists.add(what, f"{head.table} {', '.join(map(str, values))}", cause)

    def _number(self, table: str) -> int:
        condition = condition_of(self._target, table)
        tail = f" WHERE {condition}" if condition else ""
        return int(self._target.rows(f"SELECT count(*) FROM {self._target.place(table)}{tail}")[0][0])  # noqa: S608

    def _tell(self, rows: int) -> None:
        self._rows += rows
        self._job.tell(Progress(0, 0, self._rows, self._rows))

    def record(self) -> Record:
        counts, lists = dict(self._counts), self._job.lists
        parts = [f"{counts[kind]} {kind}: {lists.say(kind)}" for kind in ("missing", "different") if counts[kind]]
        more = [f"{counts['extra']} more on the target"] if counts["extra"] else []
        message = "; ".join([*parts, *more, f"{counts['verified']} of {counts['entries']} as they were proved"])
        reason = reasons.VERIFY_FAILED if parts else ""
        digest = proved.digest_of({name: (tally.rows, tally.total) for name, tally in self._tables.items()})
        return self._job.record(reason=reason, message=message[:1500], counts=counts, digest=digest)


def _hashable(identity: Any) -> Any:
    return tuple(identity) if isinstance(identity, list) else identity


if __name__ == "__main__":
    main("check", __doc__ or "", work)
