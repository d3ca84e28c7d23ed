"""Which migration a command is about: a name in a cluster, or a state directory of this machine."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import click

from project_migration.backends.local.backend import as_migration
from project_migration.backends.local.state import StateDirectory
from project_migration.engine.names import Key
from project_migration.engine.world import Migration

F = TypeVar("F", bound=Callable[..., Any])


class Which(Protocol):
    """A migration that is stored somewhere, and what people may set on it."""

    @property
    def local(self) -> bool: ...

    def load(self) -> Migration:
        """Raises Gone, PassingError."""

    def set_once(self, field: str) -> None:
        """A field of the spec that goes from false to true: cancel, undo, cutover.approved."""

    def annotate(self, annotations: Mapping[str, str]) -> None: ...


@dataclass(frozen=True, slots=True)
class InDirectory:
    """A migration of this machine. Looking at it takes no lock and changes nothing."""

    path: Path

    @property
    def local(self) -> bool:
        return True

    def load(self) -> Migration:
        state = StateDirectory(self.path)
        stored = state.read()
        key = Key(stored.document.metadata.namespace, stored.document.metadata.name)
        return as_migration(key, stored, state.wishes())

    def set_once(self, field: str) -> None:
        StateDirectory(self.path).wish(field)

    def annotate(self, annotations: Mapping[str, str]) -> None:
        StateDirectory(self.path).wish(annotations=annotations)


class InCluster:
    """A migration of the cluster that kubectl would speak to. Raises PassingError when there is none."""

    local = False

    def __init__(self, key: Key, context: str | None = None) -> None:
        from project_migration.cli.cluster import Cluster

        self._key = key
        self._cluster = Cluster(context)

    def load(self) -> Migration:
        return self._cluster.load(self._key)

    def set_once(self, field: str) -> None:
        value: Any = True
        for part in reversed(field.split(".")):
            value = {part: value}
        self._cluster.set_spec(self._key, value)

    def annotate(self, annotations: Mapping[str, str]) -> None:
        self._cluster.annotate(self._key, annotations)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options say; nothing is opened yet."""

    name: str | None
    namespace: str | None
    context: str | None
    state: Path | None

    @property
    def nothing(self) -> bool:
        return self.name is None and self.state is None

    def which(self) -> Which:
        """Raises ``click.UsageError``, PassingError."""
        if (self.name is None) == (self.state is None):
            raise click.UsageError("name a migration of the cluster (NAME), or one of this machine (--state DIR)")
        if self.state is not None:
            return InDirectory(self.state.absolute())
        from project_migration.cli.cluster import current_namespace

        return InCluster(Key(self.namespace or current_namespace(self.context), str(self.name)), self.context)


def which_options(command: F) -> F:
    """NAME, -n and --context for a cluster, --state for this machine; the command gets an :class:`Asked`."""

    @functools.wraps(command)
    def with_asked(
        *args: Any, name: str | None, namespace: str | None, context: str | None, state: Path | None, **others: Any
    ) -> Any:
        return command(*args, asked=Asked(name, namespace, context, state), **others)

    wrapped: Any = with_asked
    for option in (
        click.argument("name", required=False),
        click.option("-n", "--namespace", help="The namespace of NAME; as kubectl's by default."),
        click.option("--context", help="The context of the kubeconfig; the current one by default."),
        click.option(
            "--state",
            metavar="DIR",
            type=click.Path(path_type=Path, file_okay=False),
            help="A migration of this machine: its state directory.",
        ),
    ):
        wrapped = option(wrapped)
    return cast("F", wrapped)
