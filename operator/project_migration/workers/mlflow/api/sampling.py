"""A sample of proved files, fetched through a server as its users do: by run and path."""

from __future__ import annotations

import hashlib
import heapq
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from project_migration.model.records import stem_of
from project_migration.workers.mlflow.api.account import Account
from project_migration.workers.mlflow.api.artifacts import Served, cannot_pass
from project_migration.workers.mlflow.api.client import Client
from project_migration.workers.mlflow.api.entities import Owner, Place
from project_migration.workers.mlflow.api.failures import ObjectFailed, Unanswered
from project_migration.workers.mlflow.proved import Proved
from project_migration.workers.proving.against import rows
from project_migration.workers.proving.rows import NONE

#: Files that are read, chosen by their names, and how large one may be.
MOST, LARGEST_BYTES = 60, 16 * 1024 * 1024

#: ``<experiment>/<run>/artifacts/…`` (mlflow: store/tracking/sqlalchemy_store.py).
_PLACE = re.compile(r"(?:^|/)([^/]+)/artifacts/(.+)$")


@dataclass(frozen=True, slots=True)
class Expected:
    """One file. ``checksum`` is empty where contents were not read."""

    run: str
    path: str
    size: int
    checksum: str

    @property
    def title(self) -> str:
        return f"run {self.run}: {self.path}"


def sample(workspace: Path, unit: str, proved: Proved) -> list[Expected]:
    """Of all that the manifests of a unit name for runs that were proved; the same ones every time."""
    found = (one for one in _files(workspace, unit) if proved.holds_run(one.run))
    return heapq.nsmallest(MOST, found, key=lambda one: (zlib.crc32(one.title.encode()), one.title))


def _files(workspace: Path, unit: str) -> Iterator[Expected]:
    for manifest in sorted((workspace / "manifests").glob(f"{stem_of('verify', unit)}*-target.tsv.gz")):
        for row in rows(manifest):
            kind, _, _, size, checksum = row.content[:5] if len(row.content) > 4 else ("", "", "", "", "")
            place = _PLACE.search(row.path)
            if kind != "f" or place is None or int(size) > LARGEST_BYTES or cannot_pass(row.path):
                continue
            yield Expected(place[1], place[2], int(size), "" if checksum == NONE else checksum)


def read(client: Client, account: Account, expected: Expected) -> None:
    """Through the routes that look into the server's own store, wherever that is."""
    account.count("filesAsked")
    account.expect(items=1, size=expected.size)
    size, digest = 0, hashlib.sha256()
    try:
        with Served(client).read(Place(Owner.RUN, expected.run, ""), expected.path) as stream:
            while data := stream.read(1 << 20):
                size += len(data)
                digest.update(data)
                account.moved(len(data))
    except (ObjectFailed, Unanswered) as failure:
        account.name("unreadable", expected.title, str(failure))
    else:
        if size != expected.size or (expected.checksum and digest.hexdigest() != expected.checksum):
            account.name("different", expected.title, f"{size} bytes are given, {expected.size} were proved")
        else:
            account.count("filesRead")
    account.finished()
