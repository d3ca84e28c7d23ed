"""What a document says is moved, in words: a line for each unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from project_migration.model.cdsw import PROJECTS, WORKSPACE, Cdsw
from project_migration.model.document import Spec, Volumes
from project_migration.model.endpoints import DatabaseEndpoint, DatabaseSource, PostgresServer, Volume
from project_migration.model.mlflow import ARTIFACTS, TRACKING, Artifacts, Backend, Mlflow, Server

#: What a survey counts of files, and what of rows, where one counts both.
OF_FILES, OF_ROWS = frozenset({"files", "bytes"}), frozenset({"tables", "rows"})


class Moved(NamedTuple):
    """One unit."""

    name: str
    source: str
    target: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    surveyed_with: str = ""
    """The unit whose survey counted this one too, when it has none of its own."""
    without: frozenset[str] = frozenset()
    """Counts of that survey that are another unit's."""


def moved(spec: Spec) -> Iterator[Moved]:
    if spec.volumes is not None:
        yield from _volumes(spec.volumes)
    if spec.mlflow is not None:
        yield from _mlflow(spec.mlflow)
    if spec.cdsw is not None:
        yield from _cdsw(spec.cdsw)


def _volumes(volumes: Volumes) -> Iterator[Moved]:
    for pair in volumes.pairs:
        yield Moved(pair.name, place_words(pair.source), place_words(pair.target), pair.include, pair.exclude)
    for database in volumes.databases:
        yield Moved(
            database.name,
            source_words(database.source),
            database_words(database.target),
            (*database.schemas.include, *database.tables.include),
            (*database.schemas.exclude, *database.tables.exclude, *database.exclude_table_data),
        )


def _mlflow(mlflow: Mlflow) -> Iterator[Moved]:
    chosen = (*mlflow.select.experiments.include, *mlflow.select.models.include)
    without = (*mlflow.select.experiments.exclude, *mlflow.select.models.exclude)
    source, target = (_server(server, mlflow) for server in (mlflow.source, mlflow.target))
    yield Moved(TRACKING, source, target, chosen, without)
    files = (mlflow.source.artifacts, mlflow.target.artifacts)
    if mlflow.by_database and not mlflow.select.metadata_only and files[0] is not None and files[1] is not None:
        yield Moved(ARTIFACTS, _files(files[0]), _files(files[1]))


def _cdsw(cdsw: Cdsw) -> Iterator[Moved]:
    """Of a workspace its database and its projects' files, which a line each helper brings."""
    source, target = cdsw.source, cdsw.target
    archive = f"archive {place_words(source.archive)}" if source.archive is not None else ""
    database = _postgres(source.database.postgres) if source.database is not None else archive
    projects = place_words(source.projects) if source.projects is not None else archive
    if target.archive is not None:
        yield Moved(WORKSPACE, f"{database} and {projects}", f"archive {place_words(target.archive)}", (), ("scratch",))
        return
    goes_to = place_words(cdsw.projects)
    yield Moved(WORKSPACE, database, _postgres(cdsw.server), without=OF_FILES)
    yield Moved(PROJECTS, projects, goes_to, (), ("scratch",), surveyed_with=WORKSPACE, without=OF_ROWS)


def _server(server: Server, mlflow: Mlflow) -> str:
    if server.archive is not None:
        return f"archive {place_words(server.archive)}"
    if mlflow.by_database and server.backend is not None:
        return _backend(server.backend)
    return server.tracking_uri or ""


def _backend(backend: Backend) -> str:
    if backend.sqlite is not None:
        return f"{place_words(backend.sqlite)}/{backend.sqlite.file}"
    server = backend.postgres or backend.mysql
    return f"{server.host}:{server.port}/{server.database}" if server is not None else ""


def _files(artifacts: Artifacts) -> str:
    if artifacts.s3 is None:
        return place_words(artifacts)
    store = artifacts.s3
    return f"s3 {store.bucket}/{store.folder}".rstrip("/") + (f" at {store.endpoint_url}" if store.endpoint_url else "")


def place_words(volume: Volume) -> str:
    """``claim data-old, models/`` or ``/srv/old``."""
    root = f"claim {volume.claim_name}" if volume.claim_name else str(volume.path)
    return f"{root}, {volume.sub_path}" if volume.sub_path else root


def source_words(source: DatabaseSource) -> str:
    if source.dump is not None:
        return f"dump in {place_words(source.dump)}"
    return database_words(source.endpoint) if source.endpoint is not None else ""


def database_words(endpoint: DatabaseEndpoint) -> str:
    """``postgres db.old:5432/vision``"""
    return _postgres(endpoint.postgres)


def _postgres(server: PostgresServer) -> str:
    return f"postgres {server.host}:{server.port}/{server.database}"
