"""What a database holds at one moment: rows by table, large objects, positions of sequences, each as a short text."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from project_migration.model.records import Progress
from project_migration.workers.postgres import catalog, digests, failures, large_objects
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.schedule import Crew, Sessions, Task
from project_migration.workers.postgres.selection import LeftOut, Selection
from project_migration.workers.postgres.session import Connection, connect, join_snapshot

Found = dict[tuple[str, str], str]


@dataclass
class Side:
    """What one database holds, by kind and name."""

    endpoint: Endpoint
    moment: str
    leader: Connection
    #: Whether rows are hashed as UTF-8: where the other side has, or may have, another encoding.
    any_encoding: bool = False
    found: Found = field(default_factory=dict)


@dataclass
class Meter:
    """Counted by several threads."""

    bytes_total: int = 0
    items_total: int = 0
    bytes_done: int = 0
    items_done: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, size: int) -> None:
        with self.lock:
            self.bytes_done += size
            self.items_done += 1

    @property
    def progress(self) -> Progress:
        with self.lock:
            return Progress(self.bytes_done, self.bytes_total, self.items_done, self.items_total)


def read(
    side: Side,
    selection: Selection,
    left: LeftOut,
    *,
    workers: int,
    meter: Meter,
    tick: Callable[[], None],
) -> None:
    """Fills ``side.found``; the server works on ``workers`` tables at a time. Raises ``Refused``."""
    tasks = _tasks(side, selection, left, meter)
    meter.items_total += len(tasks)

    def open_sessions() -> Sessions:
        session = connect(side.endpoint)
        join_snapshot(session, side.moment)
        return Sessions(session, session)

    Crew(workers, open_sessions).run(tasks, tick)
    for sequence in catalog.sequences(side.leader):
        side.found["position of", sequence.title] = f"{sequence.last_value} {sequence.is_called}"


def _tasks(side: Side, selection: Selection, left: LeftOut, meter: Meter) -> list[Task]:
    away = {(schema, name) for _, schema, name in left.relations}
    tasks = []
    for holder in digests.holders(side.leader):
        if (holder.schema, holder.name) in away or not selection.takes_schema(holder.schema):
            continue
        if not selection.takes_rows(holder.schema, holder.name) and not holder.view:
            continue
        meter.bytes_total += holder.size
        tasks.append(_row_task(side, holder, meter))
    for oids in large_objects.batches(side.leader):
        tasks.append(_large_object_task(side, oids, meter))
    return tasks


def _row_task(side: Side, holder: digests.Holder, meter: Meter) -> Task:
    def read(sessions: Sessions) -> None:
        try:
            count, digest = digests.of_rows(sessions.source, holder, any_encoding=side.any_encoding)
        except psycopg.Error as error:
            raise failures.of_error(f"{side.endpoint.side}: {holder.title}", error) from error
        side.found["rows", holder.title] = f"{count} rows, digest {digest}"
        meter.add(holder.size)

    return Task(holder.title, read, float(holder.size))


def _large_object_task(side: Side, oids: list[int], meter: Meter) -> Task:
    def read(sessions: Sessions) -> None:
        found = digests.of_large_objects(sessions.source, oids)
        side.found.update({("large object", str(oid)): digest for oid, digest in found.items()})
        meter.add(0)

    return Task(f"large objects from {oids[0]}", read)
