"""What each side of a migration shows by itself, for a survey: facts, and what stands in the way."""

from __future__ import annotations

import os
from typing import Any

from project_migration.model.records import NAMES_LIMIT
from project_migration.workers import reasons
from project_migration.workers.cdsw import emptiness, failures, note, tables, workspace
from project_migration.workers.cdsw.choice import chosen_administrator
from project_migration.workers.cdsw.note import State
from project_migration.workers.cdsw.request import Side, administrator
from project_migration.workers.cdsw.walking import walk
from project_migration.workers.harness import Job
from project_migration.workers.ownership import Capability, OwnershipMode, effective_capabilities
from project_migration.workers.params import Params
from project_migration.workers.postgres import journal
from project_migration.workers.postgres.session import Connection, major, rows, value
from project_migration.workers.reasons import Refusal
from project_migration.workers.tree import Tree, open_root

Told = tuple[dict[str, Any], list[Refusal]]

#: What is said of a session through the server's own socket.
LOCAL = "local"

#: Of these a record has room for so many.
MOST_CLIENTS = 10

_CLIENTS = f"""
SELECT coalesce(nullif(application_name, ''), usename, 'unknown'), coalesce(host(client_addr), '{LOCAL}'), count(*)
  FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database() AND backend_type = 'client backend'
   AND application_name NOT LIKE 'project_migration%' AND pid <> pg_catalog.pg_backend_pid()
 GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 50
"""  # noqa: S608 - our own words

#: A part of the room that is left free: directories and a file system's own blocks take some.
_SPARE = 1.02


def target_database(job: Job, session: Connection) -> Told:
    clients = rows(session, _CLIENTS)
    facts: dict[str, Any] = {
        "major": major(session),
        "version": str(value(session, "SHOW server_version")),
        "clients": [list(row) for row in clients[:MOST_CLIENTS]],
        "addresses": list(dict.fromkeys(host for _, host, _ in clients if host != LOCAL))[:NAMES_LIMIT],
        "databaseBytes": value(session, "SELECT pg_catalog.pg_database_size(current_database())"),
    }
    problems: list[Refusal] = []
    facts["arrived"] = " ".join(journal.read_arrived(session))
    found = note.read(session)
    if found is not None and found.migration != job.request.migration_uid:
        problems.append(Refusal(reasons.TARGET_NOT_EMPTY, "the target database holds the work of another migration"))
        return facts, problems
    facts["state"] = str(found.state) if found else ""
    if found is not None and found.state in (State.LOADED, State.ADAPTED):
        return facts, problems  # what is there is our own; the workspace's rows are in our schema
    missing = workspace.missing_tables(session)
    if missing:
        message = f"the target database has no table {', '.join(missing)}: it is no workspace"
        return facts, [Refusal(failures.NOT_A_WORKSPACE, message)]
    facts["projects"] = value(session, f"SELECT count(*) FROM {workspace.public(tables.PROJECTS)}")  # noqa: S608
    if facts["projects"]:
        message = f"the target's database holds {facts['projects']} projects"
        problems.append(Refusal(reasons.TARGET_NOT_EMPTY, message))
    facts["administrator"] = administrator(job)
    try:
        chosen_administrator(session, administrator(job))
    except Refusal as refused:
        problems.append(refused)
    return facts, problems


def source_database(session: Connection) -> Told:
    facts: dict[str, Any] = {
        "major": major(session),
        "version": str(value(session, "SHOW server_version")),
        "clients": [list(row) for row in rows(session, _CLIENTS)],
        "databaseBytes": value(session, "SELECT pg_catalog.pg_database_size(current_database())"),
    }
    missing = workspace.missing_tables(session)
    if missing:
        message = f"the source database has no table {', '.join(missing)}: it is no CDSW"
        return facts, [Refusal(failures.NOT_A_WORKSPACE, message)]
    estimated = (
        "SELECT greatest(sum(reltuples), 0)::bigint FROM pg_catalog.pg_class WHERE relkind = 'r' AND oid >= 16384"
    )
    return facts | {"tables": len(workspace.all_tables(session)), "rows": value(session, estimated)}, []


