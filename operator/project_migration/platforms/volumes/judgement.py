"""What stands against a migration in what a survey found: every fault, each with sizes and names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from project_migration.model.document import OwnershipMode, Spec
from project_migration.model.errors import Failure, Reason
from project_migration.model.quantities import human_bytes
from project_migration.model.records import Record

Facts = Mapping[str, Any]

#: Room that a target needs beyond the files themselves: directories, and the file system's own blocks.
SPARE_SHARE = 0.02


def judge(spec: Spec, unit: str, record: Record, *, written: bool) -> tuple[Failure, ...]:
    """``written``: this migration has begun to write to the target, so what lies there is its own."""
    if not record.succeeded:
        known = {str(reason) for reason in Reason}
        reason = Reason(record.reason) if record.reason in known else Reason.HELPER_CRASHED
        return (Failure(reason, f"{unit}: {record.message}", record.passing),)
    source, target = record.facts.get("source", {}), record.facts.get("target", {})
    found = [*_source(unit, source, record), *_target(spec, unit, target, written=written)]
    if source.get("nested") or target.get("nested"):
        found.append(
            Failure(Reason.PATHS_OVERLAP, f"{unit}: source and target are the same place, or one inside the other")
        )
    if not found:
        found = [*_room(unit, source, target), *_rights(spec, unit, source, target)]
    return tuple(found)


def judge_backup(spec: Spec, unit: str, record: Record) -> tuple[Failure, ...]:
    """Whether the place for a backup can take what the target holds. A target that is not there yet holds nothing."""
    if not record.succeeded:
        return judge(spec, unit, record, written=True)
    held, kept = record.facts.get("source", {}), record.facts.get("target", {})
    if not held.get("exists", True):
        return ()
    found = [*_source(unit, held, record)]
    if not kept.get("writable", True):
        found.append(Failure(Reason.TARGET_READ_ONLY, f"{unit}: the backup's place cannot be written to by the helper"))
    if not found:
        room = _room(unit, held, kept)
        found = [Failure(Reason.BACKUP_TOO_SMALL, fault.message.replace("target", "backup claim")) for fault in room]
    return tuple(found)


def _source(unit: str, facts: Facts, record: Record) -> Iterator[Failure]:
    if not facts.get("exists", True):
        yield Failure(Reason.SOURCE_NOT_FOUND, f"{unit}: the source directory does not exist")
    elif not facts.get("isDirectory", True):
        yield Failure(Reason.SOURCE_NOT_A_DIRECTORY, f"{unit}: the source is not a directory")
    elif not facts.get("readable", True):
        yield Failure(Reason.SOURCE_UNREADABLE, f"{unit}: the source directory cannot be read by the helper")
    elif facts.get("unreadable", 0):
        names = ", ".join(record.names.get("unreadable", ())[:5])
        count = facts["unreadable"]
        yield Failure(Reason.SOURCE_UNREADABLE, f"{unit}: {count} source object(s) cannot be read: {names}")


def _target(spec: Spec, unit: str, facts: Facts, *, written: bool) -> Iterator[Failure]:
    if facts.get("exists", True) and not facts.get("isDirectory", True):
        yield Failure(Reason.TARGET_NOT_A_DIRECTORY, f"{unit}: the target is not a directory")
        return
    if not facts.get("writable", True):
        yield Failure(Reason.TARGET_READ_ONLY, f"{unit}: the target cannot be written to by the helper")
    own = written or facts.get("ownWork", False) or spec.backup is not None
    if facts.get("exists", True) and not facts.get("empty", True) and not own:
        other = " (unfinished work of another migration)" if facts.get("otherWork") else ""
        count = facts.get("entries", 0)
        yield Failure(Reason.TARGET_NOT_EMPTY, f"{unit}: the target holds {count} object(s) already{other}")


def _room(unit: str, source: Facts, target: Facts) -> Iterator[Failure]:
    there = int(target.get("bytesThere") or 0)
    needs = int(max(0, int(source.get("diskBytes") or 0) - there) * (1 + SPARE_SHARE))
    free = target.get("freeBytes")
    if free is not None and needs > free:
        message = f"{unit}: {human_bytes(needs)} needed, {human_bytes(free)} free on the target"
        yield Failure(Reason.NOT_ENOUGH_SPACE, message)
    inodes, entries = target.get("freeInodes"), int(source.get("entries") or 0)
    if inodes is not None and not there and entries > inodes:
        yield Failure(
            Reason.NOT_ENOUGH_INODES, f"{unit}: {entries} objects to make, {inodes} inodes free on the target"
        )


def _rights(spec: Spec, unit: str, source: Facts, target: Facts) -> Iterator[Failure]:
    mode = spec.ownership.mode
    if target.get("canChown", True) or mode is OwnershipMode.HELPER:
        return
    if mode is OwnershipMode.SET:
        mine = (target.get("uid"), target.get("gid")) == (spec.ownership.uid, spec.ownership.gid)
        if not mine:
            owner = f"{spec.ownership.uid}:{spec.ownership.gid}"
            yield Failure(
                Reason.PRIVILEGE_DENIED, f"{unit}: the helper may not give files to {owner} (ownership.mode Set)"
            )
    elif source.get("foreignOwners", 0):
        count = source["foreignOwners"]
        message = f"{unit}: the helper may not keep the owners of {count} object(s) (ownership.mode Preserve)"
        yield Failure(Reason.PRIVILEGE_DENIED, message)
