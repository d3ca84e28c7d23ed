"""A tracking server to another one by their interfaces: ours against mlflow-export-import, in the same run.

Run ``python -m benchmarks.mlflow_api``. Four servers of the newest MLflow on this machine, on loopback, with SQLite
and four processes each, as ``mlflow server`` starts by itself: one with the runs, and one for each way. The runs are
like those of the package's own published measure (``mlflow_population.py``). Ours moves all of them, the package a
slice of at least a hundred; what is compared is the time for a run. The package exports and imports with threads, as
its documentation says to for many runs. The start of the programs is part of their time; ours proves the move besides,
in the last line. Processor seconds of clients and of servers say what the time was spent on.

The way that is neither's (``mlflow_floor.py``) makes only the calls that nobody can do without. How many times faster
than the package that is, is the most that any client reaches on this machine; by processor time it hardly depends on
what else runs there.
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mlflow_population import Size, fill, make_files
from project_migration.model.records import Record, Request
from tests.local.mlflow_api import peer
from tests.local.mlflow_api.rest import Rest
from tools import mlflow_servers

#: What is aimed at: this many times the package's rate.
GOAL = 20.0

PER_EXPERIMENT = 7

#: What every server is asked before a clock runs: each of its processes loads what it needs at its first calls.
WARMING = 24


@dataclass(frozen=True)
class Place:
    """A server, and the directory it runs in."""

    rest: Rest
    directory: Path

    def processor(self) -> float:
        """Seconds of all its processes (proc(5), stat)."""
        total = 0.0
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdecimal() and (entry / "cwd").readlink() == self.directory:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
            except OSError:
                continue  # ended meanwhile
        return total


@dataclass(frozen=True)
class Took:
    """Seconds: on the wall, and of processors in the client, the source's server and the target's."""

    seconds: float
    client: float
    source: float
    target: float

    @property
    def processors(self) -> float:
        return self.client + self.source + self.target


def timed(what: Callable[[], object], source: Place, target: Place) -> Took:
    began, client = time.monotonic(), _children()
    servers = source.processor(), target.processor()
    what()
    seconds = time.monotonic() - began
    return Took(seconds, _children() - client, source.processor() - servers[0], target.processor() - servers[1])


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def populate(directory: Path, runs: int) -> None:
    """By SQL and files, since a server would take longer for it than for all that is measured."""
    size = Size(experiments=max(1, runs // PER_EXPERIMENT), runs=runs)
    mlflow_servers.initialise(f"sqlite:///{directory}/mlflow.db", "mlflow-artifacts:/")
    with closing(sqlite3.connect(directory / "mlflow.db")) as connection:
        fill(connection.execute, size, postgres=False)
        connection.commit()
    make_files(directory / "artifacts", size)


def ours(worker: str, source: Rest, target: Rest, scratch: Path, threads: int) -> Record:
    params = {
        "source": {"trackingUri": source.url},
        "target": {"trackingUri": target.url},
        "select": {"experiments": {"include": ["experiment *"]}, "models": {"include": ["*"]}},
        "workers": threads,
    }
    workspace = scratch / "workspace"
    workspace.mkdir(exist_ok=True)
    roots = {"workspace": str(workspace)}
    request = Request(f"mlflow.api.{worker}", "bench", "bench", "bench", worker, "tracking", 1, roots, params)
    argv = (sys.executable, "-m", f"project_migration.workers.mlflow.api.{worker}", "--request", "-")
    subprocess.run(argv, input=request.to_json(), text=True, stdout=subprocess.DEVNULL, check=True)
    record = Record.from_json((workspace / "results" / f"{worker}-tracking.json").read_text())
    if not record.succeeded:
        raise SystemExit(record.message)
    return record


def theirs(source: Rest, target: Rest, scratch: Path, experiments: int) -> None:
    out = str(scratch / "export")
    threads = ("--use-threads", "True")
    names = ",".join(f"experiment {number}" for number in range(1, experiments + 1))
    peer.run("bulk.export_experiments", source.url, "--output-dir", out, "--experiments", names, *threads)
    peer.run("bulk.import_experiments", target.url, "--input-dir", out, *threads)


def bare(source: Rest, target: Rest, runs: int, threads: int) -> None:
    names = [f"experiment {number}" for number in range(1, max(1, runs // PER_EXPERIMENT) + 1)]
    argv = (sys.executable, "-m", "benchmarks.mlflow_floor", source.url, target.url, str(threads), *names)
    subprocess.run(argv, check=True)


def count(server: Rest) -> int:
    names = [name for name in server.experiments() if name.startswith("experiment ")]
    return sum(len(server.runs(*names[start : start + 50])) for start in range(0, len(names), 50))


def warm(server: Rest) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: server.experiments(), range(WARMING)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=700, help="that ours moves")
    parser.add_argument("--slice", type=int, default=105, help="that the package moves")
    parser.add_argument("--workers", type=int, default=8)
    chosen = parser.parse_args()
    peer.place()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        places = []
        for name in ("source", "ours", "theirs", "bare"):
            place = Path(scratch, name)
            place.mkdir()
            if name == "source":
                populate(place, chosen.runs)
            serving = mlflow_servers.serving(
                f"sqlite:///{place}/mlflow.db", place / "artifacts", place, options=("--workers", "4")
            )
            places.append(Place(Rest(stack.enter_context(serving)), place))
            warm(places[-1].rest)
        report(places, Path(scratch), chosen)
    return 0


def report(places: Sequence[Place], scratch: Path, chosen: argparse.Namespace) -> None:
    source, target, other, last = places
    experiments = chosen.slice // PER_EXPERIMENT
    moved = timed(lambda: ours("copy", source.rest, target.rest, scratch, chosen.workers), source, target)
    proved = timed(lambda: ours("verify", source.rest, target.rest, scratch, chosen.workers), source, target)
    took = timed(lambda: theirs(source.rest, other.rest, scratch, experiments), source, other)
    slow = count(other.rest)
    least = timed(lambda: bare(source.rest, last.rest, chosen.runs, chosen.workers), source, last)
    print(f"{'':28}{'runs':>6}{'seconds':>9}{'a run':>9}   processor ms a run: client, source, target")
    for title, one, runs in (
        ("mlflow.api.copy", moved, count(target.rest)),
        (f"the package {peer.RELEASE}", took, slow),
        ("the calls alone", least, count(last.rest)),
        ("mlflow.api.verify", proved, chosen.runs),
    ):
        parts = ", ".join(f"{1000 * part / runs:.1f}" for part in (one.client, one.source, one.target))
        print(f"{title:28}{runs:6}{one.seconds:9.2f}{one.seconds / runs:9.4f}   {parts}")
    for title, one, runs in (("mlflow.api.copy", moved, chosen.runs), ("the calls alone", least, chosen.runs)):
        ratio = (took.seconds / slow) / (one.seconds / runs)
        work = (took.processors / slow) / (one.processors / runs)
        print(f"{title:28}ratio {ratio:.1f} a run, {work:.1f} by processor time; aimed at {GOAL:.0f}")


if __name__ == "__main__":
    sys.exit(main())
