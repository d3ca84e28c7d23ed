"""A tracking server's files, as a pair of volumes: copied and proved like any other, but for experiments that get
another id on the target, whose directories get it too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from project_migration.engine.effects import Mount, volume_key
from project_migration.engine.platform import UnitWork
from project_migration.model.document import Spec, VolumePair
from project_migration.model.endpoints import TargetVolume, Volume
from project_migration.model.mlflow import ARTIFACTS, Artifacts, SqliteFile
from project_migration.model.quantities import parse_bytes
from project_migration.model.records import proved_manifest
from project_migration.platforms.mlflow.requests import mlflow_of
from project_migration.platforms.mlflow.rows import BESIDE


def pairs(spec: Spec) -> tuple[VolumePair, ...]:
    """The one pair, or none where both servers use one store, or one has its files in a bucket."""
    mlflow = mlflow_of(spec)
    source, target = mlflow.source.artifacts, mlflow.target.artifacts
    if mlflow.select.metadata_only or source is None or target is None:
        return ()
    if not source.is_directory or not target.is_directory:
        return ()
    goes_to = TargetVolume(**plain(target).model_dump())
    pair = VolumePair(name=ARTIFACTS, source=plain(source), target=goes_to, exclude=tuple(databases_among(spec)))
    return (pair,)


def copies(spec: Spec, *, share: int, empty: frozenset[str]) -> tuple[UnitWork, ...]:
    bandwidth = parse_bytes(spec.transfer.bandwidth) // share if spec.transfer.bandwidth else None
    return tuple(
        UnitWork(
            pair.name,
            "mlflow.artifacts.copy",
            mounts(pair, write=True),
            {
                **common(spec, pair),
                "workers": spec.transfer.workers,
                "bandwidth": bandwidth,
                # files of other runs on the target are no leftovers
                "delete": False,
                "requireEmpty": pair.name in empty,
                "release": True,
            },
        )
        for pair in pairs(spec)
    )


def verifications(spec: Spec) -> tuple[UnitWork, ...]:
    return tuple(
        UnitWork(
            pair.name,
            "mlflow.artifacts.verify",
            mounts(pair, write=False),
            {
                **common(spec, pair),
                "workers": spec.transfer.workers,
                "verify": str(spec.transfer.verify),
                "delete": False,
            },
        )
        for pair in pairs(spec)
    )


def checks(spec: Spec, digests: Mapping[str, str]) -> tuple[UnitWork, ...]:
    """Of the target alone, against what the verification wrote down."""
    return tuple(
        UnitWork(
            pair.name,
            "mlflow.artifacts.check",
            (Mount("target", pair.target, read_only=True),),
            {
                **common(spec, pair),
                "workers": spec.transfer.workers,
                "verify": str(spec.transfer.verify),
                "against": {"manifest": proved_manifest("verify", pair.name, "target"), "digest": digest},
            },
        )
        for pair in pairs(spec)
        if (digest := digests.get(pair.name))
    )


def surveys(spec: Spec) -> tuple[UnitWork, ...]:
    return tuple(
        # mounted as the copy will have it, since a read-only mount says nothing of whether it could be written
        UnitWork(pair.name, "survey", mounts(pair, write=True), common(spec, pair))
        for pair in pairs(spec)
    )


def mounts(pair: VolumePair, *, write: bool) -> tuple[Mount, ...]:
    return (
        Mount("source", pair.source, read_only=True),
        Mount("target", pair.target, read_only=not write),
    )


def common(spec: Spec, pair: VolumePair) -> dict[str, Any]:
    ownership = spec.ownership
    return {
        "exclude": list(pair.exclude),
        "ignoreFile": "",
        "ownership": {"mode": str(ownership.mode), "uid": ownership.uid, "gid": ownership.gid},
    }


def plain(artifacts: Artifacts) -> Volume:
    return Volume(**artifacts.model_dump(exclude={"uri", "s3"}))


def databases_among(spec: Spec) -> Iterator[str]:
    """SQLite files that lie among the files of their server: rows are not moved as files."""
    mlflow = mlflow_of(spec)
    found = set()
    for server in (mlflow.source, mlflow.target):
        for backend in (server.backend, server.auth):
            inside = _below(backend.sqlite, server.artifacts) if backend and backend.sqlite else None
            if inside is not None:
                found |= {f"/{inside}{ending}" for ending in BESIDE}
    yield from sorted(found)


def _below(file: SqliteFile, artifacts: Artifacts | None) -> str | None:
    """The file's path in the directory of artifacts; None when it lies elsewhere."""
    if artifacts is None or volume_key(file) != volume_key(artifacts):
        return None
    place = PurePosixPath(file.sub_path or ".") / file.file
    root = PurePosixPath(artifacts.sub_path or ".")
    return str(place.relative_to(root)) if place.is_relative_to(root) else None
