"""Plain volumes: each pair is surveyed, copied and proved by one helper that mounts both sides. Databases beside them
are units of the same steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from project_migration.engine.effects import Mount
from project_migration.engine.platform import BACKUP_UNIT, CLIENT_TOOLS_UNIT, Backing, Discovery, UnitWork, VolumeUse
from project_migration.engine.units import judge_by_outcome
from project_migration.model.document import Side, Spec, VolumePair
from project_migration.model.errors import Failure
from project_migration.model.quantities import parse_bytes
from project_migration.model.records import Record, proved_manifest
from project_migration.platforms.volumes import databases, keeping
from project_migration.platforms.volumes.judgement import judge, judge_backup

IGNORE_FILE = ".exportignore"


class VolumesPlatform:
    def uses(self, spec: Spec) -> tuple[VolumeUse, ...]:
        return tuple(
            use
            for pair in _pairs(spec)
            for use in (
                VolumeUse(pair.name, Side.SOURCE, pair.source),
                VolumeUse(pair.name, Side.TARGET, pair.target, pair.target.create),
            )
        ) + databases.uses(spec)

    def servers(self, spec: Spec) -> tuple[str, ...]:
        return databases.targets(spec)

    def hosts(self, spec: Spec) -> tuple[tuple[Side, str], ...]:
        return databases.hosts(spec)

    def units(self, spec: Spec) -> tuple[str, ...]:
        return (*(pair.name for pair in _pairs(spec)), *(database.name for database in databases.of(spec)))

    def adds_only(self, spec: Spec) -> frozenset[str]:  # noqa: ARG002
        return frozenset()

    def arrangements(self, spec: Spec) -> tuple[UnitWork, ...]:  # noqa: ARG002
        return ()

    def discovery(self, spec: Spec) -> Discovery | None:  # noqa: ARG002 - the document says it all
        return None

    def surveys(
        self, spec: Spec, backings: Sequence[Backing], unmade: frozenset[str] = frozenset()
    ) -> tuple[UnitWork, ...]:
        return (*_surveys(spec, unmade), *databases.surveys(spec), *keeping.surveys(spec, _pairs(spec), backings))

    def backups(self, spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
        return (*keeping.backups(spec, _pairs(spec), backings), *databases.backups(spec, backings))

    def backup_proofs(self, spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
        return keeping.backup_proofs(spec, _pairs(spec), backings)

    def restores(self, spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
        return (*keeping.restores(spec, _pairs(spec), backings), *databases.restores(spec, backings))

    def restore_proofs(self, spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
        return (*keeping.restore_proofs(spec, _pairs(spec), backings), *databases.after_restores(spec, backings))

    def settlements(self, spec: Spec, arrived: Sequence[str]) -> tuple[UnitWork, ...]:
        return (*keeping.settlements(spec, _pairs(spec), arrived), *databases.settlements(spec, arrived))

    def server_looks(self, spec: Spec) -> tuple[UnitWork, ...]:  # noqa: ARG002
        """A directory has no server, and a database's was asked when it was proved."""
        return ()

    def prove_themselves(self, spec: Spec) -> frozenset[str]:
        return frozenset(database.name for database in databases.of(spec))

    def other_way(self, spec: Spec, failed: Mapping[str, str]) -> str:  # noqa: ARG002 - there is one way
        return ""

    def tool_looks(self, spec: Spec, surveyed: Mapping[str, Mapping[str, int]]) -> tuple[UnitWork, ...]:
        return databases.tool_looks((database.name for database in databases.of(spec)), surveyed)

    def judge_survey(
        self, spec: Spec, unit: str, record: Record, *, written: bool, client_images: frozenset[int] = frozenset()
    ) -> tuple[Failure, ...]:
        if unit.startswith(CLIENT_TOOLS_UNIT):
            return judge_by_outcome(unit, record)
        if unit.startswith(BACKUP_UNIT):
            return judge_backup(spec, unit, record)
        if any(database.name == unit for database in databases.of(spec)):
            return databases.judge(unit, record, client_images)
        return judge(spec, unit, record, written=written)

    def copies(self, spec: Spec, *, share: int, empty: frozenset[str], warm: bool = False) -> tuple[UnitWork, ...]:
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
                    "requireEmpty": pair.name in empty,
                    # what comes after a whole copy only reads: nothing of ours has to be left on the target
                    "release": not warm,
                },
            )
            for pair in _pairs(spec)
        )
        # a database has no state that could be caught up with later: its copy is one snapshot
        return pairs if warm else pairs + databases.copies(spec, bandwidth=bandwidth, empty=empty)

    def upgrades(self, spec: Spec) -> tuple[UnitWork, ...]:  # noqa: ARG002 - what is copied fits as it is
        return ()

    def adaptations(self, spec: Spec) -> tuple[UnitWork, ...]:  # noqa: ARG002
        return ()

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

    def checks(self, spec: Spec, digests: Mapping[str, str]) -> tuple[UnitWork, ...]:
        pairs = tuple(
            UnitWork(
                pair.name,
                "manifest",
                (Mount("target", pair.target, read_only=True),),
                {
                    **_common(spec, pair),
                    "workers": spec.transfer.workers,
                    "verify": str(spec.transfer.verify),
                    "rootsToRead": ["target"],
                    "against": {"manifest": proved_manifest("verify", pair.name, "target"), "digest": digest},
                },
            )
            for pair in _pairs(spec)
            if (digest := digests.get(pair.name))
        )
        return pairs + databases.checks(spec, digests)


def _surveys(spec: Spec, unmade: frozenset[str]) -> tuple[UnitWork, ...]:
    return tuple(
        # mounted as the copy will have it, since a read-only mount says nothing of whether it could be written
        UnitWork(pair.name, "survey", _mounts(pair, write=True)[: 1 if pair.name in unmade else 2], _common(spec, pair))
        for pair in _pairs(spec)
    )


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
