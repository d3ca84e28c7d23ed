"""An archive of a CDSW into a workspace: ours against the guide's own commands, in the same run, with peak memory.

Run ``python -m benchmarks.cdsw``. The guide unpacks the archive on one disk (``tar xzf``), copies it to the claim
(``cp -rf``), changes the owner of all (``chown -R``), and loads the dump (``psql``). Ours is ``cdsw.files`` and
``cdsw.load``: what stands between the stop and the start of the workspace. What the guide does not do at all,
``cdsw.survey`` before and ``cdsw.verify`` after, is told by itself. Seconds are medians over the rounds; memory is the
largest resident set of any of the programs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from project_migration.model.records import Record, Request
from tools.postgres_servers import PASSWORD, Server, programs, running

OWNER = 8536
MAJOR = 18
POOL = 8 << 20

#: Seconds between two looks at a program's memory.
LOOK = 0.02
_SCHEMA = Path(__file__).resolve().parent.parent / "tests/local/cdsw"


@dataclass(frozen=True)
class Took:
    seconds: float
    megabytes: float


def make_tree(directory: Path, gigabytes: float, files: int) -> None:
    """Projects of a thousand files each; contents as random as pictures and models are."""
    pool = random.Random(1).randbytes(POOL)
    size = int(gigabytes * 1e9 / files)
    for number in range(files):
        place = directory / f"projects/projects/0/{10 + number // 1000}/d{number // 100 % 10}"
        if number % 100 == 0:
            place.mkdir(parents=True)
        with (place / f"file{number}").open("wb") as stream:
            left, at = size, number * 4099 % POOL
            while left > 0:
                piece = pool[at : at + left]
                stream.write(piece)
                left, at = left - len(piece), 0


def make_archive(server: Server, directory: Path, rows: int) -> Path:
    with server.database("cdsw") as name:
        with server.connect(name) as connection:
            connection.execute((_SCHEMA / "schema.sql").read_bytes())
            connection.execute((_SCHEMA / "source_rows.sql").read_bytes())
            connection.execute(
                b"INSERT INTO user_events (id, user_id, ipaddr, event_name, description)"
                b" SELECT 100 + g, 2, '10.0.0.1', 'login', repeat('x', 100) FROM generate_series(1, %d) AS g" % rows
            )
        dump = subprocess.run(
            (str(programs(server.major) / "pg_dump"), name), env=environment(server), check=True, capture_output=True
        )
    (directory / "db.sql").write_bytes(dump.stdout)
    archive = directory / "cml-migration.tar.gz"
    subprocess.run(("tar", "-czf", str(archive), "-C", str(directory), "db.sql", "projects"), check=True)
    shutil.rmtree(directory / "projects")
    (directory / "db.sql").unlink()
    return archive


def environment(server: Server) -> dict[str, str]:
    own = {"PGHOST": server.host, "PGPORT": str(server.port), "PGUSER": "postgres", "PGPASSWORD": PASSWORD}
    return {**os.environ, **own}


def timed(*argv: str, env: dict[str, str] | None = None, text: str = "") -> Took:
    """One program, to its end; its output is dropped."""
    began = time.monotonic()
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env, text=True
    ) as process:
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
        most = 0
        while process.poll() is None:
            most = max(most, largest(process.pid))
            time.sleep(LOOK)
    if process.returncode:
        raise SystemExit(f"{argv[0]} ended with {process.returncode}")
    return Took(time.monotonic() - began, most / 1024)


def largest(pid: int) -> int:
    """The largest resident set so far, in kB; getrusage(2) would count that of the program that forked it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def together(*parts: Took) -> Took:
    return Took(sum(part.seconds for part in parts), max(part.megabytes for part in parts))


def guide(server: Server, database: str, archive: Path, scratch: Path) -> dict[str, Took]:
    """The commands of the guide's script, on directories."""
    unpacked, claim = scratch / "backup", scratch / "claim"
    unpacked.mkdir()
    claim.mkdir()
    own = environment(server)
    psql = str(programs(server.major) / "psql")
    drop = "DROP SCHEMA public CASCADE; DROP SCHEMA feature_flags CASCADE; CREATE SCHEMA public"
    parts = [
        timed("tar", "xzf", str(archive), "-C", str(unpacked)),
        timed("cp", "-rf", str(unpacked / "projects"), str(claim)),
    ]
    if os.geteuid() == 0:
        parts.append(timed("chown", "-R", f"{OWNER}:{OWNER}", str(claim)))
    subprocess.run(("sync", "-f", str(claim)), check=True)
    parts.append(timed(psql, "-q", "-d", database, "-c", drop, env=own))
    parts.append(timed(psql, "-q", "-d", database, "-f", str(unpacked / "db.sql"), env=own))
    return {"guide": together(*parts)}


