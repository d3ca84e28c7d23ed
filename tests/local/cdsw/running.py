"""A CDSW and a workspace to move it to, and the workers run as a helper would run them."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from project_migration.model.records import Record, Request
from project_migration.workers import harness
from project_migration.workers.postgres.program import answering
from tools.postgres_servers import PASSWORD, Server, programs

SECONDS = 120
SQL = Path(__file__).parent
OWNER = 8536
_numbers = itertools.count()

#: The guide's: what of a dump has no rows.
WITHOUT_ROWS = tuple(f"--exclude-table-data={name}" for name in ("kerberos", "ssh_keys", "access_keys"))


def text(name: str) -> bytes:
    return (SQL / name).read_bytes()


def dump(server: Server, database: str, *options: str) -> bytes:
    """As the guide has it made, by the server's own tool."""
    argv = (str(programs(server.major) / "pg_dump"), "-U", "postgres", *WITHOUT_ROWS, *options, database)
    environment = {**os.environ, "PGHOST": server.host, "PGPORT": str(server.port), "PGPASSWORD": PASSWORD}
    return subprocess.run(argv, env=environment, check=True, capture_output=True, timeout=60).stdout


def make_projects(directory: Path) -> None:
    """What lies in the directory of a CDSW: ``projects`` below its current directory."""
    project = directory / "projects/projects/0/10"
    (project / ".config/deep").mkdir(parents=True)
    (project / "a.py").write_text("print('a')\n")
    (project / ".config/deep/settings").write_text("x" * 5000)
    (project / "link").symlink_to("a.py")
    (project / "python").symlink_to("/usr/bin/python3")
    os.link(project / "a.py", project / "again.py")
    (project / "run.sh").write_text("#!/bin/sh\n")
    (project / "run.sh").chmod(0o755)
    (directory / "projects/projects/0/11").mkdir()
    (directory / "projects/projects/0/12/data").mkdir(parents=True)
    (directory / "projects/scratch/tmp").mkdir(parents=True)
    (directory / "projects/scratch/tmp/thrown").write_text("away")
    (directory / "projects/cdn").mkdir()
    (directory / "projects/cdn/old").write_text("of the CDSW")
    for number, path in enumerate(sorted(directory.rglob("*"), reverse=True)):
        os.utime(path, (1_500_000_000 + number, 1_500_000_000 + number), follow_symlinks=False)


def pack(directory: Path, archive: Path, *names: str) -> Path:
    """The guide's own command."""
    wanted = names or ("db.sql", "projects")
    argv = ("tar", "--exclude=projects/scratch/*", "-czf", str(archive), "-C", str(directory), *wanted)
    subprocess.run(argv, check=True, timeout=60)
    return archive


def repack(archive: Path, to: Path, dump_text: bytes, *more: tarfile.TarInfo) -> Path:
    """The same archive with another dump, and with members behind it that nobody would make."""
    import io

    with tarfile.open(archive) as old, tarfile.open(to, "w:gz") as new:
        for member in old:
            if member.name == "db.sql":
                member.size = len(dump_text)
                new.addfile(member, io.BytesIO(dump_text))
            else:
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
        for member in more:
            new.addfile(member, io.BytesIO(bytes(member.size)) if member.isfile() else None)
    return to


