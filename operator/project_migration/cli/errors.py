"""How errors reach a person: words on standard error, a number as the exit code, never a traceback for what we know."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

import click
from rich.console import Console
from rich.markup import escape

from project_migration.model.errors import DocumentError, MigrationError

P = ParamSpec("P")
R = TypeVar("R")

#: It succeeded, or the plan is made.
OK = 0
#: It failed, was cancelled, or could not be done.
FAILED = 1
#: The document or the command line is wrong; click's own number for that.
WRONG = 2
#: Ended from the keyboard, as shells say it (128 + SIGINT).
INTERRUPTED = 130


class Trouble(click.ClickException):
    """Something that a person can do something about, other than mending the document."""

    exit_code = FAILED

    def show(self, file: object = None) -> None:  # noqa: ARG002 - click's signature
        complain([self.format_message()])


class Refused(Trouble):
    """A request that makes no sense for this migration as it stands; nothing was changed."""

    exit_code = WRONG


def complain(problems: Iterable[str]) -> None:
    """Each problem a line, the part before the first colon standing out: the field, the option, the file."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for problem in problems:
        where, colon, rest = problem.partition(": ")
        if colon and " " not in where.removeprefix("--bind "):
            console.print(f"[bold red]✗[/] [bold]{escape(where)}[/]: {escape(rest)}")
        else:
            console.print(f"[bold red]✗[/] {escape(problem)}")


def spoken(command: Callable[P, R]) -> Callable[P, R]:
    """Turns what this package raises on purpose into words and an exit code."""

    @functools.wraps(command)
    def speaking(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except DocumentError as error:
            complain(error.problems)
            raise click.exceptions.Exit(WRONG) from error
        except MigrationError as error:
            raise Trouble(str(error)) from error

    return speaking
