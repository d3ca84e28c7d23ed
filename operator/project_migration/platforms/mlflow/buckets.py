"""A tracking server's files where one side at least is a bucket: copied and proved object by object.

Into a bucket is only added, and a way back takes away what was added; a directory is kept like any other target.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from project_migration.engine.effects import Mount, SecretMount
from project_migration.engine.platform import Backing, UnitWork, VolumeUse
from project_migration.model.document import OwnershipMode, Side, Spec
from project_migration.model.endpoints import Volume
from project_migration.model.mlflow import ARTIFACTS, Artifacts, ObjectStore, OnConflict
from project_migration.model.quantities import parse_bytes
from project_migration.platforms.mlflow.files import databases_among, plain
from project_migration.platforms.mlflow.requests import Params, mlflow_of
from project_migration.platforms.volumes.databases import secrets

KEYS = (("accessKey", "accessKey"), ("secretKey", "secretKey"))


@dataclass(frozen=True, slots=True)
class Files:
    """Both sides of what moves, of which one at least is a bucket."""

    source: Artifacts
    target: Artifacts


@dataclass(frozen=True, slots=True)
class HeldDirectory:
    """A target that is a directory."""

    name: str
    target: Volume


def of(spec: Spec) -> Files | None:
    mlflow = mlflow_of(spec)
    source, target = mlflow.source.artifacts, mlflow.target.artifacts
    if mlflow.select.metadata_only or source is None or target is None:
        return None
    return Files(source, target) if source.s3 is not None or target.s3 is not None else None


def units(spec: Spec) -> tuple[str, ...]:
    return (ARTIFACTS,) if of(spec) is not None else ()


def adds_only(spec: Spec) -> frozenset[str]:
    files = of(spec)
    return frozenset({ARTIFACTS}) if files is not None and files.target.s3 is not None else frozenset()


def uses(spec: Spec) -> Iterator[VolumeUse]:
    for side, artifacts in _sides(of(spec)):
        if artifacts.is_directory:
            yield VolumeUse(ARTIFACTS, side, plain(artifacts))


def targets(spec: Spec) -> Iterator[str]:
    """``s3/https://minio.new:9000/bucket``: one migration at a time writes to a bucket."""
    files = of(spec)
    if files is not None and files.target.s3 is not None:
        store = files.target.s3
        yield f"s3/{(store.endpoint_url or 'amazon').lower().rstrip('/')}/{store.bucket}"


def held(spec: Spec) -> tuple[HeldDirectory, ...]:
    """The target, where it is a directory, and so is kept and put back like one."""
    files = of(spec)
    return (HeldDirectory(ARTIFACTS, plain(files.target)),) if files is not None and files.target.is_directory else ()


def surveys(spec: Spec) -> tuple[UnitWork, ...]:
    return _work(spec, "survey", {}, write=True)


def copies(spec: Spec, *, share: int, empty: frozenset[str]) -> tuple[UnitWork, ...]:
    bandwidth = parse_bytes(spec.transfer.bandwidth) // share if spec.transfer.bandwidth else None
    params = {
        "workers": spec.transfer.workers,
        "bandwidth": bandwidth,
        "requireEmpty": ARTIFACTS in empty,
        "release": True,
        "replace": mlflow_of(spec).on_conflict is OnConflict.UPDATE,
    }
    return _work(spec, "copy", params, write=True)


def verifications(spec: Spec) -> tuple[UnitWork, ...]:
    params = {"workers": spec.transfer.workers, "verify": str(spec.transfer.verify)}
    return _work(spec, "verify", params, write=False)


def restores(spec: Spec, backings: tuple[Backing, ...]) -> tuple[UnitWork, ...]:
    return _clearings(spec, backings, {})


def restore_proofs(spec: Spec, backings: tuple[Backing, ...]) -> tuple[UnitWork, ...]:
    return _clearings(spec, backings, {"look": True})


def settlements(spec: Spec, arrived: Sequence[str]) -> tuple[UnitWork, ...]:
    files = of(spec)
    if files is None or files.target.s3 is None:
        return ()
    return (_of_target(files.target.s3, "settle", {"arrived": list(arrived)}),)


def _clearings(spec: Spec, backings: tuple[Backing, ...], params: Params) -> tuple[UnitWork, ...]:
    files = of(spec)
    if files is None or files.target.s3 is None or ARTIFACTS not in {backing.unit for backing in backings}:
        return ()
    return (_of_target(files.target.s3, "clear", params),)


def _of_target(store: ObjectStore, program: str, params: Params) -> UnitWork:
    work = {"target": _bucket(store), **params}
    return UnitWork(ARTIFACTS, f"mlflow.buckets.{program}", (), work, _secrets(Side.TARGET, store), network=True)


def _work(spec: Spec, program: str, params: Params, *, write: bool) -> tuple[UnitWork, ...]:
    files = of(spec)
    if files is None:
        return ()
    mounts: list[Mount] = []
    mounted: list[SecretMount] = []
    sides: dict[str, Params] = {}
    for side, artifacts in _sides(files):
        name = side.value.lower()
        if artifacts.s3 is None:
            mounts.append(Mount(name, plain(artifacts), read_only=side is Side.SOURCE or not write))
        else:
            sides[name] = _bucket(artifacts.s3)
            mounted.extend(_secrets(side, artifacts.s3))
    ownership = spec.ownership
    common = {
        "exclude": list(databases_among(spec)),
        "ownership": {"mode": str(ownership.mode), "uid": ownership.uid, "gid": ownership.gid},
    }
    work = UnitWork(
        ARTIFACTS,
        f"mlflow.buckets.{program}",
        tuple(mounts),
        {**sides, **common, **params},
        tuple(mounted),
        network=True,
        owners=bool(mounts) and ownership.mode is not OwnershipMode.HELPER,
    )
    return (work,)


def _sides(files: Files | None) -> tuple[tuple[Side, Artifacts], ...]:
    return ((Side.SOURCE, files.source), (Side.TARGET, files.target)) if files is not None else ()


def _bucket(store: ObjectStore) -> Params:
    return {
        "bucket": store.bucket,
        "prefix": store.folder,
        "endpointUrl": store.endpoint_url,
        "region": store.region,
        "insecureSkipVerify": store.insecure_skip_verify,
    }


def _secrets(side: Side, store: ObjectStore) -> tuple[SecretMount, ...]:
    return secrets(f"{side.value.lower()}-store", store.credentials_ref, store.ca_ref, KEYS)
