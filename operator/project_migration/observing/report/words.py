"""What happened, in plain sentences: what a person reads at the end of a run, at night, before going to bed."""

from __future__ import annotations

from collections.abc import Iterator

from project_migration.model.conditions import End
from project_migration.model.document import Workload, WorkloadKind
from project_migration.model.quantities import human_bytes, human_seconds
from project_migration.model.status import Keeping, WorkloadState, WorkloadStatus
from project_migration.observing.report.account import Account, Named, Pair

#: How it stands with a migration that did not fail, after its name.
ENDINGS = {
    End.SUCCEEDED: "has arrived, and was proved equal to its source.",
    End.PLANNED: "can be migrated: nothing stands against it, and nothing was changed.",
    End.ALREADY_MIGRATED: "was carried out before, as its targets say: nothing was changed.",
    End.CANCELLED: "was cancelled.",
    End.UNDONE: "was taken back: the target is as it was before.",
}

#: Tables or kinds of objects that a sentence names.
MOST_KINDS = 12


def headline(told: Account) -> str:
    """One sentence: how it stands."""
    if told.end is None:
        return f"{told.name} is at work: {told.status.phase}"
    if told.end is not End.FAILED:
        return f"{told.name} {ENDINGS[told.end]}"
    step = told.failed_step
    where = f" in {step_words(step.name)}" if step else ""
    return f"{told.name} failed{where}: {told.status.failure_reason}"


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


def compared_sentences(pair: Pair) -> Iterator[str]:
    """``the same on both sides: 5 experiments, 7 runs``, and each table or kind of which that cannot be said."""
    for found, where in ((pair.compared, "on both sides"), (pair.asked, "when the target's own server was asked")):
        same = [f"{one.source:,} {one.name}" for one in found if one.same]
        if same:
            more = f" and {len(same) - MOST_KINDS} more kinds" if len(same) > MOST_KINDS else ""
            yield f"{pair.name}: the same {where}: {', '.join(same[:MOST_KINDS])}{more}"
        for one in found:
            if not one.same:
                how = "with other content" if one.source == one.target else f"{one.target:,} of {one.source:,}"
                yield f"{pair.name}: {one.name} differ {where}: {how}"


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


def backup_sentences(told: Account) -> Iterator[str]:
    """Where what the target held is kept, and for how long."""
    backup = told.status.backup
    if (
        backup is None
        or not backup.claim
        or (backup.units and not any(u.keeping is Keeping.KEPT for u in backup.units))
    ):
        return
    where = f"What the target held is kept in {backup.claim}, below {backup.path},"
    if backup.removed_at:
        yield f"The backup of what the target held was removed at {backup.removed_at}."
    elif backup.removing:
        yield "The backup of what the target held is being removed."
    elif backup.kept_until:
        yield f"{where} until {backup.kept_until}."
    elif backup.units:
        yield f"{where} until a person removes it."


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
        for pair in told.pairs:
            yield from compared_sentences(pair)
    elif told.end is End.SUCCEEDED:
        for pair in told.pairs:
            yield f"{pair.name}: {pair_sentence(pair)}"
            yield from compared_sentences(pair)
            if pair.checks:
                yield f"{pair.name}: {len(pair.checks)} checks of the target hold"
        if told.status.result is not None:
            yield f"Proof: {told.status.result.digest}"
    elif told.end is End.ALREADY_MIGRATED:
        yield "To have it carried out again, give a new text in spec.force."
    yield from backup_sentences(told)
    yield from (f"Refused: {refusal.message}" for refusal in told.status.refused)
    yield from made_sentences(told)
    yield from (f"Warning: {words}" for words in told.status.warnings)
    for pair in told.pairs:
        for found in pair.left_out:
            path = f"{workspace}/{found.whole_list}" if workspace else f"{found.whole_list} in the workspace"
            where = f" (all of them: {path})" if found.whole_list else ""
            yield f"{pair.name}: {left_out_sentence(found)}{where}"
    yield from workload_sentences(told)
    check = told.status.check
    if check is not None and check.at is not None:
        yield f"Looked at again at {check.at}: {check.message}"
    if told.seconds is not None:
        yield f"It took {whole_seconds(told.seconds)}."
