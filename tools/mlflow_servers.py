"""Real MLflow for tests and benchmarks: servers, new databases, and scripts that use its client.

MLflow lives in an environment of its own, ``.venv-servers`` (``tools/servers.sh``); nothing of it is imported here.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tools.postgres_servers import NoServer

PYTHON = Path(__file__).resolve().parents[1] / ".venv-servers" / "bin" / "python"
READY_SECONDS = 90.0
SCRIPT_SECONDS = 180.0

#: Where ``net.ipv4.ip_local_port_range`` begins (ip(7)).
FIRST_OF_KERNEL = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def python() -> str:
    if not PYTHON.exists():
        raise NoServer("MLflow is missing: run `sh tools/servers.sh`, which makes .venv-servers")
    return str(PYTHON)


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PG"))}
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
    return kept | quiet | {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"} | more


def run(script: Path, *arguments: str) -> str:
    """Runs a script with MLflow in reach; what it printed."""
    argv = (python(), str(script), *arguments)
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, timeout=SCRIPT_SECONDS, env=environment(), cwd="/"
    )
    if done.returncode:
        raise NoServer(f"{script.name} failed:\n{done.stderr[-4000:]}")
    return done.stdout


def initialise(uri: str, artifacts: str) -> None:
    """Makes a database as MLflow's server does at its first start: its tables, and the experiment ``Default``.

    ``uri``: SQLAlchemy's; ``artifacts``: what the server calls its artifact root.
    """
    _code(
        "import sys; from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore;"
        " SqlAlchemyStore(sys.argv[1], sys.argv[2])",
        uri,
        artifacts,
    )


def initialise_at(uri: str, revision: str) -> None:
    """Makes the tables that an older release would have made; ``revision`` is Alembic's."""
    _code(
        "import sys, sqlalchemy; from alembic import command;"
        " from mlflow.store.db.utils import _get_alembic_config;"
        " from mlflow.store.tracking.dbmodels.initial_models import Base;"
        " Base.metadata.create_all(sqlalchemy.create_engine(sys.argv[1]));"
        " command.upgrade(_get_alembic_config(sys.argv[1]), sys.argv[2])",
        uri,
        revision,
    )


def initialise_users_at(uri: str, revision: str) -> None:
    """Makes the tables of the basic-auth app that an older release would have made; ``revision`` is Alembic's."""
    _code(
        "import sys; from alembic.command import upgrade; from mlflow.server.auth.db.utils import _get_alembic_config;"
        " upgrade(_get_alembic_config(sys.argv[1]), sys.argv[2])",
        uri,
        revision,
    )


def upgrade(uri: str) -> None:
    """``mlflow db upgrade``, as an administrator runs it; ``uri``: SQLAlchemy's."""
    argv = (python(), "-m", "mlflow", "db", "upgrade", uri)
    subprocess.run(argv, check=True, capture_output=True, timeout=SCRIPT_SECONDS, env=environment(), cwd="/")


def _code(code: str, *arguments: str) -> None:
    argv = (python(), "-c", code, *arguments)
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, timeout=SCRIPT_SECONDS, env=environment(), cwd="/"
    )
    if done.returncode:
        raise NoServer(f"MLflow cannot make its tables:\n{done.stderr[-3000:]}")


@contextlib.contextmanager
def serving(
    backend: str, artifacts: Path, scratch: Path, *, options: tuple[str, ...] = (), prefix: str = "", **variables: str
) -> Iterator[str]:
    """A tracking server on loopback that hands out artifacts itself; its address. Ended with all its processes.

    ``prefix`` stands before every path, as with a proxy in front; ``variables`` are of its environment.
    """
    port = low_port()
    if prefix:
        options = (*options, "--static-prefix", prefix)
    argv = (
        *(python(), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", backend, "--artifacts-destination", str(artifacts), "--serve-artifacts"),
        *options,
    )
    scratch.mkdir(parents=True, exist_ok=True)
    address = f"http://127.0.0.1:{port}{prefix}"
    # nothing runs jobs here, and what would run them costs as much as the server
    settings = environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", **variables)
    with (scratch / "server.log").open("ab") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=scratch, env=settings, start_new_session=True)
    try:
        wait(process, f"{address}/health", scratch / "server.log", "MLflow's server")
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(15)


def low_port() -> int:
    """A free one below those that the kernel gives to connections, which take seconds less than a server."""
    while True:
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("127.0.0.1", random.randrange(4_000, FIRST_OF_KERNEL)))  # noqa: S311 - no secret
            return int(trial.getsockname()[1])


def wait(process: subprocess.Popen[bytes], address: str, log: Path, what: str) -> None:
    """Until the server answers at ``address``. Raises ``NoServer`` with the end of its log when it does not."""
    deadline = time.monotonic() + READY_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        with contextlib.suppress(urllib.error.URLError, OSError):
            opener.open(address, timeout=2).close()
            return
        if time.monotonic() > deadline or process.poll() is not None:
            raise NoServer(f"{what} does not answer:\n{log.read_text()[-3000:]}")
        time.sleep(0.1)
