"""Worker ``postgres.dumped.copy``: a database out of a dump, whole or not at all.

Params: ``target``, ``replace``, ``owners``, ``privileges``, ``workers``; the root ``source`` is the dump. On failure
the target is as it was. Counts: ``tables``, ``entries`` (of the schema), ``bytes`` (of the dump's files).
"""

from __future__ import annotations

import hashlib

from project_migration.model.records import Progress, Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.postgres import failures, journal, reading, requirements, tools
from project_migration.workers.postgres.dumped.archive import look
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.program import main
from project_migration.workers.postgres.restore import as_before_on_failure, load
from project_migration.workers.postgres.session import major


def work(job: Job) -> Record:
    params, request = job.request.params, job.request
    target = Endpoint.from_job(job, "target")
    with journal.writer(target) as control:
        client = tools.find(major(control))
        dumped = look(job, client, target, requirements.Choices.from_params(params))
        for problem in requirements.versions(dumped.major, control):
            raise problem
        counts = {"tables": len(dumped.tables), "entries": len(dumped.schema), "bytes": dumped.bytes}
        digest = "sha256:" + hashlib.sha256((dumped.place / "toc.dat").read_bytes()).hexdigest()
        entry = journal.begin(control, request.migration_uid, request.digest, replace=reading.flag(params, "replace"))
        if entry.state == journal.COMPLETE:
            return job.record(counts=entry.counts, digest=digest)
        with as_before_on_failure(target, control, entry):
            try:
                load(job, target, client, entry, dumped.place, Progress(0, counts["bytes"], 0, counts["tables"]))
            except failures.Refused as refused:
                if refused.reason != reasons.COPY_INCOMPLETE:
                    raise
                raise failures.Refused(refused.reason, f"the dump does not load: {refused.message}") from None
            control.execute("ANALYZE")
            journal.complete(control, counts)
    return job.record(counts=counts, digest=digest)


if __name__ == "__main__":
    main("dumped.copy", __doc__ or "", ("source",), work)
