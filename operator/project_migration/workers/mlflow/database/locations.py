"""Artifacts as rows speak of them: what lies outside the known roots, and which directories go where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from project_migration.workers.mlflow.database.arrangement import Action, Arrangement, version_id
from project_migration.workers.mlflow.database.changes import DEFAULT_WORKSPACE
from project_migration.workers.mlflow.database.experiments import Placed, Placing
from project_migration.workers.mlflow.database.store import KEYS_AT_ONCE, Store, Where, batches
from project_migration.workers.mlflow.database.tables import RULES, Kind
from project_migration.workers.mlflow.database.uris import Standing, directory_of, scheme_of

#: Columns that hold a location.
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)
NAMES_KEPT = 1000


@dataclass
class Outside:
    """Locations that lie below no known root: their artifacts stay where they are, and so does what names them."""

    count: int = 0
    names: list[str] = field(default_factory=list)
    """The first :data:`NAMES_KEPT`."""
    schemes: dict[str, tuple[int, str]] = field(default_factory=dict)
    """How many, and the first, of each scheme."""

    def add(self, uri: str) -> None:
        self.count += 1
        if len(self.names) < NAMES_KEPT:
            self.names.append(uri)
        scheme = scheme_of(uri)
        number, first = self.schemes.get(scheme, (0, uri))
        self.schemes[scheme] = number + 1, first


def outside(source: Store, arrangement: Arrangement) -> Outside:
    found = Outside()
    uris = arrangement.changes.uris
    for table, column in COLUMNS:
        for uri in _locations(source, arrangement, table, column):
            if uris.standing(uri) is Standing.OUTSIDE:
                found.add(uri)
    return found


def _locations(source: Store, arrangement: Arrangement, table: str, column: str) -> Iterator[str]:
    known = source.schema.tables.get(table)
    if known is None or known.column(column) is None:
        return
    kind, owner = RULES[table].kind, RULES[table].owner
    if kind is Kind.VERSION:
        keys = ("workspace", "name", "version") if known.column("workspace") else ("name", "version")
        for chunk in source.stream(known, (column, *keys)):
            yield from (row[0] for row in chunk if row[0] and _has_version(arrangement, row[1:]))
        return
    if arrangement.summary.whole:
        for chunk in source.stream(known, (column,)):
            yield from (row[0] for row in chunk if row[0])
        return
    for some in batches(arrangement.lists.ids(kind), KEYS_AT_ONCE):
        for chunk in source.stream(known, (column,), Where(owner, some)):
            yield from (row[0] for row in chunk if row[0])


def _has_version(arrangement: Arrangement, key: tuple[Any, ...]) -> bool:
    workspace, name, version = key if len(key) == 3 else (DEFAULT_WORKSPACE, *key)
    return arrangement.has(Kind.VERSION, version_id(workspace, name, version))


def moves(source: Store, arrangement: Arrangement, placing: Placing) -> Mapping[str, Any]:
    """``moves``: directories below the artifact roots whose name changes with their experiment's number; ``only``:
    the directories that are needed, where not all of them are. A directory in ``only`` is named as on the source."""
    uris = arrangement.changes.uris
    if not uris.roots:
        return {"moves": [], "only": []}
    changed = []
    for placed in placing.placed:
        old, new = placed.experiment.number, placed.number
        if old != new:
            changed += [{"from": one, "to": _renumbered(one, new)} for one in _directories(placed)]
    found: dict[str, Any] = {"moves": changed}
    if not arrangement.summary.whole:
        found["only"] = sorted(_without_inner(_needed(source, arrangement, placing)))
    return found


def _directories(placed: Placed) -> tuple[str, ...]:
    number, workspace = placed.experiment.number, placed.experiment.workspace
    below = f"workspaces/{workspace}/{number}"
    return (str(number),) if workspace == DEFAULT_WORKSPACE else (str(number), below)


def _renumbered(directory: str, number: int) -> str:
    head, slash, _ = directory.rpartition("/")
    return f"{head}{slash}{number}"


def _needed(source: Store, arrangement: Arrangement, placing: Placing) -> Iterator[str]:
    uris = arrangement.changes.uris
    fresh = {one.experiment.number for one in placing.placed if one.whole and one.action is Action.ADD}
    for placed in placing.placed:
        if placed.experiment.number in fresh and (below := uris.below(placed.experiment.location)):
            yield below
    # of the others, and where a location is not below its experiment's, what each object names
    for table, column in COLUMNS[1:]:
        for uri in _locations(source, arrangement, table, column):
            below = uris.below(uri) or ""
            _, number = directory_of(below) if below else ("", None)
            if below and number not in fresh:
                yield below.removesuffix("/artifacts")
    yield from _of_traces(source, arrangement, fresh)


def _of_traces(source: Store, arrangement: Arrangement, fresh: set[int]) -> Iterator[str]:
    table = source.schema.tables.get("trace_tags")
    if table is None:
        return
    condition = f"{source.quote('key')} = 'mlflow.artifactLocation'"
    for some in batches(arrangement.lists.ids(Kind.TRACE), KEYS_AT_ONCE):
        for chunk in source.stream(table, ("value",), Where("request_id", some), condition):
            for (uri,) in chunk:
                below = arrangement.changes.uris.below(uri or "")
                if below and directory_of(below)[1] not in fresh:
                    yield below.removesuffix("/artifacts")


def _without_inner(paths: Iterable[str]) -> list[str]:
    """Without what lies below another of them."""
    kept: list[str] = []
    for path in sorted(set(paths), key=lambda one: one + "/"):
        if not kept or not (path + "/").startswith(kept[-1] + "/"):
            kept.append(path)
    return kept
