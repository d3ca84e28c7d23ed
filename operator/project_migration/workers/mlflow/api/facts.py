"""What has to be alike on both sides, part by part. A source's object is told as it should be on the target."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from project_migration.workers.mlflow.api import marks, rewriting
from project_migration.workers.mlflow.api.entities import (
    EvaluationDataset,
    Experiment,
    LoggedModel,
    Metric,
    Reader,
    RegisteredModel,
    Run,
    Scorer,
    Trace,
    Version,
)
from project_migration.workers.mlflow.api.evaluation import record_hashes
from project_migration.workers.mlflow.api.ids import Kind
from project_migration.workers.mlflow.api.rewriting import Known
from project_migration.workers.mlflow.archive.spans import to_file

Fact = dict[str, Any]

#: Parts of which the target may hold more: servers and users add tags, an output that was once there stays.
MORE_ALLOWED = frozenset({"tags", "metadata", "aliases", "outputs", "experiments"})

_LARGEST = 1.7976931348623157e308  # what a server keeps instead of an infinity
_MASK = (1 << 128) - 1

#: Tags that a server sets itself, or that are compared as something else.
_OF_SERVER = (rewriting.RUN_NAME, rewriting.MODEL_VERSIONS, rewriting.EXPERIMENT_IDS)


def differences(expected: Fact, found: Fact) -> list[str]:
    """Names of the parts that are not as they should be."""
    return [part for part, value in expected.items() if not _alike(part, value, found.get(part))]


def _alike(part: str, expected: Any, found: Any) -> bool:
    if part in MORE_ALLOWED and isinstance(expected, Mapping):
        return all((found or {}).get(key) == value for key, value in expected.items())
    if part in MORE_ALLOWED and isinstance(expected, list):
        return all(one in (found or ()) for one in expected)
    return bool(expected == found)


def digest(fact: Fact) -> str:
    return hashlib.sha256(json.dumps(fact, sort_keys=True, default=str).encode()).hexdigest()


class Sum:
    """A digest of a collection whose order does not matter, in little memory."""

    def __init__(self) -> None:
        self._sum = 0
        self._count = 0

    def add(self, item: str) -> None:
        self._sum = (self._sum + int.from_bytes(hashlib.sha256(item.encode()).digest()[:16], "big")) & _MASK
        self._count += 1

    def __str__(self) -> str:
        return f"{self._count} {self._sum:032x}"

    @property
    def short(self) -> str:
        """Enough of it to tell two sides apart, in the little room of a record."""
        return f"{self._sum:032x}"[:16]


def tags_of(found: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in marks.without(found).items() if key not in _OF_SERVER}


def experiment(found: Experiment) -> Fact:
    return {"lifecycle": found.active, "tags": tags_of(found.tags)}


def runs(reader: Reader, found: Iterator[Run], known: Known | None) -> Iterator[tuple[Run, Fact]]:
    """With whole histories. ``known`` for a source's; None for a target's, which is told as it is."""
    while group := list(islice(found, 100)):
        held = reader.histories(group)
        for one in group:
            histories = {key: _history(reader, one, key, held.get((one.id, key))) for key in one.latest}
            yield one, _run(one, histories, known)


def _run(found: Run, histories: Mapping[str, str], known: Known | None) -> Fact:
    tags = tags_of(found.tags)
    outputs = sorted([list(one) for one in found.outputs])
    if known is not None:
        tags = rewriting.run_tags(tags, known)
        outputs = sorted([known.target(Kind.LOGGED_MODEL, one.model), one.step] for one in found.outputs)
        outputs = [one for one in outputs if one[0]]  # what did not move was told by the copy
    fact = {
        "user": found.user,
        "status": found.status,
        "times": [found.start or 0, found.end],
        "lifecycle": found.active,
        "params": dict(found.params),
        "tags": tags,
        "metrics": dict(histories),
        "datasets": sorted([sorted(one.dataset.items()), sorted(one.tags.items())] for one in found.datasets),
        "outputs": outputs,
    }
    return fact | ({"name": found.name} if found.name or known is None else {})


def _history(reader: Reader, run: Run, key: str, held: Sequence[Metric] | None) -> str:
    total = Sum()
    for page in [held] if held is not None else reader.history(run.id, key):
        for value, timestamp, step in set(page):
            total.add(f"{_finite(value)!r} {timestamp} {step}")
    return str(total)


def _finite(value: float) -> float:
    return math.copysign(_LARGEST, value) if math.isinf(value) else value


def logged_model(found: LoggedModel, known: Known | None) -> Fact:
    tags = tags_of(found.tags)
    run, metrics = found.run, Sum()
    for one in found.metrics:
        logged_by = known.target(Kind.RUN, one.run) if known else one.run
        if logged_by or not one.run:
            metrics.add(f"{one.key} {one.metric} {logged_by} {one.dataset_name} {one.dataset_digest}")
    if known is not None:
        tags = rewriting.logged_model_tags(tags, known)
        run = known.target(Kind.RUN, found.run)
    return {
        "name": found.name,
        "type": found.type,
        "status": found.status,
        "run": run,
        "params": dict(found.params),
        "tags": tags,
        "metrics": str(metrics),
    }


def registered_model(found: RegisteredModel, known: Known | None, numbers: Mapping[str, str] | None) -> Fact:
    """``numbers``: of a source's versions, those on the target."""
    tags, aliases = tags_of(found.tags), dict(found.aliases)
    if known is not None and numbers is not None:
        tags = rewriting.model_tags(tags, known)
        aliases = {alias: numbers[number] for alias, number in aliases.items() if number in numbers}
    return {"prompt": found.prompt, "description": found.description, "tags": tags, "aliases": aliases}


