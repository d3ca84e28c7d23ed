"""A gzip file as the stream that it holds: unpacked by a thread beside its reader, and followed to its very end.

zlib lets other threads run while it works, so that a second core unpacks. What is unpacked and not yet read is bounded.
"""

from __future__ import annotations

import os
import queue
import threading
import zlib
from collections.abc import Iterator
from types import TracebackType

from project_migration.workers import reasons
from project_migration.workers.cdsw import failures
from project_migration.workers.pace import Pace
from project_migration.workers.printable import escape

PIECE = 1 << 20
PIECES_AHEAD = 8
_GZIP = 16 + zlib.MAX_WBITS

#: Seconds between two looks at whether anybody still reads.
_LOOK = 0.2


class Inflated:
    """Use as a context manager. Raises ``Refused`` (ArchiveUnreadable, SourceChanged) where the file is not whole."""

    def __init__(self, path: str, pace: Pace | None = None) -> None:
        self._name = escape(os.path.basename(path))
        self._pace = pace or Pace(None)
        try:
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed on leaving
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise failures.unreadable(f"the archive {self._name}: {reasons.cause_of(error)}") from error
        self._status = os.fstat(self._file.fileno())
        self.size = self._status.st_size
        #: Bytes of the file that were unpacked.
        self.done = 0
        self._ahead: queue.Queue[bytes | BaseException | None] = queue.Queue(PIECES_AHEAD)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inflating", daemon=True)
        self._piece, self._at, self._ended = b"", 0, False
        self._error: BaseException | None = None

    def __enter__(self) -> Inflated:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._file.close()

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes, fewer only at the end of the stream."""
        if len(self._piece) - self._at >= size:  # the ordinary case: no copy but the one that is given
            self._at += size
            return self._piece[self._at - size : self._at]
        return b"".join(self.pieces(size))

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next ``size`` bytes as they come; fewer only at the end of the stream."""
        while size and self._fill():
            piece = self._piece[self._at : self._at + size] if self._at or size < len(self._piece) else self._piece
            self._at += len(piece)
            size -= len(piece)
            yield piece

    def rest(self) -> Iterator[bytes]:
        while self._fill():
            piece, self._at = self._piece[self._at :], len(self._piece)
            yield piece

    def _fill(self) -> bool:
        """Whether there is something to read."""
        while self._at >= len(self._piece) and not self._ended:
            found = self._error or self._ahead.get()
            if isinstance(found, BaseException):
                self._error = found  # who asks again gets it again: nothing more will come
                raise found
            self._ended = found is None
            self._piece, self._at = found or b"", 0
        return self._at < len(self._piece)

    def _run(self) -> None:
        try:
            for piece in self._unpacked():
                if not self._put(piece):
                    return
            self._put(None)
        except Exception as error:
            self._put(error)

    def _put(self, piece: bytes | BaseException | None) -> bool:
        """Whether anybody still reads."""
        while not self._over.is_set():
            try:
                self._ahead.put(piece, timeout=_LOOK)
            except queue.Full:
                continue
            return True
        return False

    def _unpacked(self) -> Iterator[bytes]:
        inflater, packed, begun = zlib.decompressobj(_GZIP), b"", False
        while True:
            packed = packed or self._packed()
            if not packed:
                break
            if inflater.eof:  # a further member, or the padding of a tape
                packed = packed.lstrip(b"\0")
                inflater, begun = zlib.decompressobj(_GZIP), False
                continue
            try:
                piece = inflater.decompress(packed, PIECE)
            except zlib.error as error:
                raise self._broken(f"it cannot be unpacked ({error})") from error
            begun = True
            packed = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            if piece:
                yield piece
        if begun and not inflater.eof:
            raise self._broken("it ends in the middle: it was cut, or is still being written")
        if self.size == 0:
            raise self._broken("it is empty")
        now = os.fstat(self._file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self._status.st_size, self._status.st_mtime_ns):
            raise failures.Refused(reasons.SOURCE_CHANGED, f"the archive {self._name} changed while it was read", True)

    def _packed(self) -> bytes:
        packed = self._file.read(PIECE)
        self._pace.take(len(packed))
        self.done += len(packed)
        return packed

    def _broken(self, what: str) -> failures.Refused:
        return failures.unreadable(f"the archive {self._name}: {what}")
