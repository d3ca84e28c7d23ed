"""A PostgreSQL database from server to server: ours against the server's own tools, in the same run.

Run ``python -m benchmarks.postgres --gigabytes 1.3 --rounds 3``. Two servers of version 18 with their default settings
on this machine, on loopback; a database with 9 indexes, 7 foreign keys, sequences and large objects. Each round runs
every method once, in turn, into a fresh database, after a checkpoint of both servers; the order turns from round to
round. Every result is looked at: rows by table, foreign keys valid, positions of sequences, large objects. Figures are
medians; a ratio is the median of the rounds' ratios. Processor seconds, of the servers and of the clients, say the same
on a machine that has other work; half of them is what two cores need at least.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from project_migration.model.records import Record, Request
from tools.postgres_servers import PASSWORD, Server, programs, running

MAJOR = 18
DEFAULTS = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_connections": "100"}

#: What is aimed at (docs/benchmarks): of ``pg_dump | psql``, and of a parallel dump and restore.
GOALS = {"pg_dump | psql": 0.60, "pg_dump -Fd -j2, pg_restore -j2": 0.62}

#: Seconds until a server has taken note of sessions that ended; counted nowhere.
SETTLING = 1.0

#: Rows for about a gigabyte with indexes.
_ROWS = {
    "users": 20_000,
    "projects": 50_000,
    "models": 200_000,
    "runs": 600_000,
    "metrics": 6_000_000,
    "files": 900_000,
}

_SCHEMA = """
CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE projects (id serial PRIMARY KEY, owner integer NOT NULL, name text, about text);
CREATE TABLE models (id serial PRIMARY KEY, project integer NOT NULL, name text, config jsonb);
CREATE TABLE runs (id serial PRIMARY KEY, project integer NOT NULL, model integer, author integer NOT NULL,
    began timestamptz NOT NULL, params text);
CREATE TABLE metrics (run integer NOT NULL, step integer NOT NULL, name text NOT NULL, value double precision);
CREATE TABLE files (id serial PRIMARY KEY, run integer NOT NULL, owner integer, path text NOT NULL, digest bytea);
"""
_FILL = """
INSERT INTO users (name) SELECT 'user ' || g FROM generate_series(1, {users}) g;
INSERT INTO projects (owner, name, about) SELECT g % {users} + 1, 'p' || g, repeat(md5(g::text), 4)
  FROM generate_series(1, {projects}) g;
INSERT INTO models (project, name, config) SELECT g % {projects} + 1, 'm' || g,
  jsonb_build_object('layers', g % 100, 'hash', md5(g::text), 'tags', ARRAY['a', 'b'])
  FROM generate_series(1, {models}) g;
INSERT INTO runs (project, model, author, began, params) SELECT g % {projects} + 1, g % {models} + 1, g % {users} + 1,
  '2024-01-01'::timestamptz + g * interval '1 second', repeat(md5(g::text), 5) FROM generate_series(1, {runs}) g;
INSERT INTO metrics SELECT g / 10 % {runs} + 1, g % 1000, 'metric ' || g % 10, random()
  FROM generate_series(1, {metrics}) g;
INSERT INTO files (run, owner, path, digest) SELECT g % {runs} + 1, g % {users} + 1, '/data/' || g || '/file.bin',
  sha256(g::text::bytea) FROM generate_series(1, {files}) g;
