"""A CDSW on PostgreSQL 15, its archive made by the guide's commands, and workspaces on 15 and 18 to move it to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.local.cdsw.running import Case, dump, make_projects, pack, text
from tools.postgres_servers import NoServer, Server, running

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server_15() -> Iterator[Server]:
    yield from _served(15)


@pytest.fixture(scope="session")
def server_18() -> Iterator[Server]:
    yield from _served(18)


def _served(major: int) -> Iterator[Server]:
    try:
        with running(major) as server, server.database("workspace"):
            with server.connect("workspace") as connection:
                connection.execute(text("schema.sql"))
                connection.execute(text("target_rows.sql"))
                connection.execute("GRANT USAGE ON SCHEMA public TO pg_monitor")
                connection.execute("CREATE EXTENSION pg_trgm")
            yield server
    except NoServer as missing:
        pytest.fail(str(missing), pytrace=False)


@dataclass(frozen=True)
class Cdsw:
    server: Server
    database: str
    directory: Path
    """Holds ``db.sql`` and ``projects``."""
    archive: Path

    @property
    def dump(self) -> bytes:
        return (self.directory / "db.sql").read_bytes()


@pytest.fixture(scope="session")
def cdsw(server_15: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cdsw]:
    directory = tmp_path_factory.mktemp("cdsw")
    make_projects(directory)
    with server_15.database("cdsw") as name:
        with server_15.connect(name) as connection:
            connection.execute(text("schema.sql"))
            connection.execute(text("source_rows.sql"))
        (directory / "db.sql").write_bytes(dump(server_15, name))
        archive = pack(directory, tmp_path_factory.mktemp("archive") / "cml-migration.tar.gz")
        yield Cdsw(server_15, name, directory, archive)


@pytest.fixture
def case(tmp_path: Path, server_18: Server, cdsw: Cdsw) -> Iterator[Case]:
    with server_18.database(f"cml_{next(_numbers)}", template="workspace") as name:
        yield Case(tmp_path, server_18, name, cdsw.archive)


@pytest.fixture
def case_15(tmp_path: Path, server_15: Server, cdsw: Cdsw) -> Iterator[Case]:
    with server_15.database(f"cml_{next(_numbers)}", template="workspace") as name:
        yield Case(tmp_path, server_15, name, cdsw.archive)
