"""The cluster's verbs against a stand-in API server: which object they ask for, and what they change on it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from kubernetes.config import kube_config

from project_migration.cli.main import cli
from project_migration.model.labels import RELEASE, RETRY

from . import samples

PATH = "/apis/migration.mlops.dev/v1alpha1/namespaces/ml/projectmigrations/vision"


class ApiServer:
    """One stored migration, and every request that came."""

    def __init__(self) -> None:
        self.status: dict[str, Any] | None = samples.at_work().status.model_dump(mode="json", by_alias=True)
        self.spec: dict[str, Any] = {}
        self.requests: list[tuple[str, str, str, Any]] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.answer(self)

            def do_PATCH(self) -> None:
                owner.answer(self)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        content = handler.headers.get("Content-Type", "")
        data = json.loads(body) if body and body != b"null" else None
        self.requests.append((handler.command, handler.path.split("?")[0], content, data))
        found = handler.path.split("?")[0] == PATH and self.status is not None
        missing = {"name": "vision", "group": "migration.mlops.dev", "kind": "projectmigrations"}
        status = {"kind": "Status", "reason": "NotFound", "message": "vision not found", "code": 404}
        answer = self.migration() if found else {**status, "details": missing}
        text = json.dumps(answer).encode()
        handler.send_response(200 if found else 404)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def migration(self) -> dict[str, Any]:
        pair = {"name": "data", "source": {"claimName": "old"}, "target": {"claimName": "new"}}
        spec = {"volumes": {"pairs": [pair]}, "workspace": {"claimName": "work"}, **self.spec}
        metadata = {"name": "vision", "namespace": "ml", "uid": "u", "resourceVersion": "7", "generation": 1}
        kind = {"apiVersion": "migration.mlops.dev/v1alpha1", "kind": "ProjectMigration"}
        return {**kind, "metadata": metadata, "spec": spec, "status": self.status}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    made = ApiServer()
    url = f"http://127.0.0.1:{made.server.server_address[1]}"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "ml"}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    # the client library reads the variable once, when it is imported
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    yield made
    made.server.shutdown()
    made.server.server_close()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def test_cancel_sets_the_field_and_nothing_else(server: ApiServer) -> None:
    result = call("cancel", "vision")
    assert (result.exit_code, "see it with `watch`" in result.output) == (0, True), result.output
    method, path, content, body = server.requests[-1]
    assert (method, path, content) == ("PATCH", PATH, "application/merge-patch+json")
    assert body == {"spec": {"cancel": True}}


def test_approve_sets_its_field_and_no_other_of_the_cut_over(server: ApiServer) -> None:
    server.spec = {"cutover": {"mode": "Manual"}}
    result = call("approve", "vision")
    assert (result.exit_code, "see it with `watch`" in result.output) == (0, True), result.output
    method, path, content, body = server.requests[-1]
    assert (method, path, content) == ("PATCH", PATH, "application/merge-patch+json")
    assert body == {"spec": {"cutover": {"approved": True}}}


@pytest.mark.parametrize(("verb", "annotation"), [("retry", RETRY), ("release", RELEASE)])
def test_a_wish_is_an_annotation_with_a_new_value_each_time(server: ApiServer, verb: str, annotation: str) -> None:
    server.status = samples.failed().status.model_dump(mode="json", by_alias=True)
    values = []
    for _ in range(2):
        result = call(verb, "vision", "-n", "ml")
        assert result.exit_code == 0, result.output
        values.append(server.requests[-1][3]["metadata"]["annotations"][annotation])
    assert len(set(values)) == 2


@pytest.mark.parametrize("verb", ["cancel", "rollback", "undo", "expire"])
def test_what_makes_no_sense_is_said_before_anything_is_asked_of_the_cluster(server: ApiServer, verb: str) -> None:
    status = samples.succeeded().status.model_copy(update={"first_write_at": None, "backup": None})
    server.status = status.model_dump(mode="json", by_alias=True)
    result = call(verb, "vision", "-n", "ml")
    assert result.exit_code == 2, result.output
    assert all(method == "GET" for method, *_ in server.requests)


def test_watch_ends_as_the_migration_did(server: ApiServer) -> None:
    server.status = samples.failed().status.model_dump(mode="json", by_alias=True)
    result = call("watch", "vision")
    assert result.exit_code == 1
    assert "ml/vision failed in copy: NoSpaceLeft" in result.output
    assert "annotate" not in result.output


def test_a_cluster_s_remedy_speaks_of_the_cluster(server: ApiServer) -> None:
    failed = samples.failed(samples.Reason.PRIVILEGE_DENIED)
    server.status = failed.status.model_dump(mode="json", by_alias=True)
    assert "label the namespace" in call("status", "vision").output


def test_a_migration_that_is_not_there_is_said_to_be_that(server: ApiServer) -> None:
    result = call("status", "other")
    assert (result.exit_code, "not found" in result.stderr) == (1, True)


def test_report_needs_no_more_than_the_object(server: ApiServer, tmp_path: Path) -> None:
    server.status = samples.succeeded().status.model_dump(mode="json", by_alias=True)
    result = call("report", "vision", "-o", str(tmp_path / "r.html"))
    assert result.exit_code == 0
    assert "has arrived" in (tmp_path / "r.html").read_text()
    assert [method for method, *_ in server.requests] == ["GET"]
