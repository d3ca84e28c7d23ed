"""Runs a worker as a helper would be run: a program with a request, mounted directories and no other input."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from project_migration.model.records import Record, Request

SECONDS = 120
_numbers = itertools.count()

ALL: dict[str, Any] = {"experiments": {"include": ["*"]}, "models": {"include": ["*"]}}


@dataclass
class Case:
    """One migration between two sides, and the workspace of its helpers."""

    directory: Path
    source: dict[str, Any]
    target: dict[str, Any]
    uid: str = field(default_factory=lambda: f"uid-{next(_numbers)}")
    select: dict[str, Any] = field(default_factory=lambda: ALL)
    more: dict[str, Any] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)
    said: str = ""

    @property
    def workspace(self) -> Path:
        return self.directory / "workspace"

    def secret(self, side: str, **keys: str) -> None:
        folder = self.directory / f"{side}-credentials"
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in keys.items():
            (folder / name).write_text(value + "\n")
        self.roots[f"{side}-credentials"] = str(folder)

    def request(self, worker: str, step: str, **params: Any) -> Request:
        self.workspace.mkdir(parents=True, exist_ok=True)
        asked = {"source": self.source, "target": self.target, "select": self.select, "workers": 4}
        return Request(
            worker=f"mlflow.api.{worker}",
            migration_uid=self.uid,
            migration_name="m",
            namespace="ns",
            step=step,
            unit="ml",
            roots={"workspace": str(self.workspace), **self.roots},
            params={**asked, **self.more, **params},
        )

    def start(self, worker: str, step: str, **params: Any) -> subprocess.Popen[str]:
        file = self.directory / f"{step}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.request(worker, step, **params).to_json())
        argv = (sys.executable, "-m", f"project_migration.workers.mlflow.api.{worker}", "--request", str(file))
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ))

    def run(self, worker: str, step: str = "", **params: Any) -> Record:
        step = step or f"{worker}{next(_numbers)}"
        with self.start(worker, step, **params) as process:
            out, err = process.communicate(timeout=SECONDS)
        self.said = out + err
        path = self.workspace / "results" / f"{step}-ml.json"
        assert path.exists(), f"no record; the worker said:\n{err[-4000:]}"
        return Record.from_json(path.read_text())

    def good(self, worker: str, step: str = "", **params: Any) -> Record:
        record = self.run(worker, step, **params)
        assert record.succeeded, f"{record.reason}: {record.message}\n{json.dumps(record.names)}\n{self.said[-3000:]}"
        return record

    def listed(self, record: Record, kind: str) -> list[str]:
        if kind not in record.lists:
            return []
        return (self.workspace / record.lists[kind]).read_text().splitlines()
