"""Extended attributes that travel with a file: the users' own, POSIX ACLs, file capabilities, trusted ones.

Labels that a system puts on its own files (security.selinux, system.nfs4_acl, …) stay where they are: the target's
system puts its own. See xattr(7) and acl(5).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

Attributes = Mapping[str, bytes]

NOTHING: Attributes = {}

ACCESS_ACL = "system.posix_acl_access"
DEFAULT_ACL = "system.posix_acl_default"
CAPABILITY = "security.capability"

#: Errors of listing that mean: this file system, or this object, has none.
_NONE_HERE = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EACCES, errno.EINVAL})


def travels(name: str) -> bool:
    return name.startswith(("user.", "trusted.")) or name in (ACCESS_ACL, DEFAULT_ACL, CAPABILITY)


def is_privilege(name: str) -> bool:
    """Attributes that only an administrator can give."""
    return name == CAPABILITY or name.startswith("trusted.")


def read(where: int | str) -> Attributes:
    """Of a descriptor, or of a path whose last part is not followed. Raises ``OSError``."""
    try:
        names = os.listxattr(where) if isinstance(where, int) else os.listxattr(where, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NONE_HERE:
            return NOTHING
        raise
    if not names:
        return NOTHING
    return {name: value for name in names if travels(name) and (value := _value(where, name)) is not None}


def _value(where: int | str, name: str) -> bytes | None:
    try:
        if isinstance(where, int):
            return os.getxattr(where, name)
        return os.getxattr(where, name, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENODATA:  # gone since it was listed
            return None
        raise


def stale(have: Attributes, want: Attributes) -> tuple[str, ...]:
    """Names to remove. Trusted ones that the source lacks belong to the target's system."""
    return tuple(name for name in have if name not in want and not name.startswith("trusted."))


def equal(have: Attributes, want: Attributes) -> bool:
    if not have and not want:
        return True
    return all(have.get(name) == value for name, value in want.items()) and not stale(have, want)


def unprivileged(attrs: Attributes) -> Attributes:
    """Those that any owner of a file can give it."""
    if not attrs:
        return attrs
    return {name: value for name, value in attrs.items() if not is_privilege(name)}
