"""Worker ``mlflow.users.clear``: takes back the users, roles and rights that this migration brought, and nothing else.

For a target whose rows are put back from a backup that holds no users: the ledger in the workspace says what was done.
Params: ``target`` as for ``mlflow.database.survey``. Counts: ``removed``.
"""

from __future__ import annotations

from project_migration.model.records import Record
from project_migration.workers import harness
from project_migration.workers.harness import Job
from project_migration.workers.mlflow.database.program import answering
from project_migration.workers.mlflow.database.sides import TARGET, side_of
from project_migration.workers.mlflow.users import bringing


def work(job: Job) -> Record:
    removed = bringing.take_back(job, side_of(job, TARGET))
    return job.record(counts={"removed": removed}, message=f"{removed} user(s), role(s) and right(s) taken back")


if __name__ == "__main__":
    harness.main("mlflow.users.clear", __doc__ or "", (), answering(work))
