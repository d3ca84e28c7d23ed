"""The files of runs and logged models on both sides: all by path and size, a sample by content."""

from __future__ import annotations

import hashlib
import zlib

from project_migration.workers.mlflow.api import rewriting
from project_migration.workers.mlflow.api.comparison import Comparison
from project_migration.workers.mlflow.api.entities import Owner, Place
from project_migration.workers.mlflow.api.failures import Answer, ObjectFailed, Unanswered
from project_migration.workers.mlflow.api.runs import has_files_of
from project_migration.workers.mlflow.api.sides import Side
from project_migration.workers.mlflow.selection import MissingArtifacts

#: Files that are read on both sides, chosen by their names, and how much of them at most.
SAMPLE_FILES, SAMPLE_BYTES = 400, 256 * 1024 * 1024

MODEL_FILE = "MLmodel"


def compare(one: Comparison, here: Place, there: Place, title: str) -> None:
    if not one.choices.selection.metadata_only:
        one.pool.submit(_compare_files, one, here, there, title)


def _compare_files(one: Comparison, here: Place, there: Place, title: str) -> None:
    try:
        expected, found = _listed(one, one.source, here), _listed(one, one.target, there)
        allowed = one.choices.selection.missing_artifacts is MissingArtifacts.ALLOW
        for path, size in expected.items():
            name = f"{title}: {path}"
            if path not in found:
                if not allowed or _there(one, here, path):
                    one.account.name("missing", name)
                    one.files.file(name, size, None, there=False)
            elif path.rpartition("/")[2] != MODEL_FILE and (size or 0) != (found[path] or 0):
                one.account.name("different", name, f"{size} bytes, not {found[path]}")
                one.files.file(name, size, found[path])
            else:
                one.account.count("files")
                alike = _sample(one, here, there, path, title)
                one.files.file(name, size, size if alike else "other content")
    except (ObjectFailed, Unanswered, OSError) as failure:
        one.account.name("unreadable", title, str(failure))


def _listed(one: Comparison, side: Side, place: Place) -> dict[str, int | None]:
    if place.owner is Owner.RUN and not has_files_of(side, one.shelf, place):
        return {}
    try:
        return {file.path: file.size for file in side.store(place).files(place)}
    except Answer as answer:
        if answer.missing:
            return {}
        raise


def _there(one: Comparison, place: Place, path: str) -> bool:
    try:
        with one.source.store(place).read(place, path):
            return True
    except (Answer, FileNotFoundError):
        return False


def _sample(one: Comparison, here: Place, there: Place, path: str, title: str) -> bool:
    """Every file while there are few, then fewer and fewer of them; an ``MLmodel`` always. False where it differs."""
    is_model = path.rpartition("/")[2] == MODEL_FILE
    rare = 1 + one.sampled // 50
    if one.sampled >= SAMPLE_FILES or one.sampled_bytes >= SAMPLE_BYTES:
        return True
    if not is_model and zlib.crc32(f"{here.id}/{path}".encode()) % rare:
        return True
    one.sampled += 1
    if is_model:
        expected, found = _text(one.source, here, path), _text(one.target, there, path)
        if not one.archive:
            expected = rewriting.mlmodel(expected, here.uri, there.uri, one.ids)
        alike = expected == found
    else:
        alike = _read(one, one.source, here, path) == _read(one, one.target, there, path)
    if not alike:
        one.account.name("different", f"{title}: {path}", "its content")
    one.account.count("filesRead")
    return alike


def _text(side: Side, place: Place, path: str) -> str:
    with side.store(place).read(place, path) as stream:
        pieces = []
        while data := stream.read(1 << 20):
            pieces.append(data)
    return b"".join(pieces).decode("utf-8", "replace")


def _read(one: Comparison, side: Side, place: Place, path: str) -> str:
    found = hashlib.sha256()
    with side.store(place).read(place, path) as stream:
        while data := stream.read(1 << 20):
            found.update(data)
            one.sampled_bytes += len(data)
            one.account.moved(len(data))
    return found.hexdigest()
