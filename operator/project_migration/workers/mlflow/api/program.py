"""What these workers share as programs, on top of the harness of all workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from project_migration.model.records import Record
from project_migration.workers import harness, reasons
from project_migration.workers.mlflow.api.failures import Answer, ObjectFailed

Work = Callable[[harness.Job], Record]


def answering(work: Work) -> Work:
    """An error of a server that no object stands for becomes a reason too."""

    def answer(job: harness.Job) -> Record:
        try:
            return work(job)
        except ObjectFailed as failure:
            reason = reasons.PERMISSION_DENIED if _denied(failure) else reasons.COPY_INCOMPLETE
            raise reasons.Refusal(reason, f"{job.request.unit}: {failure}") from failure

    return answer


def _denied(failure: ObjectFailed) -> bool:
    return isinstance(failure, Answer) and failure.status == 403


def main(worker: str, text: str, roots: tuple[str, ...], work: Work) -> NoReturn:
    harness.main(f"mlflow.api.{worker}", text, roots, answering(work))
