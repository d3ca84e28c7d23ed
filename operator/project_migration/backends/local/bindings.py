"""``--bind``: what stands on this machine for the claims, workloads and secrets that a document names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from project_migration.backends.local.places import place_of, real
from project_migration.engine.names import WorkloadRef
from project_migration.model.document import Document, WorkloadKind
from project_migration.model.endpoints import Volume
from project_migration.model.errors import DocumentError
from project_migration.model.mentions import VolumeMention, jobs, secrets, volumes

K = TypeVar("K")
V = TypeVar("V")

#: How each kind of workload is written in ``--bind``.
WORKLOAD_KINDS = {kind.value.lower(): kind for kind in WorkloadKind}

MEANS = "compose/SERVICE[@DIR], systemd/UNIT, exec/PROGRAM or none"
JOB_MEANS = "exec/PROGRAM or none"


class Means(NamedTuple):
    """How a workload is stopped and started here: ``how`` is compose, systemd, exec or none."""

    how: str
    name: str = ""
    directory: str = ""

    def __str__(self) -> str:
        if self.how == "none":
            return "none"
        return f"{self.how}/{self.name}" + (f"@{self.directory}" if self.directory else "")


@dataclass(frozen=True, slots=True)
class Bindings:
    """Directories and workloads by the names that the document has for them."""

    claims: Mapping[str, Path] = field(default_factory=dict)
    workloads: Mapping[WorkloadRef, Means] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    jobs: Mapping[str, Means] = field(default_factory=dict)
    """What is run here for a Job: a program, or none."""

    @property
    def texts(self) -> tuple[str, ...]:
        """As they would be written again, with absolute paths, sorted."""
        found = [f"claim/{name}={path}" for name, path in self.claims.items()]
        found += [f"{ref.kind.value.lower()}/{ref.name}={means}" for ref, means in self.workloads.items()]
        found += [f"secret/{name}={path}" for name, path in self.secrets.items()]
        found += [f"job/{name}={means}" for name, means in self.jobs.items()]
        return tuple(sorted(found))

    def directory(self, volume: Volume) -> Path:
        """The directory of a volume, its subPath included. The document was checked, so it is bound."""
        return real(self.root(volume) / (volume.sub_path or ""))

    def root(self, volume: Volume) -> Path:
        """The directory that stands for the claim, or the path itself."""
        return self.claims[volume.claim_name] if volume.claim_name else Path(str(volume.path))

    @classmethod
    def parse(cls, texts: Sequence[str], *, secrets_are_there: bool = True) -> Bindings:
        """Raises DocumentError with every binding that is wrong."""
        claims: dict[str, Path] = {}
        workloads: dict[WorkloadRef, Means] = {}
        secrets: dict[str, Path] = {}
        jobs: dict[str, Means] = {}
        problems: list[str] = []
        for text in texts:
            key, _, value = text.partition("=")
            kind, _, name = key.partition("/")
            try:
                if not name or not value:
                    raise ValueError("write KIND/NAME=VALUE, for example claim/data-old=/srv/old")
                if kind == "claim":
                    _add(claims, name, Path(value).expanduser().absolute())
                elif kind == "secret":
                    _add(secrets, name, _existing(value) if secrets_are_there else Path(value))
                elif kind == "job":
                    _add(jobs, name, _parse_job(value))
                elif kind in WORKLOAD_KINDS:
                    _add(workloads, WorkloadRef(WORKLOAD_KINDS[kind], name), parse_means(value))
                else:
                    known = ", ".join(("claim", *WORKLOAD_KINDS, "secret", "job"))
                    raise ValueError(f"there is no kind {kind!r}; it is one of {known}")
            except ValueError as error:
                problems.append(f"--bind {text}: {error}")
        if problems:
            raise DocumentError(tuple(problems))
        return cls(claims, workloads, secrets, jobs)


def _add(known: dict[K, V], key: K, value: V) -> None:
    if known.get(key, value) != value:
        raise ValueError(f"it is bound already, to {known[key]}")
    known[key] = value


def parse_means(text: str) -> Means:
    """``compose/web@/srv/app`` → Means. Raises ValueError with what is wrong."""
    how, _, name = text.partition("/")
    if text == "none":
        return Means("none")
    if not name or how not in ("compose", "systemd", "exec"):
        raise ValueError(f"{text!r} is not one of {MEANS}")
    if how == "compose":
        service, _, directory = name.partition("@")
        return Means("compose", service, str(_existing(directory or ".")))
    if how == "exec":
        program = Path(name if name.startswith("/") else f"./{name}").expanduser().absolute()
        if not os.access(program, os.X_OK) or program.is_dir():
            raise ValueError(f"{program} is not a program that can be run (for an absolute path write exec//path)")
        return Means("exec", str(program))
    return Means("systemd", name)


def _parse_job(text: str) -> Means:
    means = parse_means(text) if text.startswith("exec/") or text == "none" else None
    if means is None:
        raise ValueError(f"{text!r} is not one of {JOB_MEANS}")
    return means


def _existing(text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not path.is_dir():
        raise ValueError(f"there is no directory {path}")
    return path


def check(
    document: Document, bindings: Bindings, keep_apart: Iterable[Path] = (), *, secrets_are_there: bool = True
) -> tuple[str, ...]:
    """What the document names and nobody bound, what was bound and is not named, and directories that overlap.

    ``keep_apart``: directories of our own, which no source or target may hold. ``secrets_are_there``: whether keys of
    Secrets have to be readable, which whoever only ends a migration does not need.
    """
    problems = (*_unbound(document, bindings), *_needless(document, bindings))
    if secrets_are_there:
        problems = (*problems, *dict.fromkeys(_keyless(document, bindings)))
    return problems or tuple(_overlapping(document, bindings, tuple(keep_apart)))


def _unbound(document: Document, bindings: Bindings) -> Iterator[str]:
    for use in volumes(document.spec):
        name = use.volume.claim_name
        if name and name not in bindings.claims:
            yield (
                f"{use.field}.claimName: this machine has no claim {name}: say which directory it is with"
                f" --bind claim/{name}=DIRECTORY"
            )
    for position, workload in enumerate(document.spec.quiesce.workloads):
        if WorkloadRef(workload.kind, workload.name) not in bindings.workloads:
            kind = workload.kind.value.lower()
            yield (
                f"spec.quiesce.workloads[{position}]: this machine has no {workload.kind} {workload.name}: say how"
                f" it is stopped and started with --bind {kind}/{workload.name}=… ({MEANS})"
            )
    for job in jobs(document.spec):
        if job.name not in bindings.jobs:
            yield (
                f"{job.field}: this machine has no Job {job.name}: say which program does its work with"
                f" --bind job/{job.name}=… ({JOB_MEANS})"
            )
    yield from dict.fromkeys(_secrets(document, bindings))


def _secrets(document: Document, bindings: Bindings) -> Iterator[str]:
    for use in secrets(document.spec):
        if use.name not in bindings.secrets:
            yield (
                f"{use.field}: this machine has no Secret {use.name}: say where its keys lie, a file each, with"
                f" --bind secret/{use.name}=DIRECTORY"
            )


def _keyless(document: Document, bindings: Bindings) -> Iterator[str]:
    for use in secrets(document.spec):
        directory = bindings.secrets.get(use.name)
        if directory is not None and use.key and not (directory / use.key).is_file():
            yield f"--bind secret/{use.name}: {directory} holds no file {use.key} ({use.field})"


def _needless(document: Document, bindings: Bindings) -> Iterator[str]:
    """A binding with a misspelt name must not pass in silence."""
    claims = {use.volume.claim_name for use in volumes(document.spec)}
    if document.spec.workspace is not None:
        claims.add(document.spec.workspace.claim_name)
    for name in bindings.claims:
        if name not in claims:
            yield f"--bind claim/{name}: the document names no such claim"
    named = {WorkloadRef(workload.kind, workload.name) for workload in document.spec.quiesce.workloads}
    for ref in bindings.workloads:
        if ref not in named:
            kind = ref.kind.value.lower()
            yield f"--bind {kind}/{ref.name}: the document lists no {ref} under spec.quiesce.workloads"
    run = {job.name for job in jobs(document.spec)}
    for name in bindings.jobs:
        if name not in run:
            yield f"--bind job/{name}: the document names no such Job"
    wanted = {use.name for use in secrets(document.spec)}
    for name in bindings.secrets:
        if name not in wanted:
            yield f"--bind secret/{name}: the document names no such Secret"


def _overlapping(document: Document, bindings: Bindings, keep_apart: tuple[Path, ...]) -> Iterator[str]:
    """The document's own rules compare names; here links are followed and bind mounts seen through."""
    placed = [(use, bindings.directory(use.volume)) for use in volumes(document.spec)]
    for position, (use, directory) in enumerate(placed):
        place = place_of(directory)
        for other, its_directory in placed[:position]:
            apart = (use.writes or other.writes) and not _of_one_server(use, other)
            if apart and place.overlaps(place_of(its_directory)):
                yield (
                    f"{use.field}: {directory} and {its_directory} ({other.field}) are the same directory or one"
                    " lies inside the other: give places that are apart"
                )
        for own in keep_apart:
            if place_of(own).path.is_relative_to(place.path) and place_of(own).device == place.device:
                yield (f"{use.field}: {directory} holds the state directory {own}: choose another one with --state DIR")


def _of_one_server(one: VolumeMention, other: VolumeMention) -> bool:
    """A tracking server's database may lie beside its files, and they below the directory of its database."""
    sides = {use.field.split(".")[2] for use in (one, other) if use.field.startswith("spec.mlflow.")}
    return (one.shared or other.shared) and len(sides) == 1 and "spec.backup" not in (one.field, other.field)
