"""A tracking server as a side that can be read: what it is, and everything it holds, list by list.

What a server has to offer follows from its version; the floors are the releases that brought each endpoint.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from project_migration.workers.mlflow.api import failures, parsing
from project_migration.workers.mlflow.api.client import AJAX, A, B, Client, Json
from project_migration.workers.mlflow.api.entities import (
    EvaluationDataset,
    Experiment,
    LoggedModel,
    Metric,
    RegisteredModel,
    Run,
    Scorer,
    Trace,
    Version,
    whole,
)
from project_migration.workers.mlflow.api.failures import Answer, Refused

#: Limits of the server's own validation: runs and versions a page, runs and rows of one bulk history.
RUNS_PAGE = 1000
BULK_RUNS, BULK_ROWS = 100, 25_000
VERSIONS_PAGE, MODELS_PAGE, LOGGED_MODELS_PAGE = 5000, 500, 100
HISTORY_PAGE, RECORDS_PAGE, TRACES_PAGE = 20_000, 500, 200

#: Experiments that one search names.
EXPERIMENTS_AT_ONCE = 50

#: Bytes of an answer that the next page should not exceed by far.
PAGE_BYTES = 16 * 1024 * 1024

#: Points of metrics that are held for one group of runs; longer histories are read when their run is written.
POINTS_HELD = 150_000

#: Bytes of spans that are asked for at once, by what the traces say of themselves.
SPAN_BYTES = 8 * 1024 * 1024
SPANS_AT_ONCE = 50

#: Of the first call: whoever asks is told soon, and asks again.
FIRST_TRIES = 3

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?\S{0,20}")


class Feature(Enum):
    """What came with which release."""

    ALIASES = ("aliases", (2, 3, 0))
    DATASET_INPUTS = ("dataset inputs", (2, 4, 0))
    PROMPTS = ("prompts", (2, 21, 0))
    TRACES = ("traces", (3, 0, 0))
    LOGGED_MODELS = ("logged models", (3, 0, 0))
    HISTORY_PAGES = ("pages of histories", (3, 1, 4))
    SPANS = ("spans", (3, 4, 0))  # OTLP
    SCORERS = ("scorers", (3, 4, 0))
    EVALUATION_DATASETS = ("evaluation datasets", (3, 4, 0))

    @property
    def title(self) -> str:
        return self.value[0]

    @property
    def floor(self) -> tuple[int, int, int]:
        return self.value[1]


class Release(NamedTuple):
    major: int
    minor: int
    patch: int
    text: str

    def has(self, feature: Feature) -> bool:
        return (self.major, self.minor, self.patch) >= feature.floor


class Server:
    """Also a :class:`~project_migration.workers.mlflow.api.entities.Reader`."""

    def __init__(self, client: Client, release: Release) -> None:
        self.client = client
        self.release = release

    @classmethod
    def reached(cls, client: Client) -> Server:
        """Raises ``Refused`` when nobody answers there, when it is no tracking server, or it does not let us in."""
        try:
            text = client.text("version", FIRST_TRIES).strip()
        except Answer as answer:
            raise _not_mlflow(client, str(answer)) from None
        found = _VERSION.fullmatch(text)
        if not found:
            raise _not_mlflow(client, f"/version answers {failures.said(text)[:60]!r}")
        server = cls(client, Release(int(found[1]), int(found[2]), int(found[3] or 0), text))
        try:
            # /version is open where the interface is not: behind a login, or for another host name
            client.post(f"{A}/experiments/search", {"max_results": 1, "view_type": "ALL"})
        except Answer as answer:
            if answer.status == 403:
                raise Refused(failures.AUTHENTICATION_FAILED, f"{client.side}: {answer}") from None
            raise _not_mlflow(client, str(answer)) from None
        return server

    @property
    def title(self) -> str:
        return self.client.endpoint.url

    def has(self, feature: Feature) -> bool:
        return self.release.has(feature)

    def experiments(self) -> Iterator[Experiment]:
        body = {"view_type": "ALL", "max_results": RUNS_PAGE}
        for data in self._posted(f"{A}/experiments/search", body, "experiments"):
            yield parsing.experiment(data)

    def experiment_named(self, name: str) -> Experiment | None:
        try:
            answer = self.client.get(f"{A}/experiments/get-by-name", {"experiment_name": name})
        except Answer as error:
            if error.missing:
                return None
            raise
        return parsing.experiment(answer["experiment"])

    def runs(self, experiments: Sequence[str], *, deleted: bool, filter_text: str = "") -> Iterator[Run]:
        """In the order of their start, so that parents come before children and new runs do not move the pages."""
        for ids in groups(experiments, EXPERIMENTS_AT_ONCE):
            body: dict[str, Any] = {
                "experiment_ids": list(ids),
                "run_view_type": "ALL" if deleted else "ACTIVE_ONLY",
                "order_by": ["attributes.start_time ASC"],
                "filter": filter_text,
                "max_results": BULK_RUNS,
            }
            for data in self._posted(f"{A}/runs/search", body, "runs", most=RUNS_PAGE):
                yield parsing.run(data)

    def run(self, identity: str) -> Run | None:
        try:
            found = parsing.run(self.client.get(f"{A}/runs/get", {"run_id": identity})["run"])
        except Answer as error:
            if error.missing:
                return None
            raise
        return found

    def histories(self, runs: Sequence[Run]) -> Mapping[tuple[str, str], list[Metric]]:
        held: dict[tuple[str, str], list[Metric]] = {}
        of_key: dict[str, list[str]] = {}
        for run in runs:
            for key in run.latest:
                of_key.setdefault(key, []).append(run.id)
        room = POINTS_HELD
        for key, ids in of_key.items():
            if room <= 0:
                break
            try:
                room -= self._bulk(key, sorted(ids), held)
            except Answer:  # an old server, or a proxy in front that does not pass this route
                break
        return held

    def _bulk(self, key: str, ids: list[str], held: dict[tuple[str, str], list[Metric]]) -> int:
        """The histories of one key, sorted by run; the answer ends after so many rows without a word."""
        taken = 0
        while ids:
            query = {"run_id": ids, "metric_key": key, "max_results": BULK_ROWS}
            rows = self.client.get(f"{AJAX}/metrics/get-history-bulk", query).get("metrics", [])
            found: dict[str, list[Metric]] = {}
            for row in rows:
                found.setdefault(row["run_id"], []).append(parsing.metric(row))
            if len(rows) >= BULK_ROWS:
                last = rows[-1]["run_id"]
                found.pop(last)  # it may be cut
                ids = [one for one in ids if one > last or (one == last and found)]
            else:
                ids = []
            for one, points in found.items():
                held[one, key] = points
            taken += len(rows)
        return taken

    def history(self, run: str, key: str) -> Iterator[Sequence[Metric]]:
        query: dict[str, Any] = {"run_id": run, "metric_key": key}
        if self.has(Feature.HISTORY_PAGES):
            query["max_results"] = HISTORY_PAGE
        while True:
            answer = self.client.get(f"{A}/metrics/get-history", query)
            yield [parsing.metric(row) for row in answer.get("metrics", ())]
            token = answer.get("next_page_token")
            if not token:
                return
            query["page_token"] = token

    def logged_models(self, experiments: Sequence[str]) -> Iterator[LoggedModel]:
        if not self.has(Feature.LOGGED_MODELS):
            return
        for ids in groups(experiments, EXPERIMENTS_AT_ONCE):
            body = {"experiment_ids": list(ids), "max_results": LOGGED_MODELS_PAGE}
            for data in self._posted(f"{A}/logged-models/search", body, "models"):
                yield parsing.logged_model(data)

    def logged_model(self, identity: str) -> LoggedModel | None:
        try:
            return parsing.logged_model(self.client.get(f"{A}/logged-models/{identity}")["model"])
        except Answer as error:
            if error.missing:
                return None
            raise

    def registered_models(self) -> Iterator[RegisteredModel]:
        for text in self._registry_filters():
            query = {"max_results": MODELS_PAGE, "filter": text, "order_by": ["name ASC"]}
            for data in self._got(f"{A}/registered-models/search", query, "registered_models"):
                yield parsing.registered_model(data)

    def versions(self, model: str = "") -> Iterator[Version]:
        if model:
            # a prompt's are given only where the filter speaks of its tag
            for more in self._registry_filters():
                quote = '"' if "'" in model else "'"
                text = " AND ".join(part for part in (f"name = {quote}{model}{quote}", more) if part)
                yield from self._versions(text)
            return
        for text in self._registry_filters():
            yield from self._versions(text)

    def _versions(self, text: str) -> Iterator[Version]:
        query = {"max_results": VERSIONS_PAGE, "filter": text}
        for data in self._got(f"{A}/model-versions/search", query, "model_versions"):
            yield parsing.version(data)

    def _registry_filters(self) -> tuple[str, ...]:
        """Prompts are left out unless a filter names their tag."""
        return ("", f"tags.`{parsing.IS_PROMPT}` = 'true'") if self.has(Feature.PROMPTS) else ("",)

    def traces(self, experiments: Sequence[str], *, spans: bool = True) -> Iterator[Trace]:
        if not self.has(Feature.TRACES):
            return
        for ids in groups(experiments, EXPERIMENTS_AT_ONCE):
            places = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": one}} for one in ids]
            body = {"locations": places, "max_results": TRACES_PAGE, "order_by": ["timestamp_ms ASC"]}
            found = (parsing.trace(data) for data in self._posted(f"{B}/traces/search", body, "traces"))
            yield from self._with_spans(found) if spans else found

    def _with_spans(self, traces: Iterator[Trace]) -> Iterator[Trace]:
        waiting: list[Trace] = []
        size = 0
        for trace in traces:
            if trace.span_file:
                yield trace
                continue
            waiting.append(trace)
            size += span_bytes(trace)
            if size >= SPAN_BYTES or len(waiting) >= SPANS_AT_ONCE:
                yield from self._fetched(waiting)
                waiting, size = [], 0
        if waiting:
            yield from self._fetched(waiting)

    def _fetched(self, traces: Sequence[Trace]) -> Iterator[Trace]:
        found: dict[str, Json] = {}
        try:
            answer = self.client.get(f"{B}/traces/batchGet", {"trace_ids": [trace.id for trace in traces]})
            found = {data["trace_info"]["trace_id"]: data for data in answer.get("traces", ())}
        except Answer:  # one that cannot be given fails all: each by itself then
            pass
        for trace in traces:
            data = found.get(trace.id) or self._trace(trace.id)
            yield parsing.trace(trace.info, data.get("spans", ()) if data else ())

    def _trace(self, identity: str) -> Json | None:
        try:
            query = {"trace_id": identity, "allow_partial": "true"}
            found: Json = self.client.get(f"{B}/traces/get", query)["trace"]
        except Answer:
            return None
        return found

    def evaluation_datasets(self) -> Iterator[EvaluationDataset]:
        if not self.has(Feature.EVALUATION_DATASETS):
            return
        for data in self._posted(f"{B}/datasets/search", {"max_results": 50}, "datasets"):
            answer = self.client.get(f"{B}/datasets/{data['dataset_id']}/experiment-ids")
            yield parsing.evaluation_dataset(data, answer.get("experiment_ids", ()))

    def records(self, dataset: EvaluationDataset) -> Iterator[Sequence[Mapping[str, Any]]]:
        query: dict[str, Any] = {"max_results": RECORDS_PAGE}
        while True:
            answer = self.client.get(f"{B}/datasets/{dataset.id}/records", query)
            found = answer.get("records") or "[]"
            yield json.loads(found) if isinstance(found, str) else found
            token = answer.get("next_page_token")
            if not token:
                return
            query["page_token"] = token

    def scorers(self, experiments: Sequence[str]) -> Iterator[Scorer]:
        if not self.has(Feature.SCORERS):
            return
        for experiment in experiments:
            try:
                listed = self.client.get(f"{B}/scorers/list", {"experiment_id": experiment}).get("scorers", ())
            except Answer as answer:
                if answer.status == 400:  # those of a deleted experiment are given to nobody
                    continue
                raise
            for name in sorted({data["scorer_name"] for data in listed}):
                query = {"experiment_id": experiment, "name": name}
                versions = self.client.get(f"{B}/scorers/versions", query).get("scorers", ())
                ordered = sorted(versions, key=lambda data: whole(data.get("scorer_version", 0)))
                yield Scorer(experiment, name, tuple(data["serialized_scorer"] for data in ordered))

    def count(self, path: str, name: str) -> int:
        """How many are on the first page of a list that this program does not move; 0 where there is no such list."""
        try:
            return len(self.client.get(path).get(name, ()))
        except Answer:
            return 0

    def _posted(self, path: str, body: Json, name: str, most: int = 0) -> Iterator[Json]:
        return self._pages(lambda query: self.client.post(path, query), body, name, most)

    def _got(self, path: str, query: Json, name: str) -> Iterator[Json]:
        return self._pages(lambda page: self.client.get(path, page), query, name, 0)

    def _pages(self, ask: Callable[[Json], Json], query: Json, name: str, most: int) -> Iterator[Json]:
        """Every item; with ``most``, pages grow to so many as long as their answers stay small."""
        page = dict(query)
        while True:
            answer = ask(page)
            found = answer.get(name) or []
            yield from found
            token = answer.get("next_page_token")
            if not token:
                return
            page["page_token"] = token
            if most and found:
                size = len(json.dumps(found[: min(len(found), 20)])) // min(len(found), 20) or 1
                page["max_results"] = max(10, min(most, PAGE_BYTES // size))


def groups(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def span_bytes(trace: Trace) -> int:
    try:
        return int(trace.metadata.get("mlflow.trace.sizeBytes", "65536"))
    except ValueError:
        return 65536


def hex_id(text: str) -> str:
    """An id of OTLP, which comes as base64, as hex digits."""
    return base64.b64decode(text).hex()


def _not_mlflow(client: Client, what: str) -> Refused:
    return Refused(failures.NOT_MLFLOW, f"{client.side}: {client.endpoint.url} is no MLflow tracking server: {what}")
