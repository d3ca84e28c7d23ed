"""What the PostgreSQL workers share as programs, on top of the harness of all workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import psycopg

from project_migration.model.records import Record
from project_migration.workers import harness
from project_migration.workers.postgres import failures
from project_migration.workers.postgres.session import forget_environment

Work = Callable[[harness.Job], Record]


def answering(work: Work) -> Work:
    """A server's error that no object stands for becomes a reason too."""

    def answer(job: harness.Job) -> Record:
        forget_environment()
        try:
            return work(job)
        except psycopg.Error as error:
            raise failures.of_error(job.request.unit, error) from error

    return answer


def main(worker: str, text: str, roots: tuple[str, ...], work: Work) -> NoReturn:
    harness.main(f"postgres.{worker}", text, roots, answering(work))
