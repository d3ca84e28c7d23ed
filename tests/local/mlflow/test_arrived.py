"""What a finished migration leaves: on the target the word of which document it was, and a proof to compare it with."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

from project_migration.workers.mlflow.proved import Proved
from tests.local.mlflow.conftest import Populated
from tests.local.mlflow.running import Base, Case, copied
from tests.local.mlflow.test_documents import Site, in_use, laptop, tree

__all__ = ["laptop"]

WORD = ["sha256:1", "sha256:2"]
AGAINST = "manifests/verify-tracking-target.tsv.gz"
COUNTED = "SELECT (SELECT count(*) FROM experiments), (SELECT count(*) FROM runs), (SELECT count(*) FROM metrics)"


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def moved(request: pytest.FixtureRequest, tmp_path: Path, populated: Populated, new_sqlite: Base) -> Case:
    """A migration that is proved and settled, on each kind of server."""
    if request.param == "sqlite":
        target = copied(new_sqlite, tmp_path / "target" / "mlflow.db")
    else:
        target = request.getfixturevalue(f"{request.param}_target")
    case = Case(tmp_path, populated.base, target)
    proof = case.migrate()
    case.good("clear", what="Note", arrived=WORD)
    case.digest = proof.digest  # type: ignore[attr-defined]
    return case


looks = itertools.count()


def arrived(case: Case) -> str:
    """What a survey says, that was not asked for before."""
    return str(case.good("survey", look=next(looks)).facts["target"]["arrived"])


def test_the_word_of_what_was_carried_out_takes_the_place_of_the_note(moved: Case) -> None:
    assert arrived(moved) == " ".join(WORD)
    moved.good("clear", what="Note", arrived=WORD, attempt=2)
    assert arrived(moved) == " ".join(WORD), "a repeated end says the same"
    stranger = Case(moved.directory / "stranger", moved.source, moved.target)
    stranger.good("clear", what="Everything")
    assert arrived(moved) == " ".join(WORD), "nobody takes it away without writing"
    again = Case(moved.directory / "again", moved.source, moved.target)
    again.good("arrange")
    again.good("copy")
    assert arrived(moved) == "", "it counts for nothing from the first write of another"
    again.good("clear", what="Note")
    assert arrived(moved) == ""


def test_a_target_that_nobody_touched_is_what_was_proved(moved: Case) -> None:
    found = moved.good("check", against={"manifest": AGAINST, "digest": moved.digest})  # type: ignore[attr-defined]
    counts = found.counts
    assert (counts["missing"], counts["different"], counts["extra"]) == (0, 0, 0)
    assert counts["verified"] == counts["entries"] > 50
    assert found.digest == moved.digest  # type: ignore[attr-defined]


def test_what_users_changed_is_named_and_what_they_added_is_counted(moved: Case, populated: Populated) -> None:
    parent, child = populated.made["parent"], populated.made["child"]
    moved.target.run(
        f"UPDATE metrics SET value = value + 0.125 WHERE run_uuid = '{parent}'",
        f"DELETE FROM params WHERE run_uuid = '{child}'",
        "UPDATE registered_models SET description = 'theirs' WHERE name = 'greeting'",
        "INSERT INTO runs (run_uuid, status, lifecycle_stage, artifact_uri, experiment_id)"
        f" VALUES ('{'e' * 32}', 'FINISHED', 'active', 'mlflow-artifacts:/0/x', 0)",
    )
    found = moved.run("check", against={"manifest": AGAINST, "digest": moved.digest})  # type: ignore[attr-defined]
    assert found.reason == "VerifyFailed"
    different = {name.split("  ")[0].split("\t")[0] for name in found.names["different"]}
    assert any(name.startswith(f"metrics {parent}") for name in different), found.names
    assert any(name.startswith("registered_models") and "greeting" in name for name in different), found.names
    assert any(name.startswith(f"params {child}") for name in found.names["missing"]), found.names
    assert (found.counts["missing"], found.counts["different"], found.counts["extra"]) == (1, 2, 1)
    assert found.digest != moved.digest  # type: ignore[attr-defined]


def test_what_the_target_s_server_has_to_give_is_noted_whatever_database_it_has(moved: Case) -> None:
    moved.good("verify", forServer=True)
    noted = Proved(moved.directory / "workspace")
    runs = "SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'"
    assert noted.counts("runs") == (moved.target.value(runs), 0)
    noted.close()


def test_without_the_list_nothing_is_said_of_the_target(case: Case) -> None:
    digest = case.migrate().digest
    (case.directory / "workspace" / AGAINST).unlink()
    assert case.run("check", against={"manifest": AGAINST, "digest": digest}).reason == "ProofMissing"
    case.good("verify", attempt=2)
    assert case.run("check", against={"manifest": AGAINST, "digest": "sha256:other"}).reason == "ProofMissing"


# --- documents


def lost(site: Site) -> None:
    """The migration's own state is gone, as with a cluster; its targets are not."""
    site.state.rename(site.path / f"lost-{len(list(site.path.glob('lost-*')))}")