SELECT count(lo_from_bytea(0, decode(repeat(md5(g::text), 200), 'hex'))) FROM generate_series(1, 200) g;
"""
_KEYS = """
CREATE INDEX metrics_run ON metrics (run, name);
CREATE INDEX runs_began ON runs (began);
CREATE INDEX runs_model ON runs (model);
CREATE INDEX files_path ON files (path);
ALTER TABLE projects ADD FOREIGN KEY (owner) REFERENCES users;
ALTER TABLE models ADD FOREIGN KEY (project) REFERENCES projects;
ALTER TABLE runs ADD FOREIGN KEY (project) REFERENCES projects;
ALTER TABLE runs ADD FOREIGN KEY (model) REFERENCES models;
ALTER TABLE runs ADD FOREIGN KEY (author) REFERENCES users;
ALTER TABLE metrics ADD FOREIGN KEY (run) REFERENCES runs;
ALTER TABLE files ADD FOREIGN KEY (run) REFERENCES runs;
VACUUM ANALYZE;
"""


@dataclass(frozen=True, slots=True)
class Place:
    source: Server
    target: Server
    database: str
    scratch: Path

    def environment(self, server: Server) -> dict[str, str]:
        return {
            **os.environ,
            "PGHOST": server.host,
            "PGPORT": str(server.port),
            "PGUSER": "postgres",
            "PGPASSWORD": PASSWORD,
        }


Method = Callable[[Place, str], None]


def pipe(place: Place, target: str) -> None:
    tools = programs(MAJOR)
    dump = subprocess.Popen(
        (str(tools / "pg_dump"), place.database), env=place.environment(place.source), stdout=subprocess.PIPE
    )
    argv = (str(tools / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", target)
    environment = place.environment(place.target)
    subprocess.run(argv, env=environment, stdin=dump.stdout, stdout=subprocess.DEVNULL, check=True)
    if dump.wait():
        raise SystemExit("pg_dump failed")


def directory(place: Place, target: str) -> None:
    tools, folder = programs(MAJOR), place.scratch / "dump"
    argv = (str(tools / "pg_dump"), "-Fd", "-j2", "-Z0", "-f", str(folder), place.database)
    subprocess.run(argv, env=place.environment(place.source), check=True)
    argv = (str(tools / "pg_restore"), "-j2", "-d", target, str(folder))
    subprocess.run(argv, env=place.environment(place.target), check=True)
    shutil.rmtree(folder)


def ours(place: Place, target: str) -> None:
    roots = {"workspace": str(place.scratch / target)}
    for side in ("source", "target"):
        folder = place.scratch / f"{side}-credentials"
        folder.mkdir(exist_ok=True)
        (folder / "username").write_text("postgres")
        (folder / "password").write_text(PASSWORD)
        roots[f"{side}-credentials"] = str(folder)
    Path(roots["workspace"]).mkdir()
    ends = {"source": (place.source, place.database), "target": (place.target, target)}
    params = {side: {"host": s.host, "port": s.port, "database": name} for side, (s, name) in ends.items()}
    request = Request("postgres.copy", target, "bench", "bench", "copy", "db", 1, roots, params | {"workers": 2})
    argv = (sys.executable, "-m", "project_migration.workers.postgres.copy", "--request", "-")
    subprocess.run(argv, input=request.to_json(), text=True, stdout=subprocess.DEVNULL, check=True)
    record = Record.from_json((place.scratch / target / "results" / "copy-db.json").read_text())
    if not record.succeeded:
        raise SystemExit(record.message)


METHODS: dict[str, Method] = {
    "pg_dump | psql": pipe,
    "pg_dump -Fd -j2, pg_restore -j2": directory,
    "postgres.copy": ours,
}


def make(server: Server, database: str, gigabytes: float) -> int:
    counts = {name: max(100, int(rows * gigabytes)) for name, rows in _ROWS.items()}
    with server.connect() as connection:
        connection.execute(f"CREATE DATABASE {database}".encode())
    with server.connect(database) as connection:
        for text in (_SCHEMA, _FILL.format(**counts), _KEYS):
            for statement in text.split(";\n"):
                if statement.strip():
                    connection.execute(statement.encode())
        found = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return int(found[0]) if found else 0


def look(server: Server, database: str) -> dict[str, object]:
    with server.connect(database) as connection:
        found: dict[str, object] = {}
        for table in _ROWS:
            query = f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {table} AS t"
            found[table] = connection.execute(query.encode()).fetchone()
        found["keys"] = connection.execute(
            "SELECT count(*), bool_and(convalidated) FROM pg_constraint WHERE contype IN ('f', 'p')"
        ).fetchone()
        found["indexes"] = connection.execute(
            "SELECT count(*), bool_and(indisvalid) FROM pg_index WHERE indexrelid >= 16384 AND indrelid IN"
            " (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)"
        ).fetchone()
        found["sequence"] = connection.execute("SELECT last_value, is_called FROM runs_id_seq").fetchone()
        found["objects"] = connection.execute(
            "SELECT count(*), sum(hashtextextended(oid || md5(lo_get(oid)), 0)) FROM pg_largeobject_metadata"
        ).fetchone()
    return found


@dataclass(frozen=True, slots=True)
class Took:
    seconds: float
    processor: float


def processor_seconds(place: Place) -> float:
    """Of every client that ended here, and of every session that ended on the servers (proc(5), stat, cutime)."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = used.ru_utime + used.ru_stime
    for server in (place.source, place.target):
        if server.process is not None:
            fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
    return total


def measure(place: Place, rounds: int) -> dict[str, list[Took]]:
    times: dict[str, list[Took]] = {name: [] for name in METHODS}
    expected = look(place.source, place.database)
    names = list(METHODS)
    for number in range(rounds):
        turned = names[number % len(names) :] + names[: number % len(names)]
        for name in turned:
            target = f"target_{number}_{names.index(name)}"
            with place.target.database(target):
                for server in (place.source, place.target):
                    with server.connect() as connection:
                        connection.execute("CHECKPOINT")
                began, used = time.monotonic(), processor_seconds(place)
                METHODS[name](place, target)
                seconds = time.monotonic() - began
                time.sleep(SETTLING)
                took = Took(seconds, processor_seconds(place) - used)
                times[name].append(took)
                if look(place.target, target) != expected:
                    raise SystemExit(f"{name}: the target is not what the source is")
            print(
                f"round {number + 1}: {name}: {took.seconds:.1f} s, {took.processor:.1f} processor s",
                file=sys.stderr,
                flush=True,
            )
    return times


def report(size: int, times: dict[str, list[Took]]) -> dict[str, object]:
    mine = times["postgres.copy"]
    ratios = {
        name: statistics.median(own.seconds / other.seconds for own, other in zip(mine, times[name], strict=True))
        for name in GOALS
    }
    print(f"{size / 1e9:.2f} GB with indexes, {len(mine)} rounds, {os.cpu_count()} cores")
    for name, took in times.items():
        measured = [one.seconds for one in took]
        processor = statistics.median(one.processor for one in took)
        ratio = f"   ours is {ratios[name]:.2f} of it (aim {GOALS[name]:.2f})" if name in ratios else ""
        spread = f"{min(measured):.1f} to {max(measured):.1f}"
        print(f"{name:34} {statistics.median(measured):6.1f} s ({spread}), {processor:5.1f} processor s{ratio}")
    seconds = {name: [one.seconds for one in took] for name, took in times.items()}
    processors = {name: [one.processor for one in took] for name, took in times.items()}
    return {"bytes": size, "seconds": seconds, "processorSeconds": processors, "ratios": ratios, "goals": GOALS}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        source, target = (stack.enter_context(running(MAJOR, DEFAULTS)) for _ in range(2))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        size = make(source, "bench", options.gigabytes)
        figures = report(size, measure(Place(source, target, "bench", scratch), options.rounds))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
