"""Takes back what a migration wrote into a bucket, and nothing else; or sees that nothing of it is there."""

from __future__ import annotations

from collections import Counter

from project_migration.model.records import Progress, Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job, main
from project_migration.workers.mlflow.buckets import opening
from project_migration.workers.mlflow.buckets.bucket import Bucket
from project_migration.workers.mlflow.buckets.items import ItemFailed, Place
from project_migration.workers.mlflow.buckets.journal import Journal
from project_migration.workers.mlflow.buckets.opening import Effort
from project_migration.workers.params import Params

HELP = """\
Removes the objects that mlflow/objects.db in the workspace names and that carry this migration's mark.

roots:  workspace; target-store-credentials, target-store-ca
params: target   the bucket
        look     only see that none of them is left (false)

An object that had replaced another's cannot be put back, and fails it by name. In a bucket with versions an object that
is removed stays as an older version.
"""


def clear(job: Job) -> Record:
    if not Journal.exists(job.workspace):
        return job.record(counts={"removed": 0}, message="nothing was written")
    look = Params(job.request.params).flag("look")
    journal = Journal(job.workspace)
    try:
        with opening.target(job, Effort.of(job)) as target:
            target.check()
            if isinstance(target, Bucket) and not look:
                target.forget_arrived()
            return _cleared(job, target, journal, look=look)
    finally:
        journal.close()


def _cleared(job: Job, target: Place, journal: Journal, *, look: bool) -> Record:
    counts: Counter[str] = Counter()
    for path, replaced in journal.entries():
        try:
            found = target.look(path)
            if found is None or found.migration != job.request.migration_uid:
                continue
            if replaced:
                job.lists.add("failed", path, "what it replaced is not kept anywhere")
            elif look:
                job.lists.add("failed", path, "it is still there")
            else:
                target.remove(path)
                counts["removed"] += 1
        except ItemFailed as failure:
            job.lists.add("failed", path, failure.cause)
        job.tell(Progress(items_done=counts["removed"], items_total=counts["removed"]))
    failed = job.lists.counts["failed"]
    if not failed and not look:
        target.finish()
        journal.forget()
    message = f"{failed} object(s) could not be taken back: {job.lists.say('failed')}" if failed else ""
    return job.record(
        reason=reasons.COPY_INCOMPLETE if failed else "",
        message=message or f"{counts['removed']} object(s) removed",
        counts={"removed": counts["removed"], "failed": failed},
    )


if __name__ == "__main__":
    main("mlflow.buckets.clear", HELP, (), clear)
