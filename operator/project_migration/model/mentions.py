"""What a document names outside of itself, with the field that does: volumes and Secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from project_migration.model.document import Spec
from project_migration.model.endpoints import CaRef, SecretRef, Volume
from project_migration.model.mlflow import Backend, Mlflow, Server

#: The keys of a Secret with which helpers log in, as in ``kubernetes.io/basic-auth``.
CREDENTIAL_KEYS = ("username", "password")

#: The keys of a Secret for an object store.
STORE_KEYS = ("accessKey", "secretKey")


class VolumeMention(NamedTuple):
    """A volume where the document names it."""

    field: str
    volume: Volume
    writes: bool
    shared: bool = False
    """Whether others may use it at the same time: of a backup, a directory below; of a SQLite database, one file."""


class SecretMention(NamedTuple):
    """A Secret where the document names it, and the key that is wanted of it; no key: any of those documented."""

    field: str
    name: str
    key: str = ""


def volumes(spec: Spec) -> Iterator[VolumeMention]:
    """Every volume but the workspace, in the document's order."""
    for position, pair in enumerate(spec.volumes.pairs if spec.volumes else ()):
        where = f"spec.volumes.pairs[{position}]"
        yield VolumeMention(f"{where}.source", pair.source, writes=False)
        yield VolumeMention(f"{where}.target", pair.target, writes=True)
    for position, database in enumerate(spec.volumes.databases if spec.volumes else ()):
        if database.source.dump is not None:
            yield VolumeMention(f"spec.volumes.databases[{position}].source.dump", database.source.dump, writes=False)
    if spec.mlflow is not None:
        yield from _server("spec.mlflow.source", spec.mlflow.source, spec.mlflow, writes=False)
        yield from _server("spec.mlflow.target", spec.mlflow.target, spec.mlflow, writes=True)
    if spec.backup is not None and spec.backup.waive is None:
        place = Volume(claim_name=spec.backup.claim_name, path=spec.backup.path)
        yield VolumeMention("spec.backup", place, writes=True, shared=True)


def _server(where: str, server: Server, mlflow: Mlflow, *, writes: bool) -> Iterator[VolumeMention]:
    if not mlflow.by_database:
        if server.archive is not None:
            yield VolumeMention(f"{where}.archive", server.archive, writes)
        return
    for name, backend in (("backend", server.backend), ("auth", server.auth)):
        if backend is not None and backend.sqlite is not None:
            yield VolumeMention(f"{where}.{name}.sqlite", backend.sqlite, writes, shared=True)
    if server.artifacts is not None and server.artifacts.is_directory and not mlflow.select.metadata_only:
        yield VolumeMention(f"{where}.artifacts", server.artifacts, writes)


def secrets(spec: Spec) -> Iterator[SecretMention]:
    """Every key of every Secret that helpers will read, in the document's order."""
    for position, database in enumerate(spec.volumes.databases if spec.volumes else ()):
        for side, endpoint in (("source", database.source.endpoint), ("target", database.target)):
            where = f"spec.volumes.databases[{position}].{side}"
            if endpoint is not None:
                yield from _login(where, endpoint.credentials_ref, endpoint.ca_ref)
    if spec.mlflow is not None:
        yield from _of_server("spec.mlflow.source", spec.mlflow.source, spec.mlflow, is_target=False)
        yield from _of_server("spec.mlflow.target", spec.mlflow.target, spec.mlflow, is_target=True)


def _of_server(where: str, server: Server, mlflow: Mlflow, *, is_target: bool) -> Iterator[SecretMention]:
    if mlflow.by_database:
        yield from _backend(f"{where}.backend", server.backend)
        yield from _backend(f"{where}.auth", server.auth)
        store = server.artifacts.s3 if server.artifacts is not None else None
        if store is not None and not mlflow.select.metadata_only:
            yield from _login(f"{where}.artifacts.s3", store.credentials_ref, store.ca_ref, STORE_KEYS)
    # via Database the target's server is asked at its address, too, once it is back
    if mlflow.by_database and not mlflow.either_way and not (is_target and server.tracking_uri is not None):
        return
    if server.credentials_ref is not None:
        yield SecretMention(f"{where}.credentialsRef.name", server.credentials_ref.name)
    if server.ca_ref is not None:
        yield SecretMention(f"{where}.caRef.name", server.ca_ref.name, server.ca_ref.key)


def _backend(where: str, backend: Backend | None) -> Iterator[SecretMention]:
    if backend is not None and backend.sqlite is None and backend.credentials_ref is not None:
        yield from _login(where, backend.credentials_ref, backend.ca_ref)


def _login(
    where: str, credentials: SecretRef, authority: CaRef | None, keys: tuple[str, ...] = CREDENTIAL_KEYS
) -> Iterator[SecretMention]:
    for key in keys:
        yield SecretMention(f"{where}.credentialsRef.name", credentials.name, key)
    if authority is not None:
        yield SecretMention(f"{where}.caRef.name", authority.name, authority.key)
