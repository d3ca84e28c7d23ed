"""Four servers a session: the source is filled once and only read, the others are targets, one behind a login."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.local.mlflow_api.rest import Rest
from tools import mlflow_servers
from tools.postgres_servers import NoServer

HERE = Path(__file__).parent
ADMIN, PASSWORD = "admin", "a long enough password"
PREFIX = "/old"
NAMES = ("source", "target", "second", "guarded")


@dataclass(frozen=True)
class Population:
    experiments: dict[str, str]
    runs: dict[str, str]
    model: str
    trace: str
    dataset: str


@dataclass(frozen=True)
class Servers:
    root: Path
    source: Rest
    target: Rest
    second: Rest
    guarded: Rest
    population: Population

    def artifacts(self, name: str) -> Path:
        return self.root / name / "artifacts"

    def look(self, server: Rest, place: Path) -> dict[str, Any]:
        """With MLflow's own client."""
        return last_line(mlflow_servers.run(HERE / "looking.py", server.url, str(place)))


def last_line(text: str) -> dict[str, Any]:
    """As JSON; before it MLflow's client says where its runs can be looked at."""
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    root = tmp_path_factory.mktemp("mlflow")
    more: tuple[dict[str, Any], ...] = ({}, {"prefix": PREFIX}, {}, _guarded(root / "guarded"))
    contexts = [_served(root / name, **one) for name, one in zip(NAMES, more, strict=True)]
    with ExitStack() as stack, ThreadPoolExecutor() as threads:
        starts = [threads.submit(context.__enter__) for context in contexts]  # together: a start is mostly waiting
        addresses = []
        for context, start in zip(contexts, starts, strict=True):
            try:
                addresses.append(start.result())
            except NoServer as missing:
                pytest.fail(str(missing), pytrace=False)
            stack.push(context.__exit__)
        source, target, second, guarded = addresses
        made = last_line(mlflow_servers.run(HERE / "population.py", source))
        _quickly_checked(root / "guarded" / "auth.db")
        login = Rest(guarded, (ADMIN, PASSWORD))
        yield Servers(root, Rest(source), Rest(target), Rest(second), login, Population(**made))


def _served(place: Path, **more: Any) -> AbstractContextManager[str]:
    place.mkdir(exist_ok=True)
    return mlflow_servers.serving(f"sqlite:///{place}/mlflow.db", place / "artifacts", place, **more)


def _quickly_checked(database: Path) -> None:
    """The same password, kept under a hash that takes no time: the server's own is checked in each request, for a tenth
    of a second of a processor. ``METHOD:DIGEST:ITERATIONS$SALT$HASH`` as werkzeug.security reads it."""
    hashed = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), b"salt", 1).hex()
    connection = sqlite3.connect(database)
    with connection:
        said = ("UPDATE users SET password_hash = ? WHERE username = ?", (f"pbkdf2:sha256:1$salt${hashed}", ADMIN))
        assert connection.execute(*said).rowcount == 1
    connection.close()


def _guarded(place: Path) -> dict[str, Any]:
    """Behind MLflow's own login."""
    place.mkdir()
    config = place / "auth.ini"
    config.write_text(
        f"[mlflow]\ndefault_permission = MANAGE\ndatabase_uri = sqlite:///{place}/auth.db\n"
        f"admin_username = {ADMIN}\nadmin_password = {PASSWORD}\n"
    )
    return {
        "options": ("--app-name", "basic-auth"),
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "only for tests",
    }