def version(found: Version, known: Known | None, rename: Mapping[str, str]) -> Fact:
    tags, run, source = tags_of(found.tags), found.run, found.source
    if known is not None:
        tags = rewriting.version_tags(tags, known)
        origin = rewriting.origin(found, known, rename=rename)
        run, source = origin.run, origin.source
    return {"description": found.description, "stage": found.stage, "tags": tags, "run": run, "source": source}


def trace(found: Trace, known: Known | None) -> Fact:
    info = found.info
    if known is not None:
        info = rewriting.trace_info(info, known, whole=True)
    experiment = info["trace_location"]["mlflow_experiment"]["experiment_id"]
    left_out = (rewriting.ARTIFACT_LOCATION, rewriting.SPANS_LOCATION)
    spans = Sum()
    for span in found.spans:
        spans.add(json.dumps(to_file(rewriting.span(span, experiment)), sort_keys=True))
    return {
        "experiment": experiment,
        "state": info.get("state"),
        "time": [info.get("request_time"), info.get("execution_duration")],
        "previews": [info.get("request_preview"), info.get("response_preview")],
        "tags": {key: value for key, value in tags_of(info.get("tags") or {}).items() if key not in left_out},
        "metadata": dict(info.get("trace_metadata") or {}),
        "assessments": sorted(_assessments(info.get("assessments") or ())),
        "spans": str(spans),
    }


def _assessments(found: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for one in found:
        kept = {key: value for key, value in one.items() if key not in ("valid", "trace_id")}
        yield json.dumps(kept, sort_keys=True)


def evaluation_dataset(reader: Reader, found: EvaluationDataset, known: Known | None) -> Fact:
    experiments = [known.target(Kind.EXPERIMENT, one) if known else one for one in found.experiments]
    return {
        "name": found.name,
        "tags": tags_of(found.tags),
        "experiments": sorted(one for one in experiments if one),
        "records": hashlib.sha256("".join(record_hashes(reader.records(found))).encode()).hexdigest(),
    }


def scorer(found: Scorer) -> Fact:
    return {"versions": list(found.versions)}
