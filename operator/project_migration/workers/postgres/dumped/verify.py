"""Worker ``postgres.dumped.verify``: the target read anew and compared with the dump.

Each table's rows are read on both sides as COPY's text, in the order in which they were loaded, and their SHA-256
compared; so are positions of sequences and large objects. The objects of the schema are compared by kind and name with
those of a dump of the target's schema. What was read of the target is left as a list in the workspace, as
``postgres.verify`` does. Counts as there.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path

import psycopg

from project_migration.model.records import Progress, Record, proved_manifest
from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.postgres import archive, failures, proved, requirements, tools
from project_migration.workers.postgres.check import read_target
from project_migration.workers.postgres.dumped.archive import COPY, Dumped, look, printed
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.program import main
from project_migration.workers.postgres.session import (
    Connection,
    connect,
    join_snapshot,
    major,
    rows,
    snapshot,
    trusted,
    value,
)
from project_migration.workers.postgres.verify import totals

#: Kinds of entries that are the target's own affair, whatever the dump has.
OF_THE_PLACE = frozenset({"", "EXTENSION", "SCHEMA", "COMMENT", "MATERIALIZED VIEW DATA"})
MISSING = "missing"
RIGHTS = frozenset({"ACL", "DEFAULT ACL"})

END = b"\\.\n"
_SET = re.compile(rb"^SELECT pg_catalog\.setval\('((?:[^']|'')+)', (-?\d+), (true|false)\);$", re.MULTILINE)
#: A moment with a zone, as ``datestyle`` ISO writes it; before 1900 zones had seconds.
_ZONED = re.compile(rb"(\d{4,6})(-\d\d-\d\d \d\d:\d\d:\d\d)(\.\d+)?([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?(?![\d:])( BC)?")
_OBJECT = re.compile(rb"^SELECT pg_catalog\.lo_open\('(\d+)', \d+\);$")
_WRITTEN = re.compile(rb"^SELECT pg_catalog\.lowrite\(0, '\\+x([0-9a-f]*)'\);$")


@dataclass(frozen=True, slots=True)
class Told:
    """What one side has of one table: how many rows, and the SHA-256 of their text, as it is and with instants."""

    rows: int
    digest: str
    zoned: str

    def is_like(self, other: Told) -> bool:
        return self.rows == other.rows and (self.digest == other.digest or self.zoned == other.zoned)

    def __str__(self) -> str:
        return f"{self.rows} rows, {self.digest[:16]}"


def work(job: Job) -> Record:
    target = Endpoint.from_job(job, "target")
    choices = requirements.Choices.from_params(job.request.params)
    with snapshot(target) as (leader, moment):
        client = tools.find(major(leader))
        dumped = look(job, client, target, choices)
        comparison = Comparison(job, client, target, dumped)
        with closing(connect(target, encoding=dumped.encoding)) as session:
            join_snapshot(session, moment)
            try:
                comparison.rows_of_tables(session)
                comparison.positions(session)
                comparison.large_objects(session)
            except psycopg.Error as error:
                raise failures.of_error("target", error) from error
        comparison.schema(choices, moment)
    return _record(job, comparison.wrong)


def _record(job: Job, wrong: int) -> Record:
    manner = proved.Manner(any_encoding=False, same_major=True)
    found = read_target(job, manner)
    listed = proved.told(found)
    proved.write(job.workspace / proved_manifest(job.request.step, job.request.unit, "target"), manner, listed)
    counts = {"different": wrong} | totals(found)
    message = f"{wrong} object(s) differ between the dump and the target: {job.lists.say('different')}" if wrong else ""
    reason = reasons.VERIFY_FAILED if wrong else ""
    return job.record(reason=reason, message=message[:1500], counts=counts, digest=proved.digest_of(listed))


class Comparison:
    """The dump on one side, the target at one moment on the other. ``wrong``: how many objects are not the same."""

    def __init__(self, job: Job, client: tools.Tools, target: Endpoint, dumped: Dumped) -> None:
        self._job, self._client, self._target, self._dumped = job, client, target, dumped
        self._running = tools.Running()
        self.wrong = 0

    def rows_of_tables(self, session: Connection) -> None:
        for number, line in enumerate(self._dumped.tables):
            with printed(self._running, self._client, self._target, self._dumped, (line,)) as pieces:
                name, content = rows_in(pieces, self._codec)
                expected = told_of(content)
            if not name:
                raise failures.Refused(reasons.VERIFY_FAILED, f"the dump does not tell the rows of: {line}")
            found = _rows(session, name)
            if found is None or not expected.is_like(found):
                self._compare(f"rows {name}", str(expected), str(found or MISSING))
            self._job.tell(Progress(0, 0, number + 1, len(self._dumped.tables)))

    def positions(self, session: Connection) -> None:
        if not self._dumped.positions:
            return
        with printed(self._running, self._client, self._target, self._dumped, self._dumped.positions) as pieces:
            text = b"".join(pieces)
        for found in _SET.finditer(text):
            name = found[1].decode(self._codec).replace("''", "'")
            told = f"{int(found[2])} {found[3] == b'true'}"
            self._compare(f"position of {name}", told, _position(session, name))

    def large_objects(self, session: Connection) -> None:
        if not self._dumped.large_objects:
            return
        with printed(self._running, self._client, self._target, self._dumped, self._dumped.large_objects) as pieces:
            for oid, expected in read_large_objects(pieces):
                self._compare(f"large object {oid}", expected, _large_object(session, oid))

    def schema(self, choices: requirements.Choices, moment: str) -> None:
        with tempfile.TemporaryDirectory(prefix="schema-") as scratch:
            file = Path(scratch) / "target.dump"
            options = ("--schema-only", "--exclude-schema=_project_migration", "--no-subscriptions")
            archive.dump(self._running, self._client, self._target, file, moment, options, "reading the schema")
            there = archive.read(self._running, self._client, self._target, file, choices)
        passed = OF_THE_PLACE | (RIGHTS if choices.privileges == requirements.DROP else frozenset())
        expected, found = (
            {entry.title for entry in entries if entry.kind not in passed}
            for entries in (self._dumped.schema, (*there.before, *there.after))
        )
        for title in sorted(expected - found):
            self._compare(title, "there", MISSING)

    @property
    def _codec(self) -> str:
        return "utf-8" if self._dumped.encoding in ("", "UTF8", "SQL_ASCII") else self._dumped.encoding

    def _compare(self, name: str, expected: str, found: str) -> None:
        if expected != found:
            self.wrong += 1
            self._job.lists.add("different", name, f"dump: {expected} / target: {found}")


def rows_in(pieces: Iterator[bytes], codec: str = "utf-8") -> tuple[str, Iterator[bytes]]:
    """The table with its columns as ``COPY`` names them, and its rows, whole lines a piece; both empty without one."""
    head = b""
    for piece in pieces:
        head += piece
        if match := COPY.search(head):
            return match[1].decode(codec), _until_end(_whole_lines(head[match.end() :], pieces))
    return "", iter(())


def _whole_lines(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    kept = head
    for piece in chain((b"",), rest):
        text = kept + piece
        cut = text.rfind(b"\n") + 1
        kept = text[cut:]
        if cut:
            yield text[:cut]
    if kept:
        yield kept


def _until_end(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """In COPY's text a line that is ``\\.`` ends the rows: everywhere else a backslash is doubled."""
    for piece in pieces:
        if piece.startswith(END):
            return
        at = piece.find(b"\n" + END)
        yield piece if at < 0 else piece[: at + 1]
        if at >= 0:
            return


