"""`expire`: removes backups whose time has come: an operator does so by itself, on one machine nobody would."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import click
from rich.console import Console

from project_migration.backends.local.backend import LocalBackend
from project_migration.cli.console import console
from project_migration.cli.errors import OK, Refused, Trouble, spoken
from project_migration.cli.follow import Interruption, follow
from project_migration.cli.locking import is_locked, locked
from project_migration.cli.look import kept_here
from project_migration.cli.which import Asked, InDirectory, which_options
from project_migration.engine.clock import stamp
from project_migration.engine.retention import due_at, why_not_expire
from project_migration.engine.world import Migration
from project_migration.model.labels import EXPIRE
from project_migration.observing.display import display_for


@click.command()
@which_options
@click.option("--now", is_flag=True, help="Even if its time has not come, or backup.keepFor names none.")
@click.pass_context
@spoken
def expire(context: click.Context, asked: Asked, now: bool) -> None:
    """Remove backups that were kept as long as backup.keepFor says; without a name, all of this machine that are due.

    Nothing can be put back from them afterwards. A backup that a target may still need is never removed. In a cluster
    the operator does this by itself; there it is of use with --now.

    \b
    Examples:
      project-migration expire
      project-migration expire --state /var/lib/project-migration/ml-vision --now
      kubectl project-migration expire vision -n ml --now
    """
    talk = console()
    if asked.nothing:
        if now:
            raise click.UsageError("--now needs the migration that is meant (NAME, or --state DIR)")
        context.exit(_all_that_is_due(talk))
    which = asked.which()
    migration = which.load()
    why = why_not_expire(migration.status)
    if why is not None:
        raise Refused(why.message)
    if now:
        which.annotate({EXPIRE: f"{time.time():.3f}"})
    elif not _is_due(migration):
        raise Refused(f"{_stays(migration)}; to remove it now, say --now")
    if isinstance(which, InDirectory):
        context.exit(_removed(which, talk))
    talk.print("The operator removes it; see it with `status`.")


def _all_that_is_due(talk: Console) -> int:
    code, found = OK, False
    for which, migration in _due_here():
        found = True
        code = max(code, _removed(which, talk, "/".join(migration.key)))
    if not found:
        talk.print("No backup of this machine is due.")
    return code


def _due_here() -> Iterator[tuple[InDirectory, Migration]]:
    """Those that a `run` is at work on are left to it."""
    for path, migration in kept_here():
        if why_not_expire(migration.status) is None and _is_due(migration) and not is_locked(path):
            yield InDirectory(path), migration


def _is_due(migration: Migration) -> bool:
    due = due_at(migration, migration.status)
    return due is not None and due <= datetime.now(UTC)


def _stays(migration: Migration) -> str:
    due = due_at(migration, migration.status)
    return f"the backup is kept until {stamp(due)}" if due else "the backup is kept until a person removes it"


def _removed(which: InDirectory, talk: Console, name: str = "") -> int:
    with locked(which.path):
        backend = LocalBackend.reopen(which.path)
        interruption, display = Interruption(), display_for(talk, quiet=True)
        with interruption.noted():
            try:
                migration = follow(backend, display, interruption)
            finally:
                display.close()
                backend.interrupt()
    backup = migration.status.backup
    if backup is None or not backup.removed_at:
        step = next((step for step in migration.status.steps if step.id == "expire"), None)
        raise Trouble(step.message if step and step.message else "it was not removed; the same command goes on")
    talk.print(f"{name or '/'.join(migration.key)}: the backup in {backup.claim}, below {backup.path}, is removed.")
    return OK
