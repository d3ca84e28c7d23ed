"""New names for experiments and registered models: whole names, exactly, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from project_migration.workers.harness import WrongRequest


@dataclass(frozen=True, slots=True)
class Renames:
    experiments: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Renames:
        """Raises ``WrongRequest`` naming the param; two names that become one are refused."""
        data = params.get("rename") or {}
        if not isinstance(data, Mapping):
            raise WrongRequest("params.rename is not a mapping")
        return cls(_renames(data, "experiments"), _renames(data, "models"))

    def experiment(self, name: str) -> str:
        return self.experiments.get(name, name)

    def model(self, name: str) -> str:
        return self.models.get(name, name)


def _renames(data: Mapping[str, Any], name: str) -> dict[str, str]:
    found = data.get(name) or {}
    if not isinstance(found, Mapping) or not all(isinstance(t, str) and t for pair in found.items() for t in pair):
        raise WrongRequest(f"params.rename.{name} is not a mapping of names to names")
    twice = [new for new, count in Counter(found.values()).items() if count > 1]
    if twice:
        raise WrongRequest(f"params.rename.{name}: two names become {twice[0]}")
    return dict(found)
