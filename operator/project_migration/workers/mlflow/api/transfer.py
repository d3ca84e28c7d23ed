"""Files from one side's store to the other's: once, streamed, and no byte short of what was listed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from project_migration.workers import reasons
from project_migration.workers.mlflow.api import rewriting
from project_migration.workers.mlflow.api.account import Account
from project_migration.workers.mlflow.api.artifacts import Readable, Store, gone
from project_migration.workers.mlflow.api.entities import File, Place
from project_migration.workers.mlflow.api.failures import Answer, ObjectFailed, Unanswered
from project_migration.workers.mlflow.api.rewriting import Known
from project_migration.workers.printable import escape

#: A file up to this size is read whole before it is sent, so that its length is known and a try can be repeated.
HELD_BYTES = 4 * 1024 * 1024
#: Tries for a file beyond it, each from its beginning.
TRIES = 4
#: An ``MLmodel`` beyond this is taken as it is: no release writes one.
MLMODEL_BYTES = 16 * 1024 * 1024


class Held:
    """A small file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __len__(self) -> int:
        return len(self._data)

    def read(self, size: int = -1, /) -> bytes:
        end = len(self._data) if size < 0 else self._at + size
        data = self._data[self._at : end]
        self._at += len(data)
        return data


class Passing:
    """A large file on its way: counted, paced, and cut short by nothing unnoticed."""

    def __init__(self, stream: Readable, begun: bytes, size: int, account: Account) -> None:
        self._stream, self._begun, self._size, self._account = stream, begun, size, account
        self.passed = 0

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1, /) -> bytes:
        data = self._begun or self._stream.read(size if size > 0 else 1 << 20)
        self._begun = b""
        if not data and self.passed < self._size:
            raise Unanswered(f"the source ended after {self.passed} of {self._size} bytes")
        self.passed += len(data)
        self._account.moved(len(data))
        return data


@dataclass(frozen=True, slots=True)
class Way:
    """From which place of which store to which."""

    source: Store
    target: Store
    here: Place
    there: Place


class Transfer:
    def __init__(self, account: Account, known: Known, *, allow_missing: bool) -> None:
        self._account = account
        self._known = known
        self._allow_missing = allow_missing

    def all_files(self, way: Way, what: str, *, resume: bool) -> bool:
        """Every file of a place; whether all of them arrived. With ``resume``, those that are there are left."""
        there = dict(self._sizes(way)) if resume else {}
        whole = True
        for file in self._listed(way):
            name = f"{what}: {escape(file.path)}"
            if file.path in there and there[file.path] == (file.size or 0) and not _is_mlmodel(file.path):
                self._account.count("filesThere")
                continue
            whole &= self.one_file(way, file, name)
        return whole

    def _listed(self, way: Way) -> Iterator[File]:
        try:
            for file in way.source.files(way.here):
                self._account.expect(size=file.size or 0)
                yield file
        except Answer as answer:
            if answer.missing:  # nothing was ever written there
                return
            raise ObjectFailed(f"its files cannot be listed: {answer}") from answer

    def _sizes(self, way: Way) -> Iterator[tuple[str, int]]:
        try:
            for file in way.target.files(way.there):
                yield file.path, file.size or 0
        except Answer:
            return

    def one_file(self, way: Way, file: File, name: str) -> bool:
        try:
            self._moved(way, file)
        except (ObjectFailed, OSError) as failure:
            if isinstance(failure, OSError) and failure.errno in reasons.ENDING_ERRORS:
                raise
            if gone(failure):
                self._account.name("missing", name)
                if self._allow_missing:
                    return True
                failure = ObjectFailed("it is listed, but is not there")
            cause = reasons.cause_of(failure) if isinstance(failure, OSError) else str(failure)
            self._account.name("failed", name, cause)
            return False
        self._account.count("files")
        return True

    def _moved(self, way: Way, file: File) -> None:
        for attempt in range(TRIES):
            try:
                self._pass(way, file)
                return
            except (Unanswered, Answer) as error:
                if isinstance(error, Answer) and not error.passing:
                    raise
                if attempt == TRIES - 1:
                    raise ObjectFailed(f"{TRIES} tries failed: {error}") from error
                _wait(attempt, error)

    def _pass(self, way: Way, file: File) -> None:
        with way.source.read(way.here, file.path) as stream:
            begun = _upto(stream, HELD_BYTES + 1)
            if len(begun) <= HELD_BYTES:
                self._small(way, file, begun)
                return
            if file.size is None:
                raise ObjectFailed("its size is not told, and it is large")
            if _is_mlmodel(file.path) and file.size <= MLMODEL_BYTES:
                self._small(way, file, begun + _upto(stream, MLMODEL_BYTES))
                return
            passing = Passing(stream, begun, file.size, self._account)
            way.target.write(way.there, file.path, passing)
            if passing.passed != file.size:
                raise ObjectFailed(f"{file.size} bytes are listed, {passing.passed} were read")
        self._account.count("bytes", file.size)

    def _small(self, way: Way, file: File, data: bytes) -> None:
        if file.size is not None and len(data) != file.size:
            raise Unanswered(f"{file.size} bytes are listed, {len(data)} were read")
        size = len(data)
        if _is_mlmodel(file.path):
            data = self._rewritten(way, data)
        way.target.write(way.there, file.path, Held(data))
        self._account.moved(size)
        self._account.count("bytes", size)

    def _rewritten(self, way: Way, data: bytes) -> bytes:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            return data
        return rewriting.mlmodel(text, way.here.uri, way.there.uri, self._known).encode()


def _is_mlmodel(path: str) -> bool:
    return path.rpartition("/")[2] == "MLmodel"


def _upto(stream: Readable, size: int) -> bytes:
    pieces: list[bytes] = []
    left = size
    while left > 0:
        data = stream.read(min(left, 1 << 20))
        if not data:
            break
        pieces.append(data)
        left -= len(data)
    return b"".join(pieces)


def _wait(attempt: int, error: Exception) -> None:
    asked = error.pause if isinstance(error, Answer) else 0.0
    time.sleep(min(15.0, max(asked, 0.5 * 2**attempt)))
