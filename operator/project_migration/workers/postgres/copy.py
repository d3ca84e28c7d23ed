"""Worker ``postgres.copy``: one database from server to server, as it was at one moment, or not at all.

Params: ``source``, ``target``; ``schemas`` and ``tables`` ``{include, exclude}``, ``excludeTableData``; ``replace``;
``owners``, ``privileges`` (Keep, Drop), ``missingRoles`` (Refuse, LeaveOut), ``acceptCollation``; ``workers``;
``bandwidth`` in bytes a second.

Counts: ``tables``, ``rows``, ``bytes``, ``entries`` (of the schema), ``sequences``, ``largeObjects``, ``textTables``,
``refreshed`` (materialised views), ``leftOut``. The digest is over the row counts by table; the proof of the content is
``postgres.verify``.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
from collections import Counter
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path

import psycopg

from project_migration.model.records import Progress, Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.postgres import archive as archives
from project_migration.workers.postgres import (
    building,
    catalog,
    failures,
    formats,
    journal,
    large_objects,
    reading,
    requirements,
    streams,
    tools,
)
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.program import main
from project_migration.workers.postgres.schedule import Crew, Sessions, Task
from project_migration.workers.postgres.selection import LeftOut, Selection, left_out
from project_migration.workers.postgres.session import (
    Connection,
    connect,
    join_snapshot,
    major,
    opened,
    quoted,
    run,
    snapshot,
    value,
)

#: What a large object counts for in the order of tasks, as its size is not known beforehand.
LARGE_OBJECT_WEIGHT = 1 << 14

Counts = dict[str, int]


def work(job: Job) -> Record:
    params = job.request.params
    Selection.from_params(params)
    choices = requirements.Choices.from_params(params)
    source, target = Endpoint.from_job(job, "source"), Endpoint.from_job(job, "target")
    with opened(source) as reader, journal.writer(target) as control:
        for problem in requirements.problems(reader, control, choices):
            raise problem
        replace = reading.flag(params, "replace")
        entry = journal.begin(control, job.request.migration_uid, job.request.digest, replace=replace)
        if entry.state == journal.COMPLETE:
            return job.record(counts=entry.counts)
        copier = Copier(job, source, target, control, entry, choices)
        try:
            counts, digest = copier.run()
            journal.complete(control, counts)
        except psycopg.Error as error:
            copier.give_up()
            raise failures.of_error("postgres", error) from error
        except Exception:
            copier.give_up()
            raise
    return job.record(counts=counts, digest=digest)


class Copier:
    """One copy into a database that holds our note and nothing else."""

    def __init__(
        self,
        job: Job,
        source: Endpoint,
        target: Endpoint,
        control: Connection,
        entry: journal.Entry,
        choices: requirements.Choices,
    ) -> None:
        self._job = job
        self._source = source
        self._target = target
        self._control = control
        self._entry = entry
        self._choices = choices
        self._params = job.request.params
        self._selection = Selection.from_params(self._params)
        self._client = tools.find(major(control))
        self._running = tools.Running()
        self._limit = streams.Limit(reading.number(self._params, "bandwidth", 0))
        self._text: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._rows: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._bytes = self._items = self._bytes_total = self._items_total = 0

    def run(self) -> tuple[Counts, str]:
        with opened(self._source) as first:
            encoding = catalog.identity(first).encoding
        with snapshot(self._source) as (leader, moment), tempfile.TemporaryDirectory(prefix="schema-") as scratch:
            left = left_out(leader, self._selection)
            missing = requirements.missing_roles(leader, self._control)
            self._text = archives.text_options(encoding)
            archive = self._read_schema(left, moment, Path(scratch), missing)
            statistics = self._read_statistics(left, moment, Path(scratch))
            tables = self._tables(leader, left)
            catalog.lock(leader, tuple(tables.values()))
            building.run_entries(self._control, archive.before, self._built)
            workers = reading.workers(self._params)
            crew = Crew(workers, lambda: self._open(moment, encoding), self._running.end)
            reader = streams.Reader(self._running, self._client, self._source, moment, encoding)
            built = self._tasks(leader, archive, tables, left, missing, reader)
            crew.run(built.tasks, self._tell)
            self._positions(leader)
            views = [view for view in catalog.filled_views(leader) if view[0] not in left.oids]
        building.run_entries(self._control, built.rest, self._built)
        self._refresh(views)
        self._statistics(statistics)
        return self._finish(left, built)

    def give_up(self) -> None:
        """The target as it was. Where that does not work either, the note stays, and the next attempt begins so."""
        self._running.end()
        with suppress(reasons.Refusal, psycopg.Error), journal.writer_again(self._target, self._control) as session:
            journal.take_back(session, self._entry)

    def _read_schema(self, left: LeftOut, moment: str, scratch: Path, missing: tuple[str, ...]) -> archives.Archive:
        file = scratch / "schema.dump"
        options = (*archives.schema_options(left, self._choices, self._client.major), *self._text)
        archives.dump_schema(self._running, self._client, self._source, file, moment, options)
        found = archives.read(self._running, self._client, self._target, file, self._choices)
        there = (*self._entry.schemas, "public")
        before = tuple(archives.fitted(found.before, there, self._entry.extensions, missing))
        after = tuple(archives.fitted(found.after, there, self._entry.extensions, missing))
        self._items_total = len(before) + len(after)
        return archives.Archive(found.settings, before, (), after)

    def _tables(self, leader: Connection, left: LeftOut) -> dict[int, catalog.Table]:
        found = {
            table.oid: table
            for table in catalog.tables(leader)
            if table.oid not in left.oids and self._selection.takes_rows(table.schema, table.name)
        }
        self._bytes_total = sum(table.size for table in found.values())
        self._items_total += len(found)
        return found

    def _open(self, moment: str, encoding: str) -> Sessions:
        """Both sides speak the source's encoding: the target converts, and only where it has to."""
        source = connect(self._source, encoding=encoding)
        try:
            join_snapshot(source, moment)
            target = connect(self._target, encoding=encoding)
            journal.join_crew(target)
            target.execute("SET synchronous_commit TO off")
        except BaseException:
            source.close()
            raise
        return Sessions(source, target)

    def _tasks(
        self,
        leader: Connection,
        archive: archives.Archive,
        tables: dict[int, catalog.Table],
        left: LeftOut,
        missing: tuple[str, ...],
        reader: streams.Reader,
    ) -> building.Built:
        types = catalog.types(leader)
        built = building.divide(archive.after, building.places(leader), tables, left.oids, self._built)
        last = {oid for oid, table in tables.items() if formats.names_objects(table, types)}
        # rows that name objects, by type regclass and the like, come when those are there
        others = frozenset(key(oid) for oid in tables if oid not in last for key in (building.loaded, building.keyed))
        loads = [
            self._load_task(
                table,
                reader,
                formats.binary_is_safe(table, types, major(leader)),
                others if oid in last else frozenset(),
            )
            for oid, table in tables.items()
        ]
        choice = large_objects.Choice(
            self._choices.owners == requirements.KEEP,
            self._choices.privileges == requirements.KEEP,
            frozenset(missing),
        )
        objects = [self._large_object_task(oids, choice) for oids in large_objects.batches(leader)]
        return building.Built((*loads, *objects, *built.tasks), built.rest, built.left_out)

    def _load_task(
        self, table: catalog.Table, reader: streams.Reader, binary: bool, needs: frozenset[Hashable]
    ) -> Task:
        def load(sessions: Sessions) -> None:
            taken = 0

            def count(size: int) -> None:
                nonlocal taken
                size = min(size, table.size - taken)
                taken += size
                self._add(size)

            try:
                rows = streams.load(reader, sessions.source, sessions.target, table, binary, self._limit, count)
            except psycopg.Error as error:
                raise failures.of_error(table.title, error) from error
            self._add(table.size - taken, items=1)
            with self._lock:
                self._rows[table.title] = rows
                self._counts["textTables"] += not binary

        oids = frozenset({table.oid})
        key = building.loaded(table.oid)
        return Task(table.title, load, float(table.size), key=key, needs=needs, exclusive=oids)

    def _large_object_task(self, oids: list[int], choice: large_objects.Choice) -> Task:
        def copy(sessions: Sessions) -> None:
            try:
                size = large_objects.copy_batch(sessions.source, sessions.target, oids, choice)
            except psycopg.Error as error:
                raise failures.of_error(f"large objects {oids[0]} to {oids[-1]}", error) from error
            with self._lock:
                self._counts["largeObjects"] += len(oids)
                self._bytes_total += size
            self._add(size)

        return Task(f"large objects from {oids[0]}", copy, float(len(oids) * LARGE_OBJECT_WEIGHT))

    def _positions(self, leader: Connection) -> None:
        for sequence in catalog.sequences(leader):
            if value(self._control, "SELECT pg_catalog.to_regclass(%s)", sequence.quoted) is None:
                if self._selection.whole:
                    message = f"the target has no sequence {sequence.title}"
                    raise failures.Refused(reasons.COPY_INCOMPLETE, message)
                continue
            catalog.set_positions(self._control, (sequence,))
            self._counts["sequences"] += 1

    def _refresh(self, views: list[tuple[int, str, str]]) -> None:
        """pg_dump counts these as data, so its schema has them empty."""
        for _, schema, name in views:
            try:
                run(self._control, f"REFRESH MATERIALIZED VIEW {quoted(schema, name)}")
            except psycopg.Error as error:
                raise failures.of_error(f"materialized view {schema}.{name}", error) from error
        self._counts["refreshed"] = len(views)

    def _read_statistics(self, left: LeftOut, moment: str, scratch: Path) -> tuple[archives.Entry, ...]:
        """What the source's planner knows; pg_dump can carry it since 18 (release notes, "pg_dump --statistics")."""
        if self._client.major < 18:
            return ()
        file = scratch / "statistics.dump"
        options = ("--statistics-only", *left.dump_options, *self._text)
        archives.dump(self._running, self._client, self._source, file, moment, options, "reading statistics")
        only = ("--statistics-only",)
        found = archives.read(self._running, self._client, self._target, file, self._choices, only)
        return (*found.before, *found.data, *found.after)

    def _statistics(self, entries: tuple[archives.Entry, ...]) -> None:
        """The planner of the target needs them at its first query. They are no content: what fails is made anew."""
        if entries:
            with suppress(reasons.Refusal):
                building.run_entries(self._control, entries)
                return
        self._control.execute("ANALYZE")

    def _finish(self, left: LeftOut, built: building.Built) -> tuple[Counts, str]:
        # entries that print nothing, and those left out, were counted beforehand
        self._items_total = self._items
        self._tell()
        for name in (*left.views, *(entry.title for entry in built.left_out)):
            self._job.lists.add("skipped", name, "it needs a table that is left out")
        rows = sorted(self._rows.items())
        counts = {
            "tables": len(rows),
            "rows": sum(count for _, count in rows),
            "bytes": self._bytes_total,
            "entries": self._items,
            "leftOut": len(left.relations) + len(built.left_out),
            **{name: self._counts[name] for name in ("sequences", "largeObjects", "textTables", "refreshed")},
        }
        text = json.dumps(rows, separators=(",", ":"))
        return counts, "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def _built(self, _: archives.Entry) -> None:
        self._add(0, items=1)

    def _add(self, size: int, items: int = 0) -> None:
        with self._lock:
            self._bytes += size
            self._items += items

    def _tell(self) -> None:
        with self._lock:
            self._job.tell(Progress(self._bytes, self._bytes_total, self._items, self._items_total))


if __name__ == "__main__":
    main("copy", __doc__ or "", (), work)
