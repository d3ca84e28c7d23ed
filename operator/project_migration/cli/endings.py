"""What a command says last, and the number it ends with."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.text import Text

from project_migration.cli.errors import FAILED, INTERRUPTED, OK
from project_migration.engine.world import Migration
from project_migration.model.conditions import GOOD_ENDS, End
from project_migration.model.document import API_VERSION, KIND
from project_migration.model.errors import REMEDIES, Reason
from project_migration.observing.report.account import Account, account
from project_migration.observing.report.words import end_sentences, headline, workload_words

#: What helps on one machine, where the general remedy speaks of a cluster.
LOCAL_REMEDIES: dict[Reason, str] = {
    Reason.PRIVILEGE_DENIED: "Run the same command as root, or set ownership.mode to Helper: files then belong to you.",
    Reason.CLAIM_NOT_FOUND: "Correct the directory of --bind claim/…, or make it.",
    Reason.SOURCE_NOT_FOUND: "Correct the source's path, subPath or --bind claim/….",
    Reason.SOURCE_UNREADABLE: "Run the same command as root, or exclude the named files.",
    Reason.TARGET_READ_ONLY: "Give yourself the right to write there, run the same command as root, or name another"
    " target.",
    Reason.PERMISSION_DENIED: "Run the same command as root, or choose ownership.mode Helper.",
    Reason.WORKLOAD_NOT_FOUND: "Correct the name in --bind, or under quiesce.workloads.",
    Reason.LOCK_TIMEOUT: "Run the other migration to its end, or: project-migration forget --state DIR.",
    Reason.HELPER_OUT_OF_MEMORY: "Free memory or lower transfer.workers; then run the same command again.",
    Reason.HELPER_STUCK: "End the process that the message names; then run the same command again.",
    Reason.TARGET_HELD: "Run the same command again; or, when the target is in order: project-migration release.",
}


def exit_code(end: End | None) -> int:
    match end:
        case End.SUCCEEDED | End.PLANNED | End.UNDONE | End.ALREADY_MIGRATED:
            return OK
        case None:
            return INTERRUPTED
        case _:
            return FAILED


def remedy(told: Account, *, local: bool) -> str:
    """What helps, in this kind of surroundings."""
    known = {str(reason): reason for reason in Reason}
    reason = known.get(told.status.failure_reason)
    if reason is None:
        return told.status.remedy
    return (LOCAL_REMEDIES.get(reason) if local else None) or told.status.remedy or REMEDIES[reason]


def say_end(
    console: Console, migration: Migration, *, local: bool, workspace: Path | None = None, report: Path | None = None
) -> None:
    """The end in words; failures stand out, and what to do comes right after what went wrong."""
    told = account(migration)
    good = told.end in GOOD_ENDS
    mark = ("✓ ", "bold green") if good else ("✗ ", "bold red")
    console.print(Text.assemble(mark, (headline(told), "bold")), soft_wrap=True)
    for sentence in end_sentences(told, str(workspace or "")):
        console.print(Text(f"  {sentence}"), soft_wrap=True)
    if told.end is End.FAILED:
        console.print(Text.assemble(("  What to do: ", "bold"), remedy(told, local=local)), soft_wrap=True)
    if report is not None:
        console.print(Text(f"  Report: {report}"), soft_wrap=True)
    elif not local:
        console.print(Text(f"  Report: {_report_words(migration)}"), soft_wrap=True)


def _report_words(migration: Migration) -> str:
    """How to get it, and where it lies when the migration is gone."""
    status, (namespace, name) = migration.status, migration.key
    how = f"project-migration report {name} -n {namespace}"
    if not status.report:
        return how
    return f"{how}; it is also in claim {status.workspace_claim}, {status.workspace_path}/{status.report}"


def say_interrupted(console: Console, migration: Migration, state_dir: Path) -> None:
    """What is left behind by Ctrl-C, and how to go on."""
    stopped = "Stopped. Nothing is lost: the same command goes on where it was."
    console.print(Text.assemble(("! ", "bold yellow"), (stopped, "bold")), soft_wrap=True)
    down = account(migration).resting
    if down:
        names = ", ".join(workload_words(workload) for workload in down)
        console.print(Text(f"  Still down: {names}.", "yellow"), soft_wrap=True)
        console.print(Text("  They come back at the end of the migration, or now with:"), soft_wrap=True)
    else:
        console.print(Text("  No workload is down. To give the migration up:"), soft_wrap=True)
    console.print(Text(f"    project-migration cancel --state {state_dir}"), soft_wrap=True)


def as_json(migration: Migration) -> str:
    """The migration as `kubectl get -o json` would show it."""
    document = migration.document
    spec = document.spec.model_dump(mode="json", by_alias=True, exclude_none=True) if document else {}
    return json.dumps(
        {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {
                "name": migration.key.name,
                "namespace": migration.key.namespace,
                "uid": migration.uid,
                "generation": migration.generation,
            },
            "spec": spec,
            "status": migration.status.model_dump(mode="json", by_alias=True, exclude_none=True),
        },
        indent=2,
    )
