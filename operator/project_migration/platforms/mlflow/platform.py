"""MLflow for the engine: which units a document asks for, and who does each.

Via Database there are two: the rows (:mod:`.rows`) and the files, between directories (:mod:`.files`) or from or to a
bucket (:mod:`.buckets`). Via Api there is one (:mod:`.api`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from project_migration.engine.platform import BACKUP_UNIT, CLIENT_TOOLS_UNIT, Backing, Discovery, UnitWork, VolumeUse
from project_migration.engine.units import judge_by_outcome
from project_migration.model.document import Side, Spec
from project_migration.model.errors import Failure, Reason
from project_migration.model.mlflow import ARTIFACTS, TRACKING, Via
from project_migration.model.records import Record
from project_migration.platforms.mlflow import api, buckets, files, rows
from project_migration.platforms.mlflow.requests import mlflow_of
from project_migration.platforms.volumes import databases, keeping
from project_migration.platforms.volumes.databases import Clearing
from project_migration.platforms.volumes.judgement import judge, judge_backup

#: What keeps via Auto from Database: databases out of reach, or that do not fit. A wrong login is somebody's to mend.
NOT_BY_DATABASE = (Reason.DATABASE_UNREACHABLE, Reason.SCHEMA_MISMATCH)


class MlflowPlatform:
    def uses(self, spec: Spec) -> tuple[VolumeUse, ...]:
        if not _by_database(spec):
            return tuple(api.uses(spec))
        both = ((Side.SOURCE, "source"), (Side.TARGET, "target"))
        pairs = (VolumeUse(ARTIFACTS, side, getattr(pair, at)) for pair in files.pairs(spec) for side, at in both)
        return (*rows.uses(spec), *pairs, *buckets.uses(spec))

    def servers(self, spec: Spec) -> tuple[str, ...]:
        return (*rows.targets(spec), *buckets.targets(spec)) if _by_database(spec) else ()

    def hosts(self, spec: Spec) -> tuple[tuple[Side, str], ...]:
        return tuple(rows.hosts(spec)) if _by_database(spec) else ()

    def units(self, spec: Spec) -> tuple[str, ...]:
        if not _by_database(spec):
            return (TRACKING,)
        return (TRACKING, *(pair.name for pair in files.pairs(spec)), *buckets.units(spec))

    def adds_only(self, spec: Spec) -> frozenset[str]:
        return buckets.adds_only(spec) if _by_database(spec) else frozenset({TRACKING})

    def discovery(self, spec: Spec) -> Discovery | None:  # noqa: ARG002 - the document says it all
        return None

    def surveys(
        self,
        spec: Spec,
        backings: Sequence[Backing],
        unmade: frozenset[str] = frozenset(),  # noqa: ARG002 - its targets exist
    ) -> tuple[UnitWork, ...]:
        if not _by_database(spec):
            return (api.survey(spec),)
        kept = keeping.surveys(spec, _held(spec), backings)
        return (rows.survey(spec), *files.surveys(spec), *buckets.surveys(spec), *kept)

    def other_way(self, spec: Spec, failed: Mapping[str, str]) -> str:
        """Addresses, where the databases cannot be had. Servers that are to rest could not answer."""
        rests = spec.quiesce.discover or spec.quiesce.workloads
        open_choice = mlflow_of(spec).either_way and not rests
        return str(Via.API) if open_choice and failed.get(TRACKING) in NOT_BY_DATABASE else ""

    def tool_looks(self, spec: Spec, surveyed: Mapping[str, Mapping[str, int]]) -> tuple[UnitWork, ...]:
        return databases.tool_looks((TRACKING,), surveyed) if _by_database(spec) else ()

    def judge_survey(
        self, spec: Spec, unit: str, record: Record, *, written: bool, client_images: frozenset[int] = frozenset()
    ) -> tuple[Failure, ...]:
        if unit.startswith(CLIENT_TOOLS_UNIT):
            return judge_by_outcome(unit, record)
        if unit.startswith(BACKUP_UNIT):
            return judge_backup(spec, unit, record)
        if unit == ARTIFACTS:
            return judge(spec, unit, record, written=written)
        if _by_database(spec):
            return rows.judge(spec, record, written=written, client_images=client_images)
        return api.judge(spec, record, written=written)

    def arrangements(self, spec: Spec) -> tuple[UnitWork, ...]:
        return (rows.arrangement(spec),) if _by_database(spec) else ()

    def backups(self, spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
        if not _by_database(spec):
            return ()
        own = tuple(rows.backup(spec, backing.place) for backing in backings if _is_rows(backing) and backing.place)
        return (*_present(own), *keeping.backups(spec, _held(spec), backings))

    def backup_proofs(self, spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
        if not _by_database(spec):
            return ()
        own = tuple(
            rows.backup_proof(spec, backing.place) for backing in backings if _is_rows(backing) and backing.place
        )
        return (*_present(own), *keeping.backup_proofs(spec, _held(spec), backings))

    def restores(self, spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
        if not _by_database(spec):
            return tuple(api.clearing(spec) for backing in backings if _is_rows(backing))
        own = tuple(rows.restore(spec, backing) for backing in backings if _is_rows(backing))
        users = _present(tuple(rows.users_restore(spec, backing) for backing in backings if _is_rows(backing)))
        return (*own, *users, *keeping.restores(spec, _held(spec), backings), *buckets.restores(spec, tuple(backings)))

    def restore_proofs(self, spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
        if not _by_database(spec):
            return ()
        own = tuple(rows.restore_proof(spec, backing) for backing in backings if _is_rows(backing))
        proofs = keeping.restore_proofs(spec, _held(spec), backings)
        return (*_present(own), *proofs, *buckets.restore_proofs(spec, tuple(backings)))

    def settlements(self, spec: Spec, arrived: Sequence[str]) -> tuple[UnitWork, ...]:
        if not _by_database(spec):
            return api.settlements(spec, arrived)
        kept = keeping.settlements(spec, _held(spec), arrived)
        return (rows.clearing(spec, Clearing.NOTE, arrived), *kept, *buckets.settlements(spec, arrived))

    def prove_themselves(self, spec: Spec) -> frozenset[str]:  # noqa: ARG002
        return frozenset({TRACKING, rows.USERS})

    def copies(self, spec: Spec, *, share: int, empty: frozenset[str], warm: bool = False) -> tuple[UnitWork, ...]:
        if warm:
            return ()
        if not _by_database(spec):
            return (api.copy(spec),)
        moved = files.copies(spec, share=share, empty=empty)
        return (rows.copy(spec, share=share), *moved, *buckets.copies(spec, share=share, empty=empty))

    def upgrades(self, spec: Spec) -> tuple[UnitWork, ...]:  # noqa: ARG002 - what is copied fits as it is
        return ()

    def adaptations(self, spec: Spec) -> tuple[UnitWork, ...]:  # noqa: ARG002
        return ()

    def verifications(self, spec: Spec) -> tuple[UnitWork, ...]:
        if not _by_database(spec):
            return (api.verification(spec),)
        return (rows.verification(spec), *files.verifications(spec), *buckets.verifications(spec))

    def server_looks(self, spec: Spec) -> tuple[UnitWork, ...]:
        """Via Api the proof itself reads through the target's server."""
        if not _by_database(spec) or not rows.is_asked_for(spec):
            return ()
        return (api.server_look(spec, files_move=bool(files.pairs(spec))),)

    def checks(self, spec: Spec, digests: Mapping[str, str]) -> tuple[UnitWork, ...]:
        """None of a server behind an address: its proof needs both sides, since everything got new ids."""
        if not _by_database(spec):
            return ()
        own = (rows.check(spec, digest),) if (digest := digests.get(TRACKING)) else ()
        return (*own, *files.checks(spec, digests))


def _by_database(spec: Spec) -> bool:
    return mlflow_of(spec).by_database


def _held(spec: Spec) -> tuple[keeping.Held, ...]:
    """Directories that files go to."""
    return (*files.pairs(spec), *buckets.held(spec))


def _is_rows(backing: Backing) -> bool:
    return backing.unit == TRACKING


def _present(works: tuple[UnitWork | None, ...]) -> tuple[UnitWork, ...]:
    return tuple(work for work in works if work is not None)
