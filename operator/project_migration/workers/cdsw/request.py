"""What a request of these workers says, read strictly before anything is looked at."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from project_migration.workers.harness import Job, WrongRequest
from project_migration.workers.params import Params
from project_migration.workers.postgres.endpoint import Endpoint

SOURCE, TARGET = "source", "target"


class UserMode(StrEnum):
    ADMINISTRATOR_OWNS_ALL = "AdministratorOwnsAll"
    MAP_BY_NAME = "MapByName"
    MAP_BY_EMAIL = "MapByEmail"


class Flags(StrEnum):
    """Whose feature flags the target has in the end."""

    SOURCE = "Source"
    TARGET = "Target"


@dataclass(frozen=True, slots=True)
class Side:
    """An archive's path, or a database with the root of its projects' files."""

    side: str
    archive: str = ""
    database: Mapping[str, Any] | None = None
    projects: str = ""

    @property
    def is_archive(self) -> bool:
        return bool(self.archive)

    def endpoint(self, job: Job) -> Endpoint:
        if self.database is None:
            raise WrongRequest(f"params.{self.side}.database is missing")
        return Endpoint.read(job, self.side, self.database)

    def root(self, job: Job) -> str:
        """The absolute path of the projects' root."""
        if not self.projects:
            raise WrongRequest(f"params.{self.side}.projects is missing")
        return job.root(self.projects)


def side_of(job: Job, side: str) -> Side:
    data = job.request.params.get(side)
    if not isinstance(data, Mapping):
        raise WrongRequest(f"params.{side} is missing")
    archive, database, projects = (data.get(name) for name in ("archive", "database", "projects"))
    if archive is not None and (database is not None or projects is not None):
        raise WrongRequest(f"params.{side} names both an archive and a live installation")
    if archive is not None:
        root = _root(job, f"{side}.archive", archive)
        file = archive.get("file")
        if not isinstance(file, str) or not file or "\0" in file or os.path.isabs(file) or ".." in file.split("/"):
            raise WrongRequest(f"params.{side}.archive.file is not a path below its root")
        return Side(side, archive=os.path.join(job.root(root), file))
    if database is not None and not isinstance(database, Mapping):
        raise WrongRequest(f"params.{side}.database does not name a server")
    if database is None and projects is None:
        raise WrongRequest(f"params.{side} names neither an archive nor a database")
    return Side(side, database=database, projects="" if projects is None else _root(job, f"{side}.projects", projects))


def _root(job: Job, name: str, data: Any) -> str:
    root = data.get("root") if isinstance(data, Mapping) else None
    if not isinstance(root, str) or not os.path.isabs(job.request.roots.get(root, "")):
        raise WrongRequest(f"params.{name}.root is no root of this request")
    return root


def administrator(job: Job) -> str:
    name = job.request.params.get("administrator")
    if not isinstance(name, str) or not name or "\0" in name:
        raise WrongRequest("params.administrator is not the name of a user")
    return name


def user_mode(job: Job) -> UserMode:
    return UserMode(Params(job.request.params).choice("users", tuple(UserMode)))


def flags(job: Job) -> Flags:
    return Flags(Params(job.request.params).choice("featureFlags", tuple(Flags)))


@dataclass(frozen=True, slots=True)
class Unlisted:
    """What a person decided of tables that the guide does not know."""

    handed_over: tuple[tuple[str, str], ...]
    """Columns of ``public`` whose values follow the owners."""
    emptied: tuple[str, ...]
    """Tables of ``public`` that are emptied with the site-bound ones."""

    @classmethod
    def of(cls, job: Job) -> Unlisted:
        data = job.request.params.get("unlisted") or {}
        if not isinstance(data, Mapping):
            raise WrongRequest("params.unlisted is not a mapping")
        params = Params(data)
        columns = [text.split(".") for text in params.texts("handOver")]
        if any(len(parts) != 2 or not all(parts) for parts in columns):
            raise WrongRequest("params.unlisted.handOver does not name columns as table.column")
        return cls(tuple((table, column) for table, column in columns), params.texts("empty"))
