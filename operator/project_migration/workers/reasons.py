"""Why a worker's record failed: the words that ``model.errors.Reason`` knows, and which system errors mean them.

The words are repeated here because a helper starts faster without the operator's models; a test holds them equal.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

INVALID_DOCUMENT = "InvalidDocument"
PATHS_OVERLAP = "PathsOverlap"
PATH_IS_A_LINK = "PathIsALink"
SOURCE_NOT_FOUND = "SourceNotFound"
SOURCE_NOT_A_DIRECTORY = "SourceNotADirectory"
SOURCE_UNREADABLE = "SourceUnreadable"
TARGET_NOT_A_DIRECTORY = "TargetNotADirectory"
TARGET_NOT_EMPTY = "TargetNotEmpty"
TARGET_BUSY = "TargetBusy"
TARGET_READ_ONLY = "TargetReadOnly"
NO_SPACE_LEFT = "NoSpaceLeft"
PERMISSION_DENIED = "PermissionDenied"
IO_ERROR = "IOError"
SOURCE_CHANGED = "SourceChanged"
NOT_PRESERVED = "NotPreserved"
COPY_INCOMPLETE = "CopyIncomplete"
VERIFY_FAILED = "VerifyFailed"
PROOF_MISSING = "ProofMissing"
HELPER_CRASHED = "HelperCrashed"
JOB_FAILED = "JobFailed"
INTERNAL_ERROR = "InternalError"

#: Errors of a disk or a network that may be gone at the next attempt.
PASSING_ERRORS = frozenset(
    {
        errno.EIO,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENOTCONN,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EREMOTEIO,
        errno.EAGAIN,
        errno.EINTR,
        errno.EBUSY,
    }
)

#: Errors after which nothing more can be written: going on would only fail once for each object.
ENDING_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class Refusal(Exception):  # noqa: N818 - an outcome, caught by name
    """Ends a worker with a failed record."""

    def __init__(self, reason: str, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.passing = passing
        #: What was counted until then.
        self.counts: Mapping[str, int] = {}


def reason_of(number: int | None) -> tuple[str, bool]:
    """The reason for a system error, and whether another attempt may end better."""
    match number:
        case errno.ENOSPC | errno.EDQUOT:
            return NO_SPACE_LEFT, False
        case errno.EROFS:
            return TARGET_READ_ONLY, False
        case errno.EACCES | errno.EPERM:
            return PERMISSION_DENIED, False
        case _:
            return IO_ERROR, number in PASSING_ERRORS


def cause_of(error: OSError) -> str:
    """In a person's words, without the path: ``Permission denied``."""
    return os.strerror(error.errno) if error.errno else str(error)
