"""A tracking server's database, as units of work: rows are copied from backend to backend, with both servers down.

A PostgreSQL target that is in use is kept by its own tools' dump, a SQLite one by a copy of its file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from project_migration.engine.effects import Mount
from project_migration.engine.platform import Backing, UnitWork, VolumeUse
from project_migration.model.database_rules import place_of
from project_migration.model.document import Database, Side, Spec
from project_migration.model.endpoints import DatabaseEndpoint, DatabaseSource, SecretRef, Volume
from project_migration.model.errors import Failure, Reason
from project_migration.model.mlflow import TRACKING, Backend, Server, SqliteFile
from project_migration.model.mlflow_rules import same_database
from project_migration.model.quantities import parse_bytes
from project_migration.model.records import Record, proved_manifest
from project_migration.platforms.mlflow.requests import (
    Params,
    Part,
    both_sides,
    choices,
    mlflow_of,
    sides,
    target_only,
)
from project_migration.platforms.volumes import databases, keeping
from project_migration.platforms.volumes.databases import secrets

#: What the unit is called that takes users back.
USERS = "users"

#: What SQLite keeps beside a database while it is open, or after a crash (https://www.sqlite.org/tempfiles.html).
BESIDE = ("", "-wal", "-shm", "-journal")


def uses(spec: Spec) -> Iterator[VolumeUse]:
    for side, server in sides(spec):
        for backend in (server.backend, server.auth):
            if backend is not None and backend.sqlite is not None:
                yield VolumeUse(TRACKING, side, backend.sqlite)


def targets(spec: Spec) -> Iterator[str]:
    """``postgres/db.new:5432/mlflow`` or ``mysql/…``: as other platforms call the same database."""
    server = mlflow_of(spec).target
    together = server.auth is not None and server.backend is not None and same_database(server.auth, server.backend)
    for backend in (server.backend, None if together else server.auth):
        database = (backend.postgres or backend.mysql) if backend is not None else None
        if backend is not None and database is not None:
            yield f"{backend.kind}/{place_of(database.host, database.port, database.database)}"


def hosts(spec: Spec) -> Iterator[tuple[Side, str]]:
    for side, server in sides(spec):
        for backend in (server.backend, server.auth):
            database = (backend.postgres or backend.mysql) if backend is not None else None
            if database is not None:
                yield side, database.host


def survey(spec: Spec) -> UnitWork:
    return _both(spec, "survey", choices(spec), write=False)


def arrangement(spec: Spec) -> UnitWork:
    return _both(spec, "arrange", choices(spec), write=False)


def copy(spec: Spec, *, share: int) -> UnitWork:
    bandwidth = parse_bytes(spec.transfer.bandwidth) // share if spec.transfer.bandwidth else None
    work = {"workers": spec.transfer.workers, "bandwidth": bandwidth}
    return _both(spec, "copy", {**choices(spec), **work}, write=True)


def verification(spec: Spec) -> UnitWork:
    params = {**choices(spec), "workers": spec.transfer.workers, "forServer": is_asked_for(spec)}
    return _both(spec, "verify", params, write=False)


def is_asked_for(spec: Spec) -> bool:
    """Whether the target's server has an address at which it can be asked for what arrived."""
    return mlflow_of(spec).target.tracking_uri is not None


def check(spec: Spec, digest: str) -> UnitWork:
    """Of the target alone, against what the verification wrote down."""
    against = {"manifest": proved_manifest("verify", TRACKING, "target"), "digest": digest}
    return _target_only(spec, "check", {"against": against}, write=False)


def clearing(spec: Spec, what: databases.Clearing, arrived: Sequence[str] = ()) -> UnitWork:
    params = {"what": str(what), **({"arrived": list(arrived)} if arrived else {})}
    return _target_only(spec, "clear", params, write=True)


def judge(spec: Spec, record: Record, *, written: bool, client_images: frozenset[int]) -> tuple[Failure, ...]:
    found = databases.judge(TRACKING, record, client_images)
    target = record.facts.get("target", {"empty": None})
    looked_into = record.succeeded and "empty" in target  # what stands against it before hides what it holds
    in_use = looked_into and not record.counts.get("targetEmpty", 0) and not written
    if in_use and spec.backup is None:
        words = (
            f"{TRACKING}: the target holds experiments or models already: name spec.backup, which keeps what is there"
            " before anything is added, or waive it in words"
        )
        found = (*found, Failure(Reason.TARGET_NOT_EMPTY, words))
    elif in_use and spec.backup is not None and spec.backup.waive is None and _target(spec).mysql is not None:
        words = (
            f"{TRACKING}: a MySQL target that is in use cannot be kept by this release: back it up with mysqldump, and"
            " say so in spec.backup.waive"
        )
        found = (*found, Failure(Reason.NOT_SUPPORTED_YET, words))
    return found


def backup(spec: Spec, place: Volume) -> UnitWork | None:
    target = _target(spec)
    if target.postgres is not None:
        return databases.backup_of(spec, _as_database(spec), place)
    if target.sqlite is not None:
        params = {**_file(spec, target.sqlite), "workers": 1, "delete": True, "release": True}
        return UnitWork(TRACKING, "copy_tree", _from_to(target.sqlite, place, write=True), params)
    return None


