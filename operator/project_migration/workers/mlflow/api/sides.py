"""Opens the two sides of a request, each a server or an archive, and tells where artifacts lie on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from project_migration.workers.harness import Job, WrongRequest
from project_migration.workers.mlflow.api.artifacts import Proxy, Store, proxied, store_of
from project_migration.workers.mlflow.api.client import Client
from project_migration.workers.mlflow.api.endpoint import Endpoint, Mounted, archive_of
from project_migration.workers.mlflow.api.entities import Place, Reader
from project_migration.workers.mlflow.api.server import Server
from project_migration.workers.mlflow.archive.reader import Archive
from project_migration.workers.params import MOST_WORKERS


@dataclass(frozen=True, slots=True)
class Side:
    name: str
    reader: Reader
    server: Server | None = None
    mounted: Mounted | None = None
    archive: Archive | None = None

    def store(self, place: Place, *, write: bool = False) -> Store:
        """Raises ``ObjectFailed`` where nothing leads to a place."""
        if self.archive is not None:
            return self.archive
        return store_of(self.client, self.mounted, place.uri, write=write)

    @property
    def client(self) -> Client:
        if self.server is None:
            raise TypeError("this side is an archive")
        return self.server.client

    def proxy(self, uri: str) -> Proxy | None:
        """The artifact service, where a URI is served by it and no directory is mounted for it."""
        if self.server is None or proxied(self.client, uri) is None:
            return None
        store = store_of(self.client, self.mounted, uri, write=False)
        return store if isinstance(store, Proxy) else None


@contextmanager
def opened(job: Job, name: str) -> Iterator[Side]:
    """Raises ``Refused`` when the side is not there, lets nobody in, or is something else."""
    directory = archive_of(job, name)
    if directory:
        archive = Archive.opened(directory, name)
        yield Side(name, archive, archive=archive)
        return
    endpoint = Endpoint.from_job(job, name)
    client = Client(endpoint, workers(job.request.params) + 1)
    try:
        server = Server.reached(client)
        yield Side(name, server, server, endpoint.mounted)
    finally:
        client.close()


def workers(params: Any) -> int:
    """Calls at the same time; a server answers as many as its pool of threads."""
    value = params.get("workers")
    if value is None:
        return 4
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise WrongRequest("params.workers is not a whole number of at least 1")
    return min(value, MOST_WORKERS)


def refuse_two_archives(job: Job) -> None:
    if archive_of(job, "source") and archive_of(job, "target"):
        raise WrongRequest("params: both sides are archives; copy the directory instead")