def ours(server: Server, database: str, archive: Path, scratch: Path) -> dict[str, Took]:
    claim, credentials = scratch / "claim", scratch / "credentials"
    claim.mkdir()
    credentials.mkdir()
    (credentials / "username").write_text("postgres")
    (credentials / "password").write_text(PASSWORD)
    roots = {
        "workspace": str(scratch / "workspace"),
        "source-archive": str(archive.parent),
        "target-projects": str(claim),
        "target-credentials": str(credentials),
    }
    params: dict[str, Any] = {
        "source": {"archive": {"root": "source-archive", "file": archive.name}},
        "target": {
            "database": {"host": server.host, "port": server.port, "database": database},
            "projects": {"root": "target-projects"},
        },
        "administrator": "cmladmin",
        "users": "AdministratorOwnsAll",
        "ownership": {"mode": "Set", "uid": OWNER, "gid": OWNER} if os.geteuid() == 0 else {"mode": "Helper"},
    }

    def worker(name: str) -> Took:
        request = Request(f"cdsw.{name}", "bench", "bench", "bench", name, "all", 1, roots, params)
        argv = (sys.executable, "-m", f"project_migration.workers.cdsw.{name}", "--request", "-")
        took = timed(*argv, text=request.to_json())
        record = Record.from_json((scratch / f"workspace/results/{name}-all.json").read_text())
        if name == "survey" and record.counts["problems"]:
            raise SystemExit(f"survey: {record.facts['problems']}")
        return took

    found = {name: worker(name) for name in ("survey", "files", "save", "load")}
    with server.connect(database) as connection:
        connection.execute((_SCHEMA / "schema_job.sql").read_bytes())
    found |= {name: worker(name) for name in ("adapt", "verify")}
    return {"files and load": together(found["files"], found["load"]), **found}


def measure(server: Server, archive: Path, place: Path, rounds: int) -> dict[str, list[Took]]:
    times: dict[str, list[Took]] = {}
    methods: list[Callable[[Server, str, Path, Path], dict[str, Took]]] = [ours, guide]
    for number in range(rounds):
        for method in methods if number % 2 == 0 else reversed(methods):
            scratch = place / f"{method.__name__}-{number}"
            scratch.mkdir()
            with server.database("target", template="workspace") as name:
                for what, took in method(server, name, archive, scratch).items():
                    times.setdefault(what, []).append(took)
                    print(f"round {number + 1}: {what}: {took.seconds:.1f} s", file=sys.stderr, flush=True)
            shutil.rmtree(scratch)
    return times


def report(archive: Path, files: int, times: dict[str, list[Took]]) -> dict[str, object]:
    size = archive.stat().st_size
    print(f"an archive of {size / 1e9:.2f} GB with {files} files, {os.cpu_count()} cores")
    medians = {what: statistics.median(one.seconds for one in took) for what, took in times.items()}
    for what, took in times.items():
        print(f"{what:16} {medians[what]:7.1f} s   at most {max(one.megabytes for one in took):6.0f} MB")
    ratio = medians["files and load"] / medians["guide"]
    print(f"files and load take {ratio:.2f} of the guide's time")
    figures = {what: [asdict(one) for one in took] for what, took in times.items()}
    return {"bytes": size, "files": files, "took": figures, "ratio": ratio}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=500_000, help="in the database, beside a few")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--directory", type=Path, help="with room for four times the archive")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.directory)))
        server = stack.enter_context(running(MAJOR))
        stack.enter_context(server.database("workspace"))
        with server.connect("workspace") as connection:
            connection.execute((_SCHEMA / "schema.sql").read_bytes())
            connection.execute((_SCHEMA / "target_rows.sql").read_bytes())
        tree = place / "cdsw"
        make_tree(tree, options.gigabytes, options.files)
        archive = make_archive(server, tree, options.rows)
        figures = report(archive, options.files, measure(server, archive, place, options.rounds))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
