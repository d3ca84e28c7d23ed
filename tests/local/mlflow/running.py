"""Databases of MLflow to move between, and the workers run as a helper would run them."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from project_migration.model.records import Record, Request
from tools import mariadb_servers, mlflow_servers, postgres_servers

SECONDS = 120
_numbers = itertools.count()


@dataclass(frozen=True)
class Base:
    """One database: how a request names it, how MLflow does, and how a test looks into it."""

    backend: Mapping[str, Any]
    uri: str
    connect: Callable[[], Any]
    user: str = ""
    password: str = ""
    root: Path | None = None

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """``key`` and the like stand in backquotes, which MySQL needs."""
        connection = self.connect()
        with closing(connection):
            cursor = connection.cursor()
            cursor.execute(statement if self.backend["kind"] == "mysql" else statement.replace("`", '"'))
            return [tuple(row) for row in cursor.fetchall()]

    def run(self, *statements: str) -> None:
        connection = self.connect()
        with closing(connection):
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement if self.backend["kind"] == "mysql" else statement.replace("`", '"'))
            connection.commit()

    def value(self, statement: str) -> Any:
        return self.rows(statement)[0][0]


def sqlite_base(path: Path) -> Base:
    backend = {"kind": "sqlite", "file": path.name}
    return Base(backend, f"sqlite:///{path}", lambda: sqlite3.connect(path), root=path.parent)


def postgres_base(server: postgres_servers.Server, database: str) -> Base:
    password = postgres_servers.PASSWORD
    uri = f"postgresql+psycopg://postgres:{quote(password, safe='')}@{server.host}:{server.port}/{database}"
    backend = {"kind": "postgres", "host": server.host, "port": server.port, "database": database}
    return Base(backend, uri, lambda: server.connect(database), "postgres", password)


def mariadb_base(server: mariadb_servers.MariaServer, database: str) -> Base:
    user, password = mariadb_servers.USER, mariadb_servers.PASSWORD
    uri = f"mysql+pymysql://{user}:{quote(password, safe='')}@{server.host}:{server.port}/{database}"
    backend = {"kind": "mysql", "host": server.host, "port": server.port, "database": database}
    return Base(backend, uri, lambda: server.connect(database), user, password)


@dataclass
class Case:
    """One migration between two databases, and the workspace of its helpers."""

    directory: Path
    source: Base
    target: Base
    uid: str = field(default_factory=lambda: f"uid-{next(_numbers)}")
    artifacts: tuple[str | None, str | None] = ("mlflow-artifacts:/", "mlflow-artifacts:/")
    auth: tuple[Base | None, Base | None] = (None, None)
    """The databases of users, where they move."""
    said: str = ""

    def request(self, worker: str, package: str = "mlflow.database", **params: Any) -> Request:
        roots = {"workspace": str(self._made("workspace"))}
        named: dict[str, Any] = {}
        for place, side in enumerate(("source", "target")):
            base, auth = (self.source, self.target)[place], self.auth[place]
            named[side] = {
                "backend": self._named(roots, side, "backend", base),
                "artifacts": self.artifacts[place],
                "auth": self._named(roots, f"{side}-auth", "", auth) if auth is not None else None,
            }
        name = f"{package}.{worker}"
        return Request(name, self.uid, "moved", "ns", worker, "tracking", 1, roots, {**named, **params})

    def _named(self, roots: dict[str, str], side: str, ending: str, base: Base) -> dict[str, Any]:
        if base.root is not None:
            root = f"{side}-{ending}".rstrip("-")
            roots[root] = str(base.root)
            return {**base.backend, "root": root}
        folder = self._made(f"{side}-credentials")
        (folder / "username").write_text(base.user)
        (folder / "password").write_text(base.password)
        roots[f"{side}-credentials"] = str(folder)
        return dict(base.backend)

    def start(self, worker: str, **params: Any) -> subprocess.Popen[str]:
        file = self._made("requests") / f"{worker}.json"
        request = self.request(worker, **params)
        file.write_text(request.to_json())
        argv = (sys.executable, "-m", f"project_migration.workers.{request.worker}", "--request", str(file))
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)

    def run(self, worker: str, **params: Any) -> Record:
        with self.start(worker, **params) as process:
            out, err = process.communicate(timeout=SECONDS)
        self.said = out + err
        path = self.directory / "workspace" / "results" / f"{worker}-tracking.json"
        assert path.exists(), f"no record; the worker said:\n{err[-4000:]}"
        return Record.from_json(path.read_text())

    def good(self, worker: str, **params: Any) -> Record:
        record = self.run(worker, **params)
        assert record.succeeded, f"{record.reason}: {record.message}\n{json.dumps(record.names)}\n{self.said[-3000:]}"
        return record

    def migrate(self, **params: Any) -> Record:
        """All the way; the record of the proof."""
        survey = self.good("survey", **params)
        assert survey.facts["problems"]["count"] == 0, survey.facts["problems"]
        for worker in ("arrange", "copy"):
            self.good(worker, **params)
        return self.good("verify", **params)

    def problems(self, **params: Any) -> dict[str, str]:
        """What a survey says stands in the way: messages by reason."""
        found = self.good("survey", **params).facts["problems"]["found"]
        return {problem["reason"]: problem["message"] for problem in found}

    def written(self, name: str) -> Any:
        return json.loads((self.directory / "workspace" / "mlflow" / name).read_text())

    def _made(self, name: str) -> Path:
        path = self.directory / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def copied(base: Base, path: Path) -> Base:
    """A SQLite database of its own for one test."""
    assert base.root is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(base.root / base.backend["file"], path)
    return sqlite_base(path)


SCRIPTS = Path(__file__).parent


def look(base: Base, made: Mapping[str, Any]) -> dict[str, Any]:
    """What MLflow's own client finds in a database: see ``looking.py``."""
    found: dict[str, Any] = json.loads(
        mlflow_servers.run(SCRIPTS / "looking.py", base.uri, json.dumps(made)).splitlines()[-1]
    )
    return found
