"""A plain dump of pg_dump as statements and rows, piece by piece; whole only when pg_dump's last line was seen.

What pg_dump writes: a head with two versions, statements, for each table ``COPY … FROM stdin;`` with its rows up to
``\\.``, and ``-- PostgreSQL database dump complete``. Releases since August 2025 put ``\\restrict`` before and
``\\unrestrict`` behind it all, which only psql knows; they are passed over, and any other command of psql is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from project_migration.workers.cdsw import failures
from project_migration.workers.cdsw.sql import LARGEST, Statements

_COMPLETE = b"-- PostgreSQL database dump complete"
_VERSION = re.compile(rb"-- Dumped (from database|by pg_dump) version (\d+)(?:\.(\d+))?")
_COPY = re.compile(
    rb'COPY ((?:"(?:[^"]|"")*"|[^\s."(]+)(?:\.(?:"(?:[^"]|"")*"|[^\s."(]+))?) \((.*)\) FROM stdin;', re.DOTALL
)
_IDENTIFIER = re.compile(r'"((?:[^"]|"")*)"|([^\s.",]+)')
_RESTRICTING = (b"\\restrict ", b"\\unrestrict ")


@dataclass(frozen=True, slots=True)
class Table:
    schema: str
    name: str

    @property
    def title(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Statement:
    text: bytes

    @property
    def words(self) -> tuple[str, ...]:
        """The first five, in capitals."""
        return tuple(self.text[:400].decode("utf-8", "replace").upper().split(None, 5)[:5])


@dataclass(frozen=True, slots=True)
class CopyBegins:
    table: Table
    columns: tuple[str, ...]
    text: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """Some whole lines of the table that was begun last, or a part of a long one."""

    data: bytes
    count: int


@dataclass(frozen=True, slots=True)
class CopyEnds:
    table: Table
    rows: int


Event = Statement | CopyBegins | Rows | CopyEnds


@dataclass(slots=True)
class Head:
    """What the comments of a dump say; filled while it is read."""

    server_major: int = 0
    tool_major: int = 0
    restricted: bool = False
    complete: bool = False
    rows: dict[str, int] = field(default_factory=dict)
    """By ``schema.table``, for each that has a COPY."""


def events(pieces: Iterable[bytes], head: Head) -> Iterator[Event]:
    """In the dump's order. Raises ``Refused`` (DumpUnusable), at the end also when the dump is not whole."""
    return _Reader(pieces, head).run()


class _Reader:
    def __init__(self, pieces: Iterable[bytes], head: Head) -> None:
        self._pieces = iter(pieces)
        self._head = head
        self._statements = Statements()
        self._buffer, self._at = b"", 0

    def run(self) -> Iterator[Event]:
        while line := self._line():
            if self._statements.at_rest and self._is_comment(line):
                continue
            for text in self._statements.feed(line):
                copy = _copy(text)
                if copy is None:
                    yield Statement(text)
                else:
                    yield copy
                    yield from self._rows(copy.table)
        if not self._statements.at_rest:
            raise failures.unusable("it ends in the middle of a statement")
        if not self._head.complete:
            raise failures.unusable(f"its last line, {_COMPLETE.decode()!r}, is missing: it was cut")

    def _is_comment(self, line: bytes) -> bool:
        """Whether a line between two statements is a comment, or of psql's own and harmless."""
        if line.startswith(_RESTRICTING):
            self._head.restricted = True
            return True
        if not line.startswith(b"--"):
            return False
        self._head.complete |= line.startswith(_COMPLETE)
        match = _VERSION.match(line)
        if match:
            major = int(match[2])
            if match[1] == b"from database":
                self._head.server_major = major
            else:
                self._head.tool_major = major
        return True

    def _line(self) -> bytes:
        """With its end; empty behind the last one."""
        parts, size = [], 0
        while True:
            end = self._buffer.find(b"\n", self._at) + 1
            parts.append(self._buffer[self._at : end or len(self._buffer)])
            if end:
                self._at = end
                return b"".join(parts)
            size += len(parts[-1])
            if size > LARGEST:
                raise failures.unusable(f"it holds a line of more than {LARGEST >> 20} MiB")
            self._buffer, self._at = next(self._pieces, b""), 0
            if not self._buffer:
                return b"".join(parts)

    def _rows(self, table: Table) -> Iterator[Event]:
        """Lines up to ``\\.``. A row may be larger than memory: only the ends of lines are looked at."""
        total, fresh = 0, True
        self._buffer, self._at = self._buffer[self._at :], 0
        while True:
            if not self._buffer:
                self._buffer = next(self._pieces, b"")
                if not self._buffer:
                    raise failures.unusable(f"it ends in the middle of the rows of {table.title}")
            if fresh:
                self._fill(3)
                if self._buffer[:3] == b"\\.\n":
                    self._buffer = self._buffer[3:]
                    break
            data, fresh = self._some_rows()
            count = data.count(b"\n")
            total += count
            yield Rows(data, count)
        self._head.rows[table.title] = self._head.rows.get(table.title, 0) + total
        yield CopyEnds(table, total)

    def _some_rows(self) -> tuple[bytes, bool]:
        """As much as is at hand, and whether it ends with a line."""
        at = self._buffer.find(b"\n\\.\n")
        if at >= 0:
            data, self._buffer = self._buffer[: at + 1], self._buffer[at + 1 :]
            return data, True
        end = self._buffer.rfind(b"\n") + 1
        # the beginning of what may be the end of the rows has to be whole to be known
        if end and len(self._buffer) - end < 3:
            data, self._buffer = self._buffer[:end], self._buffer[end:]
            return data, True
        data, self._buffer = self._buffer, b""
        return data, data.endswith(b"\n")

    def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            more = next(self._pieces, b"")
            if not more:
                return
            self._buffer += more


def _copy(text: bytes) -> CopyBegins | None:
    """Raises ``Refused`` for rows in a form that cannot be told apart from statements."""
    match = _COPY.fullmatch(text)
    if match is None:
        if text[:5].upper() == b"COPY " and re.search(rb"\bFROM\s+STDIN\b", text, re.IGNORECASE):
            raise failures.unusable(
                f"it holds a COPY that pg_dump does not write: {text[:80].decode(errors='replace')}"
            )
        return None
    names = _identifiers(match[1])
    if len(names) != 2:
        raise failures.unusable(f"it names {text[:60].decode(errors='replace')!r} without its schema")
    return CopyBegins(Table(*names), _identifiers(match[2]), text)


def _identifiers(text: bytes) -> tuple[str, ...]:
    """As they stand in a list, or with a point between them."""
    found = _IDENTIFIER.findall(text.decode("utf-8", "surrogateescape"))
    return tuple(quoted.replace('""', '"') if quoted else plain for quoted, plain in found)


def cells(line: bytes) -> tuple[str | None, ...]:
    """The values of a row in COPY's text format (manual, COPY, "Text Format"); None for NULL."""
    return tuple(None if cell == b"\\N" else _cell(cell) for cell in line.rstrip(b"\n").split(b"\t"))


_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.))", re.DOTALL)
_NAMED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def _cell(cell: bytes) -> str:
    def plain(match: re.Match[bytes]) -> bytes:
        if match[1] is not None:
            return bytes((int(match[1], 8) & 255,))
        if match[2] is not None:
            return bytes((int(match[2], 16),))
        return _NAMED.get(match[3], match[3])

    text = _ESCAPE.sub(plain, cell) if b"\\" in cell else cell
    return text.decode("utf-8", "surrogateescape")
