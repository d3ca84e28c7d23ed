"""The rules of ``spec.volumes.databases`` between fields, each problem a line. No line repeats a host that is a URI."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from project_migration.model.cdsw import WorkspaceDatabase
from project_migration.model.document import Database, MissingRoles, NameFilter, Spec
from project_migration.model.endpoints import HOST, NO_HOST, NO_URI, DatabaseEndpoint, Volume
from project_migration.model.places import volume


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


def check(spec: Spec, *, namespace: str, local: bool) -> Iterator[str]:
    volumes = spec.volumes
    if volumes is None:
        return
    if not volumes.pairs and not volumes.databases:
        yield "spec.volumes: name at least one pair or database"
    for position, database in enumerate(volumes.databases):
        where = f"spec.volumes.databases[{position}]"
        yield from _source(f"{where}.source", database, namespace=namespace, local=local)
        yield from endpoint_rules(f"{where}.target", database.target)
        if database.replace and spec.backup is None:
            yield f"{where}.replace: it needs spec.backup, since what the target holds is removed"
    yield from _separate(volumes.databases)


def _source(where: str, database: Database, *, namespace: str, local: bool) -> Iterator[str]:
    source = database.source
    if (source.postgres is None) == (source.dump is None):
        yield f"{where}: give postgres or dump"
    elif source.endpoint is not None:
        yield from endpoint_rules(where, source.endpoint)
    elif source.dump is None:
        yield f"{where}.credentialsRef: a server needs a Secret with username and password"
    else:
        yield from _dump(where, database, source.dump, namespace=namespace, local=local)


def _dump(where: str, database: Database, dump: Volume, *, namespace: str, local: bool) -> Iterator[str]:
    yield from volume(f"{where}.dump", dump, namespace=namespace, local=local)
    if database.source.credentials_ref is not None:
        yield f"{where}.credentialsRef: nobody logs in to a dump; leave it out"
    chosen = {
        "schemas": database.schemas != NameFilter(),
        "tables": database.tables != NameFilter(),
        "excludeTableData": bool(database.exclude_table_data),
    }
    field = where.removesuffix(".source")
    for name in (name for name, given in chosen.items() if given):
        yield f"{field}.{name}: a dump moves as it is; choose with pg_dump's own options when it is made"
    if database.missing_roles is not MissingRoles.REFUSE:
        yield f"{field}.missingRoles: of a dump nothing is left out; make the roles, or Drop owners and privileges"


def endpoint_rules(where: str, endpoint: DatabaseEndpoint | WorkspaceDatabase) -> Iterator[str]:
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
        if _read_from(database) == database_place(database.target):
            yield f"spec.volumes.databases[{position}].target: source and target must be different databases"
    for (left, one), (right, other) in combinations(enumerate(databases), 2):
        for ours, theirs, kind in (
            (database_place(one.target), database_place(other.target), "target"),
            (database_place(one.target), _read_from(other), "source"),
            (_read_from(one), database_place(other.target), "target"),
        ):
            if ours == theirs:
                yield (
                    f"spec.volumes.databases[{right}].{kind}: it is also in databases[{left}]:"
                    " what is written may not be read or written by another"
                )


def _read_from(database: Database) -> DatabasePlace | None:
    endpoint = database.source.endpoint
    return database_place(endpoint) if endpoint is not None else None
