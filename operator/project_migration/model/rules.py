"""A document, read from outside: every problem at once, each naming the field and what to do.

The schema and its CEL rules say most of this at ``kubectl apply``. It is said again here for documents that never see
an API server, for objects stored under an older schema, and for what CEL cannot express.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from itertools import combinations

import pathspec
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from project_migration.model import cdsw, cdsw_rules, database_rules, endpoints, mlflow, mlflow_rules
from project_migration.model import document as models
from project_migration.model.document import CutoverMode, Document, OwnershipMode, Spec, VolumePair, Volumes
from project_migration.model.endpoints import AccessMode, NewClaim, Volume
from project_migration.model.errors import DocumentError
from project_migration.model.mentions import volumes
from project_migration.model.places import overlap, place, volume

LATER = tuple(name for name in models.PLATFORMS if name not in ("volumes", "mlflow", "cdsw"))


def read_document(data: object, *, local: bool) -> Document:
    """The document in ``data`` (parsed YAML). Raises DocumentError with every problem that was found.

    ``local``: it runs on one machine, so paths are allowed and the workspace may be left out.
    """
    if not isinstance(data, dict):
        raise DocumentError(("the document is not a mapping: it starts with apiVersion, kind, metadata, spec",))
    try:
        document = Document.model_validate({key: value for key, value in data.items() if key != "status"})
    except ValidationError as error:
        raise DocumentError(tuple(_problems(error))) from error
    problems = tuple(check(document.spec, namespace=document.metadata.namespace, local=local))
    if problems:
        raise DocumentError(problems)
    return document


def _problems(error: ValidationError) -> Iterator[str]:
    details = error.errors(include_url=False)
    for detail in details:
        inner = any(
            len(d["loc"]) > len(detail["loc"]) and d["loc"][: len(detail["loc"])] == detail["loc"] for d in details
        )
        if not (detail["type"] == "too_short" and inner):  # a list seems too short when its items are wrong
            yield describe(detail)


def describe(detail: ErrorDetails) -> str:
    """One of pydantic's errors in a person's words: ``spec.transfer.workers: …``."""
    where = field_path(detail["loc"])
    match detail["type"]:
        case "extra_forbidden":
            return f"{where}: there is no such field{_closest(str(detail['loc'][-1]))}"
        case "missing":
            return f"{where}: the field is missing"
        case "string_pattern_mismatch":
            return f"{where}: {detail['input']!r} does not have the form {detail['ctx']['pattern']}"
        case _:
            return f"{where}: {detail['msg']} (it is {_short(detail['input'])})"


def field_path(location: tuple[int | str, ...]) -> str:
    """``("spec", "volumes", "pairs", 0, "name")`` → ``spec.volumes.pairs[0].name``"""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _closest(name: str) -> str:
    found = difflib.get_close_matches(name, _known_names(), n=1, cutoff=0.7)
    return f"; did you mean {found[0]}?" if found else ""


def _known_names() -> set[str]:
    found: set[str] = set()
    for value in (value for module in (models, endpoints, mlflow, cdsw) for value in vars(module).values()):
        if isinstance(value, type) and issubclass(value, BaseModel):
            found |= {field.alias or name for name, field in value.model_fields.items()}
    return found


def check(spec: Spec, *, namespace: str, local: bool) -> Iterator[str]:
    """The rules between fields, each problem a line."""
    yield from _platform(spec)
    yield from _workspace(spec, local=local)
    yield from _ownership(spec)
    yield from _backup(spec, local=local)
    yield from _cutover(spec)
    yield from mlflow_rules.check(spec, namespace=namespace, local=local)
    yield from cdsw_rules.check(spec, namespace=namespace, local=local)
    if spec.volumes is None:
        return
    pairs = spec.volumes.pairs
    for position, pair in enumerate(pairs):
        where = f"spec.volumes.pairs[{position}]"
        yield from volume(f"{where}.source", pair.source, namespace=namespace, local=local)
        yield from volume(f"{where}.target", pair.target, namespace=namespace, local=local)
        yield from _patterns(where, pair)
    yield from _unique_names(spec.volumes)
    yield from _separate(pairs)
    yield from _to_be_made(pairs)
    yield from database_rules.check(spec, namespace=namespace, local=local)


def _platform(spec: Spec) -> Iterator[str]:
    given = [name for name in models.PLATFORMS if getattr(spec, name) is not None]
    if len(given) != 1:
        have = f"it has {' and '.join(given)}" if given else "it has none"
        yield f"spec: give exactly one platform: {', '.join(models.PLATFORMS)} ({have})"
    for name in given:
        if name in LATER:
            yield f"spec.{name}: NotSupportedYet: this release moves volumes, mlflow and cdsw only"


def _workspace(spec: Spec, *, local: bool) -> Iterator[str]:
    if spec.workspace is None:
        if not local:
            yield "spec.workspace: name the workspace claim, or a size for one to be made"
        return
    if (spec.workspace.claim_name is None) == (spec.workspace.size is None):
        yield "spec.workspace: give either claimName, or size for a claim to be made"
    used = {use.volume.claim_name for use in volumes(spec) if use.volume.claim_name and use.field != "spec.backup"}
    if not local and spec.workspace.claim_name in used:
        yield (
            f"spec.workspace.claimName: {spec.workspace.claim_name} is also a source or a target:"
            " the workspace needs a claim of its own"
        )


def _backup(spec: Spec, *, local: bool) -> Iterator[str]:
    backup = spec.backup
    if backup is None:
        return
    if backup.path is not None and not local:
        yield "spec.backup.path: a path exists only in documents run on one machine; name a claim in claimName"
    elif [backup.claim_name, backup.path, backup.waive].count(None) != 2:
        places = "claimName, path" if local else "claimName"
        yield f"spec.backup: give either {places}, or waive with the reason in words"
    if backup.waive is not None and backup.keep_for is not None:
        yield "spec.backup.keepFor: it needs a backup: name its claim, or leave it out"
    if backup.path is not None and not backup.path.startswith("/"):
        yield f"spec.backup.path: {backup.path!r} is not absolute: begin it with /"
    if backup.waive is not None:
        return
    kept = Volume(claim_name=backup.claim_name, path=backup.path)
    if any(overlap(kept, use.volume) for use in volumes(spec) if use.field != "spec.backup"):
        yield f"spec.backup: {place(kept)} holds a source or a target too: a backup needs a place of its own"


def _ownership(spec: Spec) -> Iterator[str]:
    ownership = spec.ownership
    if ownership.mode is OwnershipMode.SET and (ownership.uid is None or ownership.gid is None):
        yield "spec.ownership: mode Set needs uid and gid"
    if ownership.mode is OwnershipMode.HELPER and ownership.uid == 0:
        yield "spec.ownership.uid: a helper never runs as user 0 in mode Helper"


def _cutover(spec: Spec) -> Iterator[str]:
    cutover = spec.cutover
    if cutover.mode is CutoverMode.AT and cutover.at is None:
        yield "spec.cutover.at: mode At needs a moment in at"
    if cutover.at is not None and cutover.not_after is not None and cutover.not_after <= cutover.at:
        yield "spec.cutover.notAfter: the window's end must lie after cutover.at"


def _to_be_made(pairs: tuple[VolumePair, ...]) -> Iterator[str]:
    """Pairs with one target claim may say once how it is made, or the same each time."""
    said: dict[str, tuple[int, NewClaim]] = {}
    for position, pair in enumerate(pairs):
        create, name = pair.target.create, pair.target.claim_name
        if create is None or name is None:
            continue
        where = f"spec.volumes.pairs[{position}].target.create"
        if len(create.access_modes) > 1 and AccessMode.READ_WRITE_ONCE_POD in create.access_modes:
            yield f"{where}.accessModes: ReadWriteOncePod goes with no other mode"
        first, known = said.setdefault(name, (position, create))
        if known != create:
            yield f"{where}: pairs[{first}] has claim {name} made otherwise: say the same in both, or say it once"


def _patterns(where: str, pair: VolumePair) -> Iterator[str]:
    for field, patterns in (("include", pair.include), ("exclude", pair.exclude)):
        for position, pattern in enumerate(patterns):
            try:
                pathspec.GitIgnoreSpec.from_lines([pattern])
            except ValueError as error:
                yield f"{where}.{field}[{position}]: {pattern!r} is not a gitignore pattern: {error}"


def _unique_names(volumes: Volumes) -> Iterator[str]:
    """Across both lists: a name stands for one unit of work in every step."""
    named = [(f"pairs[{position}]", pair.name) for position, pair in enumerate(volumes.pairs)]
    named += [(f"databases[{position}]", database.name) for position, database in enumerate(volumes.databases)]
    seen: set[str] = set()
    for where, name in named:
        if name in seen:
            yield f"spec.volumes.{where}.name: {name} is used twice"
        if name.startswith("backup-"):
            yield f"spec.volumes.{where}.name: names that begin with backup- are kept for backups"
        if name.startswith("client-tools-"):
            yield f"spec.volumes.{where}.name: names that begin with client-tools- are kept for looks at images"
        seen.add(name)


def _separate(pairs: tuple[VolumePair, ...]) -> Iterator[str]:
    """No target may overlap with any source or with another target."""
    for position, pair in enumerate(pairs):
        if overlap(pair.source, pair.target):
            yield (
                f"spec.volumes.pairs[{position}].target: source and target must be different places,"
                f" neither inside the other (both are in {place(pair.target)})"
            )
    for (left, one), (right, other) in combinations(enumerate(pairs), 2):
        for ours, theirs, kind in (
            (one.target, other.target, "target"),
            (one.target, other.source, "source"),
            (one.source, other.target, "target"),
        ):
            if overlap(ours, theirs):
                yield (
                    f"spec.volumes.pairs[{right}].{kind}: {place(theirs)} overlaps with pairs[{left}]:"
                    " what is written may not be read or written by another pair"
                )
