"""What the engine and a helper say to each other: one request, progress lines, one result record.

A helper is a program far from the operator, so this is a wire contract: plain JSON with a version.
The module needs the standard library only, because every helper imports it at its start.

Request::

    {"version": 1, "worker": "copy_tree", "migration": {"uid": "…", "name": "vision", "namespace": "ml"},
     "step": "copy", "unit": "data", "attempt": 1,
     "roots": {"source": "/mnt/source", "target": "/mnt/target", "workspace": "/mnt/workspace"},
     "params": {…}}

``roots`` are the directories that the backend mounted; everything a request names lies below one of them.
A request holds no secret: credentials are mounted as files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote

VERSION = 1

#: Kubernetes keeps this much of a container's termination message (kubelet, MaxContainerTerminationMessageLength).
TERMINATION_MESSAGE_LIMIT = 4096

#: At most this many names of anything in a record or a status; whole lists lie in the workspace.
NAMES_LIMIT = 20

#: Bytes that are kept for a message where a record is cut.
MESSAGE_ROOM = 512


class Outcome(StrEnum):
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


def stem_of(step: str, unit: str) -> str:
    """What a helper's files are called in the workspace; the slash in ``cdsw/load`` becomes ``%2F``."""
    return f"{quote(step, safe='')}-{quote(unit, safe='')}"


def proved_manifest(step: str, unit: str, root: str) -> str:
    """Where a proof leaves the list of what it read, below the workspace."""
    return f"manifests/{stem_of(step, unit)}-{root}.tsv.gz"


