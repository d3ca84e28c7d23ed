"""A tracking server through its address: both sides keep running, and everything gets new ids on the target.

What is added carries this migration's mark, so that it can be told apart, found again by a second run, and taken back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from project_migration.engine.effects import Mount, SecretMount
from project_migration.engine.platform import UnitWork, VolumeUse
from project_migration.model.document import Side, Spec
from project_migration.model.errors import Failure, Reason
from project_migration.model.mlflow import ARTIFACTS, TRACKING, Server
from project_migration.model.quantities import parse_bytes
from project_migration.model.records import Record
from project_migration.platforms.mlflow.requests import Params, choices, mlflow_of, secrets
from project_migration.platforms.volumes import databases

#: How long one attempt waits for a server that has just been started; others follow, as retries says.
WAIT_SECONDS = 30


def uses(spec: Spec) -> Iterator[VolumeUse]:
    for side, server in _sides(spec):
        if server.archive is not None:
            yield VolumeUse(TRACKING, side, server.archive)


def survey(spec: Spec) -> UnitWork:
    # mounted as the copy will have it, since a read-only mount says nothing of whether it could be written
    return _both(spec, "survey", choices(spec), write=True)


def copy(spec: Spec) -> UnitWork:
    bandwidth = parse_bytes(spec.transfer.bandwidth) if spec.transfer.bandwidth else None
    return _both(spec, "copy", {**choices(spec), "workers": spec.transfer.workers, "bandwidth": bandwidth}, write=True)


def verification(spec: Spec) -> UnitWork:
    return _both(spec, "verify", {**choices(spec), "workers": spec.transfer.workers}, write=False)


def settlements(spec: Spec, arrived: Sequence[str]) -> tuple[UnitWork, ...]:
    """A server says which document was carried out there. An archive says nothing: it is refused unless it is empty."""
    if mlflow_of(spec).target.archive is not None:
        return ()
    return (clearing(spec, databases.Clearing.NOTE, arrived),)


def server_look(spec: Spec, *, files_move: bool) -> UnitWork:
    """Of the target alone, for what the proof of its database left in the workspace."""
    server = mlflow_of(spec).target
    return UnitWork(
        TRACKING,
        "mlflow.api.ask",
        (),
        {
            "target": _server(Side.TARGET, server),
            "workers": spec.transfer.workers,
            "waitSeconds": WAIT_SECONDS,
            "artifacts": ARTIFACTS if files_move else None,
        },
        _secrets(Side.TARGET, server),
        network=True,
    )


def clearing(
    spec: Spec, what: databases.Clearing = databases.Clearing.EVERYTHING, arrived: Sequence[str] = ()
) -> UnitWork:
    """Takes away what carries this migration's mark, and nothing else; or leaves the word of what was carried out."""
    server = mlflow_of(spec).target
    return UnitWork(
        TRACKING,
        "mlflow.api.clear",
        tuple(_mounts(Side.TARGET, server, write=True)),
        {
            "target": _server(Side.TARGET, server),
            "what": str(what),
            **({"arrived": list(arrived)} if arrived else {}),
        },
        _secrets(Side.TARGET, server),
        network=True,
    )


def judge(spec: Spec, record: Record, *, written: bool) -> tuple[Failure, ...]:
    found = databases.judge(TRACKING, record)
    archive = mlflow_of(spec).target.archive is not None
    if archive and record.succeeded and not record.counts.get("targetEmpty", 0) and not written:
        words = f"{TRACKING}: the directory for the archive is not empty"
        found = (*found, Failure(Reason.TARGET_NOT_EMPTY, words))
    return found


def _sides(spec: Spec) -> tuple[tuple[Side, Server], ...]:
    mlflow = mlflow_of(spec)
    return ((Side.SOURCE, mlflow.source), (Side.TARGET, mlflow.target))


def _both(spec: Spec, program: str, params: Params, *, write: bool) -> UnitWork:
    mounts: list[Mount] = []
    mounted_secrets: list[SecretMount] = []
    for side, server in _sides(spec):
        mounts.extend(_mounts(side, server, write=write and side is Side.TARGET))
        mounted_secrets.extend(_secrets(side, server))
    sides = {side.value.lower(): _server(side, server) for side, server in _sides(spec)}
    return UnitWork(
        TRACKING,
        f"mlflow.api.{program}",
        tuple(mounts),
        {**sides, **params},
        tuple(mounted_secrets),
        network=True,
    )


def _mounts(side: Side, server: Server, *, write: bool) -> Iterator[Mount]:
    if server.archive is not None:
        yield Mount(f"{side.value.lower()}-archive", server.archive, read_only=not write)


def _secrets(side: Side, server: Server) -> tuple[SecretMount, ...]:
    # every key: a name and a password, or a token
    return secrets(side.value.lower(), server.credentials_ref, server.ca_ref, keys=())


def _server(side: Side, server: Server) -> Params:
    if server.archive is not None:
        return {"archive": {"root": f"{side.value.lower()}-archive"}}
    return {
        "trackingUri": server.tracking_uri,
        "insecureSkipVerify": server.insecure_skip_verify,
        "workspace": None,
        "artifacts": None,
    }
