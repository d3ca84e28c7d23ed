"""What a server or a client tool says, as one of the reasons that a record may hold.

The SQLSTATEs are those of the manual's appendix A. Before a session is open libpq gives no SQLSTATE to its caller,
so those failures are told apart by the words of ``src/backend/libpq/auth.c`` and ``src/interfaces/libpq``.
"""

from __future__ import annotations

import psycopg

from project_migration.workers import reasons

UNREACHABLE = "DatabaseUnreachable"
AUTHENTICATION_FAILED = "AuthenticationFailed"
TLS_FAILED = "TLSFailed"
DATABASE_NOT_FOUND = "DatabaseNotFound"
TARGET_OLDER = "TargetOlder"
TOOLS_MISSING = "ClientToolsMissing"
EXTENSION_MISSING = "ExtensionMissing"
ROLE_MISSING = "RoleMissing"
BACKUP_UNREADABLE = "BackupUnreadable"


Refused = reasons.Refusal

#: Words in the text of a connection that did not come about, in the order in which they are looked for.
_AT_CONNECT = (
    (("password authentication failed", "no password supplied", "authentication failed"), AUTHENTICATION_FAILED, False),
    (("does not support SSL", "SSL error", "certificate", "no encryption", "SSL off", "SSL on"), TLS_FAILED, False),
    (("no pg_hba.conf entry", "is not permitted to log in"), AUTHENTICATION_FAILED, False),
    (("permission denied for database",), reasons.PERMISSION_DENIED, False),
    (("does not exist",), DATABASE_NOT_FOUND, False),
    (("could not translate host name", "could not parse network address"), UNREACHABLE, False),
)

_BY_CLASS = {
    "08": (UNREACHABLE, True),
    "28": (AUTHENTICATION_FAILED, False),
    "40": (reasons.TARGET_BUSY, True),
    "55": (reasons.TARGET_BUSY, True),
    "57": (UNREACHABLE, True),
    "58": (reasons.IO_ERROR, True),
}
_BY_STATE = {
    "3D000": (DATABASE_NOT_FOUND, False),
    "42501": (reasons.PERMISSION_DENIED, False),
    "42704": (reasons.COPY_INCOMPLETE, False),
    "53100": (reasons.NO_SPACE_LEFT, False),
    "53200": (reasons.COPY_INCOMPLETE, True),
    "53300": (UNREACHABLE, True),
    "25006": (reasons.TARGET_READ_ONLY, False),
    "58P01": (EXTENSION_MISSING, False),
    "0A000": (reasons.COPY_INCOMPLETE, False),
}


def at_connect(side: str, error: psycopg.Error) -> Refused:
    text = str(error)
    for words, reason, passing in _AT_CONNECT:
        if any(word in text for word in words):
            return Refused(reason, f"{side}: {last_line(text)}", passing)
    return Refused(UNREACHABLE, f"{side}: {last_line(text)}", passing=True)


def of_error(where: str, error: psycopg.Error) -> Refused:
    """For an error of a statement; ``where`` names the object that was worked on."""
    state = error.sqlstate or ("08006" if isinstance(error, psycopg.OperationalError) else "")
    reason, passing = _BY_STATE.get(state) or _BY_CLASS.get(state[:2]) or (reasons.COPY_INCOMPLETE, False)
    detail = error.diag.message_primary or last_line(str(error)) or type(error).__name__
    return Refused(reason, f"{where}: {detail}", passing)


def of_tool(where: str, output: str) -> Refused:
    """For a client tool that ended with another code than 0; its words are all there is."""
    text = last_line(output)
    if "No space left" in output:
        return Refused(reasons.NO_SPACE_LEFT, f"{where}: {text}")
    if "permission denied" in output:
        return Refused(reasons.PERMISSION_DENIED, f"{where}: {text}")
    lost = ("server closed the connection", "could not connect", "connection to server", "terminating connection")
    if any(word in output for word in lost):
        return Refused(UNREACHABLE, f"{where}: {text}", passing=True)
    return Refused(reasons.COPY_INCOMPLETE, f"{where}: {text}")


def last_line(text: str) -> str:
    """The line that says most: the server's own, if there is one, else the last that is not libpq's question."""
    stripped = (line.strip() for line in text.strip().splitlines())
    lines = [line for line in stripped if line and "hint:" not in line and not line.endswith("?")]
    told = [line for line in lines if "FATAL" in line or "ERROR" in line or "error:" in line]
    return (told or lines or [""])[-1][:600]
