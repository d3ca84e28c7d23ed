"""Into a server in use: numbers make way, names are resolved as the document says, nothing of the target's goes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.local.mlflow.conftest import Populated
from tests.local.mlflow.running import Base, Case, copied, look, postgres_base, sqlite_base
from tools import mlflow_servers
from tools.postgres_servers import Server

HEX = "0123456789abcdef"

#: A target with experiments and a model of its own; the numbers 1 and 2 are taken.
OWN = """
INSERT INTO experiments (experiment_id, name, workspace, artifact_location, lifecycle_stage) VALUES
    (1, 'theirs', 'default', 'mlflow-artifacts:/1', 'active'), (2, 'nlp', 'default', 'mlflow-artifacts:/2', 'active');
INSERT INTO experiment_tags (experiment_id, `key`, value) VALUES (2, 'team', 'b');
INSERT INTO runs (run_uuid, name, status, lifecycle_stage, artifact_uri, experiment_id, start_time) VALUES
    ('ffffffffffffffffffffffffffffffff', 'own', 'FINISHED', 'active', 'mlflow-artifacts:/1/f/artifacts', 1, 5),
    ('eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee', 'own default', 'FINISHED', 'active', 'mlflow-artifacts:/0/e/artifacts', 0, 5);
INSERT INTO registered_models (workspace, name, creation_time, description)
    VALUES ('default', 'classifier', 1, 'theirs');
INSERT INTO model_versions (workspace, name, version, creation_time, source, current_stage, status)
    VALUES ('default', 'classifier', 1, 1, 's3://theirs', 'None', 'READY');
