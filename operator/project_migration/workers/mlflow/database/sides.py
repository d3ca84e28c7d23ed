"""One side of a migration as a request describes it: which database, and what its artifact root is called."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from project_migration.workers.harness import Job, WrongRequest
from project_migration.workers.mlflow.database.store import Server
from project_migration.workers.postgres.endpoint import Endpoint

SOURCE, TARGET = "source", "target"


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A SQLite database in a mounted directory."""

    side: str
    root: str
    file: str

    @property
    def path(self) -> str:
        return os.path.join(self.root, self.file)

    @property
    def name(self) -> str:
        return self.file


@dataclass(frozen=True, slots=True)
class ServerPlace:
    server: Server
    endpoint: Endpoint

    @property
    def side(self) -> str:
        return self.endpoint.side

    @property
    def name(self) -> str:
        return self.endpoint.name


Place = FilePlace | ServerPlace


@dataclass(frozen=True, slots=True)
class Side:
    name: str
    place: Place
    artifacts: str
    """The URI that the root of the artifact volume stands for; empty when artifacts stay where they are."""
    auth: Place | None = None
    """The database of the basic-auth app, where users move too."""


def side_of(job: Job, name: str) -> Side:
    """Raises ``WrongRequest``, or ``Refused`` where credentials cannot be read."""
    data = job.request.params.get(name)
    if not isinstance(data, Mapping):
        raise WrongRequest(f"params.{name} is missing")
    artifacts = data.get("artifacts") or ""
    if not isinstance(artifacts, str):
        raise WrongRequest(f"params.{name}.artifacts is not a URI")
    auth = place_of(job, f"{name}-auth", data["auth"]) if data.get("auth") else None
    return Side(name, place_of(job, name, data.get("backend")), artifacts, auth)


def place_of(job: Job, side: str, data: Any) -> Place:
    if not isinstance(data, Mapping):
        raise WrongRequest(f"params.{side}.backend is missing")
    match data.get("kind"):
        case "sqlite":
            return _file(job, side, data)
        case "postgres":
            return ServerPlace(Server.POSTGRES, Endpoint.read(job, side, data))
        case "mysql":
            return ServerPlace(Server.MYSQL, Endpoint.read(job, side, {"port": 3306, **data}))
        case other:
            raise WrongRequest(f"params.{side}.backend.kind is {other!r}, and none of postgres, mysql, sqlite")


def _file(job: Job, side: str, data: Mapping[str, Any]) -> FilePlace:
    root, file = data.get("root"), data.get("file")
    if not isinstance(root, str) or root not in job.request.roots:
        raise WrongRequest(f"params.{side}.backend.root names no directory of the request")
    if not isinstance(file, str) or not file or file.startswith("/") or ".." in file.split("/") or "\0" in file:
        raise WrongRequest(f"params.{side}.backend.file is not a file below its root")
    return FilePlace(side, job.request.roots[root], file)
