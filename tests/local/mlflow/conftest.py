"""Populated by a real server once a session; new databases are copies of one that MLflow made."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.local.mlflow.buckets import Bucket
from tests.local.mlflow.running import SCRIPTS, Base, Case, copied, look, mariadb_base, postgres_base, sqlite_base
from tools import mariadb_servers, mlflow_servers, object_store
from tools.postgres_servers import NoServer, Server, running

ARTIFACTS = "mlflow-artifacts:/"


@dataclass(frozen=True)
class Populated:
    base: Base
    made: dict[str, Any]
    artifacts: Path


@pytest.fixture(scope="session")
def populated(tmp_path_factory: pytest.TempPathFactory) -> Populated:
    """One of everything, and the server stopped. Given to a test that only reads it."""
    directory = tmp_path_factory.mktemp("populated")
    database = directory / "mlflow.db"
    try:
        with mlflow_servers.serving(f"sqlite:///{database}", directory / "artifacts", directory / "server") as address:
            said = mlflow_servers.run(SCRIPTS / "population.py", address)
    except NoServer as missing:
        pytest.fail(str(missing), pytrace=False)
    made = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    assert made["failed"] == []
    return Populated(sqlite_base(database), made, directory / "artifacts")


@pytest.fixture(scope="session")
def seen(populated: Populated, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the client finds in the source; in a copy, as looking makes an experiment."""
    return look(copied(populated.base, tmp_path_factory.mktemp("seen") / "mlflow.db"), populated.made)


@pytest.fixture(scope="session")
def new_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Base:
    path = tmp_path_factory.mktemp("new") / "mlflow.db"
    _initialise(sqlite_base(path))
    return sqlite_base(path)


def _initialise(base: Base) -> None:
    try:
        mlflow_servers.initialise(base.uri, ARTIFACTS)
    except NoServer as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    try:
        with running(18) as server:
            yield server
    except NoServer as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture(scope="session")
def new_postgres(postgres: Server) -> Iterator[str]:
    """The name of a database to make others from."""
    with postgres.database("new") as name:
        _initialise(postgres_base(postgres, name))
        yield name


@pytest.fixture
def postgres_target(postgres: Server, new_postgres: str) -> Iterator[Base]:
    with postgres.database(f"target_{os.getpid()}_{time.monotonic_ns()}", template=new_postgres) as name:
        yield postgres_base(postgres, name)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[mariadb_servers.MariaServer]:
    try:
        with mariadb_servers.running() as server:
            yield server
    except NoServer as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture(scope="session")
def new_mariadb(mariadb: mariadb_servers.MariaServer) -> Iterator[str]:
    """The name of a database to make others from."""
    with mariadb.database("new") as name:
        _initialise(mariadb_base(mariadb, name))
        yield name


@pytest.fixture
def mariadb_target(mariadb: mariadb_servers.MariaServer, new_mariadb: str) -> Iterator[Base]:
    with mariadb.database("target") as name:
        mariadb.fill(name, new_mariadb)
        yield mariadb_base(mariadb, name)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object_store.ObjectStore]:
    try:
        with object_store.serving(tmp_path_factory.mktemp("s3")) as store:
            yield store
    except NoServer as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture
def bucket(s3: object_store.ObjectStore) -> Bucket:
    return Bucket.new(s3)


@pytest.fixture
def other_bucket(s3: object_store.ObjectStore) -> Bucket:
    return Bucket.new(s3)


@pytest.fixture
def case(tmp_path: Path, populated: Populated, new_sqlite: Base) -> Case:
    """From what was populated to a new SQLite database."""
    return Case(tmp_path, populated.base, copied(new_sqlite, tmp_path / "target" / "mlflow.db"))
