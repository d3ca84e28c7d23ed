"""The list that a proof leaves of a database: what was compared, a line each, and how it was read.

Lines of tab-separated, escaped cells: first how (:class:`Manner`), then kind, identity and what it holds. Rows, large
objects and positions are told as they were counted; everything else by its SHA-256, since definitions may say what
nobody should find in a workspace. The digest of a proof is that of these lines.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from project_migration.workers.postgres.contents import Found
from project_migration.workers.printable import escape, unescape

#: Kinds of facts that are figures.
COUNTED = ("rows", "position of", "large object")

_HEAD = "#"


@dataclass(frozen=True, slots=True)
class Manner:
    """What has to be the same for two readings to be comparable."""

    any_encoding: bool
    """Whether rows were hashed as UTF-8."""
    same_major: bool
    """Whether text that servers print back of parsed queries was compared."""


def told(found: Mapping[tuple[str, str], str]) -> Found:
    """Facts as they stand in a list."""
    return {key: detail if key[0] in COUNTED else _summary(detail) for key, detail in found.items()}


def digest_of(listed: Mapping[tuple[str, str], str]) -> str:
    """Of facts as :func:`told` gives them."""
    text = "\n".join(f"{kind}\0{name}\0{detail}" for (kind, name), detail in sorted(listed.items()))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def write(path: Path, manner: Manner, listed: Mapping[tuple[str, str], str]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as stream:
        for cells in _lines(manner, listed):
            stream.write(("\t".join(map(escape, cells)) + "\n").encode())
        stream.flush()
        raw.flush()
        os.fsync(raw.fileno())


def read(path: Path, digest: str) -> tuple[Manner, Found] | None:
    """None when the list is not there any more as the proof with this digest left it."""
    listed: Found = {}
    try:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            mark, any_encoding, same_major = _cells(stream.readline())
            for line in stream:
                kind, name, detail = _cells(line)
                listed[kind, name] = detail
    except (OSError, EOFError, ValueError, zlib.error):
        return None
    if mark != _HEAD or digest_of(listed) != digest:
        return None
    return Manner(any_encoding == "True", same_major == "True"), listed


def _lines(manner: Manner, listed: Mapping[tuple[str, str], str]) -> Iterator[tuple[str, str, str]]:
    yield _HEAD, str(manner.any_encoding), str(manner.same_major)
    for (kind, name), detail in sorted(listed.items()):
        yield kind, name, detail


def _cells(line: str) -> list[str]:
    return [unescape(cell) for cell in line.removesuffix("\n").split("\t")]


def _summary(detail: str) -> str:
    return "sha256:" + hashlib.sha256(detail.encode()).hexdigest()
