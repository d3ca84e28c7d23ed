"""The rules of ``spec.mlflow`` between fields, each problem a line. No line repeats an address with a password."""

from __future__ import annotations

import re
from collections.abc import Iterator

from project_migration.model.document import OnFailure, Spec
from project_migration.model.endpoints import HOST, NO_HOST, NO_URI, Volume
from project_migration.model.mlflow import (
    ENDPOINT_URL,
    HTTP_URI,
    NO_ENDPOINT,
    Artifacts,
    Backend,
    Mlflow,
    ObjectStore,
    OnConflict,
    Server,
    Via,
)
from project_migration.model.places import overlap, place, volume


def check(spec: Spec, *, namespace: str, local: bool) -> Iterator[str]:
    mlflow = spec.mlflow
    if mlflow is None:
        return
    where = "spec.mlflow"
    for side, server in (("source", mlflow.source), ("target", mlflow.target)):
        yield from _server(f"{where}.{side}", server, namespace=namespace, local=local)
    yield from _mode(where, mlflow)
    yield from _separate(where, mlflow)
    if spec.transfer.pre_copy:
        yield "spec.transfer.preCopy: a tracking server is copied as it is at one moment: leave it out"
    if not mlflow.by_database and mlflow.on_conflict is OnConflict.UPDATE and spec.on_failure is OnFailure.ROLLBACK:
        yield (
            f"{where}.onConflict: what Update changes via Api cannot be put back: choose spec.onFailure Halt,"
            " or take Skip"
        )
    bucket = _files(mlflow.target.artifacts, mlflow)
    replaces = mlflow.by_database and bucket is not None and bucket.s3 is not None
    if replaces and mlflow.on_conflict is OnConflict.UPDATE and spec.on_failure is OnFailure.ROLLBACK:
        yield (
            f"{where}.onConflict: objects that Update replaces in a bucket cannot be put back: choose spec.onFailure"
            " Halt, or take Skip"
        )


def _server(where: str, server: Server, *, namespace: str, local: bool) -> Iterator[str]:
    if server.archive is not None:
        if server.tracking_uri is not None or server.backend is not None:
            yield f"{where}: an archive stands in place of a server: give trackingUri and backend, or archive"
        yield from volume(f"{where}.archive", server.archive, namespace=namespace, local=local)
        return
    if server.tracking_uri is None and server.backend is None:
        yield f"{where}: give trackingUri, backend or both; or archive alone"
    if server.tracking_uri is not None and "@" in server.tracking_uri:
        yield f"{where}.trackingUri: {NO_URI}"
    elif server.tracking_uri is not None and not re.fullmatch(HTTP_URI, server.tracking_uri):
        yield f"{where}.trackingUri: it begins with http:// or https://, and has no query"
    if server.auth is not None:
        yield from _backend(f"{where}.auth", server.auth, namespace=namespace, local=local)
    if server.backend is not None:
        yield from _backend(f"{where}.backend", server.backend, namespace=namespace, local=local)
    if server.artifacts is not None:
        yield from _artifacts(f"{where}.artifacts", server.artifacts, namespace=namespace, local=local)


def _artifacts(where: str, artifacts: Artifacts, *, namespace: str, local: bool) -> Iterator[str]:
    if artifacts.s3 is None:
        if artifacts.is_directory or artifacts.uri is None:
            yield from volume(where, artifacts, namespace=namespace, local=local)
        return
    if artifacts.is_directory or artifacts.sub_path is not None:
        yield f"{where}: give either a directory or s3"
    yield from _bucket(f"{where}.s3", artifacts.s3)


def _bucket(where: str, bucket: ObjectStore) -> Iterator[str]:
    if bucket.endpoint_url is not None and not re.fullmatch(ENDPOINT_URL, bucket.endpoint_url):
        yield f"{where}.endpointUrl: {NO_ENDPOINT}"
    if any(part in ("", ".", "..") for part in bucket.folder.split("/")) and bucket.folder:
        yield f"{where}.prefix: names no directory: no '.', no '..', no empty part"
    if bucket.insecure_skip_verify and bucket.ca_ref is not None:
        yield f"{where}.insecureSkipVerify: caRef says the opposite; leave one of them out"


def _backend(where: str, backend: Backend, *, namespace: str, local: bool) -> Iterator[str]:
    if [backend.postgres, backend.mysql, backend.sqlite].count(None) != 2:
        yield f"{where}: give exactly one of postgres, mysql, sqlite"
        return
    if backend.sqlite is not None:
        yield from volume(f"{where}.sqlite", backend.sqlite, namespace=namespace, local=local)
        return
    if backend.credentials_ref is None:
        yield f"{where}.credentialsRef: a server needs a Secret with username and password"
    server = backend.postgres or backend.mysql
    assert server is not None  # noqa: S101 - one of them is given
    if "://" in server.host or "@" in server.host:
        yield f"{where}.{backend.kind}.host: {NO_URI}"
    elif not re.fullmatch(HOST, server.host):
        yield f"{where}.{backend.kind}.host: {NO_HOST}"
    if backend.insecure_skip_verify and backend.ca_ref is not None:
        yield f"{where}.insecureSkipVerify: caRef says the opposite; leave one of them out"


