"""A real MLflow tracking server on the loopback that outlives who started it, for the demo.

As a program it is what ``--bind deployment/NAME=exec/PROGRAM`` asks for: ``status`` prints how many run, ``stop``,
``start N``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from tools import mlflow_servers

START_SECONDS = 120.0
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class MlflowServer:
    """A server with a SQLite database and its files below one directory: ``mlflow.db`` and ``mlartifacts``."""

    home: Path
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """Of the running server; None when none runs."""
        try:
            pid = int((self.home / "server.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if b"mlflow" in command else None

    def start(self) -> None:
        """Returns when it answers. Raises ``RuntimeError`` with the end of its log when it does not."""
        process = None
        if self.pid is None:
            (self.home / "mlartifacts").mkdir(parents=True, exist_ok=True)
            with (self.home / "server.log").open("ab") as log:
                process = subprocess.Popen(
                    self._command(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.home,
                    # nothing runs jobs here, and what would run them costs as much as the server
                    env=mlflow_servers.environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"),
                    start_new_session=True,
                )
            (self.home / "server.pid").write_text(str(process.pid))
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self._answers():
                return
            # not `pid`: a process that has just begun has no command line for a moment
            if process is not None and process.poll() is not None:
                break
            time.sleep(0.2)
        raise RuntimeError(f"{self.address} does not answer: {(self.home / 'server.log').read_text()[-2000:]}")

    def stop(self) -> None:
        """Returns when all its processes have ended."""
        pid = self.pid
        if pid is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            _signal(pid, number)
            until = time.monotonic() + STOP_SECONDS
            while time.monotonic() < until:
                if not _group_lives(pid):
                    (self.home / "server.pid").unlink(missing_ok=True)
                    return
                time.sleep(0.1)
        raise RuntimeError(f"the server at {self.address} does not end")

    def call(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """One call of the REST API. Raises ``URLError``."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(  # noqa: S310 - a loopback address of our own
            f"{self.address}/api/2.0/mlflow/{path}", data, {"Content-Type": "application/json"}, method=method
        )
        with urlopen(request, timeout=60) as answer:  # noqa: S310
            found = json.load(answer)
        return dict(found)

    def put(self, path: str, content: bytes) -> None:
        """Stores a file through the server. Raises ``URLError``."""
        address = f"{self.address}/api/2.0/mlflow-artifacts/artifacts/{path}"
        with urlopen(Request(address, content, method="PUT"), timeout=60):  # noqa: S310
            pass

    def _command(self) -> tuple[str, ...]:
        return (
            *(mlflow_servers.python(), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--backend-store-uri", f"sqlite:///{self.home}/mlflow.db"),
            *("--serve-artifacts", "--artifacts-destination", str(self.home / "mlartifacts"), "--workers", "1"),
        )

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.address}/health", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (OSError, URLError):
            return False


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _group_lives(group: int) -> bool:
    """Whether a process of the group is more than a remainder that nobody has waited for."""
    with contextlib.suppress(OSError):
        os.waitpid(-group, os.WNOHANG)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                return True
    return False


def main() -> int:
    home, port, verb = sys.argv[1:4]
    server = MlflowServer(Path(home), int(port))
    match verb:
        case "status":
            print(int(server.pid is not None))
        case "stop":
            server.stop()
        case "start":
            server.start()
    return 0


if __name__ == "__main__":
    sys.exit(main())