def test_a_document_that_was_carried_out_changes_nothing_when_it_comes_again(laptop: Site) -> None:
    assert laptop.call("run").returncode == 0
    base, artifacts = laptop.target
    base.run("UPDATE experiments SET name = 'renamed by users' WHERE experiment_id = 1")
    before = (Path(base.root or "") / "mlflow.db").read_bytes(), tree(artifacts)
    lost(laptop)
    again = laptop.call("run")
    assert again.returncode == 0, again.stdout + again.stderr
    assert laptop.status()["phase"] == "AlreadyMigrated"
    assert ((Path(base.root or "") / "mlflow.db").read_bytes(), tree(artifacts)) == before
    lost(laptop)
    laptop.mlflow = {"onConflict": "Update"}
    assert laptop.call("run").returncode == 1, "another document is judged as ever"
    assert laptop.status()["failureReason"] == "TargetNotEmpty"


def test_only_a_new_token_runs_it_again(laptop: Site) -> None:
    assert laptop.call("run").returncode == 0
    lost(laptop)
    laptop.spec = {"force": "once more", "backup": {"path": str(laptop.path / "backup")}}
    done = laptop.call("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert laptop.status()["phase"] == "Succeeded"
    lost(laptop)
    assert laptop.call("run").returncode == 0
    assert laptop.status()["phase"] == "AlreadyMigrated", "the token was carried out"


def test_an_undo_takes_the_word_back_too(
    tmp_path: Path, populated: Populated, postgres_target: Base, new_sqlite: Base
) -> None:
    for name, target in (("p", postgres_target), ("s", copied(new_sqlite, tmp_path / "s" / "db" / "mlflow.db"))):
        site = Site(tmp_path / name, (populated.base, populated.artifacts), (target, tmp_path / name / "files"))
        in_use(site)
        before = target.rows(COUNTED), tree(site.target[1])
        site.spec = {"backup": {"path": str(tmp_path / name / "backup")}}
        assert site.call("run").returncode == 0
        undone = site.call("undo")
        assert undone.returncode == 0, undone.stdout + undone.stderr
        assert (target.rows(COUNTED), tree(site.target[1])) == before
        lost(site)
        again = site.call("run")
        assert (again.returncode, site.status()["phase"]) == (0, "Succeeded"), again.stdout + again.stderr


def test_a_report_is_compared_with_rows_and_files_of_a_target_that_was_in_use(laptop: Site) -> None:
    in_use(laptop)
    base, artifacts = laptop.target
    report = laptop.path / "report.html"
    laptop.spec = {"backup": {"path": str(laptop.path / "backup")}}
    assert laptop.call("run", "--report", str(report)).returncode == 0
    done = laptop.call("verify", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all that was proved is on the target unchanged" in done.stdout
    numbers = dict(base.rows("SELECT name, experiment_id FROM experiments"))
    moved = [number for name, number in numbers.items() if name != "theirs" and _files(artifacts, number)]
    victim = _files(artifacts, max(moved))[0]
    kept = victim.read_bytes()
    victim.write_bytes(b"theirs")
    base.run("UPDATE metrics SET step = step + 1000000 WHERE run_uuid = (SELECT min(run_uuid) FROM metrics)")
    done = laptop.call("verify", str(report))
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"artifacts: different: {victim.relative_to(artifacts)}" in done.stdout
    assert "tracking: different: metrics " in done.stdout
    assert laptop.status()["phase"] == "Succeeded"
    base.run("UPDATE metrics SET step = step - 1000000 WHERE run_uuid = (SELECT min(run_uuid) FROM metrics)")
    victim.write_bytes(kept)
    (artifacts / "1" / "more").write_text("added by users")
    done = laptop.call("verify", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(laptop.state / "workspace" / "manifests")
    blind = laptop.call("verify", str(report))
    assert (blind.returncode, "could not be looked at" in blind.stdout) == (1, True), blind.stdout


def _files(artifacts: Path, number: int) -> list[Path]:
    return sorted(path for path in (artifacts / str(number)).rglob("*") if path.is_file())
