"""What the programs of this package share, on top of the harness of all workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from project_migration.model.records import Record
from project_migration.workers import harness
from project_migration.workers.mlflow.database.arrangement import FOLDER
from project_migration.workers.mlflow.database.failures import of_driver
from project_migration.workers.postgres.session import forget_environment

Work = Callable[[harness.Job], Record]


def main(worker: str, text: str, work: Work) -> NoReturn:
    harness.main(f"mlflow.database.{worker}", text, (), answering(work))


def answering(work: Work) -> Work:
    """A driver's error that no object stands for becomes a reason too."""

    def answer(job: harness.Job) -> Record:
        forget_environment()
        try:
            return work(job)
        except Exception as error:
            refused = of_driver(job.request.unit, error)
            if refused is None:
                raise
            raise refused from error

    return answer


def folder(job: harness.Job) -> Path:
    """Where the arrangement lies, in the workspace of this migration."""
    found = job.workspace / FOLDER
    found.mkdir(parents=True, exist_ok=True)
    return found
