"""An MLflow database and its files to a new server: ours against a plain copy of both, in the same run; and memory with
many metrics.

Run ``python -m benchmarks.mlflow_database``. The population is as large as the one that mlflow-export-import publishes
figures of (``mlflow_population.py``), in a database that MLflow made. ``copy`` is what stands between the stop and the
start of a server: the helpers of rows and of files, at the same time as in a migration. ``arrange`` comes before, and
``verify`` after it, again for rows and files. Peers: SQLite's own backup, and ``pg_dump | psql``, each followed by
``cp -a``. Each round runs each once; figures are medians. Processor seconds, of clients and servers, in brackets say
the same on a machine that has other work.
``--metrics 10000000`` says how many rows the second part moves, whose peak memory is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.mlflow_population import KEYS, RUNS, Size, fill, make_files
from project_migration.model.records import Record, Request
from tools import mlflow_servers
from tools.postgres_servers import PASSWORD, Server, programs, running

MAJOR = 18

#: Seconds until a server has taken note of sessions that ended; counted nowhere.
SETTLING = 1.0


@dataclass(frozen=True)
class Took:
    seconds: float
    processor: float
    megabytes: float = 0.0


class Clock:
    """Seconds on the wall and of processors: of this program, its children that ended, and a server's sessions."""

    def __init__(self, server: Server | None) -> None:
        self._server = server
        self._began, self._used = time.monotonic(), self._processor()

    def _processor(self) -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        total = sum(one.ru_utime + one.ru_stime for one in used)
        if self._server is not None and self._server.process is not None:
            # of every session that ended (proc(5), stat, cutime)
            fields = Path(f"/proc/{self._server.process.pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
        return total

    def read(self, megabytes: float = 0.0) -> Took:
        seconds = time.monotonic() - self._began
        if self._server is not None:
            time.sleep(SETTLING)
        return Took(seconds, self._processor() - self._used, megabytes)


#: The helpers of one step.
STEPS = {
    "arrange": ("mlflow.database.arrange",),
    "copy": ("mlflow.database.copy", "mlflow.artifacts.copy"),
    "verify": ("mlflow.database.verify", "mlflow.artifacts.verify"),
}

#: Of the helpers of files, as a migration asks for them.
FILE_PARAMS: dict[str, Any] = {
    "exclude": [],
    "ignoreFile": "",
    "ownership": {"mode": "Preserve", "uid": None, "gid": None},
    "workers": None,
    "bandwidth": None,
    "delete": False,
    "requireEmpty": True,
    "release": True,
    "verify": "Checksum",
}


@dataclass(frozen=True)
class Sides:
    """What requests say of the two servers, and where things lie; ``files`` are the two directories."""

    params: dict[str, Any]
    roots: dict[str, str]
    files: tuple[Path, Path]


def step(name: str, scratch: Path, sides: Sides, server: Server | None) -> Took:
    """The helpers of one step at the same time; the largest that one of them was."""
    scratch.mkdir(exist_ok=True)
    clock = Clock(server)
    running_now = [_helper(worker, name, scratch, sides) for worker in STEPS[name]]
    largest = 0
    for process in running_now:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        largest = max(largest, usage.ru_maxrss)
    took = clock.read(largest / 1024)
    for worker in STEPS[name]:
        record = Record.from_json((scratch / "results" / f"{name}-{_unit(worker)}.json").read_text())
        if not record.succeeded:
            raise SystemExit(f"{worker}: {record.message}")
    return took


def _unit(worker: str) -> str:
    return "artifacts" if ".artifacts." in worker else "tracking"


def _helper(worker: str, name: str, scratch: Path, sides: Sides) -> subprocess.Popen[str]:
    unit = _unit(worker)
    if unit == "artifacts":
        roots, params = {"source": str(sides.files[0]), "target": str(sides.files[1])}, FILE_PARAMS
    else:
        roots, params = sides.roots, sides.params
    request = Request(worker, "bench", "bench", "bench", name, unit, 1, roots | {"workspace": str(scratch)}, params)
    argv = (sys.executable, "-m", f"project_migration.workers.{worker}", "--request", "-")
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None
    process.stdin.write(request.to_json())
    process.stdin.close()
    return process


def copy_files(source: Path, target: Path) -> None:
    subprocess.run(("cp", "-a", str(source), str(target)), check=True)


@dataclass(frozen=True)
class Files:
    """SQLite to SQLite."""

    name = "SQLite"
    peer = "SQLite's backup and cp -a"
    source: Path
    new: Path
    scratch: Path
    artifacts: Path
    server = None

    def plain(self, number: int) -> Took:
        target = self.scratch / f"plain-{number}.db"
        clock = Clock(None)
        with closing(sqlite3.connect(self.source)) as one, closing(sqlite3.connect(target)) as other:
            one.backup(other)
        copy_files(self.artifacts, self.scratch / f"plain-{number}")
        took = clock.read()
        target.unlink()
        shutil.rmtree(self.scratch / f"plain-{number}")
        return took

    @contextmanager
    def sides(self, number: int) -> Iterator[Sides]:
        folder = self.scratch / f"target-{number}"
        (folder / "files").mkdir(parents=True)
        shutil.copyfile(self.new, folder / "mlflow.db")
        yield Sides(
            {
                side: {"backend": {"kind": "sqlite", "root": side, "file": "mlflow.db"}, "artifacts": root}
                for side, root in (("source", "mlflow-artifacts:/"), ("target", "s3://bucket/mlflow"))
            },
            {"source": str(self.source.parent), "target": str(folder)},
            (self.artifacts, folder / "files"),
        )
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Servers:
    """PostgreSQL to PostgreSQL."""

    name = "PostgreSQL"
    peer = "pg_dump | psql and cp -a"
    server: Server
    source: str
    new: str
    scratch: Path
    artifacts: Path

    def plain(self, number: int) -> Took:
        target = f"plain_{number}"
        environment = {**os.environ, "PGHOST": self.server.host, "PGPORT": str(self.server.port), "PGUSER": "postgres"}
        environment["PGPASSWORD"] = PASSWORD
        tools = programs(MAJOR)
        with self.server.database(target):
            clock = Clock(self.server)
            dump = subprocess.Popen((str(tools / "pg_dump"), self.source), env=environment, stdout=subprocess.PIPE)
            argv = (str(tools / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", target)
            subprocess.run(argv, env=environment, stdin=dump.stdout, stdout=subprocess.DEVNULL, check=True)
            if dump.wait():
                raise SystemExit("pg_dump failed")
            copy_files(self.artifacts, self.scratch / f"plain-{number}")
            took = clock.read()
        shutil.rmtree(self.scratch / f"plain-{number}")
        return took

    @contextmanager
    def sides(self, number: int) -> Iterator[Sides]:
        files = self.scratch / f"files-{number}"
        files.mkdir()
        folder = self.scratch / "credentials"
        folder.mkdir(exist_ok=True)
        (folder / "username").write_text("postgres")
        (folder / "password").write_text(PASSWORD)
        with self.server.database(f"target_{number}", template=self.new) as target:
            place = {"kind": "postgres", "host": self.server.host, "port": self.server.port}
            yield Sides(
                {
                    side: {"backend": {**place, "database": name}, "artifacts": root}
                    for side, name, root in (
                        ("source", self.source, "mlflow-artifacts:/"),
                        ("target", target, "s3://bucket/mlflow"),
                    )
                },
                {f"{side}-credentials": str(folder) for side in ("source", "target")},
                (self.artifacts, files),
            )
        shutil.rmtree(files)


def measure(ours: Files | Servers, rounds: int) -> dict[str, Any]:
    found: dict[str, list[Took]] = {name: [] for name in STEPS}
    peers: list[Took] = []
    for number in range(rounds):
        peers.append(ours.plain(number))
        workspace = ours.scratch / f"workspace-{number}"
        with ours.sides(number) as sides:
            for name in STEPS:
                found[name].append(step(name, workspace, sides, ours.server))
        shutil.rmtree(workspace)
    figures = {name: _median(all_of) for name, all_of in {ours.peer: peers, **found}.items()}
    peer, copy = figures[ours.peer], figures["copy"]
    told = ", ".join(f"{name} {one.seconds:.2f} s ({one.processor:.2f})" for name, one in figures.items())
    ratios = f"{copy.seconds / peer.seconds:.1f} of the peer ({copy.processor / peer.processor:.1f})"
    largest = max(one.megabytes for one in figures.values())
    print(f"{ours.name}: {told}; copy is {ratios}; at most {largest:.0f} MB of memory", flush=True)
    return {name: asdict(one) for name, one in figures.items()}


def _median(all_of: list[Took]) -> Took:
    return Took(
        statistics.median(one.seconds for one in all_of),
        statistics.median(one.processor for one in all_of),
        max(one.megabytes for one in all_of),
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--metrics", type=int, default=10_000_000, help="rows of the second part; 0 leaves it out")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args(arguments)
    figures = {}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR"))))
        server = stack.enter_context(running(MAJOR, {"fsync": "on", "synchronous_commit": "on", "max_wal_size": "4GB"}))
        new = scratch / "new.db"
        mlflow_servers.initialise(f"sqlite:///{new}", "mlflow-artifacts:/")
        stack.enter_context(server.database("new"))
        mlflow_servers.initialise(_uri(server, "new"), "mlflow-artifacts:/")
        sizes = [("peer's population", Size(), options.rounds)]
        if options.metrics:
            points = max(1, options.metrics // (RUNS * KEYS))
            sizes.append((f"{options.metrics:,} metrics", Size(points=points), 1))
        for title, size, rounds in sizes:
            print(f"-- {title}: {size.experiments} experiments, {size.runs:,} runs, {size.metrics:,} metrics")
            figures[title] = [measure(one, rounds) for one in _made(stack, scratch, server, new, size)]
    print(f"this program itself: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def _uri(server: Server, database: str) -> str:
    from urllib.parse import quote

    password = quote(PASSWORD, safe="")
    return f"postgresql+psycopg://postgres:{password}@{server.host}:{server.port}/{database}"


def _made(stack: ExitStack, scratch: Path, server: Server, new: Path, size: Size) -> Iterator[Files | Servers]:
    folder = scratch / f"source-{size.points}"
    artifacts = scratch / f"artifacts-{size.points}"
    folder.mkdir()
    make_files(artifacts, size)
    shutil.copyfile(new, folder / "mlflow.db")
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        fill(connection.execute, size, postgres=False)
        connection.commit()
    yield Files(folder / "mlflow.db", new, folder, artifacts)
    name = stack.enter_context(server.database(f"source_{size.points}", template="new"))
    with server.connect(name) as session:
        fill(lambda statement: session.execute(statement.encode()), size, postgres=True)
        session.execute("VACUUM ANALYZE")
    yield Servers(server, name, "new", folder, artifacts)


if __name__ == "__main__":
    main()
