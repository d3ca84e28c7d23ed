"""Which files move, and what their paths become: ``mlflow/moves.json``, read for single files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from project_migration.workers.mlflow.artifacts.parts import Moves


@dataclass(frozen=True)
class Course:
    renamed: dict[str, str]
    """Directories that get another name, from old to new."""
    only: tuple[str, ...] | None
    """Directories that are wanted; None for all."""

    @classmethod
    def read(cls, workspace: Path) -> Course:
        """Raises ``WrongRequest`` when nothing was arranged."""
        moves = Moves.read(workspace)
        return cls(dict(moves.renamed), moves.only)

    @property
    def roots(self) -> tuple[str, ...]:
        """Directories below which everything is wanted; an empty name is the root."""
        return ("",) if self.only is None else self.only

    def place(self, path: str) -> str:
        """Where a file goes: by the longest directory above it that gets another name."""
        at = path.rfind("/")
        while at > 0:
            new = self.renamed.get(path[:at])
            if new is not None:
                return new + path[at:]
            at = path.rfind("/", 0, at)
        return path
