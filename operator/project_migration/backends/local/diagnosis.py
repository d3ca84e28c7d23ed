"""Why a helper cannot be started here, or ended without a record: as much as is known, and no more."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from project_migration.backends.local import processes
from project_migration.engine.effects import HelperSpec
from project_migration.model.errors import Failure, Reason

LINES = 5
LINE_CHARACTERS = 300


def refusal(spec: HelperSpec) -> Failure | None:
    """An ordinary user cannot run a helper as somebody else."""
    for what, wanted, own in (("uid", spec.user, os.geteuid()), ("gid", spec.group, os.getegid())):
        if wanted is not None and wanted != own and os.geteuid() != 0:
            return Failure(
                Reason.PRIVILEGE_DENIED,
                f"ownership.{what} is {wanted}, and this program runs with {what} {own}: run it as root,"
                f" or leave ownership.{what} out",
            )
    return None


def crashed(name: str, exit_code: int | None, log: Path, kills_before: int | None) -> Failure:
    """A helper that ended and left no record."""
    said = f"; it said last: {words}" if (words := last_lines(log)) else ""
    if exit_code is None:
        message = f"helper {name} was at work when an earlier run was killed, and left no record{said}"
        return Failure(Reason.HELPER_LOST, message, passing=True)
    if exit_code >= 0:
        message = f"helper {name} ended with exit code {exit_code} and left no record{said}"
        return Failure(Reason.HELPER_CRASHED, message)
    if exit_code == -signal.SIGKILL:
        return _killed(name, said, kills_before)
    message = f"helper {name} was ended by {signal_name(-exit_code)} and left no record{said}"
    return Failure(Reason.HELPER_CRASHED, message, passing=True)


def _killed(name: str, said: str, kills_before: int | None) -> Failure:
    """The kernel counts what it kills for want of memory; a count that rose meanwhile is all that can be known."""
    now = processes.out_of_memory_kills()
    if now is not None and kills_before is not None and now > kills_before:
        message = (
            f"helper {name} was killed (SIGKILL), and the kernel ran out of memory while it was at work:"
            f" most likely that is why{said}"
        )
        return Failure(Reason.HELPER_OUT_OF_MEMORY, message, passing=True)
    message = f"helper {name} was killed (SIGKILL) by a person or a program, and left no record{said}"
    return Failure(Reason.HELPER_CRASHED, message, passing=True)


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_lines(path: Path) -> str:
    """The last few lines of a helper's log, as one line."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 8192))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return " | ".join(line.strip()[:LINE_CHARACTERS] for line in lines[-LINES:] if line.strip())
