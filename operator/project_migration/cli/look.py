"""`status`, `watch` and `report`: commands that look and change nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from project_migration.backends.local.places import home
from project_migration.cli.console import console
from project_migration.cli.endings import as_json, exit_code, say_end
from project_migration.cli.errors import INTERRUPTED, Trouble, spoken
from project_migration.cli.locking import is_locked
from project_migration.cli.which import Asked, InDirectory, Which, which_options
from project_migration.engine.itinerary import end_of
from project_migration.engine.world import Migration
from project_migration.model.errors import MigrationError, PassingError
from project_migration.observing.display import display_for, head, steps_picture, workload_lines
from project_migration.observing.report import render
from project_migration.observing.report.account import account
from project_migration.observing.report.proof import proof

#: Seconds between two looks of `watch`.
LOOK_SECONDS = 1.0


@click.command()
@which_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@spoken
def status(asked: Asked, output: str) -> None:
    """Say how a migration stands; without a name, list those of this machine.

    \b
    Examples:
      project-migration status
      project-migration status vision -n ml
      project-migration status --state /var/lib/project-migration/ml-vision -o json
    """
    talk = console()
    if asked.nothing:
        _list(talk)
        return
    which = asked.which()
    migration = which.load()
    if output == "json":
        print(as_json(migration))
    elif end_of(migration.status) is not None:
        say_end(talk, migration, local=which.local)
    else:
        talk.print(head(migration))
        talk.print(steps_picture(migration, None))
        for line in workload_lines(migration):
            talk.print(Text(f"  {line}"))


@click.command()
@which_options
@click.pass_context
@spoken
def watch(context: click.Context, asked: Asked) -> None:
    """Follow a migration until it is over; Ctrl-C ends the watching only.

    \b
    Examples:
      kubectl project-migration watch vision -n ml
      project-migration watch --state /var/lib/project-migration/ml-vision

    Exit codes as for `run`; 130 when you stop watching.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    which = asked.which()
    talk = console()
    try:
        migration = _follow(which, talk)
    except KeyboardInterrupt:
        talk.print("You stopped watching; the migration goes on.")
        context.exit(INTERRUPTED)
    say_end(talk, migration, local=which.local)
    context.exit(exit_code(end_of(migration.status)))


@click.command()
@which_options
@click.option("-o", "--output", metavar="FILE.html", default="", help="Where to; - is standard output."
              " Default: NAME-report.html here.")  # fmt: skip
@click.option("--json", "as_data", is_flag=True, help="The report for programs, also where FILE does not end in .json.")
@spoken
def report(asked: Asked, output: str, as_data: bool) -> None:
    """Write the HTML report of a migration: one file, no network needed to read it.

    It needs no more than the right to read the migration. With a FILE.json, or --json, the report for programs is
    written, which the HTML holds too. `verify` takes either. The whole lists of what was left out, and the manifests,
    lie in the workspace.

    \b
    Examples:
      kubectl project-migration report vision -n ml
      project-migration report --state /var/lib/project-migration/ml-vision -o - > vision.html
    """
    migration = asked.which().load()
    as_data = as_data or output.endswith(".json")
    page = proof(account(migration)).to_json() if as_data else render(migration)
    if output == "-":
        print(page)
        return
    path = Path(output or f"{migration.key.name}-report.{'json' if as_data else 'html'}")
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise Trouble(f"{path} cannot be written: {error.strerror}") from error
    print(path.absolute())


def _follow(which: Which, talk: Console) -> Migration:
    """Looks again and again; a cluster that does not answer for a while is waited for."""
    display = display_for(talk)
    try:
        while True:
            try:
                migration = which.load()
                display.show(migration)
                if end_of(migration.status) is not None:
                    return migration
            except PassingError as error:
                display.note(f"{error}; trying again")
            time.sleep(LOOK_SECONDS)
    finally:
        display.close()


def _list(talk: Console) -> None:
    found = list(kept_here())
    if not found:
        talk.print(f"No migration is kept in {home()}.")
        return
    table = Table(box=None, header_style="dim", padding=(0, 2))
    for title in ("migration", "phase", "done", "at work", "state directory"):
        table.add_column(title, overflow="fold")
    for path, migration in found:
        progress = f"{migration.status.progress.percent} %"
        at_work = "yes" if is_locked(path) else "no"
        table.add_row("/".join(migration.key), migration.status.phase, progress, at_work, str(path))
    talk.print(table)


def kept_here() -> Iterator[tuple[Path, Migration]]:
    """Every migration of this machine, with its state directory."""
    for path in sorted(home().glob("*/state.json")) if home().is_dir() else ():
        try:
            yield path.parent, InDirectory(path.parent).load()
        except (MigrationError, OSError, ValueError) as error:
            raise Trouble(f"{path} cannot be read: {error}") from error