def told_of(pieces: Iterable[bytes]) -> Told:
    """``zoned``: moments with a zone are read as the instants that they are, which another zone writes otherwise."""
    plain, zoned, count = hashlib.sha256(), hashlib.sha256(), 0
    for piece in pieces:
        plain.update(piece)
        zoned.update(_ZONED.sub(_in_utc, piece))
        count += piece.count(b"\n")
    return Told(count, plain.hexdigest(), zoned.hexdigest())


def _in_utc(found: re.Match[bytes]) -> bytes:
    """Years that Python does not know are reckoned in the 400 years after which the calendar repeats itself."""
    written, rest, fraction, sign, *offset, before_christ = found.groups()
    year = 1 - int(written) if before_christ else int(written)
    like = 2000 + year % 400
    try:
        moment = datetime.strptime(f"{like}{rest.decode()}", "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - reckoned as UTC
    except ValueError:  # it only looks like one
        return found[0]
    hours, minutes, seconds = (int(part or 0) for part in offset)
    ahead = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    moment += -ahead if sign == b"+" else ahead
    return f"{year + moment.year - like} {moment:%m-%d %H:%M:%S}".encode() + (fraction or b"") + b"Z"


def read_large_objects(pieces: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    """Each large object with its size and SHA-256."""
    oid, digest, size = 0, hashlib.sha256(), 0
    for line in _lines(pieces):
        if match := _OBJECT.match(line):
            if oid:
                yield oid, f"{size} bytes, {digest.hexdigest()[:16]}"
            oid, digest, size = int(match[1]), hashlib.sha256(), 0
        elif match := _WRITTEN.match(line):
            content = bytes.fromhex(match[1].decode())
            digest.update(content)
            size += len(content)
    if oid:
        yield oid, f"{size} bytes, {digest.hexdigest()[:16]}"


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    kept = b""
    for piece in pieces:
        *whole, kept = (kept + piece).split(b"\n")
        yield from whole
    if kept:
        yield kept


def _rows(session: Connection, name: str) -> Told | None:
    """None when there is no such table, or not with these columns. The savepoint keeps the snapshot then."""
    try:
        with session.transaction(), session.cursor().copy(trusted(f"COPY {name} TO STDOUT")) as copy:
            return told_of(bytes(piece) for piece in copy)
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName):
        return None


def _position(session: Connection, name: str) -> str:
    if value(session, "SELECT pg_catalog.to_regclass(%s)", name) is None:
        return MISSING
    last, called = rows(session, f"SELECT last_value, is_called FROM {name}")[0]  # noqa: S608 - quoted by pg_dump
    return f"{last} {called}"


def _large_object(session: Connection, oid: int) -> str:
    digest, size = hashlib.sha256(), 0
    query = "SELECT pg_catalog.lo_get(%s, %s, %s)"
    try:
        with session.transaction():
            while piece := bytes(rows(session, query, oid, size, 1 << 20)[0][0]):
                digest.update(piece)
                size += len(piece)
    except psycopg.errors.UndefinedObject:
        return MISSING
    return f"{size} bytes, {digest.hexdigest()[:16]}"


if __name__ == "__main__":
    main("dumped.verify", __doc__ or "", ("source",), work)
