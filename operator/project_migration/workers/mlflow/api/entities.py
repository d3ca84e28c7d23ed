"""What a tracking server holds, as both sides and the archive give it; ids are those of the side it was read from.

Times are milliseconds since 1970, as in MLflow; None where a server or a file does not say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

Tags = Mapping[str, str]


class Owner(StrEnum):
    """What artifacts belong to."""

    RUN = "run"
    LOGGED_MODEL = "logged model"
    TRACE = "trace"


class Place(NamedTuple):
    """Where the artifacts of one object lie."""

    owner: Owner
    id: str
    uri: str
    #: In an archive: the directory, from the archive's root.
    directory: str = ""


class File(NamedTuple):
    path: str
    #: Bytes; None where a listing does not say.
    size: int | None


class Metric(NamedTuple):
    value: float
    timestamp: int
    step: int


class Point(NamedTuple):
    key: str
    metric: Metric


@dataclass(frozen=True, slots=True)
class Experiment:
    id: str
    name: str
    location: str
    active: bool
    tags: Tags = field(default_factory=dict)
    created: int | None = None
    updated: int | None = None


@dataclass(frozen=True, slots=True)
class DatasetInput:
    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None = None
    profile: str | None = None
    tags: Tags = field(default_factory=dict)

    @property
    def dataset(self) -> dict[str, str]:
        """As the interface writes it: what is not there is left out."""
        found = {"name": self.name, "digest": self.digest, "source_type": self.source_type, "source": self.source}
        more = {"schema": self.schema, "profile": self.profile}
        return found | {key: value for key, value in more.items() if value is not None}


class ModelOutput(NamedTuple):
    model: str
    step: int


@dataclass(frozen=True, slots=True)
class Run:
    id: str
    experiment: str
    name: str
    user: str
    status: str
    start: int | None
    end: int | None
    active: bool
    place: Place
    latest: Mapping[str, Metric] = field(default_factory=dict)
    params: Tags = field(default_factory=dict)
    tags: Tags = field(default_factory=dict)
    datasets: tuple[DatasetInput, ...] = ()
    outputs: tuple[ModelOutput, ...] = ()
    #: Logged models that the run used; None where only a look at this one run would tell.
    inputs: tuple[str, ...] | None = None

    @property
    def title(self) -> str:
        return f"run {self.id}"

    @property
    def over(self) -> bool:
        return self.status in ("FINISHED", "FAILED", "KILLED")


@dataclass(frozen=True, slots=True)
class ModelMetric:
    key: str
    metric: Metric
    run: str
    dataset_name: str | None = None
    dataset_digest: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedModel:
    id: str
    experiment: str
    name: str
    type: str
    run: str
    """The run that made it, or an empty text."""
    status: str
    place: Place
    tags: Tags = field(default_factory=dict)
    params: Tags = field(default_factory=dict)
    metrics: tuple[ModelMetric, ...] = ()
    created: int | None = None

    @property
    def title(self) -> str:
        return f"logged model {self.id} ({self.name})"


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A prompt is one too, as in MLflow's own tables."""

    name: str
    description: str
    prompt: bool
    tags: Tags = field(default_factory=dict)
    aliases: Tags = field(default_factory=dict)
    """Version by alias."""
    created: int | None = None

    @property
    def title(self) -> str:
        return f"{'prompt' if self.prompt else 'model'} {self.name}"


@dataclass(frozen=True, slots=True)
class Version:
    model: str
    number: int
    source: str
    run: str
    description: str
    stage: str
    status: str
    user: str = ""
    run_link: str = ""
    tags: Tags = field(default_factory=dict)
    created: int | None = None

    @property
    def title(self) -> str:
        return f"version {self.model}/{self.number}"


@dataclass(frozen=True, slots=True)
class Trace:
    id: str
    experiment: str
    info: Mapping[str, Any]
    """As the interface writes it (``TraceInfoV3`` of ``service.proto``)."""
    spans: tuple[Mapping[str, Any], ...] = ()
    """As the interface writes them (OTLP's ``Span``, bytes in base64)."""
    span_file: bool = False
    """The spans are its artifact ``traces.json``."""
    directory: str = ""
    """In an archive: that of the trace."""

    @property
    def title(self) -> str:
        return f"trace {self.id}"

    @property
    def tags(self) -> Tags:
        return self.info.get("tags") or {}

    @property
    def metadata(self) -> Tags:
        return self.info.get("trace_metadata") or {}

    @property
    def place(self) -> Place:
        return Place(Owner.TRACE, self.id, self.tags.get("mlflow.artifactLocation", ""), self.directory)


@dataclass(frozen=True, slots=True)
class EvaluationDataset:
    id: str
    name: str
    tags: Tags
    experiments: tuple[str, ...]
    created: int | None = None

    @property
    def title(self) -> str:
        return f"evaluation dataset {self.name} ({self.id})"


@dataclass(frozen=True, slots=True)
class Scorer:
    experiment: str
    name: str
    versions: tuple[str, ...]
    """Each as its serialised text, the oldest first."""

    @property
    def title(self) -> str:
        return f"scorer {self.name} of experiment {self.experiment}"


class Reader(Protocol):
    """A side that can be read: a server or an archive. Lists come page by page, so that none is held whole."""

    @property
    def title(self) -> str:
        """For people: the address or the directory."""

    def experiments(self) -> Iterator[Experiment]: ...

    def runs(self, experiments: Sequence[str], *, deleted: bool) -> Iterator[Run]: ...

    def run(self, identity: str) -> Run | None:
        """One run wherever it is; None where there is none of that id."""

    def histories(self, runs: Sequence[Run]) -> Mapping[tuple[str, str], list[Metric]]:
        """Whole histories by run and key, of at most a hundred runs, as far as they are short; others are left out."""

    def history(self, run: str, key: str) -> Iterator[Sequence[Metric]]:
        """One history, page by page."""

    def logged_models(self, experiments: Sequence[str]) -> Iterator[LoggedModel]: ...

    def logged_model(self, identity: str) -> LoggedModel | None:
        """One wherever it is; None where there is none of that id."""

    def registered_models(self) -> Iterator[RegisteredModel]: ...

    def versions(self) -> Iterator[Version]: ...

    def traces(self, experiments: Sequence[str]) -> Iterator[Trace]: ...

    def evaluation_datasets(self) -> Iterator[EvaluationDataset]: ...

    def records(self, dataset: EvaluationDataset) -> Iterator[Sequence[Mapping[str, Any]]]: ...

    def scorers(self, experiments: Sequence[str]) -> Iterator[Scorer]: ...


def number(value: object) -> float:
    """A metric's value, which protobuf's JSON gives as text where it is no finite number."""
    return float(value)  # type: ignore[arg-type]


def written(value: float) -> float | str:
    """The opposite of :func:`number`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def whole(value: object) -> int:
    """An integer, which protobuf's JSON may give as text."""
    return int(value)  # type: ignore[call-overload, no-any-return]
