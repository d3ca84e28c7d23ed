"""Worker ``postgres.restore``: a database out of a dump with its manifest, whole or not at all, and compared with it.

Params: ``target``; ``name`` below the root ``backup``; ``replace`` (a rollback says true: what the migration brought
goes); ``owners``, ``privileges`` (Keep, Drop); ``workers``. The files are compared with the manifest before anything is
touched. On failure the target is emptied again and the message says so; the backup is never changed.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from project_migration.model.records import Progress, Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.postgres import contents, failures, journal, reading, tools
from project_migration.workers.postgres.dump import backup_directory, counts
from project_migration.workers.postgres.endpoint import WRITING_TOOL, Endpoint
from project_migration.workers.postgres.manifest import DUMP, Manifest, compare_files, read_files
from project_migration.workers.postgres.program import main
from project_migration.workers.postgres.requirements import DROP, KEEP
from project_migration.workers.postgres.selection import LeftOut, Selection
from project_migration.workers.postgres.session import Connection, major, snapshot

_SCHEMA = re.compile(r"^\d+; 2615 \d+ SCHEMA - (.*) [^ ]*$")
_EXTENSION_COMMENT = re.compile(r"^\d+; 0 0 COMMENT - EXTENSION ")


def work(job: Job) -> Record:
    params = job.request.params
    place = backup_directory(job)
    manifest = Manifest.read(place)
    try:
        compare_files(manifest.files, read_files(place / DUMP, lambda _: None))
    except OSError as error:
        raise failures.Refused(failures.BACKUP_UNREADABLE, f"{DUMP}: {error.strerror}") from error
    target = Endpoint.from_job(job, "target")
    with journal.writer(target) as control:
        if major(control) < manifest.server_major:
            message = f"the target is PostgreSQL {major(control)}, the dump comes from {manifest.server_major}"
            raise failures.Refused(failures.TARGET_OLDER, message)
        client = tools.find(major(control))
        request = job.request
        entry = journal.begin(control, request.migration_uid, request.digest, replace=reading.flag(params, "replace"))
        if entry.state == journal.COMPLETE:
            return job.record(counts=entry.counts, digest=manifest.digest)
        with as_before_on_failure(target, control, entry):
            size = sum(size for size, _ in manifest.files.values())
            load(job, target, client, entry, place / DUMP, Progress(0, size, 0, len(manifest.files)))
            control.execute("ANALYZE")
            _compare(job, target, manifest)
            journal.complete(control, counts(manifest))
    return job.record(counts=counts(manifest), digest=manifest.digest)


@contextmanager
def as_before_on_failure(target: Endpoint, control: Connection, entry: journal.Entry) -> Iterator[None]:
    """What fails inside leaves the target as the note has it; where that does not work either, the note stays."""
    try:
        yield
    except Exception as error:
        with suppress(reasons.Refusal, psycopg.Error), journal.writer_again(target, control) as session:
            journal.take_back(session, entry)
        if isinstance(error, psycopg.Error):
            raise failures.of_error("target", error) from error
        raise


def load(job: Job, target: Endpoint, client: tools.Tools, entry: journal.Entry, dump: Path, progress: Progress) -> None:
    """What a dump holds, into a database that our note alone is in. ``progress``: what is told meanwhile, as a sign of
    life. Raises ``Refused``."""
    params = job.request.params
    running = tools.Running()
    listed = tools.run(running, target, (client["pg_restore"], "--list", str(dump)), "listing the dump")
    with tempfile.NamedTemporaryFile("w", suffix=".list", encoding="utf-8", errors="surrogateescape") as chosen:
        chosen.writelines(f"{line}\n" for line in _chosen(listed.splitlines(), (*entry.schemas, "public")))
        chosen.flush()
        options = (
            *(("--no-owner",) if reading.choice(params, "owners", (KEEP, DROP)) == DROP else ()),
            *(("--no-privileges",) if reading.choice(params, "privileges", (KEEP, DROP)) == DROP else ()),
        )
        argv = (
            client["pg_restore"],
            f"--dbname={target.database}",
            f"--jobs={reading.workers(params)}",
            f"--use-list={chosen.name}",
            "--exit-on-error",
            "--no-tablespaces",
            *options,
            str(dump),
        )
        tools.run(running, target, argv, "restoring", application=WRITING_TOOL, tick=lambda: job.tell(progress))


def _chosen(lines: Iterable[str], schemas: tuple[str, ...]) -> Iterable[str]:
    """Without what the target has already: schemas, and comments on extensions, which belong to their owners."""
    for line in lines:
        match = _SCHEMA.match(line)
        if not _EXTENSION_COMMENT.match(line) and not (match and match[1] in schemas):
            yield line


def _compare(job: Job, target: Endpoint, manifest: Manifest) -> None:
    with snapshot(target) as (leader, moment):
        side, meter = contents.Side(target, moment, leader, manifest.any_encoding), contents.Meter()
        contents.read(
            side,
            Selection(),
            LeftOut(),
            workers=reading.workers(job.request.params),
            meter=meter,
            tick=lambda: job.tell(meter.progress),
        )
    found = {" ".join(key): value for key, value in side.found.items()}
    wrong = sorted(name for name in {*found, *manifest.contents} if found.get(name) != manifest.contents.get(name))
    for name in wrong:
        job.lists.add("different", name, f"{manifest.contents.get(name)} / {found.get(name)}")
    if wrong:
        message = f"the restored database differs from the backup: {job.lists.say('different')}"
        raise failures.Refused(reasons.VERIFY_FAILED, message)


if __name__ == "__main__":
    main("restore", __doc__ or "", ("backup",), work)
