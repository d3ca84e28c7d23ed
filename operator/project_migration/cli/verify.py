"""`verify`: whether what a report says was proved is still on the target."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from project_migration.backends.local.backend import LocalBackend
from project_migration.backends.local.places import default_state_dir
from project_migration.backends.local.state import StateDirectory
from project_migration.cli.console import console
from project_migration.cli.errors import FAILED, OK, Trouble, spoken
from project_migration.cli.follow import Interruption, follow
from project_migration.cli.locking import is_locked, locked
from project_migration.cli.which import Asked, InDirectory, Which
from project_migration.engine.itinerary import end_of
from project_migration.engine.names import Key
from project_migration.engine.world import Migration
from project_migration.model.conditions import End
from project_migration.model.errors import Gone, PassingError
from project_migration.model.labels import VERIFY
from project_migration.model.status import CheckStatus, State, UnitStatus
from project_migration.observing.display import display_for
from project_migration.observing.report.proof import Proof, Unit, read_report

LOOK_SECONDS = 1.0

#: So many names of what differs are printed for each unit; the whole lists are in the workspace.
NAMES = 10


@click.command()
@click.argument("report", metavar="REPORT", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-n", "--namespace", help="In a cluster: where the migration is, if not where the report says.")
@click.option("--context", "kube", help="The context of the kubeconfig; the current one by default.")
@click.option(
    "--state",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="On this machine: the migration's state directory, if not the default one.",
)
@click.option(
    "--wait",
    "patience",
    metavar="SECONDS",
    type=click.IntRange(min=1),
    default=6 * 3600,
    show_default=True,
    help="In a cluster: how long to wait for the answer.",
)
@click.pass_context
@spoken
def verify(
    context: click.Context,
    report: Path,
    namespace: str | None,
    state: Path | None,
    patience: int,
    kube: str | None,
) -> None:
    """Look at the target of a migration again, and compare it with what REPORT says was proved.

    REPORT is the HTML or the JSON file that `report` writes. The target is only read, and nobody is stopped; what its
    users changed since is told by name. What they added is counted and is no difference.

    \b
    Examples:
      kubectl project-migration verify vision-report.html -n ml
      project-migration verify vision.html --state /var/lib/project-migration/ml-vision

    \b
    Exit codes: 0 all that was proved is there unchanged, 1 something differs or could not be looked at,
    2 the file is no report.
    """
    found = read_report(report)
    refuse_without_proof(found)
    which = place_of(found, namespace, kube, state)
    migration = loaded(which, found)
    refuse_another(migration, found)
    wish = f"{time.time():.3f}"
    which.annotate({VERIFY: wish})
    talk = console()
    check = _here(which, talk) if _is_idle(which) else _awaited(which, wish, patience, talk)
    say(talk, found, check)
    context.exit(OK if check.same else FAILED)


def refuse_without_proof(found: Proof) -> None:
    if found.end != End.SUCCEEDED or not found.digest:
        raise Trouble(
            f"the report is of a migration that has not arrived ({found.end}): it has no proof that a target can be"
            " compared with"
        )


def place_of(found: Proof, namespace: str | None, context: str | None, state: Path | None) -> Which:
    """The options decide; without any the state directory that the report came from, if it is here, else a cluster."""
    elsewhere = bool(namespace or context)
    if state is not None and elsewhere:
        raise click.UsageError("give --state for a migration of this machine, or -n and --context for a cluster's")
    key = Key(namespace or found.migration.namespace, found.migration.name)
    here = InDirectory((state or default_state_dir(key)).absolute())
    if state is not None:
        return here
    known = StateDirectory(here.path).exists and here.load().uid == found.migration.uid
    if not elsewhere and (known or not found.workspace_claim):
        return here
    return Asked(key.name, key.namespace, context, None).which()


def loaded(which: Which, found: Proof) -> Migration:
    """Raises Trouble that says what can be done when the migration is not there any more."""
    try:
        return which.load()
    except Gone as error:
        lists = ", ".join(unit.verified.manifests.target for unit in found.units if unit.verified)
        place = f"claim {found.workspace_claim}, {found.workspace_path}" if found.workspace_claim else "its workspace"
        raise Trouble(
            f"{error}: who looks at a target again is the migration that proved it, and that is gone. What is left is"
            f" the list of all that was proved ({lists} in {place}), with a checksum for each file that sha256sum can"
            " compare. To compare target and source anew, apply a document with another name and mode: Plan"
        ) from error


def refuse_another(migration: Migration, found: Proof) -> None:
    """Raises Trouble unless the migration, as it is now, is the one that the report tells of."""
    if migration.uid != found.migration.uid:
        raise Trouble(
            f"the report is of another migration of that name (uid {found.migration.uid}, this one is {migration.uid})"
        )
    end = end_of(migration.status)
    if end is not End.SUCCEEDED:
        stands = "is at work" if end is None else f"has ended since: {end}"
        raise Trouble(f"the migration {stands}; what the report proved is not what is meant to be on the target now")
    now = migration.status.result.digest if migration.status.result else ""
    if now != found.digest:
        raise Trouble(f"the report's proof is not the migration's last one ({found.digest}, and now {now or 'none'})")


def _is_idle(which: Which) -> bool:
    return isinstance(which, InDirectory) and not is_locked(which.path)


def _here(which: Which, talk: Console) -> CheckStatus:
    """Nobody is at work on this machine's migration: the check is made by this process."""
    assert isinstance(which, InDirectory)  # noqa: S101 - _is_idle() looked
    interruption, display = Interruption(), display_for(talk, quiet=True)
    with locked(which.path):
        backend = LocalBackend.reopen(which.path)
        with interruption.noted():
            try:
                migration = follow(backend, display, interruption)
            finally:
                display.close()
                backend.interrupt()
    check = migration.status.check
    if check is None or check.state is State.RUNNING:
        raise Trouble("stopped before the target was looked at as a whole; nothing was changed")
    return check