@dataclass(frozen=True, slots=True)
class Request:
    """One piece of work for one helper. Two requests with equal ``digest`` ask for the same thing."""

    worker: str
    migration_uid: str
    migration_name: str
    namespace: str
    step: str
    unit: str
    attempt: int = 1
    roots: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """``sha256:…`` over all that decides the outcome: not the attempt, and not where things are mounted."""
        identity = {
            "worker": self.worker,
            "uid": self.migration_uid,
            "step": self.step,
            "unit": self.unit,
            "params": dict(self.params),
        }
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> str:
        return json.dumps(
            {
                "version": VERSION,
                "worker": self.worker,
                "migration": {
                    "uid": self.migration_uid,
                    "name": self.migration_name,
                    "namespace": self.namespace,
                },
                "step": self.step,
                "unit": self.unit,
                "attempt": self.attempt,
                "roots": dict(self.roots),
                "params": dict(self.params),
            },
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str) -> Request:
        """Raises ``ValueError`` with the reason when the text is not a request of this version."""
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("version") != VERSION:
            raise ValueError(f"not a request of version {VERSION}")
        try:
            migration = data["migration"]
            return cls(
                worker=data["worker"],
                migration_uid=migration["uid"],
                migration_name=migration["name"],
                namespace=migration["namespace"],
                step=data["step"],
                unit=data["unit"],
                attempt=data["attempt"],
                roots=data["roots"],
                params=data["params"],
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the request lacks {error}") from error


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a helper is. Totals may grow while it runs; ``done`` never falls within one attempt."""

    bytes_done: int = 0
    bytes_total: int = 0
    items_done: int = 0
    items_total: int = 0

    def to_json(self) -> str:
        return json.dumps(
            {
                "progress": {
                    "bytesDone": self.bytes_done,
                    "bytesTotal": self.bytes_total,
                    "itemsDone": self.items_done,
                    "itemsTotal": self.items_total,
                }
            }
        )

    @classmethod
    def from_line(cls, line: str) -> Progress | None:
        """The progress that a line of a helper's output holds, or None when it holds none."""
        if not line.startswith("{"):
            return None
        try:
            found = json.loads(line)["progress"]
            return cls(
                int(found["bytesDone"]),
                int(found["bytesTotal"]),
                int(found["itemsDone"]),
                int(found["itemsTotal"]),
            )
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class Compared:
    """One table, or one kind of objects, as a proof found it: how many should be there, how many are, and a digest
    over the content of each side. Who only counted leaves the digests empty."""

    name: str
    source: int
    target: int
    source_digest: str = ""
    target_digest: str = ""

    @property
    def same(self) -> bool:
        return (self.source, self.source_digest) == (self.target, self.target_digest)

    def to_list(self) -> list[str | int]:
        """In little room: two digests only where they differ."""
        digests = [self.source_digest, self.target_digest]
        return [self.name, self.source, self.target, *digests[: 1 + (digests[0] != digests[1])]]

    @classmethod
    def from_list(cls, found: Sequence[Any]) -> Compared:
        """Raises ``ValueError``, ``TypeError`` or ``IndexError`` for what is no such list."""
        name, source, target, *digests = found
        return cls(str(name), int(source), int(target), str(digests[0]), str(digests[-1]))


@dataclass(frozen=True, slots=True)
class Record:
    """The evidence that a helper leaves. A step is done when it holds one that succeeded, never otherwise.

    ``counts``: objects by kind, e.g. ``{"files": 3, "failed": 0}``; ``facts``: what a survey found, a map a root;
    ``names``: at most :data:`NAMES_LIMIT` names a list; ``lists``: paths of the whole lists, below the workspace;
    ``digest``: ``sha256:…`` of the content that was proved; ``passing``: whether another attempt may end better;
    ``compared``: both sides by table or kind, those that differ first.
    """

    request_digest: str
    outcome: Outcome
    reason: str = ""
    message: str = ""
    passing: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)
    digest: str = ""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lists: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0
    compared: tuple[Compared, ...] = ()

    @property
    def succeeded(self) -> bool:
        return self.outcome is Outcome.SUCCEEDED

    def to_json(self, limit: int | None = None) -> str:
        """As JSON; with ``limit``, at most so many bytes: names go first, then the ends of lists among the facts and of
        what was compared, then the end of the message. Whole records lie in the workspace."""
        text = self._encode(self.names, self.message, self.facts, self.compared)
        if limit is None or len(text.encode()) <= limit:
            return text
        facts = self._short_facts(limit)
        compared = self.compared
        while compared and len(self._encode({}, "", facts, compared).encode()) > limit - MESSAGE_ROOM:
            compared = compared[:-1]
        text = self._encode({}, self.message, facts, compared)
        spare = limit - len(self._encode({}, "", facts, compared).encode())
        while len(text.encode()) > limit and spare > 0:
            text = self._encode({}, self.message[:spare] + "…", facts, compared)
            spare -= 64
        return text

    def _short_facts(self, limit: int) -> Mapping[str, Mapping[str, Any]]:
        """With as much of every list as leaves room, which for a start is all of it."""
        facts = self.facts
        for most in (8, 4, 2, 1, 0):
            if len(self._encode({}, "", facts).encode()) <= limit:
                break
            facts = {
                root: {name: found[:most] if isinstance(found, list) else found for name, found in of_root.items()}
                for root, of_root in facts.items()
            }
        return facts

    def _encode(
        self,
        names: Mapping[str, tuple[str, ...]],
        message: str,
        facts: Mapping[str, Mapping[str, Any]],
        compared: tuple[Compared, ...] = (),
    ) -> str:
        return json.dumps(
            {
                "version": VERSION,
                "requestDigest": self.request_digest,
                "outcome": str(self.outcome),
                "reason": self.reason,
                "message": message,
                "passing": self.passing,
                "counts": dict(self.counts),
                "digest": self.digest,
                "names": {kind: list(found) for kind, found in names.items()},
                "lists": dict(self.lists),
                "facts": {root: dict(found) for root, found in facts.items()},
                "seconds": round(self.seconds, 3),
                "compared": [one.to_list() for one in compared],
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Raises ``ValueError`` when the text is no whole record: a cut one is no evidence."""
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("version") != VERSION:
            raise ValueError(f"not a result record of version {VERSION}")
        try:
            return cls(
                request_digest=data["requestDigest"],
                outcome=Outcome(data["outcome"]),
                reason=data["reason"],
                message=data["message"],
                passing=data["passing"],
                counts=data["counts"],
                digest=data["digest"],
                names={kind: tuple(found) for kind, found in data["names"].items()},
                lists=data["lists"],
                facts=data["facts"],
                seconds=data["seconds"],
                compared=tuple(Compared.from_list(one) for one in data.get("compared", ())),  # older helpers have none
            )
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"the result record lacks {error}") from error
