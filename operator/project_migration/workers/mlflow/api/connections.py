"""Connections that do not wait for a timer.

A server with several processes leaves Nagle's algorithm on (its listening socket names no protocol, and asyncio's
``base_events._set_nodelay`` asks for one), and writes head and body of an answer apart. The body then waits for our
kernel to acknowledge the head, which it puts off by 40 ms. So each answer is acknowledged at once: tcp(7),
``TCP_QUICKACK``, which has to be set anew every time.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


def _acknowledge_at_once(connection: HTTPConnection) -> None:
    with contextlib.suppress(OSError, AttributeError):  # gone meanwhile, which the next call tells
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class _Plain(HTTPConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        _acknowledge_at_once(self)
        return super().getresponse()


class _Secure(HTTPSConnection):
    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        _acknowledge_at_once(self)
        return super().getresponse()


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class PromptAdapter(HTTPAdapter):
    """For a ``requests.Session``."""

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
