"""The list that a proof leaves of a target: an entry for what each object has in each table, by digest.

It is of the size of the objects and not of their rows: a run's million metrics are one entry. Rows that were looked for
one by one, as others of the same experiment or model may be there, are an entry each. Lines of a gzip file: a table's
head as JSON after ``#``, then its entries: the id as JSON (of a row: its key), rows, and the sum of their digests.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from project_migration.workers.mlflow.database.schema import Form

MODULUS = 1 << 128
_HEAD = "#\t"

#: Entries in memory while a target is read.
HELD = 20_000


@dataclass(frozen=True, slots=True)
class Head:
    """How a table was read."""

    table: str
    owner: str
    """The column by which rows are gathered; empty where each is an entry."""
    columns: tuple[str, ...]
    forms: Mapping[str, Form]
    """Columns whose values were brought to one form."""

    def to_json(self) -> str:
        forms = {name: str(form) for name, form in self.forms.items()}
        return json.dumps({"table": self.table, "owner": self.owner, "columns": self.columns, "forms": forms})

    @classmethod
    def from_json(cls, text: str) -> Head:
        data = json.loads(text)
        forms = {name: Form(form) for name, form in data["forms"].items()}
        return cls(data["table"], data["owner"], tuple(data["columns"]), forms)


@dataclass(frozen=True, slots=True)
class Entry:
    identity: Any
    """The owner's id, or the list of a key's values."""
    rows: int
    total: int


class Entries:
    """Gathers entries on disk, in whatever order rows come. ``path``: a file of ours, gone when it is closed."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._path = path
        self._heads: dict[str, Head] = {}
        self._held: dict[tuple[str, str], tuple[int, int]] = {}
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;"
            "CREATE TABLE entry (t TEXT, id TEXT, rows INTEGER, total BLOB, PRIMARY KEY (t, id)) WITHOUT ROWID"
        )

    def begin(self, head: Head) -> None:
        self._heads[head.table] = head

    def add(self, table: str, identity: Any, rows: int, total: int) -> None:
        key = table, json.dumps(identity, default=str)
        before = self._held.get(key, (0, 0))
        self._held[key] = before[0] + rows, (before[1] + total) % MODULUS
        if len(self._held) >= HELD:
            self._flush()

    def _flush(self) -> None:
        for (table, identity), (rows, total) in self._held.items():
            found = self._database.execute("SELECT rows, total FROM entry WHERE t = ? AND id = ?", (table, identity))
            known, digest = found.fetchone() or (0, b"")
            whole = (total + int.from_bytes(digest, "big")) % MODULUS
            values = (table, identity, rows + known, whole.to_bytes(16, "big"))
            self._database.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?)", values)
        self._held.clear()

    def write(self, path: Path) -> int:
        """Leaves the list, on the disk when this returns; how many entries it has."""
        self._flush()
        path.parent.mkdir(exist_ok=True)
        number = 0
        with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as stream:
            for name in sorted(self._heads):
                stream.write(f"{_HEAD}{self._heads[name].to_json()}\n".encode())
                with closing(self._database.execute("SELECT id, rows, total FROM entry WHERE t = ?", (name,))) as found:
                    for identity, rows, total in found:
                        stream.write(f"{identity}\t{rows}\t{total.hex()}\n".encode())
                        number += 1
            stream.flush()
            raw.flush()
            os.fsync(raw.fileno())
        return number

    def close(self) -> None:
        self._database.close()
        self._path.unlink(missing_ok=True)


def read(path: Path) -> Iterator[tuple[Head, Entry]]:
    """In the order of the list; memory does not grow with it. Raises as :func:`is_whole` catches."""
    head: Head | None = None
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            if line.startswith(_HEAD):
                head = Head.from_json(line.removeprefix(_HEAD))
                continue
            if head is None:
                raise ValueError("an entry stands before the first table")
            identity, rows, total = line.rstrip("\n").split("\t")
            yield head, Entry(json.loads(identity), int(rows), int(total, 16))


def is_whole(path: Path, digest: str) -> bool:
    """Whether the list is there, and the very one that the proof with this digest left."""
    tables: dict[str, tuple[int, int]] = {}
    try:
        for head, entry in read(path):
            rows, total = tables.get(head.table, (0, 0))
            tables[head.table] = rows + entry.rows, (total + entry.total) % MODULUS
    except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error):
        return False
    return digest_of(tables) == digest


def digest_of(tables: Mapping[str, Sequence[int]]) -> str:
    """Over rows and sum of each table that holds any."""
    found = hashlib.sha256()
    for name, (rows, total) in sorted(tables.items()):
        if rows:
            found.update(f"{name} {rows} {total:032x}\n".encode())
    return f"sha256:{found.hexdigest()}"