def backup_proof(spec: Spec, place: Volume) -> UnitWork | None:
    """A dump reads itself back; a file is compared."""
    target = _target(spec)
    return _compared(spec, target.sqlite, target.sqlite, place) if target.sqlite is not None else None


def restore(spec: Spec, backing: Backing) -> UnitWork:
    target = _target(spec)
    if backing.place is None or target.mysql is not None:
        return clearing(spec, databases.Clearing.EVERYTHING)
    if target.postgres is not None:
        return databases.restore_of(spec, _as_database(spec), backing)
    assert target.sqlite is not None  # noqa: S101 - the third of three kinds
    params = {**_file(spec, target.sqlite), "workers": 1, "delete": True, "release": True}
    return UnitWork(TRACKING, "copy_tree", _from_to(backing.place, target.sqlite, write=True), params)


def users_restore(spec: Spec, backing: Backing) -> UnitWork | None:
    """Where rows come back from a backup that holds no users: they lie in a database of their own."""
    server = mlflow_of(spec).target
    target = _target(spec)
    if server.auth is None or backing.place is None or target.mysql is not None or same_database(server.auth, target):
        return None
    return replace(target_only(spec, _part, "mlflow.users.clear", {}, write=True), name=USERS)


def restore_proof(spec: Spec, backing: Backing) -> UnitWork | None:
    target = _target(spec)
    if backing.place is not None and target.postgres is not None:
        # the restore has proved itself; what is left is its note
        return databases.clear_of(_as_database(spec), databases.Clearing.NOTE)
    if backing.place is None or target.sqlite is None:
        return None
    return _compared(spec, target.sqlite, backing.place, target.sqlite)


def _target(spec: Spec) -> Backend:
    backend = mlflow_of(spec).target.backend
    assert backend is not None  # noqa: S101 - via Database has one on both sides
    return backend


def _both(spec: Spec, program: str, params: Params, *, write: bool) -> UnitWork:
    return both_sides(spec, _part, f"mlflow.database.{program}", params, write=write)


def _target_only(spec: Spec, program: str, params: Params, *, write: bool) -> UnitWork:
    return target_only(spec, _part, f"mlflow.database.{program}", params, write=write)


def _part(side: Side, server: Server, write: bool) -> Part:
    name = side.value.lower()
    assert server.backend is not None  # noqa: S101 - via Database has one on both sides
    backends = {f"{name}-backend": server.backend} | ({f"{name}-auth": server.auth} if server.auth is not None else {})
    files = ((root, backend.sqlite) for root, backend in backends.items())
    return Part(
        {
            "backend": _backend(f"{name}-backend", server.backend),
            "auth": _backend(f"{name}-auth", server.auth) if server.auth is not None else None,
            "artifacts": server.artifacts.root if server.artifacts is not None else None,
        },
        tuple(Mount(root, file, read_only=not write) for root, file in files if file is not None),
        tuple(
            secret
            for root, backend in backends.items()
            if backend.sqlite is None
            for secret in secrets(root.removesuffix("-backend"), backend.credentials_ref, backend.ca_ref)
        ),
        network=any(backend.sqlite is None for backend in backends.values()),
    )


def _backend(root: str, backend: Backend) -> Params:
    if backend.sqlite is not None:
        return {"kind": "sqlite", "root": root, "file": backend.sqlite.file}
    server = backend.postgres or backend.mysql
    assert server is not None  # noqa: S101 - one of three kinds
    sslmode = backend.postgres.sslmode if backend.postgres is not None else None
    return {
        "kind": backend.kind,
        "host": server.host,
        "port": server.port,
        "database": server.database,
        "sslmode": str(sslmode) if sslmode else None,
        "insecureSkipVerify": backend.insecure_skip_verify,
    }


def _as_database(spec: Spec) -> Database:
    """The target as the PostgreSQL workers know one, which dump and restore it."""
    target = _target(spec)
    assert target.postgres is not None  # noqa: S101 - asked for such a target only
    endpoint = DatabaseEndpoint(
        postgres=target.postgres,
        credentials_ref=target.credentials_ref or SecretRef(name="none"),
        ca_ref=target.ca_ref,
        insecure_skip_verify=target.insecure_skip_verify,
    )
    source = DatabaseSource(postgres=endpoint.postgres, credentials_ref=endpoint.credentials_ref)
    return Database(name=TRACKING, source=source, target=endpoint, replace=True)


def _compared(spec: Spec, file: SqliteFile, one: Volume, other: Volume) -> UnitWork:
    params = {**_file(spec, file), "workers": 1, "verify": "Checksum", "delete": True}
    return UnitWork(TRACKING, "manifest", _from_to(one, other, write=False), params)


def _file(spec: Spec, file: SqliteFile) -> Mapping[str, Any]:
    """Nothing of the directory but the database: what else lies there is not ours to put back."""
    return {**keeping.as_it_is(spec), "include": [f"/{_literal(file.file)}{ending}" for ending in BESIDE]}


def _literal(name: str) -> str:
    """A file's name as a gitignore pattern that matches nothing else."""
    return "".join(f"\\{letter}" if letter in "\\*?[]!# " else letter for letter in name)


def _from_to(source: Volume, target: Volume, *, write: bool) -> tuple[Mount, ...]:
    return (Mount("source", source, read_only=True), Mount("target", target, read_only=not write))
