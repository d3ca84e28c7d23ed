"""What a copy has to remember until its end: names of hard-linked files, and directories to be finished.

In a database in the workspace, since either may be millions. Only the coordinator opens it, and nothing in it
outlives the run, so that it needs no journal and no lock (which a network file system may not have).
"""

from __future__ import annotations

import marshal
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from project_migration.workers.copying.plan import Late, LateNote, LinkNote, Links, Member
from project_migration.workers.tree import depth

_BATCH = 2_000


class Ledger:
    def __init__(self, scratch: Path) -> None:
        os.environ["SQLITE_TMPDIR"] = str(scratch)
        self._database = sqlite3.connect(scratch / "ledger.sqlite", isolation_level=None)
        self._database.executescript(
            """
            PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
            CREATE TABLE links (device, inode, number, member, PRIMARY KEY (device, inode, number)) WITHOUT ROWID;
            CREATE TABLE late (depth, target, late, PRIMARY KEY (depth, target)) WITHOUT ROWID;
            BEGIN;
            """
        )
        self._links: list[tuple[int, int, int, bytes]] = []
        self._late: dict[str, Late] = {}
        self._number = 0
        self.directories = 0

    def close(self) -> None:
        self._database.close()

    def add_link(self, note: LinkNote) -> None:
        self._number += 1
        self._links.append((_signed(note.device), _signed(note.inode), self._number, marshal.dumps(note.member)))
        if len(self._links) >= _BATCH:
            self._store_links()

    def _store_links(self) -> None:
        self._database.executemany("INSERT INTO links VALUES (?, ?, ?, ?)", self._links)
        self._links.clear()

    def add_late(self, note: LateNote) -> None:
        """A directory that the filter does not take by itself is told of once for each thing found below it."""
        late = Late(*note.late)
        known = self._late.get(late.target)
        self._late[late.target] = _merged(known, late) if known else late
        if len(self._late) >= _BATCH:
            self._store_late()

    def _store_late(self) -> None:
        for late in self._late.values():
            key = (depth(late.target), os.fsencode(late.target))
            row = self._database.execute("SELECT late FROM late WHERE depth = ? AND target = ?", key).fetchone()
            merged = _merged(Late(*marshal.loads(row[0])), late) if row else late  # noqa: S302 - our own
            self.directories += row is None
            self._database.execute("INSERT OR REPLACE INTO late VALUES (?, ?, ?)", (*key, marshal.dumps(tuple(merged))))
        self._late.clear()

    def links(self) -> Iterator[Links]:
        """A task for each file with several names."""
        self._store_links()
        file, members = None, list[Member]()
        for device, inode, member in self._database.execute("SELECT device, inode, member FROM links ORDER BY 1, 2"):
            if (device, inode) != file and members:
                yield Links(tuple(members))
                members = []
            file = (device, inode)
            members.append(marshal.loads(member))  # noqa: S302 - our own
        if members:
            yield Links(tuple(members))

    def depths(self) -> list[int]:
        """Deepest first: a directory is finished after all that lies below it."""
        self._store_late()
        return [row[0] for row in self._database.execute("SELECT DISTINCT depth FROM late ORDER BY 1 DESC")]

    def late(self, at: int) -> Iterator[Late]:
        for (late,) in self._database.execute("SELECT late FROM late WHERE depth = ?", (at,)):
            yield Late(*marshal.loads(late))  # noqa: S302 - our own


def _merged(one: Late, other: Late) -> Late:
    """Who listed it knows its times; the rest adds up."""
    listed = one if one.mtime else other
    return listed._replace(flags=one.flags | other.flags)


def _signed(number: int) -> int:
    """SQLite's integers have a sign; some file systems use all 64 bits of an inode's number."""
    return number - (1 << 64) if number >= 1 << 63 else number
