"""What a document names outside of itself, with the field that does: volumes and Secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from project_migration.model.cdsw import Cdsw, directory_of
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


class JobMention(NamedTuple):
    """A Job where the document names it, or what the only one's name begins with."""

    field: str
    name: str


def jobs(spec: Spec) -> Iterator[JobMention]:
    if spec.cdsw is not None and not spec.cdsw.is_export:
        yield JobMention("spec.cdsw.target.schemaJob", spec.cdsw.target.schema_job)


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
    if spec.cdsw is not None:
        yield from _of_cdsw(spec.cdsw)
    if spec.backup is not None and spec.backup.waive is None:
        place = Volume(claim_name=spec.backup.claim_name, path=spec.backup.path)
        yield VolumeMention("spec.backup", place, writes=True, shared=True)


def _of_cdsw(cdsw: Cdsw) -> Iterator[VolumeMention]:
    """Of an archive the directory that holds it, which it may share with others."""
    for side, found in (("source", cdsw.source), ("target", cdsw.target)):
        if found.archive is not None:
            where = f"spec.cdsw.{side}.archive"
            yield VolumeMention(where, directory_of(found.archive), writes=side == "target", shared=True)
    if cdsw.source.projects is not None:
        yield VolumeMention("spec.cdsw.source.projects", cdsw.source.projects, writes=False)
    if not cdsw.is_export:
        yield VolumeMention("spec.cdsw.target.projects", cdsw.projects, writes=True)


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
    if spec.cdsw is not None:
        yield from _logins(spec.cdsw)


def _logins(cdsw: Cdsw) -> Iterator[SecretMention]:
    source, target = cdsw.source.database, cdsw.target.database
    if source is not None:
        yield from _login("spec.cdsw.source.database", source.credentials_ref, source.ca_ref)
    if target is not None:
        keys = (target.password_key,)
        yield from _login("spec.cdsw.target.database", target.credentials_ref, target.ca_ref, keys)


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
