"""What the platform asks of the helpers of backup and rollback is what the real ones do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from project_migration.engine.platform import Backing, UnitWork
from project_migration.model.document import Spec
from project_migration.model.endpoints import Volume
from project_migration.platforms.volumes import databases
from project_migration.platforms.volumes.databases import Clearing
from tests.local.postgres import fingerprint
from tests.local.postgres.running import Case
from tools.postgres_servers import Server

KEPT = (Backing("shop", Volume(claim_name="backup")),)


@pytest.fixture
def case(tmp_path: Path, server_15: Server, server_18: Server) -> Iterator[Case]:
    with server_15.database("way_old") as old, server_18.database("way_new") as new:
        with server_15.connect(old) as connection:
            connection.execute("CREATE TABLE item AS SELECT n FROM generate_series(1, 100) AS n")
        yield Case(tmp_path, (server_15, old), (server_18, new))


def a_spec(case: Case, **changes: Any) -> Spec:
    def endpoint(side: tuple[Server, str]) -> dict[str, Any]:
        server, name = side
        return {
            "postgres": {"host": server.host, "port": server.port, "database": name},
            "credentialsRef": {"name": "db"},
        }

    database = {"name": "shop", "source": endpoint(case.source), "target": endpoint(case.target), **changes}
    return Spec.model_validate({"volumes": {"databases": [database]}, "backup": {"waive": "a test"}})


def done(case: Case, work: UnitWork, step: str) -> Any:
    program = work.worker.removeprefix("postgres.")
    return case.good(program, step, **{**work.params, "backup": "backup"})


def test_a_target_comes_back_from_its_dump(case: Case) -> None:
    spec = a_spec(case, replace=True)
    server, name = case.target
    with server.connect(name) as connection:
        connection.execute("CREATE TABLE precious AS SELECT n FROM generate_series(1, 7) AS n")
    before = fingerprint.of_database(*case.target)
    [survey], [backup] = databases.surveys(spec), databases.backups(spec, KEPT)
    assert done(case, survey, "survey").counts["targetEmpty"] == 0
    assert done(case, backup, "back_up").counts["rows"] == 7
    done(case, databases.copies(spec, bandwidth=None, empty=frozenset())[0], "copy")
    assert fingerprint.of_database(*case.target) != before
    [back], [after] = databases.restores(spec, KEPT), databases.after_restores(spec, KEPT)
    done(case, back, "restore")
    done(case, after, "note")
    assert fingerprint.of_database(*case.target) == before


def test_a_target_that_was_empty_is_empty_again(case: Case) -> None:
    spec = a_spec(case)
    before = fingerprint.of_database(*case.target)
    assert done(case, databases.surveys(spec)[0], "survey").counts["targetEmpty"] == 1
    done(case, databases.copies(spec, bandwidth=None, empty=frozenset())[0], "copy")
    assert done(case, databases.clears(spec, Clearing.UNFINISHED)[0], "cancel").counts["takenBack"] == 0
    [back] = databases.restores(spec, (Backing("shop", None),))
    assert done(case, back, "rollback").counts["takenBack"] == 1
    assert fingerprint.of_database(*case.target) == before
