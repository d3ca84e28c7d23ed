"""The rules of ``spec.cdsw`` between fields, each problem a line."""

from __future__ import annotations

from collections.abc import Iterator

from project_migration.model.cdsw import ArchiveFile, Cdsw, CdswSource, CdswTarget
from project_migration.model.database_rules import DatabasePlace, endpoint_rules, place_of
from project_migration.model.document import Spec
from project_migration.model.endpoints import PostgresServer
from project_migration.model.places import overlap, place, volume


def check(spec: Spec, *, namespace: str, local: bool) -> Iterator[str]:
    cdsw = spec.cdsw
    if cdsw is None:
        return
    yield from _source("spec.cdsw.source", cdsw.source, namespace=namespace, local=local)
    yield from _target("spec.cdsw.target", cdsw.target, namespace=namespace, local=local)
    yield from _together(cdsw)
    if not cdsw.is_export and spec.backup is None:
        yield "spec.backup: a workspace that a CDSW moves into needs one: its database is replaced"
    if spec.transfer.pre_copy:
        yield "spec.transfer.preCopy: a CDSW is copied as it is at one moment: leave it out"


def _source(where: str, source: CdswSource, *, namespace: str, local: bool) -> Iterator[str]:
    if (source.archive is None) == (source.database is None):
        yield f"{where}: give archive, or database and projects"
    elif (source.database is None) != (source.projects is None):
        yield f"{where}.projects: a CDSW in reach needs both, its database and its projects"
    if source.archive is not None:
        yield from _archive(f"{where}.archive", source.archive, namespace=namespace, local=local)
    if source.database is not None:
        yield from endpoint_rules(f"{where}.database", source.database)
    if source.projects is not None:
        yield from volume(f"{where}.projects", source.projects, namespace=namespace, local=local)


def _target(where: str, target: CdswTarget, *, namespace: str, local: bool) -> Iterator[str]:
    workspace = (target.namespace, target.database, target.projects)
    if (target.archive is None) == (workspace == (None, None, None)):
        yield f"{where}: give archive, or namespace, or database and projects"
        return
    if target.archive is not None:
        yield from _archive(f"{where}.archive", target.archive, namespace=namespace, local=local)
        return
    if target.namespace is not None and local:
        yield f"{where}.namespace: one machine has none: give database and projects"
    elif target.namespace not in (None, namespace):
        yield (
            f"{where}.namespace: NotSupportedYet: claims are mounted in their own namespace only: apply the document in"
            f" {target.namespace}, not in {namespace}"
        )
    if (target.namespace is None or local) and (target.database is None or target.projects is None):
        yield f"{where}: without namespace both are needed, database and projects"
    if target.database is not None:
        yield from endpoint_rules(f"{where}.database", target.database)
    if target.projects is not None:
        yield from volume(f"{where}.projects", target.projects, namespace=namespace, local=local)


def _archive(where: str, archive: ArchiveFile, *, namespace: str, local: bool) -> Iterator[str]:
    yield from volume(where, archive, namespace=namespace, local=local)
    if not archive.sub_path or archive.sub_path.endswith("/"):
        yield f"{where}.subPath: name the archive's file, such as cml-migration.tar.gz"


def _together(cdsw: Cdsw) -> Iterator[str]:
    source = cdsw.source
    if cdsw.is_export and source.archive is not None:
        yield "spec.cdsw.source: an archive is made of a CDSW in reach: give database and projects"
    if not cdsw.is_export and cdsw.administrator is None:
        yield "spec.cdsw.administrator: name an administrator of the target in username"
    if cdsw.is_export:
        return
    if source.database is not None and _database(source.database.postgres) == _database(cdsw.server):
        yield "spec.cdsw.target.database: source and target must be different databases"
    if source.projects is not None and overlap(source.projects, cdsw.projects):
        yield (
            "spec.cdsw.target.projects: source and target must be different places, neither inside the other (both are"
            f" in {place(cdsw.projects)})"
        )


def _database(server: PostgresServer) -> DatabasePlace:
    return place_of(server.host, server.port, server.database)
