"""Real tracking servers on loopback, each with its own SQLite file and artifact directory."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

SECONDS = 120
ADMIN, PASSWORD = "admin", "a long enough password"

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
QUIET["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"


@dataclass
class Server:
    directory: Path
    port: int
    auth: bool = False
    prefix: str = ""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    @property
    def artifacts(self) -> Path:
        return self.directory / "artifacts"

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        argv += ["--backend-store-uri", f"sqlite:///{self.directory}/mlflow.db", "--workers", "1"]
        argv += ["--artifacts-destination", str(self.artifacts)]
        if self.prefix:
            argv += ["--static-prefix", self.prefix]
        environment = {**os.environ, **QUIET}
        if self.auth:
            argv += ["--app-name", "basic-auth"]
            environment |= self._auth()
        with (self.directory / "server.log").open("wb") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, env=environment, cwd=self.directory)

    def _auth(self) -> dict[str, str]:
        config = self.directory / "auth.ini"
        config.write_text(
            f"[mlflow]\ndefault_permission = MANAGE\ndatabase_uri = sqlite:///{self.directory}/auth.db\n"
            f"admin_username = {ADMIN}\nadmin_password = {PASSWORD}\n"
        )
        return {
            "MLFLOW_AUTH_CONFIG_PATH": str(config),
            "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "only for tests",
        }

    def wait(self) -> None:
        for _ in range(SECONDS * 4):
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"{self.url}/health", timeout=5).ok:
                    return
            if self.process is not None and self.process.poll() is not None:
                break
            time.sleep(0.25)
        raise AssertionError(f"no server:\n{(self.directory / 'server.log').read_text()[-3000:]}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextmanager
def running(*servers: Server) -> Iterator[None]:
    """Started together: most of a start is waiting for imports and tables."""
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.wait()
        yield
    finally:
        for server in servers:
            server.stop()
            shutil.rmtree(server.directory, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
