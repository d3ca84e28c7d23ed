"""Writes a report's files into the workspace: it was made where the whole migration is known."""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator

from project_migration.model.records import Record
from project_migration.workers.harness import Job, WrongRequest, main, write_durably

HELP = """\
Writes files into the workspace, each whole or not at all.

roots:  workspace
params: files   {"report.html": …}: names, and contents as base64 of gzip
"""

_NAME = re.compile(r"^[a-z0-9][a-z0-9-]*\.(html|json)$")

#: A report is made of a status, which is bounded; anything larger is no report.
LARGEST_BYTES = 16 * 1024 * 1024


def work(job: Job) -> Record:
    files = dict(_files(job))
    whole = hashlib.sha256()
    for name, text in files.items():
        write_durably(job.workspace / name, text)
        whole.update(f"{name}\0{text}\0".encode())
    counts = {"files": len(files), "bytes": sum(len(text.encode()) for text in files.values())}
    return job.record(counts=counts, digest=f"sha256:{whole.hexdigest()}")


def _files(job: Job) -> Iterator[tuple[str, str]]:
    given = job.request.params.get("files")
    if not isinstance(given, dict) or not given:
        raise WrongRequest("params.files is not a mapping of names to contents")
    for name, packed in sorted(given.items()):
        if not _NAME.match(name) or not isinstance(packed, str):
            raise WrongRequest(f"params.files: {name!r} is no file of a report")
        yield name, _unpacked(name, packed)


def _unpacked(name: str, packed: str) -> str:
    try:
        unpacking = zlib.decompressobj(wbits=31)
        data = unpacking.decompress(base64.b64decode(packed, validate=True), LARGEST_BYTES)
        text = data.decode()
    except (binascii.Error, zlib.error, UnicodeDecodeError) as error:
        raise WrongRequest(f"params.files: {name} cannot be unpacked: {error}") from error
    if not unpacking.eof:
        raise WrongRequest(f"params.files: {name} is cut, or larger than {LARGEST_BYTES} bytes")
    return text


def packed(text: str) -> str:
    """What :data:`HELP` says of contents; equal texts are packed equally."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


if __name__ == "__main__":
    main("report", HELP, (), work)
