"""`run`: one document, here, to its end."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from project_migration.backends.local.backend import LocalBackend
from project_migration.backends.local.places import default_state_dir
from project_migration.backends.local.state import StateDirectory
from project_migration.cli.console import console
from project_migration.cli.documents import read_file
from project_migration.cli.endings import as_json, exit_code, say_end, say_interrupted
from project_migration.cli.errors import Trouble, complain, spoken
from project_migration.cli.follow import Interruption, follow
from project_migration.cli.locking import locked
from project_migration.engine.itinerary import end_of
from project_migration.engine.names import Key
from project_migration.engine.windows import past
from project_migration.engine.world import Migration
from project_migration.model.conditions import End
from project_migration.model.document import Document
from project_migration.model.errors import DocumentError, Reason
from project_migration.model.labels import RETRY
from project_migration.observing.display import display_for
from project_migration.observing.report import render
from project_migration.observing.report.account import account
from project_migration.observing.report.proof import proof


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--state", "state", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
              help="Where the migration keeps what it knows. Default: one directory for each name, under"
              " $XDG_STATE_HOME/project-migration (/var/lib/project-migration for root).")  # fmt: skip
@click.option("--bind", "binds", metavar="KIND/NAME=VALUE", multiple=True,
              help="What stands here for a claim, a Secret, a workload or a Job. May be given many times.")  # fmt: skip
@click.option("--report", "report", metavar="FILE.html", type=click.Path(path_type=Path, dir_okay=False),
              help="Write the HTML report there, too.")  # fmt: skip
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="json: nothing but the migration as one JSON document on standard output, at the end.")  # fmt: skip
@click.option("--quiet", is_flag=True, help="Say only how it ended.")
@click.pass_context
@spoken
def run(
    context: click.Context,
    file: str,
    state: Path | None,
    binds: tuple[str, ...],
    report: Path | None,
    output: str,
    quiet: bool,
) -> None:
    """Run the migration that FILE describes on this machine, to its end. `-` reads standard input.

    The same document that a cluster takes: say with --bind which directory each claim is, and how each workload
    is stopped and started. Paths in the document need no binding.

    \b
    Examples:
      project-migration run vision.yaml
      project-migration run vision.yaml \\
          --bind claim/data-old=/srv/old --bind claim/data-new=/srv/new \\
          --bind deployment/web=compose/web@/srv/app

    A Secret is bound to a directory that holds a file for each of its keys (secret/db-old=/root/db-old).

    \b
    A workload is bound to one of
      compose/SERVICE[@DIR]   a docker compose service (the compose file is in DIR)
      systemd/UNIT            a systemd unit; for a CronJob its timer
      exec/PROGRAM            called with `status` (prints how many run), `stop`, `start N`;
                              with a path from the root: exec//srv/app/manage
      none                    somebody has stopped it by hand
    A Job of the target's is bound to exec/PROGRAM, which does its work and ends with 0, or to none.

    Ctrl-C ends the helpers and leaves everything else; the same command goes on where it was, also after a power
    cut. After a failure the same command tries again from the start, keeping what was copied.

    \b
    Exit codes: 0 succeeded (or planned), 1 failed or cancelled, 2 the document or the command line is wrong,
    130 interrupted.
    """
    if report is not None and not report.absolute().parent.is_dir():
        raise click.UsageError(f"--report: there is no directory {report.absolute().parent}")
    document = read_file(file)
    key = Key(document.metadata.namespace, document.metadata.name)
    state_dir = (state or default_state_dir(key)).absolute()
    talk = console(quiet=output == "json")
    with locked(state_dir):
        if not StateDirectory(state_dir).exists:
            refuse_the_past(document)
        backend = LocalBackend(document, state_dir, binds)
        migration = begin_again(backend, talk)
        if migration is None:
            migration = carry(backend, talk, quiet=quiet or output == "json", report=report)
    if output == "json":
        print(as_json(migration))
    context.exit(exit_code(end_of(migration.status)))


def refuse_the_past(document: Document) -> None:
    """Raises DocumentError when a migration that begins now could never cut over as it says."""
    over = past(document.spec.cutover, datetime.now(UTC))
    if over:
        raise DocumentError((f"spec.cutover: {Reason.CUTOVER_IN_THE_PAST}: {over}",))


def carry(backend: LocalBackend, talk: Console, *, quiet: bool = False, report: Path | None = None) -> Migration:
    """A migration whose directory is locked: on to its end, and the end told. Returns it as it is then."""
    interruption = Interruption()
    display = display_for(talk, quiet=quiet)
    with interruption.noted():
        try:
            migration = follow(backend, display, interruption)
        finally:
            display.close()
        if end_of(migration.status) is None:
            talk.print("Ending the helpers. Ctrl-C again leaves at once.")
            backend.interrupt()
            migration = backend.load(backend.key)
            say_interrupted(talk, migration, backend.state.path)
        else:
            backend.workloads.close()
    if end_of(migration.status) is not None:
        where = write_report(backend, migration, report)
        say_end(talk, migration, local=True, workspace=backend.helpers.workspace, report=where)
    return migration


def begin_again(backend: LocalBackend, talk: Console) -> Migration | None:
    """What the same command means when the migration is over: nothing after success, another try after a failure.

    Returns the migration when there is nothing to do.
    """
    migration = backend.load(backend.key)
    document = migration.document
    match end_of(migration.status):
        case End.SUCCEEDED | End.ALREADY_MIGRATED if _not_again(migration):
            talk.print("This migration has ended already; nothing was changed now.")
            workspace = backend.helpers.workspace
            say_end(talk, migration, local=True, workspace=workspace, report=workspace / "report.html")
            return migration
        case End.CANCELLED:
            raise Trouble(
                "this migration was cancelled, which cannot be taken back; to begin anew:"
                f" project-migration forget --state {backend.state.path}"
            )
        case End.UNDONE:
            raise Trouble(
                f"this migration was taken back; to begin anew: project-migration forget --state {backend.state.path}"
            )
        case End.FAILED if document is not None and not document.spec.cancel:
            backend.state.wish(annotations={RETRY: f"{time.time():.3f}"})
    return None


def _not_again(migration: Migration) -> bool:
    """Whether a document that was carried out asks for nothing more: no new text in spec.force."""
    force = migration.document.spec.force if migration.document else None
    return force is None or force == migration.status.handled_force


def write_report(backend: LocalBackend, migration: Migration, elsewhere: Path | None) -> Path | None:
    """Into the workspace, always, and where it was asked for. Where that fails, the migration itself has not."""
    page, workspace = render(migration), backend.helpers.workspace
    files = {workspace / "report.json": proof(account(migration)).to_json(), workspace / "report.html": page}
    if elsewhere is not None:
        files[elsewhere] = page
    written = None
    for path, text in files.items():
        try:
            path.write_text(text, encoding="utf-8")
            written = path.absolute()
        except OSError as error:
            complain([f"the report cannot be written to {path}: {error.strerror}"])
    return written
