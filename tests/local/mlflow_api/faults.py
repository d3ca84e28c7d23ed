"""A proxy on loopback that lets calls through and makes some fail at will, as no real server can be told to."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests


class Fault(Enum):
    BUSY = "503, without asking the server"
    TOO_MANY = "429 with Retry-After, without asking the server"
    LOST_ANSWER = "the server is asked, and its answer is lost"
    LOST_REQUEST = "the connection drops while the body is read"
    REFUSED = "500 for good"
    MISSING = "404"


@dataclass
class Rule:
    pattern: str
    fault: Fault
    #: How often it happens; -1 for always.
    times: int = 1


@dataclass
class Faults:
    server: str
    rules: list[Rule] = field(default_factory=list)
    happened: int = 0
    calls: list[str] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, call: str) -> Fault | None:
        with self.lock:
            self.calls.append(call)
            for rule in self.rules:
                if rule.times and re.search(rule.pattern, call):
                    rule.times -= 1
                    self.happened += 1
                    return rule.fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    faults: Faults

    def answer(self) -> None:
        fault = self.faults.next(f"{self.command} {self.path}")
        size = int(self.headers.get("Content-Length") or 0)
        if fault is Fault.LOST_REQUEST:
            self.rfile.read(min(size, 1000))
            self.drop()
            return
        body = self.rfile.read(size)
        statuses = {Fault.BUSY: 503, Fault.TOO_MANY: 429, Fault.REFUSED: 500, Fault.MISSING: 404}
        status = statuses.get(fault, 0) if fault else 0
        if status:
            self.reply(status, b'{"error_code": "X", "message": "at will"}', {"Retry-After": "0"})
            return
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection", "content-length")}
        url = f"{self.faults.server}{self.path}"
        found = requests.request(self.command, url, data=body, headers=headers, timeout=60, allow_redirects=False)
        if fault is Fault.LOST_ANSWER:
            self.drop()
            return
        self.reply(found.status_code, found.content, {"Content-Type": found.headers.get("Content-Type", "")})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the names that http.server looks for

    def reply(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def drop(self) -> None:
        self.close_connection = True
        self.connection.close()

    def log_message(self, *arguments: Any) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, ValueError):
            self.close_connection = True


@contextmanager
def faulty(server: str, *rules: Rule) -> Iterator[Faults]:
    faults = Faults(server, list(rules))
    handler = type("Handler", (_Handler,), {"faults": faults})
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    proxy.daemon_threads = True
    faults.url = f"http://127.0.0.1:{proxy.server_address[1]}"
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield faults
    finally:
        proxy.shutdown()
        proxy.server_close()
