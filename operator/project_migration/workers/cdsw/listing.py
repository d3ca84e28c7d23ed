"""What an archive's ``projects/`` holds, on disk: one row an entry, below the root of the projects' claim.

It says whether a further name may be made (what stands above it is a directory, and nothing has it yet), it is what a
proof compares with, and what a way back removes.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from project_migration.workers.cdsw import failures
from project_migration.workers.cdsw.tarball import Kind, Member
from project_migration.workers.printable import escape, shorten

_TABLE = """
CREATE TABLE IF NOT EXISTS entries (path BLOB PRIMARY KEY, kind TEXT NOT NULL, mode INTEGER NOT NULL,
    uid INTEGER NOT NULL, gid INTEGER NOT NULL, size INTEGER NOT NULL, mtime INTEGER, link BLOB NOT NULL,
    checksum TEXT NOT NULL) WITHOUT ROWID
"""
_COLUMNS = "path, kind, mode, uid, gid, size, mtime, link, checksum"
_DIRECTORY_MODE = 0o755

#: Rows that are written in one transaction.
_TOGETHER = 1000


@dataclass(frozen=True, slots=True)
class Row:
    path: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int | None
    """Nanoseconds; None of a directory that the archive does not hold itself."""
    link: str
    checksum: str
    """SHA-256 of a file's content; empty where it was not read."""


class Listing:
    """Use as a context manager. ``fresh``: what an earlier run wrote goes."""

    def __init__(self, path: Path, *, fresh: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            for suffix in ("", "-wal", "-shm", "-journal"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        self._database = sqlite3.connect(path, isolation_level=None)
        # what a killed program wrote stays; after a lost machine the listing is made anew
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(_TABLE)
        self._checked = ""
        self._written = 0

    def __enter__(self) -> Listing:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.commit()
        self._database.close()

    def commit(self) -> None:
        """Rows are written together; those that were not committed are gone with the program."""
        if self._database.in_transaction:
            self._database.execute("COMMIT")
        self._written = 0

    def finish(self) -> None:
        """All is listed."""
        self.commit()
        self._database.execute("PRAGMA user_version = 1")

    @property
    def is_whole(self) -> bool:
        """Whether whoever wrote it came to the end."""
        return bool(self._database.execute("PRAGMA user_version").fetchone()[0])

    def find(self, path: str) -> Row | None:
        query = f"SELECT {_COLUMNS} FROM entries WHERE path = ?"  # noqa: S608
        found = self._database.execute(query, (os.fsencode(path),)).fetchone()
        return _row(found) if found else None

    def add(self, path: str, member: Member, link: str = "") -> Row:
        """Raises ``Refused``: twice in the archive, below something that is no directory, or a link to nothing."""
        self._check_parents(path)
        row = Row(
            path, member.kind, member.mode, member.uid, member.gid, member.size, member.mtime, link or member.link, ""
        )
        if member.kind is Kind.HARD_LINK:
            row = self._linked(row)
        try:
            self._write(row)
        except sqlite3.IntegrityError as error:
            there = self.find(path)
            if there is None or not (there.kind is member.kind is Kind.DIRECTORY):
                raise failures.unreadable(f"the archive holds {shorten(escape(path))} twice") from error
            self._write(row, again=True)
        return row

    def _linked(self, row: Row) -> Row:
        """A further name of a file has the file's size and checksum; ``link`` names the first."""
        first = self.find(row.link)
        if first is not None and first.kind is Kind.HARD_LINK:
            first = self.find(first.link)
        if first is None or first.kind not in (Kind.FILE, Kind.SYMLINK):
            what = f"{shorten(escape(row.path))} is another name of {shorten(escape(row.link))}"
            raise failures.unsafe(f"{what}, which is no file that came before it and is moved")
        return Row(
            row.path, row.kind, first.mode, first.uid, first.gid, first.size, first.mtime, first.path, first.checksum
        )

    def _check_parents(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        if not parent or parent == self._checked:
            return
        there = self.find(parent)
        if there is None:
            self._check_parents(parent)
            self._write(Row(parent, Kind.DIRECTORY, _DIRECTORY_MODE, 0, 0, 0, None, "", ""))
        elif there.kind is not Kind.DIRECTORY:
            what = f"{shorten(escape(path))} lies below {shorten(escape(parent))}"
            raise failures.unsafe(f"{what}, which is no directory in the archive")
        self._checked = parent

    def _write(self, row: Row, *, again: bool = False) -> None:
        if self._written >= _TOGETHER:
            self.commit()
        if not self._database.in_transaction:
            self._database.execute("BEGIN")
        self._written += 1
        values = (row.kind, row.mode, row.uid, row.gid, row.size, row.mtime, os.fsencode(row.link), row.checksum)
        how = "INSERT OR REPLACE" if again else "INSERT"
        statement = f"{how} INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        self._database.execute(statement, (os.fsencode(row.path), *values))

    def checked(self, path: str, checksum: str) -> None:
        self._database.execute("UPDATE entries SET checksum = ? WHERE path = ?", (checksum, os.fsencode(path)))

    def rows(self, *, kind: Kind | None = None, deepest_first: bool = False) -> Iterator[Row]:
        where = "WHERE kind = ?" if kind else ""
        order = "DESC" if deepest_first else "ASC"
        query = f"SELECT {_COLUMNS} FROM entries {where} ORDER BY path {order}"  # noqa: S608 - our own words
        for found in self._database.execute(query, (kind,) if kind else ()):
            yield _row(found)

    def has(self, path: str) -> bool:
        return self.find(path) is not None

    def top_names(self) -> tuple[str, ...]:
        query = "SELECT path FROM entries WHERE instr(path, CAST('/' AS BLOB)) = 0 ORDER BY path"
        return tuple(os.fsdecode(found[0]) for found in self._database.execute(query))

    def count(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM entries").fetchone()[0])


def _row(found: tuple[bytes, str, int, int, int, int, int | None, bytes, str]) -> Row:
    path, kind, mode, uid, gid, size, mtime, link, checksum = found
    return Row(os.fsdecode(path), Kind(kind), mode, uid, gid, size, mtime, os.fsdecode(link), checksum)
