"""What lies next to a dump: what the database held when it was made, and what the files were when they were written."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from project_migration.workers.harness import write_durably
from project_migration.workers.postgres import failures

VERSION = 1
FILE, DUMP = "manifest.json", "dump"
PIECE = 1 << 20

Files = dict[str, tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Manifest:
    server_major: int
    database: str
    migration: str
    #: By ``kind name``: counts and digests as :mod:`contents` tells them.
    contents: Mapping[str, str]
    #: Size and SHA-256 by name, below the dump's directory.
    files: Mapping[str, tuple[int, str]]
    #: How rows were hashed (:mod:`digests`).
    any_encoding: bool = False

    @property
    def digest(self) -> str:
        """Over the content, not over the files: a dump made again has other bytes."""
        text = json.dumps(dict(self.contents), sort_keys=True, separators=(",", ":"))
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def write(self, directory: Path) -> None:
        data = {
            "version": VERSION,
            "serverMajor": self.server_major,
            "database": self.database,
            "migration": self.migration,
            "anyEncoding": self.any_encoding,
            "contents": dict(self.contents),
            "files": {name: list(told) for name, told in self.files.items()},
        }
        write_durably(directory / FILE, json.dumps(data, indent=1, sort_keys=True))

    @classmethod
    def read(cls, directory: Path) -> Manifest:
        """Raises ``Refused`` (BackupUnreadable)."""
        try:
            data = json.loads((directory / FILE).read_text(encoding="utf-8"))
            if data["version"] != VERSION:
                raise ValueError(f"version {data['version']}")
            files = {name: (int(size), str(digest)) for name, (size, digest) in data["files"].items()}
            return cls(
                data["serverMajor"], data["database"], data["migration"], data["contents"], files, data["anyEncoding"]
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise failures.Refused(failures.BACKUP_UNREADABLE, f"{FILE} cannot be read: {error}") from error


def read_files(directory: Path, count: Callable[[int], None]) -> Files:
    """From the disk, not from memory: what the kernel still has of a file is dropped first."""
    found: Files = {}
    for path in sorted(directory.iterdir()):
        digest, size = hashlib.sha256(), 0
        with path.open("rb", buffering=0) as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while piece := stream.read(PIECE):
                digest.update(piece)
                size += len(piece)
                count(len(piece))
        found[path.name] = (size, digest.hexdigest())
    return found


def compare_files(expected: Mapping[str, tuple[int, str]], found: Files) -> None:
    """Raises ``Refused`` (BackupUnreadable) that names the first file which is not what was written."""
    for name in sorted({*expected, *found}):
        if expected.get(name) != found.get(name):
            what = "is missing" if name not in found else "is new" if name not in expected else "has changed"
            raise failures.Refused(failures.BACKUP_UNREADABLE, f"{DUMP}/{name} {what} since it was written")


def sync_files(directory: Path) -> None:
    for path in (*directory.iterdir(), directory):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
