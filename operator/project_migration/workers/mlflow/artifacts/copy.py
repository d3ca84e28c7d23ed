"""Copies the files of a tracking server: ``copy_tree``, with other names for experiments that get another id."""

from __future__ import annotations

from project_migration.model.records import Record
from project_migration.workers import copy_tree
from project_migration.workers.harness import Job, main
from project_migration.workers.mlflow.artifacts.parts import Moves, in_parts, keep_times

HELP = """\
Copies the files of a tracking server. mlflow/moves.json in the workspace says which directories get another name.

roots:  source (only read), target (made if it is missing), workspace
params: as copy_tree, whose work this is

Exit codes: 0 copied, 1 failed, 2 wrong request, 143 ended by SIGTERM.
"""


def copy(job: Job) -> Record:
    record = in_parts(job, copy_tree.copy)
    keep_times(job, Moves.read(job.workspace))
    return record


if __name__ == "__main__":
    main("mlflow.artifacts.copy", HELP, ("source", "target"), copy)
