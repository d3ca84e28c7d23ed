"""A password is in memory only, and nothing that is printed holds it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from project_migration.model.records import Request
from project_migration.workers.harness import Job
from project_migration.workers.lists import NameLists
from project_migration.workers.postgres import failures, selection
from project_migration.workers.postgres.endpoint import Endpoint

PASSWORD = "pa:ss\\w'ö rd"


def job(tmp_path: Path, password: str = PASSWORD, **changed: object) -> Job:
    folder = tmp_path / "credentials"
    folder.mkdir(exist_ok=True)
    (folder / "username").write_text("me\n")
    (folder / "password").write_text(password)
    params = {"source": {"host": "h", "port": 5433, "database": "d", **changed}}
    roots = {"workspace": str(tmp_path), "source-credentials": str(folder)}
    request = Request("postgres.copy", "u", "n", "ns", "s", "u", 1, roots, params)
    return Job(request, NameLists(tmp_path, "x"))


def test_the_password_file_has_no_name_and_ends_with_its_use(tmp_path: Path) -> None:
    endpoint = Endpoint.from_job(job(tmp_path, PASSWORD + "\n"), "source")
    with endpoint.tool_environment() as environment:
        path = Path(environment.variables["PGPASSFILE"])
        assert path.read_text() == "*:*:*:*:pa\\:ss\\\\w'ö rd\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "memfd" in os.readlink(path)
        assert PASSWORD not in repr(environment) + repr(endpoint) + str(dict(environment.variables))
        assert environment.variables["PGHOST"] == "h"
    assert not path.exists() or "memfd" not in os.readlink(path)


def test_variables_of_the_surroundings_do_not_reach_a_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c search_path=evil")
    monkeypatch.setenv("PGSERVICE", "evil")
    with Endpoint.from_job(job(tmp_path), "source").tool_environment() as environment:
        assert not {"PGOPTIONS", "PGSERVICE"} & set(environment.variables)


@pytest.mark.parametrize("password", ["", "\n", "a\nb", "a\0b"])
def test_a_password_that_cannot_be_is_refused_without_being_shown(tmp_path: Path, password: str) -> None:
    with pytest.raises(failures.Refused) as refused:
        Endpoint.from_job(job(tmp_path, password), "source")
    assert refused.value.reason == "AuthenticationFailed"


def test_an_own_authority_means_full_verification_unless_it_is_waived(tmp_path: Path) -> None:
    assert Endpoint.from_job(job(tmp_path), "source").sslmode == "prefer"
    assert Endpoint.from_job(job(tmp_path, insecureSkipVerify=True), "source").sslmode == "require"
    with_authority = job(tmp_path)
    with_authority.request.roots["source-ca"] = "/ca"  # type: ignore[index]
    endpoint = Endpoint.from_job(with_authority, "source")
    assert (endpoint.sslmode, endpoint.ca_file) == ("verify-full", "/ca/ca.crt")


def test_errors_are_scrubbed(tmp_path: Path) -> None:
    endpoint = Endpoint.from_job(job(tmp_path), "source")
    assert endpoint.scrub(f"bad {PASSWORD}!") == "bad ***!"


def test_patterns_match_with_and_without_a_schema() -> None:
    chosen = selection.Selection.from_params({"tables": {"include": ["a*", "x.b"], "exclude": ["*.ab"]}})
    taken = [name for name in ("s.a", "s.b", "x.b", "s.ab") if chosen.takes_table(*name.split("."))]
    assert taken == ["s.a", "x.b"]
    assert not chosen.whole
    assert selection.Selection.from_params({"excludeTableData": ["t"]}).whole
