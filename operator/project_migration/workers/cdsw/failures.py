"""Reasons of these workers' own, beside those of files and of PostgreSQL."""

from __future__ import annotations

from project_migration.workers import reasons

ARCHIVE_UNREADABLE = "ArchiveUnreadable"
ARCHIVE_UNSAFE = "ArchiveUnsafe"
DUMP_UNUSABLE = "DumpUnusable"
LOAD_FAILED = "LoadFailed"
NOT_A_WORKSPACE = "NotAWorkspace"
ADMINISTRATOR_UNFIT = "AdministratorUnfit"
ADMINISTRATOR_CLASH = "AdministratorClash"
USERS_REFERRED_TO = "UsersReferredTo"
TABLES_REFERRED_TO = "TablesReferredTo"
SETTINGS_NOT_KEPT = "SettingsNotKept"
NOT_ENOUGH_SPACE = "NotEnoughSpace"
NOT_ENOUGH_INODES = "NotEnoughInodes"
PRIVILEGE_DENIED = "PrivilegeDenied"


Refused = reasons.Refusal


def unreadable(message: str) -> Refused:
    return Refused(ARCHIVE_UNREADABLE, message)


def unsafe(message: str) -> Refused:
    return Refused(ARCHIVE_UNSAFE, message)


def unusable(message: str) -> Refused:
    return Refused(DUMP_UNUSABLE, message)
