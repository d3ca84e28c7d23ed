"""How migrations and workloads are called between engine and backends."""

from __future__ import annotations

from typing import NamedTuple

from project_migration.model.document import WorkloadKind


class Key(NamedTuple):
    """Which migration."""

    namespace: str
    name: str


class WorkloadRef(NamedTuple):
    """A workload in the migration's namespace."""

    kind: WorkloadKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
