"""The rules of ``spec.volumes.databases`` between fields, each problem a line. No line repeats a host that is a URI."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from project_migration.model.document import Database, Spec
from project_migration.model.endpoints import HOST, NO_HOST, NO_URI, DatabaseEndpoint


class DatabasePlace(NamedTuple):
    """A database by what the document calls it: two names of one server are told apart by the servers themselves."""

    host: str
    port: int
    database: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"


def database_place(endpoint: DatabaseEndpoint) -> DatabasePlace:
    server = endpoint.postgres
    return place_of(server.host, server.port, server.database)


def place_of(host: str, port: int, database: str) -> DatabasePlace:
    """The same for every way in which a host's name may be written."""
    return DatabasePlace(host.lower().rstrip("."), port, database)


def check(spec: Spec) -> Iterator[str]:
    volumes = spec.volumes
    if volumes is None:
        return
    if not volumes.pairs and not volumes.databases:
        yield "spec.volumes: name at least one pair or database"
    for position, database in enumerate(volumes.databases):
        where = f"spec.volumes.databases[{position}]"
        yield from _endpoint(f"{where}.source", database.source)
        yield from _endpoint(f"{where}.target", database.target)
        if database.replace and spec.backup is None:
            yield f"{where}.replace: it needs spec.backup, since what the target holds is removed"
    yield from _separate(volumes.databases)


def _endpoint(where: str, endpoint: DatabaseEndpoint) -> Iterator[str]:
    server = endpoint.postgres
    if "://" in server.host or "@" in server.host:
        yield f"{where}.postgres.host: {NO_URI}"
    elif not re.fullmatch(HOST, server.host):
        yield f"{where}.postgres.host: {NO_HOST}"
    if "://" in server.database or "=" in server.database:
        yield f"{where}.postgres.database: {NO_URI}"
    if endpoint.insecure_skip_verify and endpoint.ca_ref is not None:
        yield f"{where}.insecureSkipVerify: caRef says the opposite; leave one of them out"


def _separate(databases: tuple[Database, ...]) -> Iterator[str]:
    """No target may be a source, or the target of another."""
    for position, database in enumerate(databases):
        if database_place(database.source) == database_place(database.target):
            yield f"spec.volumes.databases[{position}].target: source and target must be different databases"
    for (left, one), (right, other) in combinations(enumerate(databases), 2):
        for ours, theirs, kind in (
            (one.target, other.target, "target"),
            (one.target, other.source, "source"),
            (one.source, other.target, "target"),
        ):
            if database_place(ours) == database_place(theirs):
                yield (
                    f"spec.volumes.databases[{right}].{kind}: it is also in databases[{left}]:"
                    " what is written may not be read or written by another"
                )
