"""Messages between the coordinator and its lanes: tuples of plain values, over a pair of sockets.

``marshal`` because both ends are forks of one process, and it is several times as fast as pickle. What it reads
comes from our own children only.
"""

from __future__ import annotations

import marshal
import socket
from struct import Struct
from typing import Any

_LENGTH = Struct("<I")


class Closed(Exception):  # noqa: N818 - an outcome, caught by name
    """The other end is gone."""


class Channel:
    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        one, other = socket.socketpair()
        return cls(one), cls(other)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def send(self, message: tuple[Any, ...]) -> None:
        """Raises :class:`Closed`."""
        data = marshal.dumps(message)
        try:
            self._socket.sendall(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            raise Closed from error

    def receive(self) -> tuple[Any, ...]:
        """Waits for a whole message. Raises :class:`Closed`."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        message: tuple[Any, ...] = marshal.loads(self._exactly(length))  # noqa: S302 - see the module
        return message

    def _exactly(self, length: int) -> bytes:
        data = bytearray(length)
        view, filled = memoryview(data), 0
        while filled < length:
            try:
                count = self._socket.recv_into(view[filled:])
            except OSError as error:
                raise Closed from error
            if count == 0:
                raise Closed
            filled += count
        return bytes(data)
