"""Evaluation datasets with their records, and scorers with their versions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from hashlib import sha256
from typing import Any

from project_migration.workers.mlflow.api import experiments, marks
from project_migration.workers.mlflow.api.client import B, Json
from project_migration.workers.mlflow.api.entities import EvaluationDataset, Scorer
from project_migration.workers.mlflow.api.failures import Answer
from project_migration.workers.mlflow.api.ids import Kind, Mapped
from project_migration.workers.mlflow.api.server import Feature
from project_migration.workers.mlflow.api.work import Work

#: What a record brings of its own; ids and times the target gives.
_OF_RECORD = ("inputs", "expectations", "tags", "source", "outputs")


def datasets(work: Work) -> None:
    """Those of experiments that move; where everything moves, also those of none."""
    there = {one.tags.get(marks.DATASET_ID, one.id): one for one in work.server.evaluation_datasets()}
    for dataset in work.reader.evaluation_datasets():
        moved = any(experiments.is_selected(work, one) for one in dataset.experiments)
        if moved or (not dataset.experiments and work.choices.selection.experiments.everything):
            work.account.expect(items=1)
            work.pool.submit(_dataset, work, dataset, there.get(dataset.id))
    work.pool.drain()


def _dataset(work: Work, dataset: EvaluationDataset, there: EvaluationDataset | None) -> None:
    with work.account.one(dataset.title):
        work.lacks(Feature.EVALUATION_DATASETS)
        targets = [work.ids.target(Kind.EXPERIMENT, one) for one in dataset.experiments]
        targets = [one for one in targets if one]
        identity = there.id if there else _made(work, dataset, targets)
        work.ids.put(Kind.EVALUATION_DATASET, dataset.id, Mapped(identity))
        unlinked = sorted(set(targets) - set(there.experiments)) if there else []
        if unlinked:
            work.client.post(
                f"{B}/datasets/{identity}/add-experiments", {"dataset_id": identity, "experiment_ids": unlinked}
            )
        present = _hashes(work, there) if there else set()
        for page in work.reader.records(dataset):
            fresh = [record for record in map(_of_target, page) if _hash(record) not in present]
            if fresh:
                body = {"records": json.dumps(fresh)}
                work.client.post(f"{B}/datasets/{identity}/records", body)
                work.account.count("records", len(fresh))
        work.account.count("evaluationDatasetsThere" if there else "evaluationDatasets")


def _made(work: Work, dataset: EvaluationDataset, targets: list[str]) -> str:
    tags = marks.without(dataset.tags) | marks.of_evaluation_dataset(dataset, work.migration)
    body = {"name": dataset.name, "experiment_ids": targets, "tags": json.dumps(tags)}

    def find() -> Json | None:
        for one in work.server.evaluation_datasets():
            if one.tags.get(marks.DATASET_ID) == dataset.id:
                return {"dataset": {"dataset_id": one.id}}
        return None

    return str(work.client.post(f"{B}/datasets/create", body, find)["dataset"]["dataset_id"])


def _hashes(work: Work, dataset: EvaluationDataset) -> set[str]:
    return {_hash(_of_target(record)) for page in work.server.records(dataset) for record in page}


def _of_target(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: record[key] for key in _OF_RECORD if record.get(key) is not None}


def _hash(record: Mapping[str, Any]) -> str:
    return sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def record_hashes(pages: Iterator[Any]) -> list[str]:
    """Of all records, whatever their ids, sorted."""
    return sorted(_hash(_of_target(record)) for page in pages for record in page)


def scorers(work: Work) -> None:
    for sources in experiments.selected(work):
        for scorer in work.reader.scorers(sources):
            work.account.expect(items=1)
            work.pool.submit(_scorer, work, scorer)
    work.pool.drain()


def _scorer(work: Work, scorer: Scorer) -> None:
    with work.account.one(scorer.title):
        work.lacks(Feature.SCORERS)
        experiment = work.ids.target(Kind.EXPERIMENT, scorer.experiment)
        there = _versions_there(work, experiment, scorer.name)
        for number, text in enumerate(scorer.versions):
            if number < there:
                continue
            body = {"experiment_id": experiment, "name": scorer.name, "serialized_scorer": text}
            work.client.post(f"{B}/scorers/register", body, partial(_registered, work, experiment, scorer, number))
        work.ids.put(Kind.SCORER, f"{scorer.experiment}/{scorer.name}", Mapped(f"{experiment}/{scorer.name}"))
        work.account.count("scorersThere" if there >= len(scorer.versions) else "scorers")


def _registered(work: Work, experiment: str, scorer: Scorer, number: int) -> Json | None:
    return {} if _versions_there(work, experiment, scorer.name) > number else None


def _versions_there(work: Work, experiment: str, name: str) -> int:
    try:
        answer = work.client.get(f"{B}/scorers/versions", {"experiment_id": experiment, "name": name})
    except Answer as error:
        if error.missing:
            return 0
        raise
    return len(answer.get("scorers", ()))
