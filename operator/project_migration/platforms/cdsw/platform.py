"""CDSW for the engine. A workspace is one unit: its database, which is kept by a dump, and its projects' files.

An import: the database is loaded and the files come in step ``copy``; the target's schema Job is run in ``upgrade``;
in ``adapt`` what was loaded becomes the workspace's. An export is a copy into an archive, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from project_migration.engine.effects import Mount
from project_migration.engine.names import Variable, WorkloadRef
from project_migration.engine.platform import BACKUP_UNIT, CLIENT_TOOLS_UNIT, Backing, Discovery, UnitWork, VolumeUse
from project_migration.engine.units import judge_by_outcome
from project_migration.model.cdsw import (
    DATABASE_HOST,
    DEPLOYMENTS,
    PASSWORD_VARIABLE,
    PROJECTS,
    SCHEMA,
    WORKSPACE,
    directory_of,
)
from project_migration.model.database_rules import place_of
from project_migration.model.document import Side, Spec, WorkloadKind
from project_migration.model.errors import Failure
from project_migration.model.places import place
from project_migration.model.quantities import parse_bytes
from project_migration.model.records import Record
from project_migration.platforms.cdsw.requests import (
    Params,
    cdsw_of,
    choices,
    server,
    source,
    target_database,
    target_files,
    work,
)
from project_migration.platforms.volumes import databases
from project_migration.platforms.volumes.databases import BACKUP, Clearing

#: The database of a workspace found in its namespace.
STATEFUL_SET = WorkloadRef(WorkloadKind.STATEFUL_SET, DATABASE_HOST)


class CdswPlatform:
    def uses(self, spec: Spec) -> tuple[VolumeUse, ...]:
        cdsw = cdsw_of(spec)
        found = []
        if cdsw.source.archive is not None:
            found.append(VolumeUse(WORKSPACE, Side.SOURCE, directory_of(cdsw.source.archive)))
        if cdsw.source.projects is not None:
            found.append(VolumeUse(WORKSPACE, Side.SOURCE, cdsw.source.projects))
        goes_to = directory_of(cdsw.target.archive) if cdsw.target.archive is not None else cdsw.projects
        return (*found, VolumeUse(WORKSPACE, Side.TARGET, goes_to))

    def servers(self, spec: Spec) -> tuple[str, ...]:
        cdsw = cdsw_of(spec)
        if cdsw.target.archive is not None:
            return (f"archive/{place(cdsw.target.archive)}",)
        return (f"postgres/{place_of(cdsw.server.host, cdsw.server.port, cdsw.server.database)}",)

    def hosts(self, spec: Spec) -> tuple[tuple[Side, str], ...]:
        cdsw = cdsw_of(spec)
        live = ((Side.SOURCE, cdsw.source.database.postgres.host),) if cdsw.source.database is not None else ()
        return live if cdsw.is_export else (*live, (Side.TARGET, cdsw.server.host))

    def units(self, spec: Spec) -> tuple[str, ...]:  # noqa: ARG002
        return (WORKSPACE,)

    def adds_only(self, spec: Spec) -> frozenset[str]:  # noqa: ARG002
        return frozenset()

    def discovery(self, spec: Spec) -> Discovery | None:
        """Where the target's namespace is given, all that the document leaves out; else the Job alone."""
        cdsw = cdsw_of(spec)
        if cdsw.is_export:
            return None
        if cdsw.target.namespace is None:
            return Discovery(cdsw.target.schema_job)
        return Discovery(
            cdsw.target.schema_job,
            password=Variable(STATEFUL_SET, PASSWORD_VARIABLE) if cdsw.target.database is None else None,
            host=cdsw.server.host,
            workloads=tuple(WorkloadRef(WorkloadKind.DEPLOYMENT, name) for name in DEPLOYMENTS),
            stays=frozenset({STATEFUL_SET}),
        )

    def surveys(
        self,
        spec: Spec,
        backings: Sequence[Backing],  # noqa: ARG002 - how large a dump becomes is known once it is written
        unmade: frozenset[str] = frozenset(),  # noqa: ARG002 - a workspace exists
    ) -> tuple[UnitWork, ...]:
        # mounted and allowed to do what the copy will: it says what of that it could not
        sides = (target_database(spec), target_files(spec, write=True))
        return (work("cdsw.survey", choices(spec), source=source(spec), target=sides, owners=True),)

    def judge_survey(
        self,
        spec: Spec,  # noqa: ARG002
        unit: str,
        record: Record,
        *,
        written: bool,  # noqa: ARG002 - the survey knows its own migration's work
        client_images: frozenset[int] = frozenset(),
    ) -> tuple[Failure, ...]:
        if unit.startswith((CLIENT_TOOLS_UNIT, BACKUP_UNIT)):
            return judge_by_outcome(unit, record)
        return databases.judge(unit, record, client_images)

    def other_way(self, spec: Spec, failed: Mapping[str, str]) -> str:  # noqa: ARG002 - there is one way
        return ""

    def tool_looks(self, spec: Spec, surveyed: Mapping[str, Mapping[str, int]]) -> tuple[UnitWork, ...]:  # noqa: ARG002
        return databases.tool_looks((WORKSPACE,), surveyed)

    def backups(self, spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
        """The database. Of files there are none."""
        params = {"side": "target", "name": WORKSPACE, "workers": spec.transfer.workers}
        return tuple(
            _of_database(spec, "dump", params, Mount(BACKUP, backing.place, read_only=False))
            for backing in backings
            if backing.place is not None and not cdsw_of(spec).is_export
        )

    def backup_proofs(self, spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:  # noqa: ARG002
        """A dump reads itself back."""
        return ()

    def restores(self, spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
        """The database from its dump; of files, what was brought is taken away."""
        params = {"name": WORKSPACE, "replace": True, "workers": spec.transfer.workers}
        kept = (backing.place for backing in backings if backing.place is not None)
        rows = tuple(_of_database(spec, "restore", params, Mount(BACKUP, place, read_only=True)) for place in kept)
        return (*rows, *(_clear(spec, Clearing.EVERYTHING, files_only=bool(rows)) for _ in backings))

    def restore_proofs(self, spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
        """A restore proves itself; what is left is its note."""
        return tuple(
            _of_database(spec, "clear", {"what": str(Clearing.NOTE)})
            for backing in backings
            if backing.place is not None
        )

    def settlements(self, spec: Spec, arrived: Sequence[str]) -> tuple[UnitWork, ...]:
        """What was saved in the database goes, with the mark on the files."""
        if cdsw_of(spec).is_export:
            return ()
        sides = (target_database(spec), target_files(spec, write=True))
        params = {"what": str(Clearing.NOTE), "arrived": list(arrived)}
        return (work("cdsw.clear", params, target=sides, owners=True),)

    def prove_themselves(self, spec: Spec) -> frozenset[str]:
        """An archive can be taken away at any time: it is known by what the export wrote down."""
        return frozenset({PROJECTS} if cdsw_of(spec).is_export else {WORKSPACE, PROJECTS})

    def arrangements(self, spec: Spec) -> tuple[UnitWork, ...]:  # noqa: ARG002
        return ()

    def copies(
        self,
        spec: Spec,
        *,
        share: int,
        empty: frozenset[str],  # noqa: ARG002 - the programs look themselves
        warm: bool = False,
    ) -> tuple[UnitWork, ...]:
        if warm:
            return ()
        bandwidth = parse_bytes(spec.transfer.bandwidth) // share if spec.transfer.bandwidth else None
        params = {**choices(spec), "workers": spec.transfer.workers, "bandwidth": bandwidth}
        files = target_files(spec, write=True)
        if cdsw_of(spec).is_export:
            return (work("cdsw.export", params, source=source(spec), target=(files,), client_tools=True),)
        rows = work("cdsw.load", params, source=source(spec), target=(target_database(spec),), client_tools=True)
        moved = work("cdsw.files", params, source=source(spec), target=(files,), name=PROJECTS, network=False)
        return (rows, moved)

    def upgrades(self, spec: Spec) -> tuple[UnitWork, ...]:
        cdsw = cdsw_of(spec)
        if cdsw.is_export:
            return ()
        job = cdsw.target.schema_job
        return (UnitWork(SCHEMA, "job", (), {"job": job}, job=job),)

    def adaptations(self, spec: Spec) -> tuple[UnitWork, ...]:
        if cdsw_of(spec).is_export:
            return ()
        return (work("cdsw.adapt", choices(spec), target=(target_database(spec),)),)

    def verifications(self, spec: Spec) -> tuple[UnitWork, ...]:
        sides = (target_database(spec), target_files(spec, write=False))
        params = {**choices(spec), "workers": spec.transfer.workers, "verify": str(spec.transfer.verify)}
        return (work("cdsw.verify", params, source=source(spec), target=sides),)

    def server_looks(self, spec: Spec) -> tuple[UnitWork, ...]:  # noqa: ARG002 - a workspace has no door for that
        return ()

    def checks(self, spec: Spec, digests: Mapping[str, str]) -> tuple[UnitWork, ...]:  # noqa: ARG002
        """None: what a workspace is compared with lies in its database until the migration has succeeded."""
        return ()


def _of_database(spec: Spec, program: str, params: Params, *mounts: Mount) -> UnitWork:
    part = target_database(spec)
    return UnitWork(
        WORKSPACE,
        f"postgres.{program}",
        mounts,
        {"target": server(spec), **params},
        part.secrets,
        network=True,
        client_tools=program != "clear",
    )


def _clear(spec: Spec, what: Clearing, *, files_only: bool) -> UnitWork:
    """By the list that the copy left in the workspace, or by the archive where it left none."""
    files = target_files(spec, write=True)
    target = (files,) if files_only else (target_database(spec), files)
    params = {"what": str(what)}
    return work("cdsw.clear", params, source=source(spec), target=target, name=PROJECTS, owners=True)
