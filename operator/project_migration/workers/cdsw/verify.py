"""Worker ``cdsw.verify``: the end state, check by check: the database against what was loaded, files against the
archive.

Params as of ``cdsw.adapt`` and ``cdsw.files``; ``parts``: ["database", "files"] (both). Nothing is changed. Files of an
archive are compared with ``cdsw/files.sqlite``, which is made anew from the archive where the workspace lost it. An
archive as the target is compared with the CDSW that it was made of.

Facts: ``checks``: what was looked at, and "" or what is wrong. Counts: ``checks``, ``failedChecks``, ``tables``,
``rows``, ``projects``, ``projectsWithoutFiles`` (named; the CDSW has no directory for them), and for files
``verified``, ``missing``, ``different``, ``extra``, ``bytes``. The digest is over all that was compared.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

from project_migration.model.records import Compared, Progress, Record
from project_migration.workers import manifest, reasons
from project_migration.workers.cdsw import checks, exported, files, note, tables, workspace
from project_migration.workers.cdsw.comparing import Comparison
from project_migration.workers.cdsw.listing import Listing
from project_migration.workers.cdsw.note import State
from project_migration.workers.cdsw.program import main
from project_migration.workers.cdsw.request import SOURCE, TARGET, Side, side_of
from project_migration.workers.harness import Job, WrongRequest
from project_migration.workers.params import Params
from project_migration.workers.postgres.session import Connection, rows, snapshot
from project_migration.workers.tree import open_root

DATABASE, FILES = "database", "files"


def work(job: Job) -> Record:
    parts = Params(job.request.params).texts("parts") or (DATABASE, FILES)
    if not set(parts) <= {DATABASE, FILES}:
        raise WrongRequest(f"params.parts is none of {DATABASE}, {FILES}")
    target = side_of(job, TARGET)
    if target.is_archive:
        return exported.compare(job, side_of(job, SOURCE), target)
    found: dict[str, str] = {}
    counts: dict[str, int] = {}
    compared: tuple[Compared, ...] = ()
    told = hashlib.sha256()
    if DATABASE in parts:
        with snapshot(target.endpoint(job)) as (session, _):
            known = note.required(session, job.request.migration_uid, State.ADAPTED)
            state = checks.look(session, known)
            found |= state.checks
            compared = state.compared
            counts |= {"tables": state.tables, "rows": state.rows}
            told.update(state.summary.encode())
            if FILES in parts:
                counts |= _directories(job, session, target)
    if FILES in parts:
        record = _files(job, side_of(job, SOURCE), target)
        counts |= record.counts
        told.update(record.digest.encode())
        found["every file is as the CDSW has it"] = record.message if record.reason else ""
    return _judged(job, found, counts, told.hexdigest(), compared)


def _judged(
    job: Job, found: dict[str, str], counts: dict[str, int], digest: str, compared: tuple[Compared, ...]
) -> Record:
    wrong = {title: detail for title, detail in found.items() if detail}
    for title, detail in wrong.items():
        job.lists.add("failedChecks", title, detail)
    counts |= {"checks": len(found), "failedChecks": len(wrong)}
    message = "; ".join(f"not so: {title} ({detail})" for title, detail in wrong.items())[:1000]
    return job.record(
        reason=reasons.VERIFY_FAILED if wrong else "",
        message=message or f"{len(found)} checks passed",
        counts=counts,
        digest=f"sha256:{digest}",
        facts={"checks": {title: detail[:200] for title, detail in found.items()}},
        compared=compared,
    )


def _directories(job: Job, session: Connection, target: Side) -> dict[str, int]:
    """Projects without a directory on the target; a fault only where the source has one, which the files show."""
    count = without = 0
    place = workspace.public(tables.PROJECTS)
    root = target.root(job)
    for (number,) in rows(session, f"SELECT id FROM {place} ORDER BY id"):  # noqa: S608 - a quoted name
        count += 1
        if not os.path.isdir(os.path.join(root, tables.PROJECT_FILES, str(number))):
            without += 1
            job.lists.add("projectsWithoutFiles", f"project {number}")
    return {"projects": count, "projectsWithoutFiles": without}


def _files(job: Job, source: Side, target: Side) -> Record:
    if not source.is_archive:
        with files.as_tree(job, source, target):
            return replace(manifest.prove(job), request_digest=job.request.digest)
    root = open_root(target.root(job))
    try:
        with _listing(job, source) as listing:
            total = listing.count()

            def tick(done: int, size: int) -> None:
                job.tell(Progress(size, size, done, total))

            comparison = Comparison(root, Params(job.request.params).ownership, tick)
            for kind, name, cause in comparison.run(listing):
                job.lists.add(kind, name, cause)
        counts = comparison.counts
        faults = [kind for kind in ("missing", "different", "extra") if counts.get(kind)]
        message = "; ".join(f"{counts[kind]} {kind}: {job.lists.say(kind)}" for kind in faults)
        reason = reasons.VERIFY_FAILED if faults else ""
        return job.record(reason=reason, message=message, counts=counts, digest=comparison.digest)
    finally:
        os.close(root)


def _listing(job: Job, source: Side) -> Listing:
    listing = Listing(files.listing_path(job), fresh=False)
    if listing.is_whole:
        return listing
    listing.close()
    return exported.read_anew(job, source.archive, files.listing_path(job))[0]


if __name__ == "__main__":
    main("verify", __doc__ or "", work)
