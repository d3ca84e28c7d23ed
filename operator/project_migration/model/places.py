"""Where volumes lie, by name: what stands against one, and whether two are one place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from project_migration.model.endpoints import Volume


def volume(where: str, at: Volume, *, namespace: str, local: bool) -> Iterator[str]:
    if at.path is not None and not local:
        yield f"{where}.path: a path exists only in documents run on one machine; name a claim in claimName"
    elif (at.path is None) == (at.claim_name is None):
        yield f"{where}: give " + ("either claimName or path" if local else "claimName")
    if at.path is not None and not at.path.startswith("/"):
        yield f"{where}.path: {at.path!r} is not absolute: begin it with /"
    if at.sub_path and ".." in PurePosixPath(at.sub_path).parts:
        yield f"{where}.subPath: must stay inside the claim: no '..'"
    if at.cluster is not None:
        yield f"{where}.cluster: NotSupportedYet: this release works within one cluster"
    if local and at.namespace not in (None, namespace):
        yield f"{where}.namespace: NotSupportedYet: one machine has no other namespaces"


def place(volume: Volume) -> str:
    root = volume.path if volume.path is not None else f"claim {volume.claim_name}"
    return f"{root}/{volume.sub_path}" if volume.sub_path else str(root)


def overlap(one: Volume, other: Volume) -> bool:
    """Whether one place is the other, or lies inside it. By name only: links are looked at in preflight."""
    if one.path is not None and other.path is not None:
        left, right = (PurePosixPath(v.path or "/") / (v.sub_path or "") for v in (one, other))
        return left.is_relative_to(right) or right.is_relative_to(left)
    if one.claim_name is None or one.claim_name != other.claim_name or one.namespace != other.namespace:
        return False
    left, right = (PurePosixPath(v.sub_path or ".") for v in (one, other))
    return left.is_relative_to(right) or right.is_relative_to(left)
