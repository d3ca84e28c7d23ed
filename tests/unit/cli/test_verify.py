"""`verify`: which reports it takes, what it asks of a cluster, and what it says of the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from project_migration.engine.world import Migration
from project_migration.model.errors import DocumentError
from project_migration.model.labels import VERIFY
from project_migration.model.status import CheckStatus, State, UnitStatus
from project_migration.observing.report import render
from project_migration.observing.report.account import account
from project_migration.observing.report.page import document_digest
from project_migration.observing.report.proof import proof, read_report

from . import samples
from .test_cluster_verbs import ApiServer, call, server

__all__ = ["server"]


def written(tmp_path: Path, migration: Migration, name: str = "report.html") -> Path:
    path = tmp_path / name
    told = account(migration)
    path.write_text(proof(told).to_json() if name.endswith(".json") else render(migration))
    return path


@pytest.mark.parametrize("sample", [samples.succeeded, samples.failed, samples.at_work, samples.planned])
def test_the_page_holds_the_whole_report_for_programs(sample: Any, tmp_path: Path) -> None:
    migration = sample()
    found = read_report(written(tmp_path, migration))
    assert found == read_report(written(tmp_path, migration, "report.json")) == proof(account(migration))
    assert found.migration.uid == migration.uid


def test_a_report_for_programs_names_what_moved_and_its_proof(tmp_path: Path) -> None:
    data = json.loads(written(tmp_path, samples.succeeded(), "r.json").read_text())
    assert (data["apiVersion"], data["kind"], data["end"]) == (
        "migration.mlops.dev/v1alpha1",
        "MigrationReport",
        "Succeeded",
    )
    assert data["migration"]["documentDigest"] == document_digest(samples.DOCUMENT)
    unit = data["units"][0]
    assert (unit["name"], unit["source"], unit["items"]) == ("data", "claim data-old", 184_233)
    assert unit["verified"]["digest"] == samples.DIGEST
    assert unit["verified"]["method"] == "Checksum"
    assert unit["verified"]["manifests"]["target"] == "manifests/verify-data-target.tsv.gz"
    left = next(found for found in unit["leftOut"] if found["kind"] == "notPreserved")
    assert (left["count"], left["wholeList"]) == (2, "lists/copy-data-notPreserved.txt")
    assert data["backup"]["waived"].startswith("It is a fresh installation")


def test_names_from_volumes_cannot_end_the_part_for_programs(tmp_path: Path) -> None:
    failed = samples.failed()
    evil = "</script><script>alert(1)</script><!-- \u2028"
    status = failed.status.model_copy(update={"failure": evil, "warnings": (evil,)})
    path = written(tmp_path, samples.migration(status))
    assert path.read_text().count("<script") == path.read_text().count("</script") == 1
    assert read_report(path).message == evil


@pytest.mark.parametrize("text", ["", "<html></html>", "{}", '{"apiVersion": "v1", "kind": "Pod"}', "\0\x01", "[1"])
def test_a_file_that_is_no_report_is_refused_with_its_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.html"
    path.write_text(text)
    with pytest.raises(DocumentError, match=r"other.html is no report of a migration"):
        read_report(path)
    assert call("verify", str(path)).exit_code == 2


def test_a_page_that_was_cut_or_is_not_there_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, samples.succeeded())
    page = path.read_text()
    path.write_text(page[: page.index('<script type="application/json"') + 500])
    assert call("verify", str(path)).exit_code == 2
    missing = call("verify", str(tmp_path / "nowhere.html"))
    assert (missing.exit_code, "No such file" in missing.stderr) == (2, True)


def test_a_report_without_a_proof_is_refused(tmp_path: Path) -> None:
    result = call("verify", str(written(tmp_path, samples.failed())))
    assert (result.exit_code, "it has no proof" in result.stderr) == (1, True)


def stored(server: ApiServer, **fields: Any) -> None:
    status = samples.succeeded().status.model_copy(update=fields)
    server.status = status.model_dump(mode="json", by_alias=True)


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the migration that the stand-in server has."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "none"))
    found = samples.succeeded()
    status = found.status.model_copy(update={"workspace_claim": "work", "workspace_path": "vision-u"})
    path = written(tmp_path, samples.migration(status), "r.json")
    data = json.loads(path.read_text())
    data["migration"]["uid"] = "u"
    path.write_text(json.dumps(data))
    return path


def answering(server: ApiServer, **fields: Any) -> None:
    """Has the server answer the annotation as the operator would."""
    answer = server.answer

    def with_check(handler: Any) -> None:
        answer(handler)
        method, _, _, body = server.requests[-1]
        if method == "PATCH":
            asked = body["metadata"]["annotations"][VERIFY]
            stored(server, check=CheckStatus(asked=asked, at=samples.at(999), **fields))

    server.answer = with_check  # type: ignore[method-assign]


def test_verify_asks_the_operator_and_says_what_it_found(server: ApiServer, report: Path) -> None:
    stored(server)
    units = (
        UnitStatus(name="data", state=State.SUCCEEDED, digest=samples.DIGEST, counts={"verified": 184_233}),
        UnitStatus(
            name="models",
            state=State.FAILED,
            reason="VerifyFailed",
            counts={"verified": 210, "missing": 1, "different": 1, "extra": 4},
            names={"missing": ("a.bin",), "different": ("b.bin",), "extra": ("c.bin",)},
        ),
    )
    answering(server, state=State.SUCCEEDED, same=False, differences=2, units=units)
    result = call("verify", str(report))
    assert result.exit_code == 1, result.output
    assert "ml/vision: the target is not any more what was proved." in result.output
    assert "models: missing: a.bin" in result.output
    assert "models: different: b.bin" in result.output
    patches = [body for method, _, _, body in server.requests if method == "PATCH"]
    assert [list(patch["metadata"]) for patch in patches] == [["annotations"]]


def test_verify_ends_well_when_all_is_there(server: ApiServer, report: Path) -> None:
    stored(server)
    unit = UnitStatus(name="data", state=State.SUCCEEDED, digest=samples.DIGEST, counts={"verified": 184_233})
    answering(server, state=State.SUCCEEDED, same=True, units=(unit,))
    result = call("verify", str(report), "-n", "ml")
    assert (result.exit_code, "is on the target unchanged" in result.output) == (0, True), result.output


def test_verify_says_when_the_target_could_not_be_looked_at(server: ApiServer, report: Path) -> None:
    stored(server)
    answering(server, state=State.FAILED, message="data: the helper's image cannot be pulled")
    result = call("verify", str(report))
    assert result.exit_code == 1
    assert "could not be looked at as a whole" in result.output
    assert "cannot be pulled" in result.output


def test_verify_does_not_wait_for_ever(server: ApiServer, report: Path) -> None:
    stored(server)
    result = call("verify", str(report), "--wait", "1")
    assert (result.exit_code, "no answer after 1s" in result.stderr) == (1, True)


def test_verify_of_a_migration_that_is_gone_says_what_is_left(server: ApiServer, report: Path) -> None:
    server.status = None
    result = call("verify", str(report))
    assert result.exit_code == 1
    assert "manifests/verify-data-target.tsv.gz" in result.stderr
    assert "claim work, vision-u" in result.stderr
    assert "mode: Plan" in result.stderr


def test_verify_of_another_proof_than_the_last_one_is_refused(server: ApiServer, report: Path) -> None:
    stored(server, result=None)
    result = call("verify", str(report))
    assert (result.exit_code, "is not the migration's last one" in result.stderr) == (1, True)
    data = json.loads(report.read_text())
    data["migration"]["uid"] = "another"
    report.write_text(json.dumps(data))
    result = call("verify", str(report))
    assert (result.exit_code, "another migration of that name" in result.stderr) == (1, True)
    assert [method for method, *_ in server.requests if method == "PATCH"] == []


def test_verify_takes_one_place_only(report: Path) -> None:
    result = call("verify", str(report), "-n", "ml", "--state", "x")
    assert (result.exit_code, "give --state" in result.stderr) == (2, True)
