"""Becomes a helper: ``python -m project_migration.backends.local.launcher PARENT USER GROUP COMMAND…``.

The kernel is asked to kill the helper when the `run` that started it dies, however it dies: a helper that nobody
watches would write to a target that another run believes to be at rest. Between being made and asking, the parent may
have died already; that is looked at too. USER and GROUP are numbers, or `-` to stay who we are.

The standard library only, and no import of the package: this runs before every helper.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

#: linux/prctl.h
PR_SET_PDEATHSIG = 1

EXIT_PARENT_GONE = 75  # sysexits.h EX_TEMPFAIL
EXIT_CANNOT_REACH = 77  # sysexits.h EX_NOPERM


def main(argv: list[str]) -> int:
    """Returns only when the helper could not become what it should."""
    parent, user, group, *command = argv
    become(user, group)
    # after that, since a change of user clears it (man 2 prctl); exec of an ordinary program keeps it
    die_with_parent()
    if os.getppid() != int(parent):
        return EXIT_PARENT_GONE
    who = f"user {os.geteuid()}"
    if not os.access(command[0], os.X_OK):
        sys.stderr.write(f"{who} may not run {command[0]}: install the program where every user can reach it\n")
        return EXIT_CANNOT_REACH
    for path in command[1:]:
        if path.startswith("/") and not os.access(os.path.dirname(path), os.X_OK):  # noqa: PTH120 - a light start
            sys.stderr.write(f"{who} may not enter the directory of {path}: choose another place with --state DIR\n")
            return EXIT_CANNOT_REACH
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    return EXIT_CANNOT_REACH


def become(user: str, group: str) -> None:
    if group != "-":
        os.setgroups([])
        os.setgid(int(group))
    if user != "-":
        if group == "-":
            os.setgroups([])
            os.setgid(int(user))
        os.setuid(int(user))


def die_with_parent() -> None:
    if sys.platform != "linux":
        return  # nothing of the kind: a killed run leaves its helper to end by itself
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
