"""`plan`: what would move, how long that may take, and what stands against it; nothing is changed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from project_migration.backends.local.backend import LocalBackend
from project_migration.backends.local.places import default_state_dir, nearest_existing
from project_migration.backends.local.state import StateDirectory
from project_migration.cli.console import console
from project_migration.cli.documents import read_file
from project_migration.cli.endings import as_json, exit_code, remedy
from project_migration.cli.errors import spoken
from project_migration.cli.follow import Interruption, follow
from project_migration.engine.estimate import Estimate
from project_migration.engine.itinerary import end_of
from project_migration.engine.world import Migration
from project_migration.model.conditions import GOOD_ENDS
from project_migration.model.document import Document, Mode, Side
from project_migration.model.quantities import human_bytes
from project_migration.observing.display import display_for
from project_migration.observing.report.account import account
from project_migration.observing.report.estimate import estimate
from project_migration.observing.report.words import headline, left_out_sentence, planned_words, whole_seconds
from project_migration.platforms.registry import platform_of


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--bind", "binds", metavar="KIND/NAME=VALUE", multiple=True, help="As in `run`.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="json: the migration as one JSON document on standard output.")  # fmt: skip
@click.pass_context
@spoken
def plan(context: click.Context, file: str, binds: tuple[str, ...], output: str) -> None:
    """Say what `run FILE` would do here: what moves, where to, what rests meanwhile, what is wrong.

    Everything is looked at and everything that is wrong is said at once. Nothing is written to either side, nothing
    is stopped, and no state is kept.

    \b
    Example:
      project-migration plan vision.yaml --bind claim/data-old=/srv/old --bind claim/data-new=/srv/new

    Exit codes: 0 nothing stands against it, 1 something does, 2 the document or the command line is wrong.
    """
    document = read_file(file)
    migration, free = looked_at(document, binds, console(stderr=True, quiet=output == "json"))
    if output == "json":
        print(as_json(migration))
    else:
        say(console(), migration, free)
    context.exit(exit_code(end_of(migration.status)))


def looked_at(document: Document, binds: Sequence[str], talk: Console) -> tuple[Migration, Mapping[str, int]]:
    """The migration after a round in mode Plan, in a state directory that is gone again; with it, what is free for
    each pair, in bytes: here that is known even for a target that is still to be made."""
    spec = document.spec.model_copy(update={"mode": Mode.PLAN})
    planned = document.model_copy(update={"spec": spec})
    with tempfile.TemporaryDirectory(prefix="project-migration-plan-") as scratch:
        Path(scratch).chmod(0o711)  # a helper that runs as somebody else has to pass
        backend = LocalBackend(planned, Path(scratch) / "state", binds)
        interruption, display = Interruption(), display_for(talk, quiet=not talk.is_terminal)
        with interruption.noted():
            try:
                migration = follow(backend, display, interruption)
            finally:
                display.close()
                backend.interrupt()
        return migration, free_bytes(backend)


def free_bytes(backend: LocalBackend) -> dict[str, int]:
    platform = platform_of(backend.document)
    uses = platform.uses(backend.document.spec) if platform else ()
    return {
        use.unit: shutil.disk_usage(nearest_existing(backend.bindings.directory(use.volume))).free
        for use in uses
        if use.side is Side.TARGET
    }


def say(talk: Console, migration: Migration, free: Mapping[str, int]) -> None:
    told = account(migration)
    good = told.end in GOOD_ENDS
    mark = ("✓ ", "bold green") if good else ("✗ ", "bold red")
    words = headline(told) if good else f"{told.name} cannot be migrated as it stands: {told.status.failure_reason}"
    talk.print(Text.assemble(mark, (words, "bold")), soft_wrap=True)
    talk.print(pairs_table(migration, free))
    for pair in told.pairs:
        for found in pair.left_out:
            talk.print(Text(f"  {pair.name}: {left_out_sentence(found)}"), soft_wrap=True)
    for line in plans(migration):
        talk.print(Text(f"  {line}"), soft_wrap=True)
    kept = default_state_dir(migration.key)
    if StateDirectory(kept).exists:
        talk.print(Text(f"  `run` goes on with what is in {kept}, unless --state names another place."), soft_wrap=True)
    if not good:
        for line in told.status.failure.splitlines():
            talk.print(Text(f"  ✗ {line}", "red"), soft_wrap=True)
        talk.print(Text("  What to do: ", "bold").append(remedy(told, local=True), ""), soft_wrap=True)


def pairs_table(migration: Migration, free: Mapping[str, int]) -> Table:
    """A row a pair, from what its survey found."""
    table = Table(box=None, header_style="dim", padding=(0, 2))
    for title in ("pair", "from", "to"):
        table.add_column(title, overflow="fold")
    for title in ("objects", "size", "free on target"):
        table.add_column(title, justify="right")
    for pair in account(migration).pairs:
        table.add_row(
            pair.name,
            pair.source,
            pair.target,
            (f"{pair.items:,}" if pair.rows is None else f"{pair.rows:,} rows") if pair.known else "?",
            human_bytes(pair.bytes) if pair.known else "?",
            human_bytes(free[pair.name]) if pair.name in free else "",
        )
    return table


def plans(migration: Migration) -> Iterator[str]:
    """What else `run` would do, a sentence each."""
    assert migration.document is not None  # noqa: S101 - a local migration always has one
    spec = migration.document.spec
    if spec.quiesce.workloads:
        yield "Rests meanwhile: " + ", ".join(planned_words(workload) for workload in spec.quiesce.workloads)
    else:
        yield "Nothing is stopped: see that nothing writes to the source meanwhile (quiesce.workloads)."
    if spec.quiesce.discover:
        yield "quiesce.discover finds nothing on one machine: list what writes there under quiesce.workloads."
    if spec.backup is not None and spec.backup.waive is not None:
        yield f"What the target holds is written over ({spec.backup.waive})."
    elif spec.backup is not None:
        yield f"What the target holds is kept in {spec.backup.path or f'claim {spec.backup.claim_name}'} before."
    found = estimate(account(migration), spec.transfer)
    if found is not None:
        yield _estimate_words(found)


def _estimate_words(found: Estimate) -> str:
    return f"It may take {whole_seconds(found.shortest)} to {whole_seconds(found.longest)}: {found.assumption}."
