"""Leaves word in a bucket of which document was carried out there, so that the same one is known again."""

from __future__ import annotations

from project_migration.model.records import Record
from project_migration.workers.harness import Job, main
from project_migration.workers.mlflow.buckets import opening
from project_migration.workers.mlflow.buckets.bucket import Bucket
from project_migration.workers.mlflow.buckets.opening import Effort

HELP = """\
Writes .project-migration/arrived.json into a bucket.

roots:  workspace; target-store-credentials, target-store-ca
params: target    the bucket
        arrived   digests of the document that was carried out
"""


def settle(job: Job) -> Record:
    effort = Effort.of(job)
    documents = effort.params.texts("arrived")
    with opening.target(job, effort) as target:
        target.check()
        if isinstance(target, Bucket) and documents:
            target.say_arrived(documents)
    return job.record(message="what was carried out is written down")


if __name__ == "__main__":
    main("mlflow.buckets.settle", HELP, (), settle)
