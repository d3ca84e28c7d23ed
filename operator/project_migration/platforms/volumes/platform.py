"""Plain volumes: each pair is surveyed, copied and proved by one helper that mounts both sides. Databases beside them
are units of the same steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from project_migration.engine.effects import Mount
from project_migration.engine.platform import UnitWork, VolumeUse
from project_migration.model.document import Side, Spec, VolumePair
from project_migration.model.errors import Failure
from project_migration.model.quantities import parse_bytes
from project_migration.model.records import Record
from project_migration.platforms.volumes import databases
from project_migration.platforms.volumes.judgement import judge

IGNORE_FILE = ".exportignore"


class VolumesPlatform:
    def uses(self, spec: Spec) -> tuple[VolumeUse, ...]:
        return tuple(
            use
            for pair in _pairs(spec)
            for use in (
                VolumeUse(pair.name, Side.SOURCE, pair.source),
                VolumeUse(pair.name, Side.TARGET, pair.target),
            )
        )

    def surveys(self, spec: Spec) -> tuple[UnitWork, ...]:
        pairs = tuple(
            # mounted as the copy will have it, since a read-only mount says nothing of whether it could be written
            UnitWork(pair.name, "survey", _mounts(pair, write=True), _common(spec, pair))
            for pair in _pairs(spec)
        )
        return pairs + databases.surveys(spec)

    def judge_survey(self, spec: Spec, unit: str, record: Record, *, written: bool) -> tuple[Failure, ...]:
        if any(database.name == unit for database in databases.of(spec)):
            return databases.judge(unit, record)
        return judge(spec, unit, record, written=written)

    def copies(self, spec: Spec, *, share: int, written: bool) -> tuple[UnitWork, ...]:
        bandwidth = parse_bytes(spec.transfer.bandwidth) // share if spec.transfer.bandwidth else None
        pairs = tuple(
            UnitWork(
                pair.name,
                "copy_tree",
                _mounts(pair, write=True),
                {
                    **_common(spec, pair),
                    "workers": spec.transfer.workers,
                    "bandwidth": bandwidth,
                    "delete": spec.transfer.delete,
                    "requireEmpty": not written and spec.backup is None,
                    # what comes after a whole copy only reads: nothing of ours has to be left on the target
                    "release": True,
                },
            )
            for pair in _pairs(spec)
        )
        return pairs + databases.copies(spec, bandwidth=bandwidth)

    def verifications(self, spec: Spec) -> tuple[UnitWork, ...]:
        pairs = tuple(
            UnitWork(
                pair.name,
                "manifest",
                _mounts(pair, write=False),
                {
                    **_common(spec, pair),
                    "workers": spec.transfer.workers,
                    "verify": str(spec.transfer.verify),
                    "delete": spec.transfer.delete,
                },
            )
            for pair in _pairs(spec)
        )
        return pairs + databases.verifications(spec)


def _pairs(spec: Spec) -> tuple[VolumePair, ...]:
    return spec.volumes.pairs if spec.volumes is not None else ()


def _mounts(pair: VolumePair, *, write: bool) -> tuple[Mount, ...]:
    return (
        Mount("source", pair.source, read_only=True),
        Mount("target", pair.target, read_only=not write),
    )


def _common(spec: Spec, pair: VolumePair) -> Mapping[str, Any]:
    ownership = spec.ownership
    return {
        "include": list(pair.include),
        "exclude": list(pair.exclude),
        "ignoreFile": IGNORE_FILE,
        "ownership": {"mode": str(ownership.mode), "uid": ownership.uid, "gid": ownership.gid},
    }
