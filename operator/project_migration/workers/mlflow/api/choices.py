"""What a request asks for, besides the two sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from project_migration.workers.harness import Job, WrongRequest
from project_migration.workers.mlflow.renames import Renames
from project_migration.workers.mlflow.selection import Selection


class OnConflict(StrEnum):
    """What becomes of an experiment or a model whose name the target has, and that no migration of ours made."""

    SKIP = "Skip"  # it stays as it is; runs and versions that it lacks are added
    UPDATE = "Update"  # so, and its description, tags, stages and aliases become the source's
    FAIL = "Fail"


@dataclass(frozen=True, slots=True)
class Choices:
    migration: str
    selection: Selection
    renames: Renames
    on_conflict: OnConflict
    bandwidth: int | None

    @classmethod
    def from_job(cls, job: Job) -> Choices:
        """Raises ``WrongRequest`` naming the param."""
        params = job.request.params
        return cls(
            migration=job.request.migration_uid,
            selection=Selection.from_params(params),
            renames=Renames.from_params(params),
            on_conflict=_on_conflict(params),
            bandwidth=_bandwidth(params),
        )

    @property
    def deleted(self) -> bool:
        return self.selection.experiments.lifecycle == "All"


def _on_conflict(params: Mapping[str, Any]) -> OnConflict:
    value = params.get("onConflict") or OnConflict.SKIP
    try:
        return OnConflict(value)
    except ValueError:
        raise WrongRequest(f"params.onConflict is none of {', '.join(OnConflict)}") from None


def _bandwidth(params: Mapping[str, Any]) -> int | None:
    value = params.get("bandwidth")
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise WrongRequest("params.bandwidth is not a whole number of bytes a second")
    return value
