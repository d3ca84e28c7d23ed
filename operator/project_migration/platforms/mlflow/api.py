"""A tracking server through its address: both sides keep running, and everything gets new ids on the target.

What is added carries this migration's mark, so that it can be told apart, found again by a second run, and taken back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from project_migration.engine.effects import Mount
from project_migration.engine.platform import UnitWork, VolumeUse
from project_migration.model.document import Side, Spec
from project_migration.model.errors import Failure, Reason
from project_migration.model.mlflow import ARTIFACTS, TRACKING, Server
from project_migration.model.quantities import parse_bytes
from project_migration.model.records import Record
from project_migration.platforms.mlflow.requests import (
    Params,
    Part,
    both_sides,
    choices,
    mlflow_of,
    sides,
    target_only,
)
from project_migration.platforms.volumes import databases
from project_migration.platforms.volumes.databases import secrets

#: How long one attempt waits for a server that has just been started; others follow, as retries says.
WAIT_SECONDS = 30


def uses(spec: Spec) -> Iterator[VolumeUse]:
    for side, server in sides(spec):
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
    params = {
        "workers": spec.transfer.workers,
        "waitSeconds": WAIT_SECONDS,
        "artifacts": ARTIFACTS if files_move else None,
    }
    return target_only(spec, _part, "mlflow.api.ask", params, write=False)


def clearing(
    spec: Spec, what: databases.Clearing = databases.Clearing.EVERYTHING, arrived: Sequence[str] = ()
) -> UnitWork:
    """Takes away what carries this migration's mark, and nothing else; or leaves the word of what was carried out."""
    params = {"what": str(what), **({"arrived": list(arrived)} if arrived else {})}
    return target_only(spec, _part, "mlflow.api.clear", params, write=True)


def judge(spec: Spec, record: Record, *, written: bool) -> tuple[Failure, ...]:
    found = databases.judge(TRACKING, record)
    archive = mlflow_of(spec).target.archive is not None
    if archive and record.succeeded and not record.counts.get("targetEmpty", 0) and not written:
        words = f"{TRACKING}: the directory for the archive is not empty"
        found = (*found, Failure(Reason.TARGET_NOT_EMPTY, words))
    return found


def _both(spec: Spec, program: str, params: Params, *, write: bool) -> UnitWork:
    return both_sides(spec, _part, f"mlflow.api.{program}", params, write=write)


def _part(side: Side, server: Server, write: bool) -> Part:
    name = side.value.lower()
    # every key: a name and a password, or a token
    login = secrets(name, server.credentials_ref, server.ca_ref, keys=())
    if server.archive is not None:
        root = f"{name}-archive"
        return Part({"archive": {"root": root}}, (Mount(root, server.archive, read_only=not write),), login)
    return Part(
        {
            "trackingUri": server.tracking_uri,
            "insecureSkipVerify": server.insecure_skip_verify,
            "workspace": None,
            "artifacts": None,
        },
        (),
        login,
    )
