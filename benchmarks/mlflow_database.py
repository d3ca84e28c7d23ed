"""An MLflow database to a new one: ours against a plain copy of it, in the same run; and memory with many metrics.

Run ``python -m benchmarks.mlflow_database``. The population is as large as the one that mlflow-export-import publishes
figures of: 249 experiments, 1,770 runs, with metrics, params and tags, made by SQL in a database that MLflow made.
``copy`` is what stands between the stop and the start of a server; ``arrange``, ``copy`` and ``verify`` together are
the move with its proof. Peers: SQLite's own backup, and ``pg_dump | psql``. Each round runs each once; figures are
medians, and processor seconds, of clients and servers, in brackets say the same on a machine that has other work.
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from project_migration.model.records import Record, Request
from tools import mlflow_servers
from tools.postgres_servers import PASSWORD, Server, programs, running

EXPERIMENTS, RUNS = 249, 1770
#: A run: so many keys of metrics with so many points each, params and tags.
KEYS, POINTS, PARAMS, TAGS = 5, 20, 10, 5
MAJOR = 18

#: Seconds until a server has taken note of sessions that ended; counted nowhere.
SETTLING = 1.0

_FILL = (
    "INSERT INTO experiments (experiment_id, name, workspace, artifact_location, lifecycle_stage)"
    " SELECT {i}, 'experiment ' || {i}, 'default', 'mlflow-artifacts:/' || {i}, 'active' FROM {experiments}",
    "INSERT INTO runs (run_uuid, name, status, lifecycle_stage, artifact_uri, experiment_id, start_time, user_id)"
    " SELECT {id}, 'run ' || {i}, 'FINISHED', 'active', 'mlflow-artifacts:/' || (1 + {i} % {e}) || '/' || {id}"
    " || '/artifacts', 1 + {i} % {e}, 1700000000000 + {i}, 'ann' FROM {runs}",
    "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)"
    " SELECT 'metric ' || ({i} % {keys}), {i} * 0.37, 1700000000000 + {i}, {i} / {keys} % {points}, {false}, {owner}"
    " FROM {metrics}",
    "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)"
    " SELECT key, max(value), max(timestamp), max(step), {false}, run_uuid FROM metrics GROUP BY key, run_uuid",
    "INSERT INTO params (key, value, run_uuid) SELECT 'param ' || ({i} % {params_each}), 'value ' || {i}, {param_owner}"
    " FROM {params}",
    "INSERT INTO tags (key, value, run_uuid) SELECT 'tag ' || ({i} % {tags_each}), 'value ' || {i}, {tag_owner}"
    " FROM {tags}",
)


@dataclass(frozen=True)
class Size:
    experiments: int = EXPERIMENTS
    runs: int = RUNS
    points: int = POINTS

    @property
    def metrics(self) -> int:
        return self.runs * KEYS * self.points


def fill(run: Callable[[str], Any], size: Size, *, postgres: bool) -> None:
    def series(count: int) -> str:
        if postgres:
            return f"generate_series(1, {count}) AS n (i)"
        counted = f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
        return f"({counted} SELECT i FROM n) AS n"

    def owner(each: int) -> str:
        number = f"(1 + n.i / {each} % {size.runs})"
        return f"lpad(to_hex({number}), 32, '0')" if postgres else f"printf('%032x', {number})"

    words = {
        "i": "n.i",
        "e": size.experiments,
        "id": "lpad(to_hex(n.i), 32, '0')" if postgres else "printf('%032x', n.i)",
        "false": "false" if postgres else "0",
        "keys": KEYS,
        "points": size.points,
        "owner": owner(KEYS * size.points),
        "param_owner": owner(PARAMS),
        "tag_owner": owner(TAGS),
        "params_each": PARAMS,
        "tags_each": TAGS,
        "experiments": series(size.experiments),
        "runs": series(size.runs),
        "metrics": series(size.metrics),
        "params": series(size.runs * PARAMS),
        "tags": series(size.runs * TAGS),
    }
    for statement in _FILL:
        run(statement.format(**words))


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


def worker(name: str, scratch: Path, sides: dict[str, Any], roots: dict[str, str], server: Server | None) -> Took:
    """One helper; the largest it was."""
    request = Request(
        f"mlflow.database.{name}", "bench", "bench", "bench", name, "ml", 1, roots | {"workspace": str(scratch)}, sides
    )
    argv = (sys.executable, "-m", f"project_migration.workers.mlflow.database.{name}", "--request", "-")
    clock = Clock(server)
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        process.stdin.write(request.to_json())
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    took = clock.read(usage.ru_maxrss / 1024)
    record = Record.from_json((scratch / "results" / f"{name}-ml.json").read_text())
    if not record.succeeded:
        raise SystemExit(f"{name}: {record.message}")
    return took


@dataclass(frozen=True)
class Files:
    """SQLite to SQLite."""

    name = "SQLite"
    peer = "SQLite's backup"
    source: Path
    new: Path
    scratch: Path
    server = None

    def plain(self, number: int) -> Took:
        target = self.scratch / f"plain-{number}.db"
        clock = Clock(None)
        with closing(sqlite3.connect(self.source)) as one, closing(sqlite3.connect(target)) as other:
            one.backup(other)
        took = clock.read()
        target.unlink()
        return took

    @contextmanager
    def sides(self, number: int) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
        folder = self.scratch / f"target-{number}"
        folder.mkdir()
        shutil.copyfile(self.new, folder / "mlflow.db")
        yield (
            {
                side: {"backend": {"kind": "sqlite", "root": side, "file": "mlflow.db"}, "artifacts": root}
                for side, root in (("source", "mlflow-artifacts:/"), ("target", "s3://bucket/mlflow"))
            },
            {"source": str(self.source.parent), "target": str(folder)},
        )
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Servers:
    """PostgreSQL to PostgreSQL."""

    name = "PostgreSQL"
    peer = "pg_dump | psql"
    server: Server
    source: str
    new: str
    scratch: Path

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
            return clock.read()

    @contextmanager
    def sides(self, number: int) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
        folder = self.scratch / "credentials"
        folder.mkdir(exist_ok=True)
        (folder / "username").write_text("postgres")
        (folder / "password").write_text(PASSWORD)
        with self.server.database(f"target_{number}", template=self.new) as target:
            place = {"kind": "postgres", "host": self.server.host, "port": self.server.port}
            yield (
                {
                    side: {"backend": {**place, "database": name}, "artifacts": root}
                    for side, name, root in (
                        ("source", self.source, "mlflow-artifacts:/"),
                        ("target", target, "s3://bucket/mlflow"),
                    )
                },
                {f"{side}-credentials": str(folder) for side in ("source", "target")},
            )


WORKERS = ("arrange", "copy", "verify")


def measure(ours: Files | Servers, rounds: int) -> dict[str, Any]:
    found: dict[str, list[Took]] = {name: [] for name in WORKERS}
    peers: list[Took] = []
    for number in range(rounds):
        peers.append(ours.plain(number))
        workspace = ours.scratch / f"workspace-{number}"
        with ours.sides(number) as (sides, roots):
            for name in WORKERS:
                found[name].append(worker(name, workspace, sides, roots, ours.server))
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
    folder.mkdir()
    shutil.copyfile(new, folder / "mlflow.db")
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        fill(connection.execute, size, postgres=False)
        connection.commit()
    yield Files(folder / "mlflow.db", new, folder)
    name = stack.enter_context(server.database(f"source_{size.points}", template="new"))
    with server.connect(name) as session:
        fill(lambda statement: session.execute(statement.encode()), size, postgres=True)
        session.execute("VACUUM ANALYZE")
    yield Servers(server, name, "new", folder)


if __name__ == "__main__":
    main()
