"""Worker ``cdsw.clear``: ends what the others left in the target: their files taken back, or their notes taken away.

Params: ``target``; ``what``: ``Unfinished`` and ``Everything`` remove the files that this migration brought (the first
only where ``cdsw.files`` was not completed) and what was saved in the database, as long as that was not loaded;
``Note`` takes the schema and the mark away when all is done and proved, ``arrived``: and leaves these digests of the
document in their place. An archive as the target is removed, if it is the very file that was made.

A database that was loaded is put back by ``postgres.restore`` from its backup, which takes the schema along. Only what
the listing in the workspace names is removed; a directory in which something else lies stays. Counts: ``removed``,
``kept`` (named), ``noteKept``, ``takenBack``.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import psycopg

from project_migration.model.records import Progress, Record
from project_migration.workers import reasons
from project_migration.workers.cdsw import before, exported, files, note
from project_migration.workers.cdsw.archive import go_through
from project_migration.workers.cdsw.listing import Listing
from project_migration.workers.cdsw.note import State
from project_migration.workers.cdsw.program import main
from project_migration.workers.cdsw.request import SOURCE, TARGET, Side, side_of
from project_migration.workers.copying import marks
from project_migration.workers.copying.placing import lstat
from project_migration.workers.copying.removal import remove_tree, unlink
from project_migration.workers.harness import Job
from project_migration.workers.params import Params
from project_migration.workers.postgres import failures as of_postgres
from project_migration.workers.postgres import journal
from project_migration.workers.printable import escape, shorten
from project_migration.workers.reserved import owner_prefix
from project_migration.workers.roots import sync
from project_migration.workers.tree import Tree, open_root, split

ALL_NAMES = "cdsw/names.sqlite"
UNFINISHED, EVERYTHING, NOTE = "Unfinished", "Everything", "Note"


def work(job: Job) -> Record:
    params = Params(job.request.params)
    what, arrived = params.choice("what", (UNFINISHED, EVERYTHING, NOTE)), params.texts("arrived")
    target = side_of(job, TARGET)
    counts = {"removed": 0, "kept": 0, "noteKept": 0, "takenBack": 0}
    if target.is_archive:
        if what != NOTE:
            counts["removed"] = exported.remove(job, Path(target.archive))
        return job.record(counts=counts)
    if target.projects and os.path.isdir(target.root(job)):
        _clear_files(job, target, what, arrived, counts)
    if target.database is not None:
        _clear_database(job, target, what, arrived, counts)
    if counts["kept"] and what != NOTE:
        message = (
            f"{counts['kept']} entries are not this migration's, or hold some that are not: {job.lists.say('kept')}"
        )
        return job.record(message=message, counts=counts)
    return job.record(counts=counts)


def _clear_database(job: Job, target: Side, what: str, arrived: tuple[str, ...], counts: dict[str, int]) -> None:
    request = job.request
    with journal.writer(target.endpoint(job)) as session:
        try:
            found = note.read(session)
            if found is None or found.migration != request.migration_uid:
                return
            if what == NOTE and found.state is State.ADAPTED:
                journal.settle(session, arrived, f"{request.namespace}/{request.migration_name}")
            elif what != NOTE and found.state in (State.NONE, State.SAVED):
                journal.remove(session)
                counts["takenBack"] = 1
            else:
                counts["noteKept"] = 1
        except psycopg.Error as error:
            raise of_postgres.of_error("target", error) from error


def _clear_files(job: Job, target: Side, what: str, arrived: tuple[str, ...], counts: dict[str, int]) -> None:
    root = open_root(target.root(job))
    try:
        owner = marks.read_owner(root)
        # users have had it since where only the word is left: what was brought goes, and nothing else
        settled = owner is None and what == EVERYTHING and marks.said_by(root) == job.request.migration_uid
        if not settled and (owner is None or owner.uid != job.request.migration_uid):
            return
        if what == UNFINISHED and owner is not None and owner.finished:
            return
        with marks.hold(root) as mark:
            if what != NOTE:
                _remove(job, root, counts)
            elif arrived:
                mark.say_arrived(job.request, arrived)
            if not counts["kept"]:
                marks.lift(mark, root, arrived=bool(arrived) and what == NOTE)
        sync(root)
    except OSError as error:
        reason, passing = reasons.reason_of(error.errno)
        name = shorten(escape(os.fsdecode(error.filename or "")))
        raise reasons.Refusal(reason, f"{name}: {reasons.cause_of(error)}", passing) from error
    finally:
        os.close(root)


def _remove(job: Job, root: int, counts: dict[str, int]) -> None:
    there = before.read(job)
    tree = Tree(root, read_only=False)
    prefix = owner_prefix(job.request.migration_uid)
    try:
        with _all_names(job) as listing:
            for row in listing.rows(deepest_first=True):
                _remove_one(job, tree, row.path, prefix, there, counts)
                job.tell(Progress(0, 0, counts["removed"], counts["removed"]))
        _remove_halves(tree, "", prefix, counts)
    finally:
        tree.close()
    for name, told in there.items():
        before.dress(root, name, told)


def _all_names(job: Job) -> Listing:
    """The listing of whoever brought files; made anew where that was killed and has not all of them."""
    kept, source = Listing(files.listing_path(job), fresh=False), side_of(job, SOURCE)
    if kept.is_whole or not source.is_archive:
        return kept
    anew = Listing(job.workspace / ALL_NAMES, fresh=True)
    try:
        go_through(source.archive, anew, take_dump=lambda _: None, take_entry=lambda *_: None)
    except reasons.Refusal:  # so the one who unpacked it stopped there too, and wrote down all that he had made
        anew.close()
        return kept
    kept.close()
    return anew


def _remove_one(
    job: Job, tree: Tree, path: str, prefix: str, there: dict[str, list[int]], counts: dict[str, int]
) -> None:
    directory, name = split(path)
    try:
        parent = tree.directory(directory)
    except (FileNotFoundError, NotADirectoryError):
        return
    status = lstat(parent, name)
    if status is None:
        return
    if not stat.S_ISDIR(status.st_mode):
        unlink(parent, name)
        counts["removed"] += 1
        return
    _remove_halves(tree, path, prefix, counts)
    if path in there:
        return
    held = os.listdir(tree.directory(path))
    tree.forget(path)
    if held:
        counts["kept"] += 1
        job.lists.add("kept", path, f"it holds {shorten(escape(held[0]))}")
        return
    os.rmdir(name, dir_fd=tree.directory(directory))
    counts["removed"] += 1


def _remove_halves(tree: Tree, path: str, prefix: str, counts: dict[str, int]) -> None:
    """What a copy that was cut short was making."""
    directory = tree.directory(path)
    for name in os.listdir(directory):
        if name.startswith(prefix):
            status = lstat(directory, name)
            if status is not None and stat.S_ISDIR(status.st_mode):
                counts["removed"] += remove_tree(directory, name)
            else:
                unlink(directory, name)
                counts["removed"] += 1


if __name__ == "__main__":
    main("clear", __doc__ or "", work)
