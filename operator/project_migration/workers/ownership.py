"""Whom files on the target belong to, and what the process that copies them may do about it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

#: For chown(2): leave this half as it is.
KEEP = -1


class OwnershipMode(StrEnum):
    PRESERVE = "Preserve"  # as in the source
    SET = "Set"  # all to one owner
    HELPER = "Helper"  # left to the helper's own user


@dataclass(frozen=True, slots=True)
class Ownership:
    mode: OwnershipMode = OwnershipMode.PRESERVE
    uid: int = KEEP
    gid: int = KEEP

    @classmethod
    def from_params(cls, data: Mapping[str, Any]) -> Ownership:
        """Raises ``ValueError`` with the reason."""
        mode = OwnershipMode(data.get("mode", OwnershipMode.PRESERVE))
        uid, gid = data.get("uid"), data.get("gid")
        if mode is not OwnershipMode.SET:
            return cls(mode)
        if not isinstance(uid, int) or not isinstance(gid, int) or uid < 0 or gid < 0:
            raise ValueError("ownership.mode Set needs ownership.uid and ownership.gid")
        return cls(mode, uid, gid)

    def wanted(self, status: os.stat_result) -> tuple[int, int]:
        """The owner that an object like this one in the source gets on the target; :data:`KEEP` where none is set."""
        if self.mode is OwnershipMode.PRESERVE:
            return status.st_uid, status.st_gid
        return self.uid, self.gid

    @property
    def keeps_privileges(self) -> bool:
        """Whether set-id bits, capabilities and trusted attributes are part of what must arrive.

        They speak for an owner. Where files are given up to the helper's own user they are kept as far as the
        kernel lets that user, and counted where it does not.
        """
        return self.mode is not OwnershipMode.HELPER

    def mode_bits(self, mode: int) -> int:
        """The bits of a mode that must arrive."""
        return mode & (0o7777 if self.keeps_privileges else 0o1777)


class Capability(IntEnum):
    """Numbers from linux/capability.h."""

    CHOWN = 0
    DAC_OVERRIDE = 1
    DAC_READ_SEARCH = 2
    FOWNER = 3
    FSETID = 4
    SYS_ADMIN = 21
    MKNOD = 27
    SETFCAP = 31


def effective_capabilities(status: str | None = None) -> frozenset[Capability]:
    """What the kernel lets this process do, from ``/proc/self/status``; ``status`` is its text, for tests."""
    if status is None:
        with open("/proc/self/status", encoding="utf-8", errors="replace") as stream:
            status = stream.read()
    line = next((line for line in status.splitlines() if line.startswith("CapEff:")), "CapEff: 0")
    bits = int(line.split()[1], 16)
    return frozenset(c for c in Capability if bits >> c & 1)


def in_user_namespace(uid_map: str | None = None) -> bool:
    """Whether capabilities hold only for some owners: a user namespace maps fewer than all of them.

    mknod(2) of a device fails there whatever the capabilities say, and chown(2) to an owner that is not mapped too.
    """
    if uid_map is None:
        try:
            with open("/proc/self/uid_map", encoding="utf-8") as stream:
                uid_map = stream.read()
        except OSError:
            return False
    return [line.split() for line in uid_map.splitlines()] != [["0", "0", "4294967295"]]
