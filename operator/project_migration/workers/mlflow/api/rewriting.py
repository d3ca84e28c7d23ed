"""Ids and addresses of the source inside texts, as those of the target. Pure; what is known comes as ``Known``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from project_migration.workers.mlflow.api.artifacts import below
from project_migration.workers.mlflow.api.entities import Version
from project_migration.workers.mlflow.api.failures import ObjectFailed
from project_migration.workers.mlflow.api.ids import Kind, Mapped

PARENT_RUN = "mlflow.parentRunId"
ROOT_RUN = "mlflow.rootRunId"
MODEL_HISTORY = "mlflow.log-model.history"
MODEL_VERSIONS = "mlflow.modelVersions"
RUN_NAME = "mlflow.runName"
PROMPT_RUNS = "mlflow.prompt.associatedRunIds"
EXPERIMENT_IDS = "_mlflow_experiment_ids"
ARTIFACT_LOCATION = "mlflow.artifactLocation"
SPANS_LOCATION = "mlflow.trace.spansLocation"

#: Ids of logged models and of runs, as MLflow makes them.
_IDS = re.compile(r"\bm-[0-9a-f]{32}\b|\b[0-9a-f]{32}\b")

_RUN_KEYS = ("mlflow.sourceRun", "mlflow.assessment.sourceRunId")


class Known(Protocol):
    def get(self, kind: Kind, source: str) -> Mapped | None: ...

    def target(self, kind: Kind, source: str) -> str: ...


class Nothing:
    """Knows no id: all stay as they are."""

    def get(self, kind: Kind, source: str) -> None:  # noqa: ARG002
        return None

    def target(self, kind: Kind, source: str) -> str:  # noqa: ARG002
        return ""


def ids(text: str, known: Known) -> str:
    """Every id of a run or a logged model that has a target, wherever it stands."""

    def one(match: re.Match[str]) -> str:
        found = match[0]
        kind = Kind.LOGGED_MODEL if found.startswith("m-") else Kind.RUN
        return known.target(kind, found) or found

    return _IDS.sub(one, text)


def run_tags(tags: Mapping[str, str], known: Known) -> dict[str, str]:
    """Of a run whose own target is known. A parent that is nowhere on the target is left out."""
    found = dict(tags)
    for key in (PARENT_RUN, ROOT_RUN):
        if key in found:
            target = known.target(Kind.RUN, found.pop(key))
            if target:
                found[key] = target
    for key in (MODEL_HISTORY, *_RUN_KEYS):
        if key in found:
            found[key] = ids(found[key], known)
    return found


def mlmodel(text: str, source_uri: str, target_uri: str, known: Known) -> str:
    """The file ``MLmodel``, whose ``artifact_path`` may be a whole address and which names run and model."""
    if source_uri and target_uri:
        text = text.replace(source_uri.rstrip("/"), target_uri.rstrip("/"))
    return ids(text, known)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a version is made of on the target."""

    source: str
    run: str
    model: str = ""


def logged_model_of(source: str) -> str:
    """The logged model that a version's source names, or an empty text."""
    return source[len("models:/") :].partition("/")[0] if source.startswith("models:/m-") else ""


def origin(version: Version, known: Known, *, rename: Mapping[str, str]) -> Origin:
    """Raises :class:`ObjectFailed` where the target would refuse it, or would point nowhere."""
    run = known.get(Kind.RUN, version.run) if version.run else None
    run_id = run.target if run else ""
    source = version.source
    identity = logged_model_of(source)
    if identity:
        rest = source[len(f"models:/{identity}/") :]
        model = known.target(Kind.LOGGED_MODEL, identity)
        if not model:
            raise ObjectFailed(f"its logged model {identity} did not move")
        return Origin(f"models:/{model}{'/' if rest else ''}{rest}", run_id, model)
    if source.startswith("models:/"):
        name, _, rest = source[len("models:/") :].partition("/")
        return Origin(f"models:/{rename.get(name, name)}/{_number(name, rest, known)}", run_id)
    if source.startswith("runs:/"):
        identity, _, rest = source[len("runs:/") :].partition("/")
        target = known.target(Kind.RUN, identity)
        if not target:
            raise ObjectFailed(f"its run {identity} did not move")
        return Origin(f"runs:/{target}/{rest}", target)
    if run:
        rest_of = below(source, run.source_uri)
        if rest_of is not None:
            return Origin(f"{run.target_uri}/{rest_of}".rstrip("/"), run_id)
    return _elsewhere(version, known, run_id)


