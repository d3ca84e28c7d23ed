"""Rows of manifests on their way to their order: written by the lanes as they come, put in order at the end."""

from __future__ import annotations

import gzip
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from project_migration.workers.printable import escape
from project_migration.workers.proving.plan import Block, LinkSeen, Needed, Side

_SUM = 32  # bytes of a SHA-256


def order(path: str) -> bytes:
    """Sorts a directory before all that lies below it, and that before its later siblings."""
    return os.fsencode(path).replace(b"/", b"\0")


class BlockWriter:
    """A lane's file of rows, and beside it one of their sums."""

    def __init__(self, directory: str) -> None:
        self._name = os.path.join(directory, os.urandom(8).hex())
        self._rows = open(f"{self._name}.rows", "wb")  # noqa: SIM115 - as long as the lane
        self._sums = open(f"{self._name}.sums", "wb")  # noqa: SIM115
        self._offset = 0

    def write(self, side: int, path: str, first: str, rows: list[tuple[bytes, bytes]]) -> Block:
        """``rows`` in order. They are in the file when the block is told of."""
        text = b"".join(row for row, _ in rows)
        self._rows.write(text)
        self._rows.flush()
        self._sums.write(b"".join(checksum for _, checksum in rows))
        self._sums.flush()
        offset, self._offset = self._offset, self._offset + len(text)
        return Block(side, path, first, self._name, offset, len(text), len(rows))


class Index:
    """Which block comes where, which files have several names, which directories are needed. On disk."""

    def __init__(self, directory: Path) -> None:
        os.environ["SQLITE_TMPDIR"] = str(directory)
        self._database = sqlite3.connect(directory / "index.sqlite", isolation_level=None)
        self._database.executescript(
            """
            PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
            CREATE TABLE blocks (side, path, first, file, start, length, sums, rows, PRIMARY KEY (side, path, first))
                WITHOUT ROWID;
            CREATE TABLE links (side, device, inode, path, PRIMARY KEY (side, device, inode, path)) WITHOUT ROWID;
            CREATE TABLE needed (path PRIMARY KEY) WITHOUT ROWID;
            BEGIN;
            """
        )
        self._sums: dict[str, int] = {}

    def close(self) -> None:
        self._database.close()

    def add(self, note: Block | LinkSeen | Needed) -> None:
        match note:
            case Block(side, path, first, file, offset, length, rows):
                # the sums of a lane's blocks follow each other as its blocks do
                start = self._sums.get(file, 0)
                self._sums[file] = start + rows * _SUM
                row = side, order(path), os.fsencode(first), file, offset, length, start, rows
                self._database.execute("INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            case LinkSeen(side, device, inode, path):
                link = side, str(device), str(inode), os.fsencode(path)
                self._database.execute("INSERT OR IGNORE INTO links VALUES (?, ?, ?, ?)", link)
            case Needed(path):
                self._database.execute("INSERT OR IGNORE INTO needed VALUES (?)", (os.fsencode(path),))

    def needed(self) -> Iterator[str]:
        for (path,) in self._database.execute("SELECT path FROM needed ORDER BY path"):
            yield os.fsdecode(path)

    def group_links(self) -> None:
        """Names every file with several names by the first of them."""
        self._database.executescript(
            """
            CREATE TABLE leaders AS
                SELECT side, device, inode, min(path) AS leader FROM links GROUP BY 1, 2, 3 HAVING count(*) > 1;
            CREATE TABLE groups (side, path, leader, PRIMARY KEY (side, path)) WITHOUT ROWID;
            INSERT INTO groups SELECT side, path, leader FROM links JOIN leaders USING (side, device, inode);
            """
        )

    def links_that_differ(self) -> Iterator[str]:
        """Paths that do not belong to the same names on both sides."""
        query = """
            SELECT DISTINCT path FROM (
                SELECT path, leader FROM groups WHERE side = 1 EXCEPT SELECT path, leader FROM groups WHERE side = 2)
            UNION SELECT path FROM (
                SELECT path, leader FROM groups WHERE side = 2 EXCEPT SELECT path, leader FROM groups WHERE side = 1)
            ORDER BY 1
            """
        for (path,) in self._database.execute(query):
            yield os.fsdecode(path)

    def assemble(self, side: Side, path: Path) -> str:
        """Writes one side's manifest, compressed, in its order. Returns the digest of its content."""
        whole = hashlib.sha256()
        files = _Files()
        try:
            with path.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as stream:
                for file, start, length, sums, rows in self._blocks(side):
                    stream.write(files.read(f"{file}.rows", start, length))
                    whole.update(files.read(f"{file}.sums", sums, rows * _SUM))
                for name, leader in self._groups(side):
                    stream.write(f"=\t{name}\t{leader}\n".encode())
                    whole.update(hashlib.sha256(f"=\0{name}\0{leader}".encode()).digest())
                stream.flush()
                raw.flush()
                os.fsync(raw.fileno())
        finally:
            files.close()
        return f"sha256:{whole.hexdigest()}"

    def _blocks(self, side: Side) -> Iterator[tuple[str, int, int, int, int]]:
        query = "SELECT file, start, length, sums, rows FROM blocks WHERE side = ? ORDER BY path, first"
        yield from self._database.execute(query, (int(side),))

    def _groups(self, side: Side) -> Iterator[tuple[str, str]]:
        query = "SELECT path, leader FROM groups WHERE side = ? AND path != leader ORDER BY path"
        for path, leader in self._database.execute(query, (int(side),)):
            yield escape(os.fsdecode(path)), escape(os.fsdecode(leader))


class _Files:
    def __init__(self) -> None:
        self._open: dict[str, int] = {}

    def read(self, name: str, offset: int, length: int) -> bytes:
        if name not in self._open:
            self._open[name] = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        return os.pread(self._open[name], length, offset)

    def close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
