"""`explain`, `crd` and `completion`: commands that need no migration."""

from __future__ import annotations

import difflib

import click
from click.shell_completion import get_completion_class
from rich.text import Text

from project_migration.cli.console import console
from project_migration.cli.endings import LOCAL_REMEDIES
from project_migration.cli.errors import Trouble
from project_migration.model.errors import REMEDIES, Reason

PROGRAM = "project-migration"


@click.command()
@click.argument("reason", required=False)
def explain(reason: str | None) -> None:
    """Say what to do about a reason that stands in a condition, an event or a message; without one, list all.

    \b
    Example:
      project-migration explain TargetNotEmpty
    """
    talk = console()
    if reason is None:
        for known in Reason:
            talk.print(Text(f"{known}: ", "bold").append(REMEDIES[known], ""))
        return
    by_name = {str(known).lower(): known for known in Reason}
    found = by_name.get(reason.lower())
    if found is None:
        close = difflib.get_close_matches(reason.lower(), by_name, n=1)
        hint = f"; did you mean {by_name[close[0]]}?" if close else "; without a reason, all are listed"
        raise Trouble(f"there is no reason {reason}{hint}")
    talk.print(Text(str(found), "bold"))
    talk.print(REMEDIES[found])
    if found in LOCAL_REMEDIES:
        talk.print(Text("On one machine: ", "bold").append(LOCAL_REMEDIES[found], ""))


@click.command()
def crd() -> None:
    """Print the CustomResourceDefinition, ready for `kubectl apply -f -`.

    \b
    Example:
      project-migration crd | kubectl apply -f -
    """
    from project_migration.model.crd import render

    print(render(), end="")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete this program's commands and options.

    \b
    Example:
      source <(project-migration completion bash)
    """
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101 - click knows the three
    variable = f"_{PROGRAM.replace('-', '_')}_complete".upper()
    print(made(context.find_root().command, {}, PROGRAM, variable).source())
