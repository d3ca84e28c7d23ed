"""What the programs for a CDSW are asked, with which volumes and Secrets: one part a side, and the person's choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from project_migration.engine.effects import Mount, SecretMount
from project_migration.engine.platform import UnitWork
from project_migration.model.cdsw import FILES_GID, FILES_UID, WORKSPACE, Cdsw, WorkspaceDatabase, directory_of, file_of
from project_migration.model.document import OwnershipMode, Spec
from project_migration.platforms.volumes.databases import secrets, server_params

Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """What a helper is given of one side."""

    params: Params
    mounts: tuple[Mount, ...] = ()
    secrets: tuple[SecretMount, ...] = ()


def cdsw_of(spec: Spec) -> Cdsw:
    assert spec.cdsw is not None  # noqa: S101 - the registry gives this platform to no other document
    return spec.cdsw


def source(spec: Spec) -> Part:
    found = cdsw_of(spec).source
    if found.archive is not None:
        mount = Mount("source-archive", directory_of(found.archive), read_only=True)
        return Part({"archive": {"root": mount.root, "file": file_of(found.archive)}}, (mount,))
    assert found.database is not None  # noqa: S101 - an archive, or a CDSW in reach
    assert found.projects is not None  # noqa: S101
    params = {"database": server_params(found.database), "projects": {"root": "source-projects"}}
    mount = Mount("source-projects", found.projects, read_only=True)
    return Part(params, (mount,), secrets("source", found.database.credentials_ref, found.database.ca_ref))


def target_files(spec: Spec, *, write: bool) -> Part:
    """The directory of the target's projects; of an export, that of its archive."""
    archive = cdsw_of(spec).target.archive
    if archive is not None:
        mount = Mount("target-archive", directory_of(archive), read_only=not write)
        return Part({"archive": {"root": mount.root, "file": file_of(archive)}}, (mount,))
    mount = Mount("target-projects", cdsw_of(spec).projects, read_only=not write)
    return Part({"projects": {"root": mount.root}}, (mount,))


def target_database(spec: Spec) -> Part:
    """Nothing, of an export."""
    cdsw = cdsw_of(spec)
    if cdsw.is_export:
        return Part({})
    return Part({"database": server(spec)}, (), _credentials(spec))


def server(spec: Spec) -> Params:
    """As the programs for databases are told of one. Its role is no secret."""
    database = _database(spec)
    return {**server_params(database), "user": database.username}


def _credentials(spec: Spec) -> tuple[SecretMount, ...]:
    database = _database(spec)
    return secrets("target", database.credentials_ref, database.ca_ref, ((database.password_key, "password"),))


def _database(spec: Spec) -> WorkspaceDatabase:
    database = cdsw_of(spec).target.database
    assert database is not None  # noqa: S101 - what the document leaves out is found before any helper is made
    return database


def choices(spec: Spec) -> Params:
    """What decides the outcome, the same for every step."""
    cdsw, ownership = cdsw_of(spec), spec.ownership
    # a workspace's programs run as one user, whose its files are
    own = {"mode": str(OwnershipMode.SET), "uid": FILES_UID, "gid": FILES_GID}
    given = {"mode": str(ownership.mode), "uid": ownership.uid, "gid": ownership.gid}
    return {
        **({"administrator": cdsw.administrator.username} if cdsw.administrator else {}),
        "users": str(cdsw.users),
        "featureFlags": str(cdsw.feature_flags),
        "unlisted": {"handOver": list(cdsw.unlisted.hand_over), "empty": list(cdsw.unlisted.empty)},
        "ownership": own if ownership.mode is OwnershipMode.PRESERVE else given,
    }


def work(
    program: str,
    params: Params,
    *,
    source: Part = Part({}),
    target: tuple[Part, ...] = (),
    name: str = WORKSPACE,
    network: bool = True,
    owners: bool = False,
    client_tools: bool = False,
) -> UnitWork:
    parts = (source, *target)
    sides = {"target": {key: found for part in target for key, found in part.params.items()}}
    if source.params:
        sides["source"] = dict(source.params)
    return UnitWork(
        name,
        program,
        tuple(mount for part in parts for mount in part.mounts),
        {**sides, **params},
        tuple(secret for part in parts for secret in part.secrets),
        network=network,
        owners=owners,
        client_tools=client_tools,
    )
