"""Proves that the files of a tracking server arrived: ``manifest``, with the names that experiments got."""

from __future__ import annotations

from project_migration.model.records import Record
from project_migration.workers import manifest
from project_migration.workers.harness import Job, main
from project_migration.workers.mlflow.artifacts.parts import in_parts

HELP = """\
Reads the files of two tracking servers and proves that they are the same. mlflow/moves.json in the workspace says
which directories have another name on the target.

roots:  source, target, workspace
params: as manifest, whose work this is
"""


def verify(job: Job) -> Record:
    return in_parts(job, manifest.prove)


if __name__ == "__main__":
    main("mlflow.artifacts.verify", HELP, ("source", "target"), verify)
