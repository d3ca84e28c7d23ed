"""`approve`, `cancel`, `retry`, `release` and `forget`: commands that decide about a migration."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import click

from project_migration.backends.local.backend import LocalBackend
from project_migration.cli.console import console
from project_migration.cli.endings import exit_code
from project_migration.cli.errors import FAILED, OK, Refused, Trouble, spoken
from project_migration.cli.locking import is_locked, locked
from project_migration.cli.run import carry
from project_migration.cli.which import Asked, InDirectory, Which, which_options
from project_migration.engine.itinerary import end_of
from project_migration.engine.refusals import why_no_cancel, why_no_retry, why_no_rollback, why_no_undo
from project_migration.engine.world import Migration
from project_migration.model.conditions import End
from project_migration.model.document import CutoverMode
from project_migration.model.errors import Failure
from project_migration.model.labels import RELEASE, RETRY, ROLLBACK
from project_migration.observing.report.account import account
from project_migration.observing.report.words import workload_words


@click.command()
@which_options
@click.pass_context
@spoken
def approve(context: click.Context, asked: Asked) -> None:
    """Let the cut-over begin, of a migration that waits for that (cutover.mode Manual). It cannot be taken back.

    From then on the source's workloads rest. Said early, it holds for when the migration is ready.

    \b
    Examples:
      kubectl project-migration approve vision -n ml
      project-migration approve --state /var/lib/project-migration/ml-vision
    """
    which = asked.which()
    before = which.load()
    end = end_of(before.status)
    if end is not None:
        raise Refused(f"it has ended already ({end}): there is nothing to approve")
    if before.document is not None and before.document.spec.cutover.mode is not CutoverMode.MANUAL:
        mode = before.document.spec.cutover.mode
        raise Refused(f"its cut-over waits for nobody: cutover.mode is {mode}")
    which.set_once("cutover.approved")
    migration = _go_on(which, "Its cut-over is approved; see it with `watch`.")
    if migration is not None:
        context.exit(exit_code(end_of(migration.status)))


@click.command()
@which_options
@click.pass_context
@spoken
def cancel(context: click.Context, asked: Asked) -> None:
    """Stop a migration and bring its workloads back. It cannot be taken back.

    The source's workloads come back as they were. Those of a target that was written to stay down, since what is
    there is not whole: see `release`.

    \b
    Examples:
      kubectl project-migration cancel vision -n ml
      project-migration cancel --state /var/lib/project-migration/ml-vision
    """
    which = asked.which()
    _refuse(why_no_cancel(which.load().status))
    which.set_once("cancel")
    migration = _go_on(which, "It is being cancelled; see it with `watch`.")
    if migration is not None:
        done = end_of(migration.status) is End.CANCELLED
        context.exit(OK if done else exit_code(end_of(migration.status)))


@click.command()
@which_options
@click.pass_context
@spoken
def retry(context: click.Context, asked: Asked) -> None:
    """Try a failed migration again; what was copied is not copied again.

    On this machine the `run` command given again does the same.

    \b
    Examples:
      kubectl project-migration retry vision -n ml
      project-migration retry --state /var/lib/project-migration/ml-vision
    """
    which = asked.which()
    migration = which.load()
    _refuse(why_no_retry(migration.status, migration.document.spec if migration.document else None))
    which.annotate({RETRY: f"{time.time():.3f}"})
    after = _go_on(which, "It is tried again; see it with `watch`.")
    if after is not None:
        context.exit(exit_code(end_of(after.status)))


@click.command()
@which_options
@click.pass_context
@spoken
def rollback(context: click.Context, asked: Asked) -> None:
    """Put the target of a migration that did not end well back as it was.

    For a migration with onFailure: Halt, or after a rollback that failed. The target becomes what its backup holds,
    or empty again if it was, and is compared; then its workloads come back.

    \b
    Examples:
      kubectl project-migration rollback vision -n ml
      project-migration rollback --state /var/lib/project-migration/ml-vision
    """
    which = asked.which()
    _refuse(why_no_rollback(which.load().status))
    which.annotate({ROLLBACK: f"{time.time():.3f}"})
    after = _go_on(which, "It is being rolled back; see it with `watch`.")
    if after is not None:
        context.exit(OK if after.status.first_write_at is None else FAILED)


@click.command()
@which_options
@click.pass_context
@spoken
def undo(context: click.Context, asked: Asked) -> None:
    """Take back a migration that succeeded. It cannot be taken back in turn.

    The target becomes what its backup holds, or empty again if it was. What users wrote there since is lost. The
    source was never changed.

    \b
    Examples:
      kubectl project-migration undo vision -n ml
      project-migration undo --state /var/lib/project-migration/ml-vision
    """
    which = asked.which()
    _refuse(why_no_undo(which.load().status))
    which.set_once("undo")
    after = _go_on(which, "It is being taken back; see it with `watch`.")
    if after is not None:
        context.exit(exit_code(end_of(after.status)))


@click.command()
@which_options
@spoken
def release(asked: Asked) -> None:
    """Bring back the target's workloads that a failed or cancelled migration holds down.

    They are held because what is on the target is not proved. Do this when you have seen to it, or emptied it.

    \b
    Examples:
      kubectl project-migration release vision -n ml
      project-migration release --state /var/lib/project-migration/ml-vision
    """
    which = asked.which()
    which.annotate({RELEASE: f"{time.time():.3f}"})
    _go_on(which, "Its workloads come back; see them with `status`.")


@click.command()
@click.option("--state", "state", metavar="DIR", required=True, type=click.Path(path_type=Path, file_okay=False),
              help="The state directory of the migration.")  # fmt: skip
@click.option("--force", is_flag=True, help="Even if workloads are down that then nobody brings back.")
@spoken
def forget(state: Path, force: bool) -> None:
    """Remove what this machine knows of a migration: its state, its locks, its signatures. No data is touched.

    Needed when a migration was given up half-way and its target shall be written by another one, or when a cancelled
    one shall be run anew.

    \b
    Example:
      project-migration forget --state /var/lib/project-migration/ml-vision
    """
    state = state.absolute()
    migration = InDirectory(state).load()
    resting = account(migration).resting
    if resting and not force:
        names = ", ".join(workload_words(workload) for workload in resting)
        raise Trouble(
            f"{names} would stay down: bring them back first with `project-migration cancel --state {state}` (or"
            " `release`), or say --force and start them yourself"
        )
    with locked(state):
        backend = LocalBackend.reopen(state)
        backend.interrupt()
        backend.leases.forget()
        backend.workloads.forget()
        for name in ("state.json", "wishes.json", "document.yaml", "lock"):
            (state / name).unlink(missing_ok=True)
        for name in ("helpers", "workspace"):
            shutil.rmtree(state / name, ignore_errors=True)
    if state.is_dir() and not any(state.iterdir()):
        state.rmdir()
    print(f"{'/'.join(migration.key)} is forgotten.")


def _go_on(which: Which, said: str) -> Migration | None:
    """A cluster's operator, or a `run` that is at work, sees the wish by itself; else it is acted on here."""
    if not isinstance(which, InDirectory) or is_locked(which.path):
        print(said)
        return None
    with locked(which.path):
        return carry(LocalBackend.reopen(which.path), console())


def _refuse(why: Failure | None) -> None:
    """Raises Refused when there is a reason to."""
    if why is not None:
        raise Refused(why.message)
