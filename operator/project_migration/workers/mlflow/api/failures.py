"""What a tracking server says, as one of the reasons that a record may hold.

Error bodies are ``{"error_code", "message"}`` (manual, "REST API"); the codes are those of ``databricks.proto``.
"""

from __future__ import annotations

from project_migration.workers import reasons
from project_migration.workers.printable import escape, shorten

UNREACHABLE = "ServerUnreachable"
NOT_MLFLOW = "NotMlflow"
NAME_CLASH = "NameClash"
NOTHING_SELECTED = "NothingSelected"
ARTIFACTS_UNREACHABLE = "ArtifactsUnreachable"
ARCHIVE_UNREADABLE = "ArchiveUnreadable"
AUTHENTICATION_FAILED = "AuthenticationFailed"
TLS_FAILED = "TLSFailed"
TARGET_OLDER = "TargetOlder"
NOT_SERVED = "NotServed"

ALREADY_EXISTS = "RESOURCE_ALREADY_EXISTS"
DOES_NOT_EXIST = "RESOURCE_DOES_NOT_EXIST"

#: Answers after which the same call may succeed: a proxy or the server is busy, or starts anew.
PASSING_STATUSES = frozenset({408, 425, 429, 502, 503, 504})

MESSAGE_LIMIT = 400


class Refused(reasons.Refusal):
    """Ends the worker: nothing more can be done on this server."""


class ObjectFailed(Exception):  # noqa: N818 - an outcome, caught by name
    """One object cannot be moved; the others go on. The message gives the cause, without the object's name."""


class Answer(ObjectFailed):
    """A server answered with an error: one object is concerned, unless all would be."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {said(message)}" if code else f"{status}: {said(message)}")
        self.status = status
        self.code = code
        #: Seconds that the server asked to wait.
        self.pause = 0.0

    @property
    def missing(self) -> bool:
        return self.status == 404 or self.code == DOES_NOT_EXIST

    @property
    def passing(self) -> bool:
        return self.status in PASSING_STATUSES


class Unanswered(Exception):  # noqa: N818 - an outcome, tried again and then told as a refusal
    """No answer, or half of one: the connection was refused, lost or too slow."""


def said(text: str) -> str:
    """A server's words on one line, and not too many of them."""
    return shorten(escape(" ".join(text.split())), MESSAGE_LIMIT)
