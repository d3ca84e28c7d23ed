"""What a row of the source becomes on the target: numbers of experiments, names, versions and locations.

A table whose rows stay as they are has no changer at all, and is copied without a look at its rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from project_migration.workers.mlflow.database.store import Row
from project_migration.workers.mlflow.database.uris import Rewriter

ModelKey = tuple[str, str]
"""Workspace and name; the workspace is ``default`` where the schema has none."""
VersionKey = tuple[str, str, int]

DEFAULT_WORKSPACE = "default"


@dataclass(frozen=True)
class Changes:
    """What is called otherwise on the target. Only what differs is in here."""

    experiments: Mapping[int, int] = field(default_factory=dict)
    experiment_names: Mapping[int, str] = field(default_factory=dict)
    models: Mapping[ModelKey, str] = field(default_factory=dict)
    versions: Mapping[VersionKey, int] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)
    uris: Rewriter = field(default_factory=Rewriter)

    @property
    def names(self) -> bool:
        return bool(self.models or self.versions)

    def experiment(self, number: int) -> int:
        return self.experiments.get(number, number)

    def model(self, workspace: str, name: str) -> str:
        return self.models.get((workspace, name), name)

    def version(self, workspace: str, name: str, version: int) -> int:
        return self.versions.get((workspace, name, version), version)


Values = list[Any]
Change = Callable[["_Line"], None]


@dataclass(slots=True)
class _Line:
    """One row while it changes."""

    values: Values
    places: Mapping[str, int]
    changes: Changes

    def get(self, column: str) -> Any:
        place = self.places.get(column)
        return None if place is None else self.values[place]

    def set(self, column: str, value: Any) -> None:
        self.values[self.places[column]] = value

    @property
    def workspace(self) -> str:
        return self.get("workspace") or DEFAULT_WORKSPACE


@dataclass(frozen=True, slots=True)
class _Rule:
    table: str
    """``*`` for every table that has the column."""
    column: str
    change: Callable[[_Line, str], None]
    needed: Callable[[Changes], bool]


def changer(table: str, columns: Sequence[str], changes: Changes) -> Callable[[Row], Row] | None:
    """None where every row stays as it is."""
    rules = [rule for rule in _RULES if rule.table in {"*", table} and rule.column in columns and rule.needed(changes)]
    if not rules:
        return None
    places = {name: place for place, name in enumerate(columns)}

    def change(row: Row) -> Row:
        line = _Line(list(row), places, changes)
        for rule in rules:
            if line.get(rule.column) is not None:
                rule.change(line, rule.column)
        return tuple(line.values)

    return change


# -- one kind of column each --------------------------------------------------------------------------------------


def _experiment(line: _Line, column: str) -> None:
    line.set(column, line.changes.experiment(line.get(column)))


def _experiment_name(line: _Line, column: str) -> None:
    line.set(column, line.changes.experiment_names.get(line.get("experiment_id"), line.get(column)))


def _uri(line: _Line, column: str) -> None:
    line.set(column, line.changes.uris.of(line.get(column)))


def _source(line: _Line, column: str) -> None:
    value = line.get(column)
    line.set(column, named_uri(value, line.changes, line.workspace) if value.startswith("models:/") else value)
    if not value.startswith(("models:/", "runs:/")):
        _uri(line, column)


def named_uri(uri: str, changes: Changes, workspace: str) -> str:
    """``models:/name/3`` after a rename; ``models:/m-…`` names a logged model, whose id stays."""
    name, slash, rest = uri.removeprefix("models:/").partition("/")
    if not slash:
        return uri
    number, rest_slash, path = rest.partition("/")
    new = changes.version(workspace, name, int(number)) if number.isascii() and number.isdigit() else number
    return f"models:/{changes.model(workspace, name)}/{new}{rest_slash}{path}"


def _version(line: _Line, column: str) -> None:
    line.set(column, line.changes.version(line.workspace, line.get("name"), line.get(column)))


def _model(line: _Line, column: str) -> None:
    line.set(column, line.changes.model(line.workspace, line.get(column)))


def _dataset(line: _Line, column: str) -> None:
    line.set(column, line.changes.datasets.get(line.get(column), line.get(column)))


def _input(line: _Line, column: str) -> None:
    if line.get("source_type") == "DATASET":
        _dataset(line, column)


def _experiment_tag(line: _Line, column: str) -> None:
    if line.get("key") == "mlflow.experiment.sourceId":
        line.set(column, _number_in(line.get(column), line.changes))


def _model_tag(line: _Line, column: str) -> None:
    if line.get("key") == "_mlflow_experiment_ids":
        numbers = [_number_in(text, line.changes) for text in line.get(column).split(",")]
        line.set(column, ",".join(numbers))


def _logged_model_tag(line: _Line, column: str) -> None:
    if line.get("tag_key") == "mlflow.modelVersions":
        line.set(column, _named_versions(line.get(column), line.changes))


def _trace_tag(line: _Line, column: str) -> None:
    key = line.get("key")
    if key in {"mlflow.artifactLocation", "mlflow.trace.archiveLocation"}:
        _uri(line, column)
    elif key == "mlflow.linkedPrompts":
        line.set(column, _named_versions(line.get(column), line.changes))


def _named_versions(text: str, changes: Changes) -> str:
    """A list of ``{"name": …, "version": …}`` as JSON. What is not of that shape is a user's own and stays."""
    found = _json(text)
    if not isinstance(found, list):
        return text
    for entry in found:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            continue
        name, version = entry["name"], entry.get("version")
        entry["name"] = changes.model(DEFAULT_WORKSPACE, name)
        if str(version).isascii() and str(version).isdigit():
            new = changes.version(DEFAULT_WORKSPACE, name, int(str(version)))
            entry["version"] = str(new) if isinstance(version, str) else new
    return json.dumps(found)


