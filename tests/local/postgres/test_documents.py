"""A document with databases, run on this machine between real servers: the whole way, and every way it is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.local.postgres import fingerprint
from tests.local.test_run_kept import changing
from tools.postgres_servers import PASSWORD, Server

PROGRAM = (sys.executable, "-m", "project_migration.cli.main")
ROWS = 2000

#: The schema that says whose work a database holds, and what was carried out there.
OURS = "'_project_migration'::regnamespace"


@dataclass
class Site:
    """A pair of directories, a database on each server, Secrets as directories, and the program run on them."""

    path: Path
    source: tuple[Server, str]
    target: tuple[Server, str]
    changes: dict[str, Any] = field(default_factory=dict)
    """Of the database in the document."""
    spec: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.path / "home" / "project-migration" / "ml-shop"

    def secret(self, name: str, **keys: str) -> tuple[str, str]:
        """Makes it, and returns the option that binds it."""
        directory = self.path / "secrets" / name
        directory.mkdir(parents=True, exist_ok=True)
        for key, text in keys.items():
            (directory / key).write_text(text)
        return "--bind", f"secret/{name}={directory}"

    def binds(self, password: str = PASSWORD) -> tuple[str, ...]:
        return (
            *self.secret("db-old", username="postgres", password=PASSWORD),
            *self.secret("db-new", username="postgres", password=password),
        )

    def document(self) -> Path:
        def endpoint(side: tuple[Server, str], secret: str) -> dict[str, Any]:
            server, database = side
            return {
                "postgres": {"host": server.host, "port": server.port, "database": database},
                "credentialsRef": {"name": secret},
            }

        pair = {
            "name": "files",
            "source": {"path": str(self.path / "old")},
            "target": {"path": str(self.path / "new")},
        }
        database = {
            "name": "shop",
            "source": endpoint(self.source, "db-old"),
            "target": endpoint(self.target, "db-new"),
            **self.changes,
        }
        found = {
            "apiVersion": "migration.mlops.dev/v1alpha1",
            "kind": "ProjectMigration",
            "metadata": {"name": "shop", "namespace": "ml"},
            "spec": {"volumes": {"pairs": [pair], "databases": [database]}, "retries": 0, **self.spec},
        }
        path = self.path / "shop.yaml"
        path.write_text(yaml.safe_dump(found))
        return path

    def call(self, verb: str, *binds: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COLUMNS", "XDG"))}
        return subprocess.run(
            (*PROGRAM, verb, str(self.document()), *binds),
            capture_output=True,
            text=True,
            env={**kept, "XDG_STATE_HOME": str(self.path / "home"), "COLUMNS": "200"},
            timeout=200,
            check=False,
        )

    def verb(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        """One that goes on with what the state directory holds."""
        argv = (*PROGRAM, verb, "--state", str(self.state), *words)
        return subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)

    def run(self, *binds: str) -> subprocess.CompletedProcess[str]:
        return self.call("run", *(binds or self.binds()))

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "state.json").read_text())["status"]
        return found

    def target_holds(self, query: str) -> Any:
        server, database = self.target
        with server.connect(database) as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]

    def assert_nothing_was_written(self) -> None:
        assert not (self.path / "new").exists()
        assert self.status().get("firstWriteAt") is None


@pytest.fixture
def site(tmp_path: Path, server_15: Server, server_18: Server) -> Iterator[Site]:
    name = re.sub(r"[^a-z0-9]", "_", tmp_path.name.lower())[-40:]
    with server_15.database(f"old_{name}") as old, server_18.database(f"new_{name}") as new:
        with server_15.connect(old) as connection:
            connection.execute("CREATE TABLE item (id bigint PRIMARY KEY, name text NOT NULL, at timestamptz)")
            fill = "INSERT INTO item SELECT n, 'item ' || n, now() FROM generate_series(1, %s) AS n"
            connection.execute(fill, (ROWS,))
            connection.execute("CREATE VIEW recent AS SELECT * FROM item WHERE id > 1990")
            connection.execute("ANALYZE")
        (tmp_path / "old").mkdir()
        (tmp_path / "old" / "a.txt").write_text("a file beside it\n")
        yield Site(tmp_path, (server_15, old), (server_18, new))


def passwords_below(path: Path, secrets: Path) -> list[Path]:
    """Files that hold the password in plain, or as a Python or JSON text, other than the Secrets themselves."""
    forms = {PASSWORD.encode(), json.dumps(PASSWORD)[1:-1].encode(), repr(PASSWORD)[1:-1].encode()}
    files = [file for file in path.rglob("*") if file.is_file() and secrets not in file.resolve().parents]
    return [file for file in files if any(form in file.read_bytes() for form in forms)]


def test_a_pair_and_a_database_arrive_and_a_second_run_says_that_it_is_done(site: Site) -> None:
    done = site.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (site.path / "new" / "a.txt").read_text() == "a file beside it\n"
    assert site.target_holds("SELECT count(*) FROM item") == ROWS
    assert site.target_holds("SELECT count(*) FROM recent") == 10
    units = {step["id"]: {unit["name"]: unit for unit in step.get("units", ())} for step in site.status()["steps"]}
    assert units["preflight"]["shop"]["counts"]["targetEmpty"] == 1
    assert units["copy"]["shop"]["counts"]["rows"] == ROWS
    assert units["verify"]["shop"]["digest"].startswith("sha256:")
    assert "shop: 2,000 rows, " in done.stdout
    again = site.run()
    assert again.returncode == 0, again.stdout + again.stderr
    assert "arrived" in again.stdout + again.stderr
    said = done.stdout + done.stderr + again.stdout + again.stderr
    assert PASSWORD not in said
    assert passwords_below(site.path, site.path / "secrets") == []


def test_a_target_is_looked_at_again_as_its_report_says(site: Site) -> None:
    assert site.run().returncode == 0
    report = str(site.state / "workspace" / "report.html")

    def verify() -> subprocess.CompletedProcess[str]:
        argv = (*PROGRAM, "verify", report, "--state", str(site.state))
        return subprocess.run(argv, capture_output=True, text=True, timeout=200, check=False)

    done = verify()
    assert done.returncode == 0, done.stdout + done.stderr
    server, database = site.target
    with server.connect(database) as connection:
        connection.execute("DELETE FROM item WHERE id = 5")
    (site.path / "new" / "theirs.txt").write_text("new\n")
    done = verify()
    assert done.returncode == 1, done.stdout + done.stderr
    assert "shop: different: rows public.item" in done.stdout
    assert passwords_below(site.path, site.path / "secrets") == []


def test_a_plan_shows_rows_and_bytes_and_writes_nothing(site: Site) -> None:
    done = site.call("plan", *site.binds())
    assert done.returncode == 0, done.stdout + done.stderr
    [row] = [line for line in done.stdout.splitlines() if line.split()[:1] == ["shop"]]
    assert "2,000 rows" in row
    assert "KiB" in row
    assert site.target_holds("SELECT count(*) FROM pg_class WHERE relname = 'item'") == 0
    assert not (site.path / "new").exists()


def test_a_wrong_password_is_told_and_nothing_is_written(site: Site) -> None:
    wrong = "not the password at all"
    done = site.run(*site.binds(password=wrong))
    assert done.returncode == 1
    assert "AuthenticationFailed" in done.stdout + done.stderr
    assert "shop: target: " in done.stdout + done.stderr
    site.assert_nothing_was_written()
    assert wrong not in done.stdout + done.stderr
    assert not [f for f in site.state.rglob("*") if f.is_file() and wrong.encode() in f.read_bytes()]


def test_what_was_refused_goes_through_once_it_is_mended(site: Site) -> None:
    assert site.run(*site.binds(password="wrong for now")).returncode == 1
    done = site.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.target_holds("SELECT count(*) FROM item") == ROWS


def test_a_target_that_holds_something_is_refused_and_left_as_it_is(site: Site) -> None:
    server, database = site.target
    with server.connect(database) as connection:
        connection.execute("CREATE TABLE precious AS SELECT 1 AS one")
    done = site.run()
    assert done.returncode == 1
    assert "TargetNotEmpty" in done.stdout + done.stderr
    assert "precious" in done.stdout + done.stderr
    assert site.target_holds("SELECT one FROM precious") == 1
    site.assert_nothing_was_written()


def test_a_target_is_replaced_when_the_document_says_so_twice(site: Site) -> None:
    server, database = site.target
    with server.connect(database) as connection:
        connection.execute("CREATE TABLE old_try AS SELECT 1 AS one")
    site.changes["replace"] = True
    refused = site.run()
    assert refused.returncode == 2
    assert "spec.volumes.databases[0].replace: it needs spec.backup" in refused.stderr
    site.spec["backup"] = {"waive": "an earlier try"}
    done = site.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.target_holds("SELECT count(*) FROM item") == ROWS
    assert site.target_holds("SELECT count(*) FROM pg_class WHERE relname = 'old_try'") == 0


def test_a_database_that_does_not_exist_is_named(site: Site) -> None:
    site.target = (site.target[0], "no_such_database")
    done = site.run()
    assert done.returncode == 1
    assert "DatabaseNotFound" in done.stdout + done.stderr
    assert "no_such_database" in done.stdout + done.stderr
    site.assert_nothing_was_written()


def test_a_server_that_does_not_speak_tls_is_refused_where_tls_is_wanted(site: Site) -> None:
    server, database = site.target
    site.changes["target"] = {
        "postgres": {"host": server.host, "port": server.port, "database": database, "sslmode": "require"},
        "credentialsRef": {"name": "db-new"},
    }
    done = site.run()
    assert done.returncode == 1
    assert "TLSFailed" in done.stdout + done.stderr
    site.assert_nothing_was_written()


def test_everything_that_is_wrong_is_said_at_once(site: Site) -> None:
    (site.path / "old" / "a.txt").unlink()
    (site.path / "old").rmdir()
    site.target = (site.target[0], "no_such_database")
    done = site.run()
    assert done.returncode == 1
    assert "files: source directory" in done.stdout + done.stderr
    assert "no_such_database" in done.stdout + done.stderr


def test_a_secret_that_is_not_bound_is_named_by_its_field_and_option(site: Site) -> None:
    done = site.run(*site.secret("db-old", username="postgres", password=PASSWORD))
    assert done.returncode == 2
    assert "spec.volumes.databases[0].target.credentialsRef.name: this machine has no Secret db-new" in done.stderr
    assert "--bind secret/db-new=DIRECTORY" in done.stderr


def test_a_secret_without_a_key_is_named_by_the_key(site: Site) -> None:
    binds = (*site.secret("db-old", username="postgres", password=PASSWORD), *site.secret("db-new", username="me"))
    done = site.run(*binds)
    assert done.returncode == 2
    assert "holds no file password" in done.stderr


def a_used_target(site: Site) -> str:
    """What users of the target database have; some of it is in the way. Its fingerprint."""
    server, name = site.target
    with server.connect(name) as connection:
        connection.execute("CREATE TABLE item (theirs text)")
        connection.execute("INSERT INTO item VALUES ('nobody else has this')")
    site.changes["replace"] = True
    site.spec["backup"] = {"path": str(site.path / "backup")}
    return fingerprint.of_database(server, name)


def test_files_and_database_are_put_back_together_when_one_of_them_fails(site: Site) -> None:
    before = a_used_target(site)
    with changing(site.path / "old" / "log"):
        done = site.run()
    assert done.returncode == 1
    assert "The target was put back as it was" in done.stdout, done.stdout + done.stderr
    assert fingerprint.of_database(*site.target) == before
    assert list((site.path / "new").iterdir()) == []


def test_an_empty_database_is_empty_again_when_the_files_fail(site: Site) -> None:
    before = fingerprint.of_database(*site.target)
    with changing(site.path / "old" / "log"):
        done = site.run()
    assert done.returncode == 1
    assert "The target was put back as it was" in done.stdout, done.stdout + done.stderr
    assert fingerprint.of_database(*site.target) == before


def test_an_undo_gives_the_users_of_a_database_back_what_they_had(site: Site) -> None:
    before = a_used_target(site)
    done = site.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.target_holds("SELECT count(*) FROM item") == ROWS
    assert site.target_holds(f"SELECT count(*) FROM pg_class WHERE relnamespace = {OURS}") == 0
    assert site.target_holds(f"SELECT obj_description({OURS}, 'pg_namespace')").startswith('{"document": ["sha256:')
    undone = site.verb("undo")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert fingerprint.of_database(*site.target) == before
    assert list((site.path / "new").iterdir()) == []
    assert site.target_holds("SELECT count(*) FROM pg_namespace WHERE nspname = '_project_migration'") == 0


def forgotten(site: Site) -> str:
    """This machine forgets the migration; the target's users go on. The database's fingerprint."""
    done = site.verb("forget")
    assert done.returncode == 0, done.stderr
    server, name = site.target
    with server.connect(name) as connection:
        connection.execute("INSERT INTO item VALUES (-1, 'since then', now())")
    (site.path / "new" / "since").write_text("nobody else has this")
    return fingerprint.of_database(server, name)


def test_a_document_that_was_carried_out_does_not_replace_what_users_have_since(site: Site) -> None:
    a_used_target(site)
    assert site.run().returncode == 0
    before = forgotten(site)
    again = site.run()
    assert again.returncode == 0, again.stdout + again.stderr
    assert "was carried out before" in again.stdout
    assert site.status()["phase"] == "AlreadyMigrated"
    assert fingerprint.of_database(*site.target) == before
    assert (site.path / "new" / "since").exists()
    site.spec["force"] = "again"
    forced = site.run()
    assert forced.returncode == 0, forced.stdout + forced.stderr
    assert site.target_holds("SELECT count(*) FROM item") == ROWS
    dumps = list((site.path / "backup").rglob("toc.dat"))
    assert len(dumps) == 2, "of what was there before either"


def test_a_target_in_use_without_a_mark_on_the_files_is_judged_as_ever(site: Site) -> None:
    assert site.run().returncode == 0
    before = forgotten(site)
    shutil.rmtree(site.path / "new" / ".project-migration")
    again = site.run()
    assert (again.returncode, "TargetNotEmpty" in again.stdout) == (1, True)
    assert fingerprint.of_database(*site.target) == before


def test_what_a_target_says_is_not_copied_on_nor_in_the_way(site: Site) -> None:
    assert site.run().returncode == 0
    assert site.verb("forget").returncode == 0
    server, name = site.target
    with server.connect(name) as connection:
        connection.execute("DROP TABLE item CASCADE")
    shutil.rmtree(site.path / "new")
    site.changes["excludeTableData"] = ["nothing"]
    done = site.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.target_holds("SELECT count(*) FROM item") == ROWS
    with server.database(f"{name[:50]}_next") as further:
        site.verb("forget")
        site.source, site.target = (server, name), (server, further)
        shutil.rmtree(site.path / "new")
        done = site.run()
        assert done.returncode == 0, done.stdout + done.stderr
        assert site.target_holds("SELECT count(*) FROM item") == ROWS
        said = site.target_holds(f"SELECT obj_description({OURS}, 'pg_namespace')")
        assert len(json.loads(said)["document"]) == 1
