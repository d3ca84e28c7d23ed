"""Worker ``postgres.clear``: ends what a copy or restore left in the target: takes its work back, or its note away.

Params: ``target``; ``what``: ``Unfinished`` takes back work that was not completed (a cancelled or given up migration),
``Everything`` also what was completed (a rollback without a backup, since the target was empty), ``Note`` removes only
the schema ``_project_migration``, when all is done and proved; ``arrived``: with ``Note``, digests of the document that
was carried out, to be left there. Nothing of another migration is touched. Counts: ``takenBack`` 0 or 1.
"""

from __future__ import annotations

import psycopg

from project_migration.model.records import Record
from project_migration.workers.harness import Job
from project_migration.workers.params import Params
from project_migration.workers.postgres import failures, journal, reading
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.program import main

UNFINISHED, EVERYTHING, NOTE = "Unfinished", "Everything", "Note"


def work(job: Job) -> Record:
    what = reading.choice(job.request.params, "what", (UNFINISHED, EVERYTHING, NOTE))
    arrived = Params(job.request.params).texts("arrived")
    with journal.writer(Endpoint.from_job(job, "target")) as session:
        try:
            entry = journal.read(session)
            if entry is None or entry.migration != job.request.migration_uid:
                return job.record(counts={"takenBack": 0})
            if what == NOTE and entry.state == journal.COMPLETE:
                request = job.request
                journal.settle(session, arrived, f"{request.namespace}/{request.migration_name}")
                return job.record(counts={"takenBack": 0})
            taken = what == EVERYTHING or entry.state == journal.WORKING
            if taken:
                journal.take_back(session, entry)
        except psycopg.Error as error:
            raise failures.of_error("target", error) from error
    return job.record(counts={"takenBack": int(taken)})


if __name__ == "__main__":
    main("clear", __doc__ or "", (), work)