def _number(name: str, rest: str, known: Known) -> str:
    """A version that another one is a copy of, by the number that it has now."""
    found = known.target(Kind.VERSION, f"{name}/{rest}")
    return found.rpartition("/")[2] if found else rest


def _elsewhere(version: Version, known: Known, run_id: str) -> Origin:
    """A source that lies in no run of its own: below a logged model, or in a store that both servers know."""
    for identity in _IDS.findall(version.source):
        model = known.get(Kind.LOGGED_MODEL, identity) if identity.startswith("m-") else None
        rest = below(version.source, model.source_uri) if model else None
        if model and rest is not None:
            return Origin(f"{model.target_uri}/{rest}".rstrip("/"), run_id, model.target)
        run = None if identity.startswith("m-") else known.get(Kind.RUN, identity)
        rest = below(version.source, run.source_uri) if run else None
        if run and rest is not None:
            return Origin(f"{run.target_uri}/{rest}".rstrip("/"), run.target)
    if version.run and not run_id and version.source.startswith(("mlflow-artifacts:", "/", "file:")):
        raise ObjectFailed(f"its run {version.run} did not move, and its files lie in it")
    return Origin(version.source, run_id)


def version_tags(tags: Mapping[str, str], known: Known) -> dict[str, str]:
    found = dict(tags)
    if PROMPT_RUNS in found:
        found[PROMPT_RUNS] = ids(found[PROMPT_RUNS], known)
    return found


def model_tags(tags: Mapping[str, str], known: Known) -> dict[str, str]:
    """Of a registered model; experiments that did not move are taken out of the list that a prompt carries."""
    found = dict(tags)
    if EXPERIMENT_IDS in found:
        experiments = (known.target(Kind.EXPERIMENT, one) for one in found[EXPERIMENT_IDS].split(",") if one)
        moved = [one for one in experiments if one]
        found[EXPERIMENT_IDS] = f",{','.join(moved)}," if moved else ""
    return {key: value for key, value in found.items() if value or key != EXPERIMENT_IDS}


def logged_model_tags(tags: Mapping[str, str], known: Known) -> dict[str, str]:
    """Without the list of its versions, which the target keeps itself."""
    return {key: ids(value, known) for key, value in tags.items() if key != MODEL_VERSIONS}


def trace_info(info: Mapping[str, Any], known: Known, *, whole: bool) -> dict[str, Any]:
    """For another experiment and other runs. ``whole``: all spans come too; the size is only true of all of them.

    The location of the artifacts is the target's own to give; with a tag of that name it refuses the trace. That spans
    are in its tables it notes when they are, which is how a trace is known to be whole.
    """
    found = dict(info)
    experiment = str(found["trace_location"]["mlflow_experiment"]["experiment_id"])
    target = known.target(Kind.EXPERIMENT, experiment)
    found["trace_location"] = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": target}}
    left_out = (ARTIFACT_LOCATION, SPANS_LOCATION)
    found["tags"] = {k: v for k, v in (found.get("tags") or {}).items() if k not in left_out}
    metadata = {key: _id_of(key, value, known) for key, value in (found.get("trace_metadata") or {}).items()}
    if not whole:
        for key in ("mlflow.trace.sizeStats", "mlflow.trace.sizeBytes"):
            metadata.pop(key, None)
    found["trace_metadata"] = metadata
    if found.get("assessments"):
        found["assessments"] = [assessment(one, known) for one in found["assessments"]]
    return found


def _id_of(key: str, value: str, known: Known) -> str:
    return ids(value, known) if key in (*_RUN_KEYS, "mlflow.modelId") else value


def assessment(data: Mapping[str, Any], known: Known) -> dict[str, Any]:
    found = dict(data)
    if found.get("metadata"):
        found["metadata"] = {key: _id_of(key, value, known) for key, value in found["metadata"].items()}
    if found.get("run_id"):
        found["run_id"] = ids(found["run_id"], known)
    return found


def span(data: Mapping[str, Any], experiment: str) -> dict[str, Any]:
    """The attribute that names the experiment holds a JSON text, as all of MLflow's own."""
    found = dict(data)
    found["attributes"] = [
        {"key": one["key"], "value": {"string_value": _like(one["value"].get("string_value", ""), experiment)}}
        if one["key"] == "mlflow.experimentId"
        else one
        for one in found.get("attributes", ())
    ]
    return found


def _like(text: str, experiment: str) -> str:
    return json.dumps(experiment) if text.startswith('"') else experiment
