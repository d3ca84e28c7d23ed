"""Buckets to move files between, and the workers for them run as a helper would run them."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from minio import Minio

from project_migration.model.records import Record, Request
from tools.object_store import ObjectStore

SECONDS = 120
_numbers = itertools.count()


@dataclass(frozen=True)
class Bucket:
    """One directory of a bucket, for one test."""

    store: ObjectStore
    name: str
    prefix: str = "mlflow/artifacts"

    @property
    def client(self) -> Minio:
        parts = urlsplit(self.store.endpoint)
        secure = parts.scheme == "https"
        return Minio(parts.netloc, self.store.access_key, self.store.secret_key, secure=secure, region="us-east-1")

    @classmethod
    def new(cls, store: ObjectStore) -> Bucket:
        found = cls(store, f"tests-{os.getpid()}-{next(_numbers)}")
        found.client.make_bucket(found.name)
        return found

    @property
    def params(self) -> dict[str, Any]:
        return {"bucket": self.name, "prefix": self.prefix, "endpointUrl": self.store.endpoint, "region": "us-east-1"}

    @property
    def uri(self) -> str:
        return f"s3://{self.name}/{self.prefix}"

    def put(self, files: Mapping[str, bytes]) -> None:
        for path, content in files.items():
            self.client.put_object(self.name, f"{self.prefix}/{path}", io.BytesIO(content), len(content))

    def read(self, path: str) -> bytes:
        response = self.client.get_object(self.name, f"{self.prefix}/{path}")
        try:
            return response.read()
        finally:
            response.close()
            response.release_conn()

    def tree(self) -> dict[str, str]:
        """Every file and the digest of what it holds."""
        found = self.client.list_objects(self.name, prefix=f"{self.prefix}/", recursive=True)
        names = [str(one.object_name).removeprefix(f"{self.prefix}/") for one in found]
        kept = (name for name in names if not name.startswith(".project-migration/"))
        return {name: hashlib.sha256(self.read(name)).hexdigest() for name in kept}

    def write_login(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "accessKey").write_text(self.store.access_key)
        (folder / "secretKey").write_text(self.store.secret_key)
        return folder


@dataclass
class Files:
    """The workers for files, between two places; a directory's place is a path."""

    directory: Path
    source: Bucket | Path
    target: Bucket | Path
    uid: str = field(default_factory=lambda: f"uid-{next(_numbers)}")

    def arrange(self, moves: Mapping[str, str] | None = None, only: list[str] | None = None) -> None:
        folder = self.directory / "workspace" / "mlflow"
        folder.mkdir(parents=True, exist_ok=True)
        listed = [{"from": old, "to": new} for old, new in (moves or {}).items()]
        (folder / "moves.json").write_text(json.dumps({"version": 1, "moves": listed, "only": only}))

    def start(self, worker: str, **params: Any) -> subprocess.Popen[str]:
        (self.directory / "workspace").mkdir(parents=True, exist_ok=True)
        roots = {"workspace": str(self.directory / "workspace")}
        sides: dict[str, Any] = {}
        for side, place in (("source", self.source), ("target", self.target)):
            if isinstance(place, Path):
                roots[side] = str(place)
            else:
                sides[side] = place.params
                roots[f"{side}-store-credentials"] = str(place.write_login(self.directory / f"{side}-login"))
        request = Request(
            f"mlflow.buckets.{worker}", self.uid, "moved", "ns", worker, "artifacts", 1, roots, {**sides, **params}
        )
        file = self.directory / f"{worker}.json"
        file.write_text(request.to_json())
        argv = (sys.executable, "-m", f"project_migration.workers.mlflow.buckets.{worker}", "--request", str(file))
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)

    def run(self, worker: str, **params: Any) -> Record:
        result = self.directory / "workspace" / "results" / f"{worker}-artifacts.json"
        result.unlink(missing_ok=True)
        with self.start(worker, **params) as process:
            _, err = process.communicate(timeout=SECONDS)
        assert result.exists(), f"no record; the worker said:\n{err[-4000:]}"
        return Record.from_json(result.read_text())

    def good(self, worker: str, **params: Any) -> Record:
        record = self.run(worker, **params)
        assert record.succeeded, f"{record.reason}: {record.message}\n{record.names}"
        return record
