"""Processes of helpers: whether one still runs, after any number of crashes of ours, and how to end it.

A process id alone proves nothing, since ids are used again; with its start time and the boot it does. A helper leads a
session of its own, so that its whole group can be ended, and the kernel does not give its id to anybody else while a
process of that group is left.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

#: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
_STATE, _GROUP, _STARTED = 0, 2, 19

#: https://man7.org/linux/man-pages/man7/capabilities.7.html, linux/capability.h
CAP_CHOWN = 0


@dataclass(frozen=True, slots=True)
class Identity:
    """Which process: its id, the clock ticks from boot to its start, and the boot."""

    pid: int
    started: int
    boot: str


def identify(pid: int) -> Identity:
    """A process that was just made, and not waited for yet."""
    fields = _stat(pid)
    return Identity(pid, int(fields[_STARTED]) if fields else 0, boot_id())


def boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def runs(identity: Identity) -> bool:
    """Whether the process, or one that it left behind in its group, has not ended."""
    if identity.boot != boot_id():
        return False
    fields = _stat(identity.pid)
    if fields is None:
        return _group_has_members(identity.pid)
    if int(fields[_STARTED]) != identity.started:
        return False  # the id is used again, so nothing of its group is left
    return fields[_STATE] not in ("Z", "X") or _others_in_group(identity.pid)


def end(identity: Identity, number: signal.Signals) -> None:
    """Sends a signal to the whole group, if it is still that one."""
    if not runs(identity):
        return
    try:
        os.killpg(identity.pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _stat(pid: int) -> list[str] | None:
    """The fields after the command's name, which may hold spaces and brackets itself."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def _group_has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _others_in_group(group: int) -> bool:
    """Whether anything but the leader, which has ended, is in the group."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != group:
            fields = _stat(int(entry.name))
            if fields and int(fields[_GROUP]) == group and fields[_STATE] not in ("Z", "X"):
                return True
    return False


def out_of_memory_kills() -> int | None:
    """How many processes the kernel has killed for want of memory since boot (5.2 and later say so to everybody)."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def may_give_files_away() -> bool:
    """Whether this process may change owners: root, or somebody with CAP_CHOWN."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return os.geteuid() == 0
    effective = next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
    return bool(effective >> CAP_CHOWN & 1)
