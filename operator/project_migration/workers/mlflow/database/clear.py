"""Worker ``mlflow.database.clear``: takes back what a copy brought into a target that was empty, or its note away.

Params: ``target`` as for ``mlflow.database.survey``; ``what``: ``Everything`` takes back all that this migration
brought, and leaves the database as its server made it; ``Unfinished`` what was not completed (nothing is ever half
there, so only an empty table for the note may be); ``Note`` removes the note, when all is done and proved;
``arrived``: with ``Note``, digests of the document that was carried out, to be left in its place. A target that was in
use is refused for ``Everything``: its own rows are among ours, and its backup is what brings it back.
Nothing of another migration is touched. Counts: ``takenBack`` 0 or 1, ``rows``.
"""

from __future__ import annotations

from collections.abc import Sequence

from project_migration.model.records import Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.mlflow.database import arrived, clearing, note, opening
from project_migration.workers.mlflow.database.program import folder, main
from project_migration.workers.mlflow.database.sides import TARGET, side_of
from project_migration.workers.mlflow.database.store import Store
from project_migration.workers.mlflow.users import bringing
from project_migration.workers.params import Params
from project_migration.workers.postgres.reading import choice

UNFINISHED, EVERYTHING, NOTE = "Unfinished", "Everything", "Note"


def work(job: Job) -> Record:
    what = choice(job.request.params, "what", (UNFINISHED, EVERYTHING, NOTE))
    side = side_of(job, TARGET)
    with opening.writing(side.place, folder(job)) as target:
        if not target.schema.is_mlflow:
            return job.record(counts={"takenBack": 0, "rows": 0})
        documents = Params(job.request.params).texts("arrived") if what == NOTE and _is_ours(job, target) else ()
        if documents:
            arrived.prepare(target)
        target.begin()
        try:
            rows = _clear(job, target, what, documents)
            target.commit()
        except BaseException:
            target.rollback()
            raise
    people = bringing.take_back(job, side) if what == EVERYTHING else 0
    return job.record(counts={"takenBack": int(rows >= 0), "rows": max(rows, 0) + people})


def _is_ours(job: Job, target: Store) -> bool:
    found = note.read(target)
    return found is not None and found.migration == job.request.migration_uid


def _clear(job: Job, target: Store, what: str, documents: Sequence[str]) -> int:
    """Rows taken back; -1 where nothing was."""
    found = note.read(target)
    if found is None:
        if note.exists(target):
            note.remove(target)  # a table that a copy made before its transaction, and nothing in it
        return -1
    if found.migration != job.request.migration_uid or what == UNFINISHED:
        return -1
    rows = -1
    if what == EVERYTHING:
        if not found.empty:
            message = "the target held rows of its own before the copy: only its backup brings them back as they were"
            raise reasons.Refusal(reasons.TARGET_NOT_EMPTY, message)
        rows = clearing.take_back(target, found)
    if documents:
        note.give_way(target, documents, f"{job.request.namespace}/{job.request.migration_name}")
    note.remove(target)
    return rows


if __name__ == "__main__":
    main("clear", __doc__ or "", work)
