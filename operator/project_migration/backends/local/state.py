"""What is kept of one migration between runs, in its state directory::

    state.json      status, version, uid, digest of the document, bindings     written by `run` only
    wishes.json     cancel, approve, retry, release: what people asked for meanwhile    written by the other verbs
    document.yaml   the document, as it was understood
    workspace/      manifests, lists, results, logs, report
    helpers/NAME/   request, progress, record and log of one helper
    lock            held while a `run` is at work

What an invariant rests on is in the first two, each written whole and synced.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from project_migration.backends.local.files import held, read_json, write_json, write_whole
from project_migration.model.document import FIXED_AFTER_FIRST_WRITE, Document, Mode, fixed_part
from project_migration.model.errors import Conflict, DocumentError, Gone
from project_migration.model.status import Status

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Wishes:
    """What people asked for. ``count`` is part of the migration's version, so that a wish is never overlooked."""

    count: int = 0
    once: frozenset[str] = frozenset()
    """Fields of the spec that go from false to true: cancel, undo, cutover.approved."""
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """One migration as it lies on disk."""

    uid: str
    count: int
    generation: int
    document: Document
    bindings: tuple[str, ...]
    status: Status


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """The directory, by path. It is made with :meth:`begin`; everything else raises Gone without it."""

    path: Path

    @property
    def workspace(self) -> Path:
        return self.path / "workspace"

    @property
    def helpers(self) -> Path:
        return self.path / "helpers"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def exists(self) -> bool:
        return (self.path / "state.json").is_file()

    def begin(self, document: Document, bindings: Sequence[str]) -> Stored:
        """Takes the document in: makes the directory at first, compares with what is there afterwards.

        Raises DocumentError when a field differs that cannot change any more.
        """
        for directory in (self.path, self.workspace, self.helpers):
            # others may pass through, for a helper that runs as somebody else, but not look around
            directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        with held(self.path):
            before = self.read() if self.exists else None
            if before is None:
                uid = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
                return self._write(Stored(uid, 1, 1, document, tuple(bindings), Status()), document_too=True)
            if before.document == document and before.bindings == tuple(bindings):
                return before
            problems = forbidden_changes(before, document, bindings)
            if problems:
                raise DocumentError(problems)
            changed = replace(
                before,
                document=document,
                bindings=tuple(bindings),
                count=before.count + 1,
                generation=before.generation + (before.document.spec != document.spec),
            )
            return self._write(changed, document_too=True)

    def read(self) -> Stored:
        """Raises Gone when there is no migration here, ValueError when a file does not hold what it should."""
        data = read_json(self.path / "state.json")
        if data is None:
            raise Gone(f"there is no migration in {self.path}")
        if data.get("format") != FORMAT:
            raise ValueError(f"{self.path}/state.json is of format {data.get('format')}, not {FORMAT}")
        text = (self.path / "document.yaml").read_text(encoding="utf-8")
        return Stored(
            uid=data["uid"],
            count=data["count"],
            generation=data["generation"],
            document=Document.model_validate(yaml.safe_load(text)),
            bindings=tuple(data["bindings"]),
            status=Status.model_validate(data["status"]),
        )

    def save(self, status: Status, *, uid: str, version: str) -> Stored:
        """Raises Conflict when anything was written since that version, Gone when it is another migration's now."""
        if not self.path.is_dir():
            raise Gone(f"{self.path} was removed")
        with held(self.path):
            before = self.read()
            if before.uid != uid:
                raise Gone(f"{self.path} belongs to another migration now")
            if version_of(before, self.wishes()) != version:
                raise Conflict(f"{self.path} was written to since version {version}")
            return self._write(replace(before, status=status, count=before.count + 1))

    def wishes(self) -> Wishes:
        data = read_json(self.path / "wishes.json") or {}
        return Wishes(data.get("count", 0), frozenset(data.get("once", ())), data.get("annotations", {}))

    def wish(self, *once: str, annotations: Mapping[str, str] | None = None) -> None:
        """Notes what a person wants; the next pass of whoever is at work sees it. Raises Gone."""
        if not self.exists:
            raise Gone(f"there is no migration in {self.path}")
        with held(self.path):
            before = self.wishes()
            data = {
                "count": before.count + 1,
                "once": sorted(before.once | set(once)),
                "annotations": {**before.annotations, **(annotations or {})},
            }
            write_json(self.path / "wishes.json", data)

    def _write(self, stored: Stored, *, document_too: bool = False) -> Stored:
        if document_too:
            write_whole(self.path / "document.yaml", document_text(stored.document))
        write_json(
            self.path / "state.json",
            {
                "format": FORMAT,
                "uid": stored.uid,
                "count": stored.count,
                "generation": stored.generation,
                "documentDigest": document_digest(stored.document),
                "bindings": list(stored.bindings),
                "status": stored.status.model_dump(mode="json", by_alias=True, exclude_none=True),
            },
        )
        return stored


def version_of(stored: Stored, wishes: Wishes) -> str:
    return f"{stored.count}.{wishes.count}"


def is_kept(directory: Path, holder: str) -> bool:
    """Whether the migration that signs as ``holder`` still has its state there: as long, it owns what it holds."""
    try:
        data = read_json(directory / "state.json")
    except (OSError, ValueError):
        return True  # somebody else's, or half a disk: not ours to call dead
    return data is not None and data.get("uid") == holder.rsplit("/", 1)[-1]


def document_data(document: Document) -> dict[str, Any]:
    return document.model_dump(mode="json", by_alias=True, exclude_none=True)


def document_text(document: Document) -> str:
    text: str = yaml.safe_dump(document_data(document), sort_keys=False, allow_unicode=True)
    return text


def document_digest(document: Document) -> str:
    text = json.dumps(document_data(document), sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def forbidden_changes(before: Stored, document: Document, bindings: Sequence[str]) -> tuple[str, ...]:
    """What differs and may not: the rules that the API server keeps in a cluster."""
    old, new = before.document.spec, document.spec
    problems = []
    if old.mode is Mode.MIGRATE and new.mode is Mode.PLAN:
        problems.append("spec.mode: may go from Plan to Migrate, never back")
    if old.cancel and not new.cancel:
        problems.append("spec.cancel: goes from false to true only")
    if old.cutover.approved and not new.cutover.approved:
        problems.append("spec.cutover.approved: goes from false to true only")
    if before.status.first_write_at is None:
        return tuple(problems)
    for name in FIXED_AFTER_FIRST_WRITE:
        if fixed_part(old, name) != fixed_part(new, name):
            problems.append(
                f"spec.{name}: cannot change any more: the migration has begun to write"
                f" ({before.status.first_write_at}); put it back as it was"
            )
    for text in sorted({*before.bindings} ^ {*bindings}):
        if not text.startswith("secret/"):
            problems.append(f"--bind {text}: cannot change any more: the migration has begun to write")
    return tuple(problems)
