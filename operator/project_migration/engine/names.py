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


class Variable(NamedTuple):
    """An environment variable that a workload gives to its containers."""

    of: WorkloadRef
    name: str

    def __str__(self) -> str:
        return f"{self.name} of {self.of}"


class SecretKey(NamedTuple):
    """Where a value is kept. Its content is nobody's but the helpers'."""

    secret: str
    key: str