def source_files(job: Job, source: Side) -> Told:
    """Files and bytes of a live CDSW that would move."""
    counts = {"entries": 0, "files": 0, "bytes": 0}
    try:
        root = open_root(source.root(job))
    except FileNotFoundError:
        return {}, [Refusal(reasons.SOURCE_NOT_FOUND, "the directory of the source's projects does not exist")]
    tree = Tree(root, read_only=True)
    try:
        for _, status in walk(tree):
            counts["entries"] += 1
            if status.st_mode & 0o170000 == 0o100000:
                counts["files"] += 1
                counts["bytes"] += status.st_size
    except OSError as error:
        return dict(counts), [Refusal(reasons.SOURCE_UNREADABLE, f"the source's projects: {reasons.cause_of(error)}")]
    finally:
        tree.close()
        os.close(root)
    return dict(counts), []


def target_files(job: Job, target: Side, size: int, entries: int) -> Told:
    """Whether the claim is free, and has room for what comes."""
    try:
        root = open_root(target.root(job))
    except FileNotFoundError:
        return {}, [Refusal(reasons.TARGET_NOT_A_DIRECTORY, "the target's projects have no directory")]
    problems: list[Refusal] = []
    try:
        ours = emptiness.is_ours(job, root)
        try:
            emptiness.refuse_strangers(job, root)
        except Refusal as refused:
            problems.append(refused)
        held = "" if ours else emptiness.first_held(root)
        room = os.fstatvfs(root)
        free = room.f_bavail * room.f_frsize
    except OSError as error:
        what = f"the target's projects cannot be looked at: {reasons.cause_of(error)}"
        return {"heldFiles": "?"}, [Refusal(reasons.PERMISSION_DENIED, what)]
    finally:
        os.close(root)
    problems += _rights(job)
    facts = {"heldFiles": held, "freeBytes": free, "freeInodes": room.f_favail}
    if not ours and free < size * _SPARE:
        message = f"the projects' claim has {free} bytes free, and {size} are to come"
        problems.append(Refusal(failures.NOT_ENOUGH_SPACE, message))
    if not ours and room.f_files and room.f_favail < entries:
        message = f"the projects' claim has {room.f_favail} inodes free, and {entries} are needed"
        problems.append(Refusal(failures.NOT_ENOUGH_INODES, message))
    return facts, problems


def _rights(job: Job) -> list[Refusal]:
    """Whether files can be given to whom they shall belong."""
    ownership = Params(job.request.params).ownership
    mine = ownership.mode is OwnershipMode.HELPER or (ownership.uid, ownership.gid) == (os.geteuid(), os.getegid())
    needed = {Capability.CHOWN, Capability.FOWNER, Capability.DAC_OVERRIDE}
    if mine or needed <= effective_capabilities():
        return []
    whom = f"{ownership.uid}:{ownership.gid}"
    return [Refusal(failures.PRIVILEGE_DENIED, f"the helper may not give the projects' files to {whom}")]


def target_archive(target: Side, size: int) -> Told:
    directory = os.path.dirname(target.archive)
    try:
        room = os.statvfs(directory)
    except OSError as error:
        return {}, [Refusal(reasons.TARGET_NOT_A_DIRECTORY, f"the archive's directory: {reasons.cause_of(error)}")]
    facts = {"freeBytes": room.f_bavail * room.f_frsize, "exists": os.path.lexists(target.archive)}
    if facts["exists"]:
        name = os.path.basename(target.archive)
        return facts, [Refusal(reasons.TARGET_NOT_EMPTY, f"the archive {name} exists already")]
    if facts["freeBytes"] < size:
        message = f"{facts['freeBytes']} bytes are free for an archive of at most {size}"
        return facts, [Refusal(failures.NOT_ENOUGH_SPACE, message)]
    return facts, []