@dataclass
class Case:
    """One migration into one workspace. ``archive``, or a live source: a database and the directory of its projects."""

    directory: Path
    server: Server
    database: str
    archive: Path | None = None
    live: tuple[Server, str, Path] | None = None
    uid: str = field(default_factory=lambda: f"uid-{next(_numbers)}")
    user: str = "postgres"
    password: str = PASSWORD
    said: str = ""

    @property
    def projects(self) -> Path:
        return self._made("claim")

    def request(self, worker: str, **params: Any) -> Request:
        roots = {"workspace": str(self._made("workspace")), "target-projects": str(self.projects)}
        roots["target-credentials"] = self._credentials("target", self.user, self.password)
        source: dict[str, Any] = {}
        if self.archive is not None:
            roots["source-archive"] = str(self.archive.parent)
            source = {"archive": {"root": "source-archive", "file": self.archive.name}}
        elif self.live is not None:
            server, name, projects = self.live
            roots |= {
                "source-projects": str(projects),
                "source-credentials": self._credentials("source", "postgres", PASSWORD),
            }
            source = {
                "database": {"host": server.host, "port": server.port, "database": name},
                "projects": {"root": "source-projects"},
            }
        target: dict[str, Any] = {
            "database": {"host": self.server.host, "port": self.server.port, "database": self.database},
            "projects": {"root": "target-projects"},
        }
        if "to" in params:
            roots["target-archive"] = str(params["to"].parent)
            target = {"archive": {"root": "target-archive", "file": params.pop("to").name}}
        known = {
            "source": source,
            "target": target,
            "administrator": "cmladmin",
            "users": "AdministratorOwnsAll",
            "ownership": {"mode": "Set", "uid": OWNER, "gid": OWNER} if os.geteuid() == 0 else {"mode": "Helper"},
            "workers": 2,
            "bandwidth": None,
            "round": 1,
        }
        return Request(
            f"cdsw.{worker}", self.uid, "moved", "ns", f"cdsw/{worker}", "all", 1, roots, {**known, **params}
        )

    def _credentials(self, side: str, user: str, password: str) -> str:
        folder = self._made(f"{side}-credentials")
        (folder / "username").write_text(user)
        (folder / "password").write_text(password)
        return str(folder)

    def start(self, worker: str, environment: Mapping[str, str] | None = None, **params: Any) -> subprocess.Popen[str]:
        """As a process of its own, as a helper has it."""
        file = self._made("requests") / f"{worker}.json"
        file.write_text(self.request(worker, **params).to_json())
        argv = (sys.executable, "-m", f"project_migration.workers.cdsw.{worker}", "--request", str(file))
        merged = {**os.environ, **(environment or {})}
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=merged)

    def in_process(self, worker: str, **params: Any) -> Record:
        with self.start(worker, **params) as process:
            out, err = process.communicate(timeout=SECONDS)
        self.said = out + err
        path = self.directory / "workspace" / "results" / f"cdsw%2F{worker}-all.json"
        assert path.exists(), f"no record; the worker said:\n{err[-4000:]}"
        return Record.from_json(path.read_text())

    def run(self, worker: str, **params: Any) -> Record:
        """The worker's own code within this process, which starts several times as fast."""
        module = importlib.import_module(f"project_migration.workers.cdsw.{worker}")
        kept, mask = dict(os.environ), os.umask(0o022)
        try:
            return harness._work(self.request(worker, **params), answering(module.work))
        finally:
            os.umask(mask)
            os.environ.update(kept)

    def good(self, worker: str, **params: Any) -> Record:
        record = self.run(worker, **params)
        assert record.succeeded, f"{worker}: {record.reason}: {record.message}\n{json.dumps(record.names)}"
        return record

    def schema_job(self) -> None:
        told = self.server.conninfo(self.database, self.user, self.password)
        with psycopg.connect(**told, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute(text("schema_job.sql"))

    def migrate(self, **params: Any) -> Record:
        """All the way; the record of the proof."""
        assert self.problems(**params) == {}
        for worker in ("files", "save", "load"):
            self.good(worker, **params)
        self.schema_job()
        self.good("adapt", **params)
        return self.good("verify", **params)

    def move(self, **params: Any) -> Record:
        """The database alone."""
        for worker in ("save", "load"):
            self.good(worker, **params)
        self.schema_job()
        self.good("adapt", **params)
        return self.good("verify", parts=["database"], **params)

    def problems(self, **params: Any) -> dict[str, str]:
        """What a survey says stands in the way: messages by reason."""
        found = self.good("survey", **params).facts["problems"]["found"]
        return {problem["reason"]: problem["message"] for problem in found}

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.server.connect(self.database) as connection:
            return connection.execute(statement.encode()).fetchall()

    def value(self, statement: str) -> Any:
        return self.rows(statement)[0][0]

    def execute(self, *statements: str) -> None:
        with self.server.connect(self.database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def state(self) -> dict[str, Any]:
        """What a failed load or adaptation must leave as it was: all but numbers that sequences gave away."""
        tables = self.rows(
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'v') AND n.nspname IN ('public', 'feature_flags') ORDER BY 1"
        )
        found: dict[str, Any] = {name: self.rows(f"SELECT * FROM {name} AS t ORDER BY t::text") for (name,) in tables}
        found["acl"] = self.rows("SELECT nspname, nspacl::text FROM pg_namespace WHERE nspname !~ '^(pg|_)' ORDER BY 1")
        return found

    def _made(self, name: str) -> Path:
        path = self.directory / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def moved_to(path: Path, to: Path) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)
    return to
