"""Worker ``postgres.dump``: a database as pg_dump's own directory format, with a manifest, read back.

Params: ``side`` (target for a backup, source where the servers cannot reach each other) and that endpoint; ``name`` of
the directory below the root ``backup``; ``major`` of the tools (the server's own without it); ``workers``; filters.
Result below ``backup/<name>``: ``manifest.json`` and ``dump/``, which ``pg_restore`` reads without us. It is written
aside and renamed when it is whole. Counts: ``tables``, ``rows``, ``largeObjects``, ``sequences``, ``files``, ``bytes``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg

from project_migration.model.records import Progress, Record
from project_migration.workers.harness import Job, WrongRequest
from project_migration.workers.postgres import catalog, contents, failures, reading, tools
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.manifest import (
    DUMP,
    Manifest,
    compare_files,
    read_files,
    sync_files,
)
from project_migration.workers.postgres.program import main
from project_migration.workers.postgres.selection import Selection, left_out
from project_migration.workers.postgres.session import major, snapshot

HALF = ".half"


def work(job: Job) -> Record:
    params = job.request.params
    endpoint = Endpoint.from_job(job, reading.choice(params, "side", ("target", "source")))
    place = backup_directory(job)
    half = place.with_name(place.name + HALF)
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True, mode=0o700)
    try:
        manifest = _dump(job, endpoint, half)
        found = read_files(half / DUMP, lambda _: None)
        compare_files(manifest.files, found)
        _read_back(endpoint, half / DUMP, reading.number(params, "major", manifest.server_major))
        manifest.write(half)
        shutil.rmtree(place, ignore_errors=True)
        half.replace(place)
    except BaseException:
        shutil.rmtree(half, ignore_errors=True)
        raise
    return job.record(counts=counts(manifest), digest=manifest.digest)


def backup_directory(job: Job) -> Path:
    name = reading.text(job.request.params, "name", "postgres")
    if not name or "/" in name or name.startswith("."):
        raise WrongRequest("params.name is not the name of a directory")
    return Path(job.root("backup")) / name


def _dump(job: Job, endpoint: Endpoint, half: Path) -> Manifest:
    params = job.request.params
    selection = Selection.from_params(params)
    running = tools.Running()
    with snapshot(endpoint) as (leader, moment):
        client = tools.find(reading.number(params, "major", major(leader)))
        left = left_out(leader, selection)
        workers = reading.workers(params)
        total = sum(table.size for table in catalog.tables(leader))
        without = [
            f"--exclude-table-data={table.quoted}"
            for table in catalog.tables(leader)
            if not selection.takes_rows(table.schema, table.name) and table.oid not in left.oids
        ]
        words = ("--format=directory", f"--jobs={workers}", f"--snapshot={moment}", f"--file={half / DUMP}")
        options = ("-b", "--no-subscriptions", "--no-tablespaces", *left.dump_options, *without)
        what = "writing the dump"

        def tick() -> None:
            job.tell(Progress(min(_size(half), total), total, 0, 0))

        tools.run(running, endpoint, (client["pg_dump"], *words, *options), what, tick=tick)
        sync_files(half / DUMP)
        files = read_files(half / DUMP, lambda _: None)
        any_encoding = catalog.identity(leader).encoding != "UTF8"
        side = contents.Side(endpoint, moment, leader, any_encoding)
        meter = contents.Meter(bytes_total=total, bytes_done=min(_size(half), total))
        try:
            contents.read(side, selection, left, workers=workers, meter=meter, tick=lambda: job.tell(meter.progress))
        except psycopg.Error as error:
            raise failures.of_error(endpoint.side, error) from error
        told = {" ".join(key): value for key, value in sorted(side.found.items())}
        return Manifest(major(leader), endpoint.database, job.request.migration_uid, told, files, any_encoding)


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _read_back(endpoint: Endpoint, dump: Path, version: int) -> None:
    """pg_restore goes through the whole dump, as if to restore it: every file unpacks, and the list is whole."""
    client = tools.find(version)
    argv = (client["pg_restore"], "--file=/dev/null", str(dump))
    try:
        tools.run(tools.Running(), endpoint, argv, "reading the dump back")
    except failures.Refused as refused:
        raise failures.Refused(failures.BACKUP_UNREADABLE, refused.message) from refused


def counts(manifest: Manifest) -> dict[str, int]:
    held = manifest.contents
    tables = [told for name, told in held.items() if name.startswith("rows ")]
    return {
        "tables": len(tables),
        "rows": sum(int(told.split(" ", 1)[0]) for told in tables),
        "sequences": sum(name.startswith("position of ") for name in held),
        "largeObjects": sum(name.startswith("large object ") for name in held),
        "files": len(manifest.files),
        "bytes": sum(size for size, _ in manifest.files.values()),
    }


if __name__ == "__main__":
    main("dump", __doc__ or "", ("backup",), work)
