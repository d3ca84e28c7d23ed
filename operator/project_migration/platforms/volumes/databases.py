"""PostgreSQL beside volumes: what its helpers do, with which Secrets, and what their surveys say against it.

A helper reads the Secrets of the sides that it talks to, and no others. What goes into a request is names only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from project_migration.engine.effects import Mount, SecretMount
from project_migration.engine.platform import CLIENT_TOOLS_UNIT, TARGET_MAJOR, Backing, UnitWork, VolumeUse
from project_migration.model.cdsw import WorkspaceDatabase
from project_migration.model.database_rules import database_place
from project_migration.model.document import Database, NameFilter, Side, Spec
from project_migration.model.endpoints import CaRef, DatabaseEndpoint, SecretRef, Volume
from project_migration.model.errors import Failure, Reason
from project_migration.model.records import Record, proved_manifest

CREDENTIAL_KEYS = (("username", "username"), ("password", "password"))

#: What the workers call the file, whatever its key is called in the Secret.
CA_FILE = "ca.crt"

#: The root below which a dump lies, in a directory named after its database.
BACKUP = "backup"

Params = Mapping[str, Any]


class Clearing(StrEnum):
    """What ``postgres.clear`` takes away of a migration's own work in a target."""

    UNFINISHED = "Unfinished"
    """What a copy did not complete: after a cancel, or when a person gives up."""
    EVERYTHING = "Everything"
    """What was completed, too: a way back without a backup, for a target that was proved empty."""
    NOTE = "Note"
    """Only the schema that says whose work it is, when all is proved and nothing can be taken back any more."""


def of(spec: Spec) -> tuple[Database, ...]:
    return spec.volumes.databases if spec.volumes is not None else ()


def targets(spec: Spec) -> tuple[str, ...]:
    """``postgres/db.new:5432/vision`` for each: the host in lower case, the port always given."""
    return tuple(f"postgres/{database_place(database.target)}" for database in of(spec))


def hosts(spec: Spec) -> tuple[tuple[Side, str], ...]:
    found = (
        (side, endpoint.postgres.host)
        for database in of(spec)
        for side, endpoint in ((Side.SOURCE, database.source.endpoint), (Side.TARGET, database.target))
        if endpoint is not None
    )
    return tuple(dict.fromkeys(found))


def uses(spec: Spec) -> tuple[VolumeUse, ...]:
    """The dumps that are read in place of servers."""
    dumps = ((database.name, database.source.dump) for database in of(spec))
    return tuple(VolumeUse(name, Side.SOURCE, dump) for name, dump in dumps if dump is not None)


def surveys(spec: Spec) -> tuple[UnitWork, ...]:
    return tuple(_from_source(database, "survey", _choices(database)) for database in of(spec))


def copies(spec: Spec, *, bandwidth: int | None, empty: frozenset[str]) -> tuple[UnitWork, ...]:
    """``bandwidth``: bytes a second for each. ``empty``: those that were proved empty, in which nothing is replaced."""
    return tuple(
        _from_source(
            database,
            "copy",
            {
                **_choices(database),
                "replace": database.replace and database.name not in empty,
                "workers": spec.transfer.workers,
                "bandwidth": bandwidth,
            },
        )
        for database in of(spec)
    )


def verifications(spec: Spec) -> tuple[UnitWork, ...]:
    return tuple(
        _from_source(database, "verify", {**_choices(database), "workers": spec.transfer.workers})
        for database in of(spec)
    )


def checks(spec: Spec, digests: Mapping[str, str]) -> tuple[UnitWork, ...]:
    """Of targets alone, against what their verifications wrote down."""
    return tuple(
        _target_only(
            database,
            "check",
            {
                **_choices(database),
                "workers": spec.transfer.workers,
                "against": {"manifest": proved_manifest("verify", database.name, "target"), "digest": digest},
            },
        )
        for database in of(spec)
        if (digest := digests.get(database.name))
    )


def tool_looks(units: Iterable[str], surveyed: Mapping[str, Mapping[str, int]]) -> tuple[UnitWork, ...]:
    """One for each major version among the targets of these units; it talks to no server."""
    majors = {surveyed.get(unit, {}).get(TARGET_MAJOR, 0) for unit in units} - {0}
    return tuple(
        UnitWork(f"{CLIENT_TOOLS_UNIT}{major}", "postgres.client_tools", (), {"major": major}, client_major=major)
        for major in sorted(majors)
    )


def judge(unit: str, record: Record, client_images: frozenset[int] = frozenset()) -> tuple[Failure, ...]:
    """Everything that a survey found to stand in the way; it succeeds when the look was taken, whatever it saw."""
    if not record.succeeded:
        return (Failure(_reason(record.reason), f"{unit}: {record.message}", record.passing),)
    problems = record.facts.get("problems", {})
    found = problems.get("found", ())
    failures = [Failure(_reason(told["reason"]), f"{unit}: {told['message']}", bool(told["passing"])) for told in found]
    more = int(problems.get("count", 0)) - len(failures)
    if failures and more > 0:
        failures.append(Failure(failures[-1].reason, f"{unit}: and {more} more"))
    return (*failures, *_lacking_tools(unit, record, client_images))


def _lacking_tools(unit: str, record: Record, client_images: frozenset[int]) -> tuple[Failure, ...]:
    """A survey runs in the helper image; where another is named for the target's version, that one is looked into."""
    facts = record.facts.get("tools", {})
    needed, found = facts.get("needed"), {int(major) for major in facts.get("found", ())}
    if needed is None or needed in found | client_images:
        return ()
    there = ", ".join(map(str, sorted(found))) or "none"
    message = (
        f"{unit}: the target is PostgreSQL {needed}, and helpers have no client tools of that major version (found:"
        f" {there}); helper.postgresImages names no image for {needed}"
    )
    return (Failure(Reason.CLIENT_TOOLS_MISSING, message),)


