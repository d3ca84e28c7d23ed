from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes.client import Configuration

from project_migration.backends.kubernetes.client import (
    AlreadyExists,
    Client,
    NotThere,
    Refused,
    TroubleError,
    read_named,
    unless_there,
)
from project_migration.backends.kubernetes.leases import holder_exists
from project_migration.backends.kubernetes.migrations import Migrations
from project_migration.backends.kubernetes.resources import CLAIMS, PODS
from project_migration.engine.names import Key
from project_migration.model.errors import Conflict, Gone, PassingError


class Server:
    """An API server that answers what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, str, dict[str, list[str]], dict[str, str], Any]] = []
        self.port = 0
        self.date: str | None = None

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else None
        url = urlsplit(handler.path)
        headers = {key.lower(): value for key, value in handler.headers.items()}
        self.asked.append((handler.command, url.path, parse_qs(url.query), headers, body))
        status, answer = self.answers.pop(0) if self.answers else (200, {})
        if status == 0:
            handler.connection.close()
            return
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.handle(self)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names of the base class

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(timestamp) if found.date is None else found.date

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = http.server_address[1]
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield found
    http.shutdown()
    http.server_close()


@pytest.fixture
def client(server: Server) -> Client:
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{server.port}"
    configuration.api_key["authorization"] = "Bearer token"
    return Client(configuration, timeout_seconds=2)


def status(reason: str, message: str = "no") -> dict[str, str]:
    return {"kind": "Status", "reason": reason, "message": message}


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (404, "NotFound", NotThere),
        (403, "Forbidden", Refused),
        (422, "Invalid", Refused),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (429, "TooManyRequests", TroubleError),
        (401, "Unauthorized", TroubleError),
        (500, "InternalError", TroubleError),
        (503, "ServiceUnavailable", TroubleError),
    ],
)
def test_an_answer_is_what_it_means_for_us(
    server: Server, client: Client, code: int, reason: str, error: type[Exception]
) -> None:
    server.answers = [(code, status(reason))]
    with pytest.raises(error, match="no"):
        client.create("/x", {})


def test_an_object_that_is_not_there_is_told_from_a_kind_that_is_not_served(server: Server, client: Client) -> None:
    missing = {**status("NotFound"), "details": {"name": "vision", "kind": "projectmigrations"}}
    not_served = {**status("NotFound", "the server could not find the requested resource"), "details": {}}
    for answer, error in ((missing, Gone), (not_served, PassingError), (b"404 page not found", PassingError)):
        server.answers = [(404, answer)] * 2
        with pytest.raises(error):
            Migrations(client, ()).load(Key("ml", "vision"))
        assert holder_exists(client, "ml/vision/uid") == (error is PassingError)


def test_no_answer_is_a_passing_error_and_a_write_is_never_repeated(server: Server, client: Client) -> None:
    server.answers = [(0, None)] * 5
    with pytest.raises(PassingError):
        client.create("/x", {})
    assert len(server.asked) == 1


def test_a_read_is_repeated(server: Server, client: Client) -> None:
    server.answers = [(0, None), (200, {"metadata": {"name": "x"}})]
    assert client.get("/x")["metadata"]["name"] == "x"
    assert len(server.asked) == 2


def test_an_answer_that_is_no_json_is_a_passing_error(server: Server, client: Client) -> None:
    server.answers = [(200, b"<html>"), (502, b"<html>bad gateway</html>")]
    with pytest.raises(PassingError):
        client.get("/x")
    with pytest.raises(TroubleError, match="bad gateway"):
        client.get("/x")


def test_every_request_says_who_asks(server: Server, client: Client) -> None:
    client.patch("/x", {"spec": {}})
    method, _, query, headers, body = server.asked[0]
    assert (method, body) == ("PATCH", {"spec": {}})
    assert headers["authorization"] == "Bearer token"
    assert headers["content-type"] == "application/merge-patch+json"
    assert query["fieldManager"] == ["project-migration-operator"]


def test_a_delete_names_the_very_object(server: Server, client: Client) -> None:
    client.delete("/x", uid="u", version="7", propagation="Foreground")
    assert server.asked[0][4]["preconditions"] == {"uid": "u", "resourceVersion": "7"}
    assert server.asked[0][4]["propagationPolicy"] == "Foreground"


def test_a_list_is_read_in_pages_and_anew_when_it_expires(server: Server, client: Client) -> None:
    page = {"metadata": {"continue": "more"}, "items": [{"n": 1}]}
    server.answers = [(200, page), (200, {"items": [{"n": 2}]})]
    assert client.items("/x", labelSelector="a=b") == [{"n": 1}, {"n": 2}]
    assert server.asked[1][2] == {"labelSelector": ["a=b"], "limit": ["500"], "continue": ["more"]}
    server.answers = [(200, page), (410, status("Expired")), (200, {"items": [{"n": 3}]})]
    assert client.items("/x") == [{"n": 3}]


def test_what_is_not_there_or_not_ours_to_see_is_an_answer_and_trouble_is_none(server: Server, client: Client) -> None:
    server.answers = [(404, status("NotFound")), (403, status("Forbidden")), (500, status("InternalError"))]
    assert unless_there(lambda: client.get("/x"), {}) == {}
    assert unless_there(lambda: client.get("/x"), {}) == {}
    with pytest.raises(PassingError):
        unless_there(lambda: client.get("/x"), {})


def test_many_objects_are_one_list(server: Server, client: Client) -> None:
    server.answers = [(200, {"items": [{"metadata": {"name": name}} for name in "abxyz"]})]
    assert sorted(read_named(client, CLAIMS, "ml", {"a", "b", "c", "d"})) == ["a", "b"]
    assert len(server.asked) == 1


def test_names_cannot_leave_their_path() -> None:
    assert PODS.path("ml", "../secrets/x", "log") == "/api/v1/namespaces/ml/pods/..%2Fsecrets%2Fx/log"


@pytest.mark.parametrize("skew", [0, -3600, 90])
def test_the_api_server_s_clock_is_compared_with_ours(server: Server, client: Client, skew: int) -> None:
    assert client.clock_skew is None
    server.date = formatdate(time.time() - skew, usegmt=True)
    client.get("/x")
    assert client.clock_skew == pytest.approx(skew, abs=2)


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_an_answer_without_a_date_says_nothing_of_clocks(server: Server, client: Client, date: str) -> None:
    server.date = date
    client.get("/x")
    assert client.clock_skew is None