def _association(line: _Line, column: str) -> None:
    kind, value = line.get(column.replace("_id", "_type")), line.get(column)
    if kind == "experiment":
        line.set(column, _number_in(value, line.changes))
    elif kind == "prompt_version":
        name, slash, version = value.rpartition("/")
        if slash and version.isascii() and version.isdigit():
            new = line.changes.version(DEFAULT_WORKSPACE, name, int(version))
            line.set(column, f"{line.changes.model(DEFAULT_WORKSPACE, name)}/{new}")


def _span(line: _Line, column: str) -> None:
    text = line.get(column)
    found = _json(text)
    attributes = found.get("attributes") if isinstance(found, dict) else None
    if not isinstance(attributes, dict) or "mlflow.experimentId" not in attributes:
        return
    old = attributes["mlflow.experimentId"]
    bare = old.strip('"') if isinstance(old, str) else str(old)
    new = _number_in(bare, line.changes)
    if new != bare:
        # an attribute's value is JSON within the JSON
        attributes["mlflow.experimentId"] = old.replace(bare, new) if isinstance(old, str) else int(new)
        line.set(column, json.dumps(found))


def _job(line: _Line, column: str) -> None:
    found = _json(line.get(column))
    if isinstance(found, dict) and "experiment_id" in found:
        old = found["experiment_id"]
        new = _number_in(str(old), line.changes)
        if new != str(old):
            found["experiment_id"] = new if isinstance(old, str) else int(new)
            line.set(column, json.dumps(found))


def _switched_off(line: _Line, column: str) -> None:
    """The target would call the same addresses a second time."""
    line.set(column, "DISABLED")


def _number_in(text: str, changes: Changes) -> str:
    number = int(text) if text.isascii() and text.isdigit() else -1
    return str(changes.experiments[number]) if number in changes.experiments else text


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return None


def _numbers_change(changes: Changes) -> bool:
    return bool(changes.experiments)


def _uris_change(changes: Changes) -> bool:
    return changes.uris.changes


def _names_change(changes: Changes) -> bool:
    return changes.names


def _datasets_change(changes: Changes) -> bool:
    return bool(changes.datasets)


_RULES = (
    # what looks at a number or name comes before what changes it
    _Rule("experiments", "name", _experiment_name, lambda changes: bool(changes.experiment_names)),
    _Rule("model_versions", "source", _source, lambda changes: changes.names or changes.uris.changes),
    _Rule("registered_model_aliases", "version", _version, _names_change),
    _Rule("model_versions", "version", _version, _names_change),
    _Rule("model_version_tags", "version", _version, _names_change),
    *(
        _Rule(table, "name", _model, _names_change)
        for table in (
            "registered_models",
            "registered_model_tags",
            "registered_model_aliases",
            "model_versions",
            "model_version_tags",
        )
    ),
    _Rule("*", "experiment_id", _experiment, _numbers_change),
    _Rule("workspaces", "default_artifact_root", _uri, _uris_change),
    _Rule("workspaces", "trace_archival_location", _uri, _uris_change),
    _Rule("experiments", "artifact_location", _uri, _uris_change),
    _Rule("runs", "artifact_uri", _uri, _uris_change),
    _Rule("model_versions", "storage_location", _uri, _uris_change),
    _Rule("logged_models", "artifact_location", _uri, _uris_change),
    _Rule("trace_tags", "value", _trace_tag, lambda changes: changes.names or changes.uris.changes),
    _Rule("logged_model_tags", "tag_value", _logged_model_tag, _names_change),
    _Rule("experiment_tags", "value", _experiment_tag, _numbers_change),
    _Rule("registered_model_tags", "value", _model_tag, _numbers_change),
    _Rule("spans", "content", _span, _numbers_change),
    _Rule("jobs", "params", _job, _numbers_change),
    _Rule("inputs", "source_id", _input, _datasets_change),
    _Rule("logged_model_metrics", "dataset_uuid", _dataset, _datasets_change),
    *(
        _Rule("entity_associations", column, _association, lambda changes: bool(changes.experiments) or changes.names)
        for column in ("source_id", "destination_id")
    ),
    _Rule("webhooks", "status", _switched_off, lambda _: True),
)