def _mode(where: str, mlflow: Mlflow) -> Iterator[str]:
    both = mlflow.source.backend is not None and mlflow.target.backend is not None
    if mlflow.via is Via.DATABASE and not both:
        yield f"{where}.via: Database needs backend on both sides"
    if mlflow.by_database:
        if mlflow.source.archive is not None or mlflow.target.archive is not None:
            yield f"{where}.via: an archive is read and written via Api"
        files = (mlflow.source.artifacts, mlflow.target.artifacts)
        if not mlflow.select.metadata_only and files.count(None):
            missing = "source" if files[0] is None else "target"
            yield (
                f"{where}.{missing}.artifacts: name the directory or bucket that holds the server's files, or set"
                " select.metadataOnly where both servers use one store"
            )
        yield from _only_named(where, mlflow)
        if (mlflow.source.auth is None) != (mlflow.target.auth is None):
            missing = "source" if mlflow.source.auth is None else "target"
            yield f"{where}.{missing}.auth: users move from database to database: give auth on both sides, or on none"
        return
    for side, server in (("source", mlflow.source), ("target", mlflow.target)):
        if server.tracking_uri is None and server.archive is None:
            yield f"{where}.{side}.trackingUri: via Api needs the server's address"
        if server.auth is not None:
            yield (
                f"{where}.{side}.auth: NotSupportedYet: users and permissions move via Database only, since no server"
                " gives out passwords: leave auth out and make the users on the target, or give backend on both sides"
            )
    if mlflow.source.archive is not None and mlflow.target.archive is not None:
        yield f"{where}.target.archive: one side has to be a server"


def _only_named(where: str, mlflow: Mlflow) -> Iterator[str]:
    """Stores that are given by their URI and nothing else."""
    for side, server in (("source", mlflow.source), ("target", mlflow.target)):
        files = _files(server.artifacts, mlflow)
        if files is not None and not files.is_directory and files.s3 is None and files.uri is not None:
            scheme = files.uri.partition(":")[0] if ":" in files.uri else "file"
            yield (
                f"{where}.{side}.artifacts: NotSupportedYet: files of a store of scheme {scheme} do not move via"
                " Database in this release: name a directory or s3; or set select.metadataOnly, where both servers use"
                " one store or you copy the files yourself; or choose via Api, where the servers hand files through"
            )


def _separate(where: str, mlflow: Mlflow) -> Iterator[str]:
    """No place that is written may be one that is read."""
    ours, theirs = mlflow.source, mlflow.target
    pairs: tuple[tuple[str, Volume | None, Volume | None], ...] = (
        ("artifacts", _files(ours.artifacts, mlflow), _files(theirs.artifacts, mlflow)),
        ("archive", ours.archive, theirs.archive),
    )
    for name, source, target in pairs:
        if source is not None and target is not None and overlap(source, target):
            yield f"{where}.target.{name}: source and target must be different places (both are in {place(target)})"
    if _same_store(_files(ours.artifacts, mlflow), _files(theirs.artifacts, mlflow)):
        yield f"{where}.target.artifacts: source and target must be different places: one bucket, one inside the other"
    for name, one, other in (("backend", ours.backend, theirs.backend), ("auth", ours.auth, theirs.auth)):
        if one is not None and other is not None and same_database(one, other):
            yield f"{where}.target.{name}: source and target must be different databases"
    crossed = (("auth", theirs.auth, "backend", ours.backend), ("backend", theirs.backend, "auth", ours.auth))
    for name, target_side, other_name, source_side in crossed:
        if target_side is not None and source_side is not None and same_database(target_side, source_side):
            yield f"{where}.target.{name}: it is the source's own database ({where}.source.{other_name})"
    if ours.tracking_uri is not None and _address(ours) == _address(theirs):
        yield f"{where}.target.trackingUri: source and target must be different servers"


def _files(artifacts: Artifacts | None, mlflow: Mlflow) -> Artifacts | None:
    return None if mlflow.select.metadata_only else artifacts


def _same_store(source: Artifacts | None, target: Artifacts | None) -> bool:
    """Whether both lie in one bucket, one of them inside the other. By name only."""
    if source is None or target is None or source.s3 is None or target.s3 is None:
        return False
    ours, theirs = ((s3.endpoint_url or "").lower().rstrip("/") + f" {s3.bucket}" for s3 in (source.s3, target.s3))
    return ours == theirs and overlap(*(Volume(path=f"/{s3.folder}") for s3 in (source.s3, target.s3)))


def _address(server: Server) -> str:
    return (server.tracking_uri or "").lower().rstrip("/")


def same_database(one: Backend, other: Backend) -> bool:
    """By name: two names of one server are two here."""
    return _identity(one) == _identity(other) != ()


def _identity(backend: Backend) -> tuple[str, ...]:
    if backend.sqlite is not None:
        return ("sqlite", place(backend.sqlite), backend.sqlite.file)
    server = backend.postgres or backend.mysql
    if server is None:  # which is a fault of its own
        return ()
    return (backend.kind, server.host.lower().rstrip("."), str(server.port), server.database)
