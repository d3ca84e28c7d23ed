"""Worker ``postgres.client_tools``: whether the client tools of one major version are here, where the helpers run.

Params: ``major``. It talks to no server. Counts: ``major``; facts ``tools: {found: {"18": directory}}``.
"""

from __future__ import annotations

from project_migration.model.records import Record
from project_migration.workers.harness import Job, WrongRequest
from project_migration.workers.postgres import tools
from project_migration.workers.postgres.program import main


def work(job: Job) -> Record:
    major = job.request.params.get("major")
    if not isinstance(major, int) or isinstance(major, bool):
        raise WrongRequest("params.major is no major version")
    found = tools.find(major)
    return job.record(counts={"major": major}, facts={"tools": {"found": {str(major): str(found.directory)}}})


if __name__ == "__main__":
    main("client_tools", __doc__ or "", (), work)
