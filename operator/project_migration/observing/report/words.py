"""What happened, in plain sentences: what a person reads at the end of a run, at night, before going to bed."""

from __future__ import annotations

from collections.abc import Iterator

from project_migration.model.conditions import End
from project_migration.model.document import Workload, WorkloadKind
from project_migration.model.quantities import human_bytes, human_seconds
from project_migration.model.status import WorkloadState, WorkloadStatus
from project_migration.observing.report.account import Account, Named, Pair


def headline(told: Account) -> str:
    """One sentence: how it stands."""
    match told.end:
        case End.SUCCEEDED:
            return f"{told.name} has arrived, and was proved equal to its source."
        case End.PLANNED:
            return f"{told.name} can be migrated: nothing stands against it, and nothing was changed."
        case End.CANCELLED:
            return f"{told.name} was cancelled."
        case End.UNDONE:
            return f"{told.name} was taken back: the target is as it was before."
        case End.FAILED:
            step = told.failed_step
            where = f" in {step_words(step.name)}" if step else ""
            return f"{told.name} failed{where}: {told.status.failure_reason}"
        case None:
            return f"{told.name} is at work: {told.status.phase}"


def whole_seconds(seconds: float) -> str:
    """``8s``, ``1m 49s``: moments in a status are whole seconds, and more digits would be made up."""
    return f"{seconds:.0f}s" if seconds < 60 else human_seconds(seconds)


def step_words(step: str) -> str:
    return step.replace("_", " ")


def objects(count: int) -> str:
    return f"{count:,} object" if count == 1 else f"{count:,} objects"


def pair_sentence(pair: Pair) -> str:
    """``1,234 objects, 12.3 GiB in 58.0s (210 MiB/s)``; of a database its rows"""
    what = objects(pair.items) if pair.rows is None else f"{pair.rows:,} row" + ("" if pair.rows == 1 else "s")
    text = f"{what}, {human_bytes(pair.bytes)}"
    if pair.seconds:
        text += f" in {whole_seconds(pair.seconds)}"
        if pair.bytes_copied < pair.bytes:
            text += f", {human_bytes(pair.bytes - pair.bytes_copied)} of it there already"
        elif pair.rate:
            text += f" ({human_bytes(pair.rate)}/s)"
    return text


def left_out_sentence(found: Named) -> str:
    """``2 skipped (of a kind that cannot be moved): run.sock, queue``"""
    names = ", ".join(found.names[:5]) + (", …" if found.count > len(found.names[:5]) else "")
    return f"{found.count:,} {found.meaning}" + (f": {names}" if found.names else "")


def workload_words(workload: WorkloadStatus) -> str:
    """``Deployment web (3)``, ``CronJob nightly``: what it is, and what it was."""
    if workload.kind is WorkloadKind.CRON_JOB:
        return f"{workload.kind} {workload.name}" + (" (was suspended)" if workload.suspended else "")
    return f"{workload.kind} {workload.name} ({workload.replicas})"


def state_words(workload: WorkloadStatus) -> str:
    match workload.state:
        case WorkloadState.RESTORED:
            return "back as it was"
        case WorkloadState.LEFT_DOWN:
            return "left down, as the document asks"
        case WorkloadState.HELD:
            return "still down: the target is not in order"
        case WorkloadState.DOWN:
            return "down"
        case WorkloadState.GONE:
            return "gone: somebody deleted it meanwhile"
        case WorkloadState.RECORDED:
            return "noted, not touched yet"


def planned_words(workload: Workload) -> str:
    return f"{workload.kind} {workload.name} ({workload.side.value.lower()})"


def target_sentence(told: Account) -> str:
    """What a failed migration did to the target: the first thing that is asked."""
    if told.status.rolled_back_at is not None:
        return f"The target was put back as it was, and proved to be, at {told.status.rolled_back_at}."
    if told.status.first_write_at is None:
        return "Nothing was written to the target."
    return f"The target was written to since {told.status.first_write_at}; the source was only read."


def made_sentences(told: Account) -> Iterator[str]:
    """Claims that were made for a migration that did not arrive: nobody but a person removes them."""
    if told.end not in (End.FAILED, End.CANCELLED, End.UNDONE):
        return
    empty = ", empty" if told.status.first_write_at is None else ""
    for claim in told.status.claims:
        if claim.uid:
            yield f"Claim {claim.name} was made for this migration and stays{empty}."


def workload_sentences(told: Account) -> Iterator[str]:
    for state in WorkloadState:
        names = [workload_words(w) for w in told.status.workloads if w.state is state]
        if names:
            example = next(w for w in told.status.workloads if w.state is state)
            yield f"{', '.join(names)}: {state_words(example)}"
    if told.downtime is not None and told.end is not None:
        yield f"Workloads rested for {whole_seconds(told.downtime)}."


def end_sentences(told: Account, workspace: str = "") -> Iterator[str]:
    """Everything but the headline, one sentence a line. ``workspace``: where whole lists lie, when that is known."""
    if told.end in (End.FAILED, End.CANCELLED):
        yield from (line for line in told.status.failure.splitlines() if line.strip())
        yield target_sentence(told)
    elif told.end is End.SUCCEEDED:
        for pair in told.pairs:
            yield f"{pair.name}: {pair_sentence(pair)}"
        if told.status.result is not None:
            yield f"Proof: {told.status.result.digest}"
    yield from made_sentences(told)
    yield from (f"Warning: {words}" for words in told.status.warnings)
    for pair in told.pairs:
        for found in pair.left_out:
            path = f"{workspace}/{found.whole_list}" if workspace else f"{found.whole_list} in the workspace"
            where = f" (all of them: {path})" if found.whole_list else ""
            yield f"{pair.name}: {left_out_sentence(found)}{where}"
    yield from workload_sentences(told)
    if told.seconds is not None:
        yield f"It took {whole_seconds(told.seconds)}."
