"""Which document a target has seen carried out: the digests that a mark on it holds, and whether they are this one's.

A document that has been carried out may come again, on a new object: from Git, after the cluster was lost. Its status
is lost too, but not its targets, and their users go on working there. So each target says which document it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from project_migration.model.document import Document
from project_migration.model.status import UnitStatus


def digests(document: Document) -> tuple[str, ...]:
    """What a mark says of a document: the digest without its spec.force, and the one with it, if it has one.

    So a document is known again with the token that it was carried out with, and without any; not with another.
    """
    return tuple(dict.fromkeys((_digest(document, ""), digest(document))))


def digest(document: Document) -> str:
    """``sha256:…`` over all that decides what arrives where: name and namespace, platform, ownership, what is removed
    and how it is proved, and spec.force. Not over limits, waits, moments and workspace, which a repetition may change.

    Without what is as by default, so that a field that a later release adds changes no digest.
    """
    return _digest(document, document.spec.force or "")


def _digest(document: Document, force: str) -> str:
    spec = document.spec
    transfer = spec.transfer
    identity: dict[str, Any] = {
        "namespace": document.metadata.namespace,
        "name": document.metadata.name,
        "ownership": spec.ownership.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        "delete": transfer.delete,
        "verify": str(transfer.verify),
        "force": force,
        **spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, include={spec.platform}),
    }
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def is_here(document: Document, names: Iterable[str], surveyed: Iterable[UnitStatus]) -> bool:
    """Whether every one of the named units was looked at, and carries the mark of this very document."""
    wanted = digest(document)
    marks = {unit.name: unit.arrived.split() for unit in surveyed}
    return all(wanted in marks.get(name, ()) for name in names)