def backups(spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
    """Dumps of the targets that are about to be replaced; the others were proved empty. A dump reads itself back."""
    places = {backing.unit: backing.place for backing in backings}
    return tuple(
        backup_of(spec, database, place)
        for database in of(spec)
        if database.replace and (place := places.get(database.name)) is not None
    )


def backup_of(spec: Spec, database: Database, place: Volume) -> UnitWork:
    params = {"side": "target", "name": database.name, "workers": spec.transfer.workers}
    return _target_only(database, "dump", params, Mount(BACKUP, place, read_only=False))


def restores(spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
    """The way back: from its dump, or to the empty database that it was. Each proves itself what it has done."""
    by_name = {backing.unit: backing for backing in backings}
    return tuple(
        restore_of(spec, database, by_name[database.name]) for database in of(spec) if database.name in by_name
    )


def restore_of(spec: Spec, database: Database, backing: Backing) -> UnitWork:
    if backing.place is None:
        return _target_only(database, "clear", {"what": str(Clearing.EVERYTHING)})
    return _target_only(
        database,
        "restore",
        {"name": database.name, "replace": True, "workers": spec.transfer.workers},
        Mount(BACKUP, backing.place, read_only=True),
    )


def after_restores(spec: Spec, backings: Sequence[Backing]) -> tuple[UnitWork, ...]:
    """A restored target loses the note of what came meanwhile; one that was made empty has lost it with the rest."""
    kept = {backing.unit for backing in backings if backing.place is not None}
    return tuple(work for work in clears(spec, Clearing.NOTE) if work.name in kept)


def clears(spec: Spec, what: Clearing, arrived: Sequence[str] = ()) -> tuple[UnitWork, ...]:
    return tuple(clear_of(database, what, arrived) for database in of(spec))


def clear_of(database: Database, what: Clearing, arrived: Sequence[str] = ()) -> UnitWork:
    return _target_only(database, "clear", {"what": str(what), **({"arrived": list(arrived)} if arrived else {})})


def settlements(spec: Spec, arrived: Sequence[str]) -> tuple[UnitWork, ...]:
    """The note of whose work it was gives way to the word of which document was carried out."""
    return clears(spec, Clearing.NOTE, arrived)


def _from_source(database: Database, worker: str, params: Params) -> UnitWork:
    """From the source's server, or from its dump, for which each program has a counterpart."""
    if database.source.dump is not None:
        mount = Mount("source", database.source.dump, read_only=True)
        return _target_only(database, f"dumped.{worker}", params, mount)
    source = database.source.endpoint
    assert source is not None  # noqa: S101 - it is a dump or a server
    return UnitWork(
        database.name,
        f"postgres.{worker}",
        mounts=(),
        params={"source": server_params(source), "target": server_params(database.target), **params},
        secrets=(*_secrets(Side.SOURCE, source), *_secrets(Side.TARGET, database.target)),
        network=True,
        client_tools=worker != "survey",
    )


def _target_only(database: Database, worker: str, params: Params, *mounts: Mount) -> UnitWork:
    return UnitWork(
        database.name,
        f"postgres.{worker}",
        mounts=mounts,
        params={"target": server_params(database.target), **params},
        secrets=_secrets(Side.TARGET, database.target),
        network=True,
        client_tools=not worker.endswith("survey"),
    )


def server_params(endpoint: DatabaseEndpoint | WorkspaceDatabase) -> dict[str, Any]:
    server = endpoint.postgres
    return {
        "host": server.host,
        "port": server.port,
        "database": server.database,
        "sslmode": str(server.sslmode) if server.sslmode else None,
        "insecureSkipVerify": endpoint.insecure_skip_verify,
    }


def secrets(
    prefix: str,
    credentials: SecretRef | None,
    authority: CaRef | None,
    keys: tuple[tuple[str, str], ...] = CREDENTIAL_KEYS,
) -> tuple[SecretMount, ...]:
    """A side's Secrets as roots of the request: ``source-credentials``, ``source-ca``."""
    mounts = []
    if credentials is not None:
        mounts.append(SecretMount(f"{prefix}-credentials", credentials.name, keys))
    if authority is not None:
        mounts.append(SecretMount(f"{prefix}-ca", authority.name, ((authority.key, CA_FILE),)))
    return tuple(mounts)


def _secrets(side: Side, endpoint: DatabaseEndpoint) -> tuple[SecretMount, ...]:
    return secrets(side.value.lower(), endpoint.credentials_ref, endpoint.ca_ref)


def _choices(database: Database) -> Params:
    """What decides the outcome, the same for survey, copy and proof."""
    return {
        "schemas": _filter(database.schemas),
        "tables": _filter(database.tables),
        "excludeTableData": list(database.exclude_table_data),
        "replace": database.replace,
        "owners": str(database.owners),
        "privileges": str(database.privileges),
        "missingRoles": str(database.missing_roles),
        "acceptCollation": database.accept_collation,
    }


def _filter(names: NameFilter) -> dict[str, list[str]]:
    return {"include": list(names.include), "exclude": list(names.exclude)}


def _reason(word: str) -> Reason:
    return Reason(word) if word in {str(reason) for reason in Reason} else Reason.HELPER_CRASHED
