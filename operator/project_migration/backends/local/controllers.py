"""Stops and starts what runs on this machine: compose services, systemd units, a program of the user's own.

Each controller is asked what runs, told to stop it, and told to start so many; all three may be repeated. Commands run
in a session of their own, so that a Ctrl-C at the keyboard does not end one half-way.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from project_migration.backends.local.bindings import Means
from project_migration.model.errors import PassingError

#: Stopping may take as long as what is stopped takes to shut down; longer than any of compose's or systemd's defaults.
COMMAND_SECONDS = 300.0
LOOK_SECONDS = 30.0

#: What `status` of an exec program answers for something that does not exist: LSB's "status is unknown"
#: (https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/iniscrptact.html)
EXIT_UNKNOWN = 4


class Running(NamedTuple):
    """How many are asked for, and the names of those that have not ended."""

    asked: int
    names: tuple[str, ...] = ()


class Controller(Protocol):
    def running(self) -> Running | None:
        """What runs; None when there is no such thing. Raises PassingError."""

    def stop(self) -> None:
        """Returns when nothing runs any more. Raises PassingError."""

    def start(self, count: int) -> None:
        """Has so many instances run. Raises PassingError."""


def controller_for(means: Means) -> Controller:
    match means.how:
        case "compose":
            return Compose(means.name, means.directory)
        case "systemd":
            return Systemd(means.name)
        case "exec":
            return Program(means.name)
        case _:
            return ByHand()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str

    def error(self) -> PassingError:
        text = (self.err.strip() or self.out.strip() or "it said nothing").splitlines()[-1]
        return PassingError(f"`{' '.join(self.argv)}` ended with {self.code}: {text[:300]}")


def ask(argv: Sequence[str], *, directory: str | None = None, seconds: float = COMMAND_SECONDS) -> Answer:
    """Runs a command to its end. Raises PassingError when it cannot be run or takes too long."""
    shown = " ".join(argv)
    try:
        done = subprocess.run(
            argv,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PassingError(f"`{shown}` did not end within {seconds:.0f}s") from None
    except OSError as error:
        raise PassingError(f"`{shown}` cannot be run: {error.strerror}") from error
    return Answer(tuple(argv), done.returncode, done.stdout, done.stderr)


def must(argv: Sequence[str], *, directory: str | None = None, seconds: float = COMMAND_SECONDS) -> Answer:
    answer = ask(argv, directory=directory, seconds=seconds)
    if answer.code != 0:
        raise answer.error()
    return answer


@dataclass(frozen=True, slots=True)
class Compose:
    """A service of docker compose (version 2), in the directory of its compose file.

    https://docs.docker.com/reference/cli/docker/compose/
    """

    service: str
    directory: str

    def running(self) -> Running | None:
        known = self._compose("config", "--services").out.split()
        if self.service not in known:
            return None
        listed = containers(self._compose("ps", "--all", "--format", "json", self.service).out)
        names = tuple(str(one.get("Name", self.service)) for one in listed if one.get("State") not in _RESTING)
        return Running(len(names), names)

    def stop(self) -> None:
        must(("docker", "compose", "stop", self.service), directory=self.directory)

    def start(self, count: int) -> None:
        # as it was: neither rebuilt, nor recreated from a compose file that changed meanwhile, nor with neighbours
        options = ("--detach", "--no-build", "--no-recreate", "--no-deps", "--scale", f"{self.service}={count}")
        must(("docker", "compose", "up", *options, self.service), directory=self.directory)

    def _compose(self, *arguments: str) -> Answer:
        return must(("docker", "compose", *arguments), directory=self.directory, seconds=LOOK_SECONDS)


_RESTING = frozenset({"exited", "dead", "created", "removing"})


def containers(text: str) -> list[dict[str, object]]:
    """What ``docker compose ps --format json`` prints: a JSON array before 2.21, an object a line since."""
    try:
        found = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines()]
    except ValueError as error:
        raise PassingError(f"`docker compose ps` did not print JSON: {text[:100]!r}") from error
    return [one for one in found if isinstance(one, dict)]


@dataclass(frozen=True, slots=True)
class Systemd:
    """A unit of the system manager. For a CronJob, name its timer: it has ended when its service has, too.

    https://www.freedesktop.org/software/systemd/man/systemctl.html
    """

    unit: str

    def running(self) -> Running | None:
        if self._property(self.unit, "LoadState") in ("not-found", "error", "bad-setting"):
            return None
        asked = self._active(self.unit)
        works = self._property(self.unit, "Unit") if self.unit.endswith(".timer") else self.unit
        return Running(int(asked), (works,) if self._active(works) else ())

    def stop(self) -> None:
        must(("systemctl", "stop", self.unit))

    def start(self, count: int) -> None:  # noqa: ARG002 - a unit runs once
        must(("systemctl", "start", self.unit))

    def _active(self, unit: str) -> bool:
        return self._property(unit, "ActiveState") not in ("inactive", "failed", "")

    def _property(self, unit: str, name: str) -> str:
        answer = must(("systemctl", "show", "--property", name, "--value", unit), seconds=LOOK_SECONDS)
        return answer.out.strip()


@dataclass(frozen=True, slots=True)
class Program:
    """A program of the user's: ``status`` prints how many run (exit 4: no such thing), ``stop``, ``start N``."""

    path: str

    def running(self) -> Running | None:
        answer = ask((self.path, "status"), seconds=LOOK_SECONDS)
        if answer.code == EXIT_UNKNOWN:
            return None
        if answer.code != 0:
            raise answer.error()
        text = answer.out.strip()
        if not text.isdecimal():
            raise PassingError(f"`{self.path} status` printed {text[:60]!r}, not how many run")
        count, name = int(text), self.path.rsplit("/", 1)[-1]
        return Running(count, tuple(f"{name}-{number}" for number in range(1, min(count, 100) + 1)))

    def stop(self) -> None:
        must((self.path, "stop"))

    def start(self, count: int) -> None:
        must((self.path, "start", str(count)))


@dataclass(frozen=True, slots=True)
class ByHand:
    """Somebody has stopped it, and starts it again: there is nothing for us to do or to see."""

    def running(self) -> Running:
        return Running(0)

    def stop(self) -> None:
        """Done already."""

    def start(self, count: int) -> None:
        """Whoever stopped it starts it."""
