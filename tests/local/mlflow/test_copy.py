"""A whole tracking database goes to a new one, whatever servers they are, and MLflow finds everything there."""

from __future__ import annotations

from pathlib import Path

from tests.local.mlflow.conftest import Populated
from tests.local.mlflow.running import Base, Case, copied, look

ALL = {"select": {"experiments": {"include": ["*"], "lifecycle": "All"}}}


def _alike(found: dict[str, object], seen: dict[str, object]) -> None:
    assert [hook[1] for hook in found.pop("webhooks")] == ["DISABLED"]  # type: ignore[attr-defined]
    expected = {name: value for name, value in seen.items() if name != "webhooks"}
    assert found == expected


def test_a_sqlite_database_arrives_in_a_new_one(case: Case, populated: Populated, seen: dict[str, object]) -> None:
    before = Path(populated.base.root or "", "mlflow.db").read_bytes()
    proof = case.migrate(**ALL)
    assert proof.counts["missing"] == proof.counts["different"] == proof.counts["extra"] == 0
    _alike(look(case.target, populated.made), seen)
    assert Path(populated.base.root or "", "mlflow.db").read_bytes() == before


def test_a_sqlite_database_arrives_on_postgresql_and_comes_back(
    tmp_path: Path, populated: Populated, postgres_target: Base, new_sqlite: Base, seen: dict[str, object]
) -> None:
    there = Case(tmp_path / "there", populated.base, postgres_target).migrate(**ALL)
    back = Case(tmp_path / "back", postgres_target, copied(new_sqlite, tmp_path / "back" / "t" / "mlflow.db"))
    assert back.migrate(**ALL).digest == there.digest
    _alike(look(postgres_target, populated.made), seen)
    _alike(look(back.target, populated.made), seen)


def test_a_sqlite_database_arrives_on_mariadb_and_comes_back(
    tmp_path: Path, populated: Populated, mariadb_target: Base, new_sqlite: Base, seen: dict[str, object]
) -> None:
    Case(tmp_path / "there", populated.base, mariadb_target).migrate(**ALL)
    back = Case(tmp_path / "back", mariadb_target, copied(new_sqlite, tmp_path / "back" / "t" / "mlflow.db"))
    back.migrate(**ALL)
    _alike(look(back.target, populated.made), seen)


def test_a_postgresql_database_arrives_on_another(
    tmp_path: Path, populated: Populated, postgres_target: Base, postgres: object, new_postgres: str
) -> None:
    from tests.local.mlflow.running import postgres_base
    from tools.postgres_servers import Server

    assert isinstance(postgres, Server)
    first = Case(tmp_path / "first", populated.base, postgres_target).migrate(**ALL)
    with postgres.database("second", template=new_postgres) as name:
        case = Case(tmp_path / "second", postgres_target, postgres_base(postgres, name))
        assert case.migrate(**ALL).digest == first.digest