INSERT INTO registered_model_aliases (workspace, name, alias, version) VALUES ('default', 'classifier', 'champion', 1);
"""


def own(base: Base) -> Base:
    base.run(*(statement for statement in OWN.split(";\n") if statement.strip()))
    return base


@pytest.fixture
def used(case: Case) -> Case:
    own(case.target)
    return case


def test_numbers_make_way_and_names_meet(used: Case, populated: Populated) -> None:
    before = dict(used.target.rows("SELECT run_uuid, name FROM runs"))
    proof = used.migrate()
    target = used.target
    names = dict(target.rows("SELECT name, experiment_id FROM experiments"))
    assert names["theirs"] == 1
    assert names["nlp"] == 2  # merged into the one of that name
    assert names["vision/classify"] > 5
    assert names["büro straße ✓"] == 3  # a number that was free is kept
    assert names["Default (from moved)"] > 5
    made = populated.made
    where = dict(target.rows("SELECT run_uuid, experiment_id FROM runs"))
    assert where[made["child"]] == names["vision/classify"]
    assert where[made["still"]] == 2
    assert where[made["default"]] == names["Default (from moved)"]
    assert {run: where[run] for run in before} == {"f" * 32: 1, "e" * 32: 0}
    assert target.rows("SELECT value FROM experiment_tags WHERE experiment_id = 2 AND `key` = 'team'") == [("b",)]
    uri = target.value(f"SELECT artifact_uri FROM runs WHERE run_uuid = '{made['child']}'")
    assert uri == f"mlflow-artifacts:/{names['vision/classify']}/{made['child']}/artifacts"
    moves = {one["from"]: one["to"] for one in used.written("moves.json")["moves"]}
    assert moves["1"] == str(names["vision/classify"])
    assert "s3://elsewhere/model" in proof.names.get("outside", ()) or proof.counts["missing"] == 0


def test_versions_come_after_those_that_are_there(used: Case, populated: Populated) -> None:
    used.migrate()
    target = used.target
    numbers = target.rows("SELECT version, source FROM model_versions WHERE name = 'classifier' ORDER BY version")
    assert numbers[0] == (1, "s3://theirs")
    assert [number for number, _ in numbers] == list(range(1, 14))
    # the alias of the target stays where it points, and its description too
    aliases = target.rows("SELECT version FROM registered_model_aliases WHERE name = 'classifier'")
    assert aliases == [(1,)]
    assert target.value("SELECT description FROM registered_models WHERE name = 'classifier'") == "theirs"
    tags = target.rows("SELECT version, value FROM model_version_tags WHERE name = 'classifier' AND `key` = 'n'")
    assert sorted((version, int(value)) for version, value in tags)[:2] == [(2, 0), (3, 1)]


def test_spans_and_associations_speak_of_the_new_number(used: Case) -> None:
    used.migrate()
    target = used.target
    numbers = {row[0] for row in target.rows("SELECT experiment_id FROM trace_info")}
    assert numbers == {2}
    contents = [row[0] for row in target.rows("SELECT content FROM spans")]
    assert not any('mlflow.experimentId": "4"' in one or '\\"4\\"' in one for one in contents)
    ends = target.rows("SELECT source_id, destination_id FROM entity_associations WHERE source_type = 'experiment'")
    assert all("2" in end for end in ends)


def test_a_second_migration_changes_nothing(used: Case, tmp_path: Path) -> None:
    used.migrate()
    before = _dump(used.target)
    again = Case(tmp_path / "again", used.source, used.target)
    again.migrate()
    assert _dump(used.target) == before


def test_a_retry_finds_its_own_work_done(used: Case) -> None:
    used.migrate()
    before = _dump(used.target)
    for worker in ("arrange", "copy", "verify"):
        used.good(worker, round=2)
    assert _dump(used.target) == before


def test_update_makes_runs_and_tags_what_the_source_has(used: Case, populated: Populated, tmp_path: Path) -> None:
    used.migrate()
    child, target = populated.made["child"], used.target
    target.run(
        f"UPDATE runs SET status = 'KILLED', name = 'changed' WHERE run_uuid = '{child}'",
        f"DELETE FROM metrics WHERE run_uuid = '{child}'",
        f"UPDATE params SET value = 'other' WHERE run_uuid = '{child}'",
    )
    Case(tmp_path / "again", used.source, target).migrate(onConflict="Update")
    assert target.rows(f"SELECT status, name FROM runs WHERE run_uuid = '{child}'") == [("FAILED", "child")]
    assert target.value(f"SELECT count(*) FROM metrics WHERE run_uuid = '{child}'") == 308
    assert target.value("SELECT value FROM experiment_tags WHERE experiment_id = 2 AND `key` = 'team'") == "a"


def test_with_fail_every_taken_name_is_told_and_nothing_changes(used: Case) -> None:
    before = _dump(used.target)
    found = used.good("survey", onConflict="Fail").facts["problems"]["found"]
    told = " ".join(problem["message"] for problem in found if problem["reason"] == "NameClash")
    assert "'nlp'" in told
    assert "'classifier'" in told
    assert used.run("arrange", onConflict="Fail").reason == "NameClash"
    assert _dump(used.target) == before


def test_a_deleted_holder_of_a_name_is_named(used: Case) -> None:
    used.target.run("UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'nlp'")
    assert "deleted" in used.problems()["NameClash"]
    assert "NameClash" not in used.problems(rename={"experiments": {"nlp": "nlp of the old server"}})


def test_a_model_alone_brings_the_runs_of_its_versions(case: Case, populated: Populated) -> None:
    select = {"experiments": {"include": []}, "models": {"include": ["classifier"]}}
    case.migrate(select=select, rename={"models": {"classifier": "sorter"}})
    target = case.target
    assert [row[0] for row in target.rows("SELECT run_uuid FROM runs")] == [populated.made["child"]]
    assert target.value("SELECT count(*) FROM model_versions WHERE name = 'sorter'") == 12
    assert target.value("SELECT count(*) FROM metrics") == 308
    only = case.written("moves.json")["only"]
    assert only == [f"1/{populated.made['child']}"]


def test_chosen_experiments_come_and_others_stay(case: Case, populated: Populated) -> None:
    select = {"experiments": {"include": ["vision/*"], "exclude": ["*/detect"]}, "models": {"include": []}}
    record = case.migrate(select=select)
    assert [row[0] for row in case.target.rows("SELECT name FROM experiments ORDER BY 1")] == [
        "Default",
        "vision/classify",
    ]
    assert case.target.value("SELECT count(*) FROM runs") == 2  # the deleted one stays
    assert case.target.value("SELECT count(*) FROM registered_models") == 0
    assert record.counts["rows"] > 300
    assert case.written("moves.json")["only"] == ["1"]


def test_merging_on_postgresql_finds_the_next_number(
    tmp_path: Path, populated: Populated, postgres_target: Base
) -> None:
    own(postgres_target)
    postgres_target.run("SELECT setval('experiments_experiment_id_seq', 2)")
    Case(tmp_path, populated.base, postgres_target).migrate()
    found = look(postgres_target, populated.made | {"gone": populated.made["child"], "lost": populated.made["child"]})
    assert int(found["next"]) == postgres_target.value("SELECT max(experiment_id) FROM experiments")
    assert found["runs"]["child"]["latest"]["odd"] == "1e-300"


@pytest.mark.parametrize(
    ("models", "numbers"),
    [
        ({"include": ["class*"], "versions": "Latest"}, [2, 12]),
        ({"include": ["class*"], "versions": ["4", "7"]}, [4, 7]),
        ({"include": ["class*"], "stages": ["Production"]}, [2]),
        ({"include": ["*"], "aliases": ["champion"]}, [11]),
        ({"include": ["class*"], "versions": ["4"], "withRuns": "None"}, [4]),
    ],
)
def test_versions_are_chosen_and_keep_their_numbers(case: Case, models: dict[str, object], numbers: list[int]) -> None:
    case.migrate(select={"experiments": {"include": []}, "models": models})
    found = case.target.rows("SELECT version FROM model_versions ORDER BY version")
    assert [row[0] for row in found] == numbers
    assert case.target.value("SELECT count(*) FROM registered_models") == 1
    runs = case.target.value("SELECT count(*) FROM runs")
    assert runs == (0 if models.get("withRuns") == "None" else 1)


def test_all_runs_come_with_a_model_where_that_is_wanted(case: Case) -> None:
    models = {"include": ["detector"], "withRuns": "All"}
    case.migrate(select={"experiments": {"include": []}, "models": models})
    assert case.target.rows("SELECT name FROM experiments WHERE experiment_id <> 0") == [("vision/detect",)]
    assert case.target.value("SELECT count(*) FROM runs") == 2
    assert case.target.value("SELECT count(*) FROM logged_models") == 1
    assert case.target.value("SELECT count(*) FROM datasets") == 1


def test_update_moves_aliases_and_descriptions(used: Case, populated: Populated) -> None:
    used.migrate(onConflict="Update")
    target = used.target
    assert target.value("SELECT description FROM registered_models WHERE name = 'classifier'") == "it's a model"
    assert target.rows("SELECT version FROM registered_model_aliases WHERE name = 'classifier'") == [(12,)]


def test_a_part_goes_between_two_postgresql_databases(
    tmp_path: Path, populated: Populated, postgres_target: Base, postgres: Server, new_postgres: str
) -> None:
    Case(tmp_path / "first", populated.base, postgres_target).migrate()
    with postgres.database("part", template=new_postgres) as name:
        case = Case(tmp_path / "second", postgres_target, postgres_base(postgres, name))
        case.migrate(select={"experiments": {"ids": ["1"]}, "models": {"include": ["classifier"]}})
        assert case.target.value("SELECT count(*) FROM metrics") == 309
        assert case.target.value("SELECT count(*) FROM model_versions") == 12
        again = Case(tmp_path / "third", postgres_target, case.target)
        again.migrate()
        assert case.target.value("SELECT count(*) FROM runs") == 6
        assert case.target.value("SELECT count(*) FROM model_versions") == 16


def test_merging_on_mariadb_and_out_of_it(
    tmp_path: Path, populated: Populated, mariadb_target: Base, new_sqlite: Base
) -> None:
    own(mariadb_target)
    Case(tmp_path / "in", populated.base, mariadb_target).migrate(onConflict="Update")
    back = Case(tmp_path / "out", mariadb_target, copied(new_sqlite, tmp_path / "t" / "mlflow.db"))
    back.migrate(select={"experiments": {"include": ["nlp", "theirs"]}})
    assert back.target.value("SELECT count(*) FROM trace_info") == 3
    assert back.target.value("SELECT count(*) FROM spans") == 6


@pytest.mark.parametrize("revision", ["97727af70f4d", "0584bdc529eb"])
def test_databases_of_older_releases_move_between_equals(tmp_path: Path, revision: str) -> None:
    path = tmp_path / "source" / "mlflow.db"
    path.parent.mkdir()
    mlflow_servers.initialise_at(f"sqlite:///{path}", revision)
    source, target = sqlite_base(path), copied(sqlite_base(path), tmp_path / "target" / "mlflow.db")
    location = "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage)"
    source.run(
        f"{location} VALUES (0, 'Default', 'mlflow-artifacts:/0', 'active'), (1, 'a', 'mlflow-artifacts:/1', 'active')",
        "INSERT INTO runs (run_uuid, name, status, lifecycle_stage, artifact_uri, experiment_id)"
        " VALUES ('aa', 'r', 'FINISHED', 'active', 'mlflow-artifacts:/1/aa/artifacts', 1)",
        "INSERT INTO metrics (`key`, value, timestamp, step, is_nan, run_uuid) VALUES ('m', 1, 1, 1, 0, 'aa')",
        "INSERT INTO registered_models (name) VALUES ('x')",
        "INSERT INTO model_versions (name, version, source, run_id, current_stage)"
        " VALUES ('x', 1, 'mlflow-artifacts:/1/aa/artifacts/m', 'aa', 'None')",
    )
    target.run(f"{location} VALUES (0, 'Default', '', 'active'), (1, 'b', '', 'active')")
    Case(tmp_path / "case", source, target).migrate()
    assert target.rows("SELECT experiment_id, artifact_uri FROM runs") == [(2, "mlflow-artifacts:/2/aa/artifacts")]
    assert target.rows("SELECT name, source FROM model_versions") == [("x", "mlflow-artifacts:/2/aa/artifacts/m")]


def _dump(base: Base) -> list[str]:
    """All of a SQLite database but what notes say."""
    assert base.root is not None
    with sqlite3.connect(base.root / base.backend["file"]) as connection:
        lines = list(connection.iterdump())
    return [line for line in lines if "project_migration_note" not in line]
