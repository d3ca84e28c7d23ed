"""Runs a worker as a helper would be run: a program with a request, mounted directories and no other input."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from project_migration.model.records import Record, Request
from tools.postgres_servers import PASSWORD, Server

SECONDS = 120
_numbers = itertools.count()


@dataclass
class Case:
    """One migration between two databases, and the workspace of its helpers."""

    directory: Path
    source: tuple[Server, str]
    target: tuple[Server, str]
    uid: str = field(default_factory=lambda: f"uid-{next(_numbers)}")
    users: Mapping[str, str] = field(default_factory=dict)
    passwords: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Of the target: ``sslmode`` and the like, and a CA's file.
    target_options: Mapping[str, Any] = field(default_factory=dict)
    authority: Path | None = None
    #: Directories beside those of every case.
    roots: Mapping[str, str] = field(default_factory=dict)
    said: str = ""

    def request(self, worker: str, step: str = "", **params: Any) -> Request:
        roots = {"workspace": str(self._made("workspace")), **self.roots}
        named: dict[str, Any] = {}
        for side, (server, database) in (("source", self.source), ("target", self.target)):
            folder = self._made(f"{side}-credentials")
            (folder / "username").write_text(self.users.get(side, "postgres") + "\n")
            (folder / "password").write_text(self.passwords.get(side, PASSWORD) + "\n")
            roots[f"{side}-credentials"] = str(folder)
            named[side] = {"host": server.host, "port": server.port, "database": database}
        named["target"] |= self.target_options
        if self.authority:
            shutil.copy(self.authority, self._made("target-ca") / "ca.crt")
            roots["target-ca"] = str(self.directory / "target-ca")
        if "backup" in params:
            roots["backup"] = str(self._made(params.pop("backup")))
        return Request(
            worker=f"postgres.{worker}",
            migration_uid=self.uid,
            migration_name="m",
            namespace="ns",
            step=step or worker,
            unit="db",
            roots=roots,
            params={**named, **params},
        )

    def start(self, worker: str, step: str = "", **params: Any) -> subprocess.Popen[str]:
        file = self._made("requests") / f"{worker}.json"
        file.write_text(self.request(worker, step, **params).to_json())
        argv = (sys.executable, "-m", f"project_migration.workers.postgres.{worker}", "--request", str(file))
        environment = {**os.environ, **self.environment}
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    def run(self, worker: str, step: str = "", **params: Any) -> Record:
        with self.start(worker, step, **params) as process:
            out, err = process.communicate(timeout=SECONDS)
        self.said = out + err
        path = self.directory / "workspace" / "results" / f"{step or worker}-db.json"
        assert path.exists(), f"no record; the worker said:\n{err[-4000:]}"
        record = Record.from_json(path.read_text())
        assert (process.returncode == 0) is record.succeeded, err[-4000:]
        return record

    def good(self, worker: str, step: str = "", **params: Any) -> Record:
        record = self.run(worker, step, **params)
        assert record.succeeded, f"{record.reason}: {record.message}\n{json.dumps(record.names)}\n{self.said[-3000:]}"
        return record

    def _made(self, name: str) -> Path:
        path = self.directory / name
        path.mkdir(parents=True, exist_ok=True)
        return path
