"""Two servers a session, 15 and 18, with the roles that the hard database needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.local.postgres import hard_schema
from tools.postgres_servers import NoServer, Server, running


@pytest.fixture(scope="session")
def server_15() -> Iterator[Server]:
    yield from _served(15)


@pytest.fixture(scope="session")
def server_18() -> Iterator[Server]:
    yield from _served(18)


def _served(major: int) -> Iterator[Server]:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(running(major))
        except NoServer as missing:
            pytest.fail(str(missing), pytrace=False)
        with server.connect() as connection:
            hard_schema.create_roles(connection)
        yield server


@pytest.fixture(scope="session")
def hard_15(server_15: Server) -> Iterator[str]:
    yield from _filled(server_15)


@pytest.fixture(scope="session")
def hard_18(server_18: Server) -> Iterator[str]:
    yield from _filled(server_18)


def _filled(server: Server) -> Iterator[str]:
    with server.database("hard") as name:
        with server.connect(name) as connection:
            hard_schema.fill(connection)
        yield name
