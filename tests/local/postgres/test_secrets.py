"""Passwords made up for this test are on no disk, in no command line and no environment, but in the Secrets."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.local.postgres.test_documents import Site, a_used_target, site
from tests.planted import Processes, files_below, places_of
from tools.postgres_servers import Server

__all__ = ["site"]


@contextmanager
def a_user(server: Server, name: str, password: str) -> Iterator[None]:
    with server.connect() as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{password}'".encode())
        try:
            yield
        finally:
            connection.execute(f"REASSIGN OWNED BY {name} TO postgres; DROP ROLE {name}".encode())


def test_a_migration_and_its_undo_leave_no_password_behind(site: Site) -> None:
    words = {side: secrets.token_hex(12) for side in ("old", "new")}
    a_used_target(site)
    with site.source[0].connect(site.source[1]) as connection:
        connection.execute(b"CREATE TABLE much AS SELECT n, md5(n::text) FROM generate_series(1, 100000) AS n")
    site.spec["transfer"] = {"bandwidth": "4Mi"}  # so that psql, which large tables have, runs long enough to be seen
    site.changes["owners"] = site.changes["privileges"] = "Drop"
    with ExitStack() as stack:
        for side, (server, _) in (("old", site.source), ("new", site.target)):
            stack.enter_context(a_user(server, f"mover_{side}", words[side]))
        binds = [site.secret(f"db-{side}", username=f"mover_{side}", password=word) for side, word in words.items()]
        processes = stack.enter_context(Processes())
        done = site.run(*(word for bind in binds for word in bind))
        assert done.returncode == 0, done.stdout + done.stderr
        undone = site.verb("undo")
        assert undone.returncode == 0, undone.stdout + undone.stderr
        report = site.verb("report", "--output", "-")
        assert "<html" in report.stdout, report.stderr
        with site.target[0].connect(site.target[1]) as connection:
            connection.execute(b"REASSIGN OWNED BY mover_new TO postgres")
    for program in ("postgres.copy", "postgres.dump", "postgres.restore", "pg_dump", "pg_restore", "psql"):
        assert processes.ran(program), program
    left = [(name, text) for name, text in files_below(site.path) if not name.startswith("secrets/")]
    assert any("backup/" in name for name, _ in left)
    assert any(name.startswith("home/") for name, _ in left)
    said = [(what, text.encode()) for what in ("stdout", "stderr") for text in (getattr(done, what),)]
    said += [("undo", (undone.stdout + undone.stderr).encode()), ("report", (report.stdout + report.stderr).encode())]
    assert places_of(words.values(), [*left, *said, *processes.texts()]) == []
    held = [(name, text) for name, text in files_below(site.path) if name.startswith("secrets/")]
    assert places_of(words.values(), held) == ["secrets/db-new/password", "secrets/db-old/password"]
