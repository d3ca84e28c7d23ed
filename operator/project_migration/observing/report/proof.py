"""The report for programs: what was moved and proved, as one JSON document (docs/report.md says what each field is).

The HTML page holds it too, so that the page alone is enough to check a target against it later.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel

from project_migration import __version__
from project_migration.engine import retention
from project_migration.engine.world import Migration
from project_migration.model.errors import DocumentError
from project_migration.model.records import proved_manifest
from project_migration.model.status import State, UnitStatus
from project_migration.observing.report.account import Account, Pair
from project_migration.observing.report.document_words import document_digest

#: A report is made of a status, which is bounded. Anything larger is another file.
LARGEST_BYTES = 16 * 1024 * 1024

#: How the page marks it; nothing else in a page can look so, since names are escaped there.
OPENING = '<script type="application/json" id="report">'
_EMBEDDED = re.compile(re.escape(OPENING) + r"(.*?)</script>", re.DOTALL)

Digest = Annotated[str, StringConstraints(max_length=253)]


class Part(BaseModel):
    """A later program may have written more than this one knows."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Which(Part):
    name: str
    namespace: str
    uid: str
    document_digest: str
    """sha256 of the document with all defaults, as JSON with sorted keys."""
    round: int = 1


class Manifests(Part):
    """Whole lists of what was read of each side, below the workspace's directory."""

    source: str
    target: str


class Compared(Part):
    """One table, or one kind of objects: how many there should be and are, and the digest over each side's content.
    What was only counted has no digests."""

    name: str
    source: int
    target: int
    source_digest: Digest = ""
    target_digest: Digest = ""
    same: bool


class Verified(Part):
    """The proof of one unit. Both sides have this digest, or it was not proved."""

    at: str
    method: str
    """Checksum: every file was read; Metadata: all but contents was compared; Rows: of a database."""
    digest: Digest
    counts: dict[str, int] = {}
    compared: tuple[Compared, ...] = ()
    """By table or kind of objects, where the proof knows such."""
    asked: tuple[Compared, ...] = ()
    """What the target's own server gave of that, once it was back."""
    checks: tuple[str, ...] = ()
    """Of the target's state that hold, where the platform has such."""
    manifests: Manifests


class Left(Part):
    """Objects that did not arrive as they were: how many, at most 20 of their names, where the whole list is."""

    kind: str
    meaning: str
    count: int
    names: tuple[str, ...] = ()
    whole_list: str = ""


class Unit(Part):
    name: str
    source: str
    target: str
    state: State
    items: int = 0
    bytes: int = 0
    counts: dict[str, int] = {}
    """Of the copy, by kind."""
    verified: Verified | None = None
    left_out: tuple[Left, ...] = ()


class Step(Part):
    name: str
    state: State
    started_at: str | None = None
    finished_at: str | None = None


class Backup(Part):
    """Where what the target held is kept, and until when; or why nothing is."""

    waived: str = ""
    claim: str = ""
    path: str = ""
    taken_at: str | None = None
    keep_for: str = ""
    kept_until: str | None = None
    removed_at: str | None = None


class Proof(Part):
    """The whole report."""

    api_version: Literal["migration.mlops.dev/v1alpha1"] = "migration.mlops.dev/v1alpha1"
    kind: Literal["MigrationReport"] = "MigrationReport"
    program: str
    migration: Which
    end: str
    """Succeeded, Planned, Failed, Cancelled, Undone, or AtWork."""
    reason: str = ""
    message: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    first_write_at: str | None = None
    rolled_back_at: str | None = None
    workspace_claim: str = ""
    workspace_path: str = ""
    digest: Digest = ""
    """sha256 over the units' digests in the document's order; empty unless all of it was proved."""
    units: tuple[Unit, ...] = ()
    steps: tuple[Step, ...] = ()
    backup: Backup | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> str:
        data = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return json.dumps(data, indent=1, ensure_ascii=False)


def proof(told: Account) -> Proof:
    """From document and status alone."""
    migration, status = told.migration, told.status
    return Proof(
        program=f"project-migration {__version__}",
        migration=Which(
            name=migration.key.name,
            namespace=migration.key.namespace,
            uid=migration.uid,
            document_digest=document_digest(migration.document),
            round=status.itinerary.round if status.itinerary else 1,
        ),
        end=str(told.end or "AtWork"),
        reason=status.failure_reason,
        message=status.failure,
        started_at=status.started_at,
        finished_at=status.finished_at,
        first_write_at=status.first_write_at,
        rolled_back_at=status.rolled_back_at,
        workspace_claim=status.workspace_claim,
        workspace_path=status.workspace_path,
        digest=status.result.digest if status.result else "",
        units=tuple(_units(told)),
        steps=tuple(
            Step(name=step.id, state=step.state, started_at=step.started_at, finished_at=step.finished_at)
            for step in status.steps
            if step.id != retention.STEP
        ),
        backup=_backup(migration),
        warnings=status.warnings,
    )


def embedded(found: Proof) -> str:
    """As it stands inside the page: no text of it can end the element, or begin another."""
    text = found.to_json()
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def read_report(path: Path) -> Proof:
    """The report in a ``.json`` file, or in the page. Raises DocumentError that says what is wrong with the file."""
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise DocumentError((f"{path} cannot be read: {error.strerror}",)) from error
    if len(data) > LARGEST_BYTES:
        raise DocumentError((f"{path} is larger than {LARGEST_BYTES >> 20} MiB: that is no report",))
    text = data.decode("utf-8", "replace")
    found = _EMBEDDED.search(text)
    try:
        return Proof.model_validate_json(found[1] if found else text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        problem = f"{path} is no report of a migration, or not a whole one ({where}: {first['msg']})"
        raise DocumentError((problem,)) from error


def _units(told: Account) -> Iterator[Unit]:
    steps = {step.id: step for step in told.status.steps}
    for pair in told.pairs:
        copied = steps["copy"].unit(pair.name) if "copy" in steps else None
        proved = steps["verify"].unit(pair.name) if "verify" in steps else None
        yield Unit(
            name=pair.name,
            source=pair.source,
            target=pair.target,
            state=pair.state,
            items=pair.items,
            bytes=pair.bytes,
            counts=copied.counts if copied else {},
            verified=_verified(told, pair, proved),
            left_out=tuple(
                Left(kind=n.kind, meaning=n.meaning, count=n.count, names=n.names, whole_list=n.whole_list)
                for n in pair.left_out
            ),
        )


def _verified(told: Account, pair: Pair, proved: UnitStatus | None) -> Verified | None:
    if proved is None or proved.state is not State.SUCCEEDED:
        return None
    document = told.migration.document
    method = "Rows" if pair.rows is not None else str(document.spec.transfer.verify) if document else ""
    lists = Manifests(**{root: proved_manifest("verify", pair.name, root) for root in ("source", "target")})
    at = proved.finished_at or ""
    compared, asked = (
        tuple(Compared(**one.model_dump(), same=one.same) for one in found) for found in (pair.compared, pair.asked)
    )
    return Verified(
        at=at,
        method=method,
        digest=proved.digest,
        counts=proved.counts,
        compared=compared,
        asked=asked,
        checks=pair.checks,
        manifests=lists,
    )


def _backup(migration: Migration) -> Backup | None:
    kept = migration.status.backup
    if kept is None:
        return None
    document = migration.document
    spec = document.spec.backup if document else None
    return Backup(
        waived=kept.waived,
        claim=kept.claim,
        path=kept.path,
        taken_at=kept.taken_at,
        keep_for=(spec.keep_for if spec else None) or "",
        kept_until=kept.kept_until,
        removed_at=kept.removed_at,
    )