def _awaited(which: Which, wish: str, patience: int, talk: Console) -> CheckStatus:
    deadline, said = time.monotonic() + patience, ""
    while time.monotonic() < deadline:
        try:
            check = which.load().status.check
        except PassingError as error:
            check, words = None, f"{error}; trying again"
        else:
            words = check.message if check and check.asked == wish else "waiting for the operator"
        if check is not None and check.asked == wish and check.state is not State.RUNNING:
            return check
        if words and words != said:
            talk.print(Text(f"  {words}", "dim"), soft_wrap=True)
            said = words
        time.sleep(LOOK_SECONDS)
    raise Trouble(f"no answer after {patience}s; it will be in status.check of the migration")


def say(talk: Console, found: Proof, check: CheckStatus) -> None:
    mark = {True: ("✓ ", "bold green"), False: ("✗ ", "bold red"), None: ("! ", "bold yellow")}[check.same]
    name = f"{found.migration.namespace}/{found.migration.name}"
    words = {
        True: f"{name}: all that was proved is on the target unchanged.",
        False: f"{name}: the target is not any more what was proved.",
        None: f"{name}: the target could not be looked at as a whole.",
    }[check.same]
    talk.print(Text.assemble(mark, (words, "bold")), soft_wrap=True)
    units = {unit.name: unit for unit in check.units}
    if not units:
        talk.print(Text(f"  {check.message}"), soft_wrap=True)
        return
    talk.print(_table(found.units, units))
    for line in _differences(units.values()):
        talk.print(Text(f"  {line}"), soft_wrap=True)


def _table(proved: tuple[Unit, ...], units: dict[str, UnitStatus]) -> Table:
    """Figures are objects; of a database its tables, indexes and the like."""
    table = Table(box=None, header_style="dim", padding=(0, 2))
    table.add_column("unit", overflow="fold")
    for title in ("proved", "still so", "missing", "different", "more"):
        table.add_column(title, justify="right")
    table.add_column("digest", no_wrap=True)
    for unit in proved:
        now = units.get(unit.name)
        if now is None or unit.verified is None:
            table.add_row(unit.name, "", "not seen")
            continue
        before = unit.verified.counts
        kinds = ("verified", "missing", "different", "extra")
        figures = (f"{now.counts[kind]:,}" if kind in now.counts else "?" for kind in kinds)
        same = "the same" if now.digest == unit.verified.digest else "differs" if now.digest else "?"
        table.add_row(unit.name, f"{before.get('objects', before.get('entries', 0)):,}", *figures, same)
    return table


def _differences(units: Iterable[UnitStatus]) -> Iterator[str]:
    for unit in units:
        for kind in ("missing", "different", "failed"):
            names, count = unit.names.get(kind, ())[:NAMES], unit.counts.get(kind, 0)
            if names:
                more = f" and {count - len(names):,} more" if count > len(names) else ""
                where = f" (all of them: {unit.lists[kind]} in the workspace)" if more and kind in unit.lists else ""
                yield f"{unit.name}: {kind}: {', '.join(names)}{more}{where}"
        if unit.state is State.FAILED and not any(unit.names.get(kind) for kind in ("missing", "different")):
            yield f"{unit.name}: {unit.message}"
