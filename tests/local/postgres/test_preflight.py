"""What stands in the way is said before anything is written, with its own reason."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.postgres.running import Case
from tools.postgres_servers import PASSWORD, Server, free_port, running


@pytest.fixture
def case(tmp_path: Path, server_15: Server, hard_15: str, server_18: Server) -> Iterator[Case]:
    with server_18.database("preflight") as name:
        yield Case(tmp_path, (server_15, hard_15), (server_18, name))


def problems(case: Case, **params: object) -> dict[str, str]:
    found = case.good("survey", **params).facts["problems"]["found"]
    messages: dict[str, str] = {}
    for problem in found:
        messages[problem["reason"]] = f"{messages.get(problem['reason'], '')} {problem['message']}"
    return messages


def test_a_survey_says_what_is_there(case: Case) -> None:
    facts = case.good("survey").facts
    source = facts["source"]
    assert (source["major"], facts["target"]["major"]) == (15, 18)
    assert facts["target"]["empty"] is True
    assert source["tables"] > 15
    assert source["bytes"] > 5_000_000
    assert (source["largeObjects"], source["eventTriggers"], source["publications"]) == (3, 1, 1)
    assert source["foreignTables"] == source["unloggedTables"] == 1
    assert facts["tools"]["needed"] == 18
    assert case.good("survey").counts["targetMajor"] == 18


def test_a_wrong_password_is_said_without_the_password(case: Case) -> None:
    case.passwords = {"source": "tres secret", "target": PASSWORD}
    found = problems(case)
    assert "source" in found["AuthenticationFailed"]
    assert "tres secret" not in case.said
    assert case.run("copy").reason == "AuthenticationFailed"


def test_a_database_or_server_that_is_not_there(case: Case) -> None:
    case.source = (case.source[0], "no such database")
    assert "no such database" in problems(case)["DatabaseNotFound"]
    dead = Server(15, Path("/nonexistent"), free_port())
    case.source = (dead, "x")
    assert "DatabaseUnreachable" in problems(case)
    record = case.run("copy")
    assert (record.reason, record.passing) == ("DatabaseUnreachable", True)


def test_roles_that_the_target_lacks(case: Case, server_15: Server) -> None:
    with server_15.connect() as connection:
        connection.execute('CREATE ROLE "only here"')
    with server_15.connect(case.source[1]) as connection:
        connection.execute('GRANT SELECT ON tree TO "only here"')
    try:
        assert "only here" in problems(case)["RoleMissing"]
        assert case.run("copy").reason == "RoleMissing"
        assert problems(case, missingRoles="LeaveOut") == {}
        case.good("copy", missingRoles="LeaveOut")
        case.good("verify", missingRoles="LeaveOut")
    finally:
        with server_15.connect(case.source[1]) as connection:
            connection.execute('REVOKE ALL ON tree FROM "only here"')
            connection.execute('DROP ROLE "only here"')


def test_a_user_without_rights_is_told_which(case: Case, server_18: Server) -> None:
    with server_18.connect(case.target[1]) as connection:
        connection.execute(f"CREATE ROLE weak LOGIN PASSWORD '{PASSWORD.replace(chr(39), chr(39) * 2)}'".encode())
    try:
        case.users = {"target": "weak"}
        assert "CREATE" in problems(case)["PermissionDenied"]
        assert case.run("copy").reason == "PermissionDenied"
    finally:
        with server_18.connect() as connection:
            connection.execute("DROP ROLE weak")


def test_an_extension_that_the_target_lacks(tmp_path: Path, server_15: Server, server_18: Server) -> None:
    with server_18.database("with_extension") as source, server_15.database("without") as target:
        # the wheel has an extension that Debian's packages of the server lack
        with server_18.connect(source) as connection:
            connection.execute("CREATE EXTENSION vector")
        found = problems(Case(tmp_path, (server_18, source), (server_15, target)))
        assert "vector" in found["ExtensionMissing"]
        assert "TargetOlder" in found


def test_another_encoding_or_order_is_named(tmp_path: Path, server_15: Server, hard_15: str, server_18: Server) -> None:
    options = {"template": "template0", "encoding": "LATIN1", "lc_collate": "C", "lc_ctype": "C"}
    with server_18.database("latin", **options) as name:
        found = problems(Case(tmp_path, (server_15, hard_15), (server_18, name)))
        assert "LATIN1" in found["EncodingDiffers"]
        assert "C.UTF-8" in found["CollationDiffers"]


def test_missing_tools_name_the_version_that_is_needed(
    tmp_path: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    from project_migration.workers.postgres import failures, tools

    monkeypatch.setattr(tools, "_places", lambda major: iter(()))
    with pytest.raises(failures.Refused, match="PostgreSQL 18") as refused:
        tools.find(18)
    assert refused.value.reason == "ClientToolsMissing"


def test_a_look_for_client_tools_says_where_they_are_or_which_are_missing(case: Case) -> None:
    looked = case.good("client_tools", major=18)
    assert looked.facts["tools"]["found"].keys() == {"18"}
    missing = case.run("client_tools", major=99)
    assert (missing.reason, missing.passing) == ("ClientToolsMissing", False)
    assert "PostgreSQL 99" in missing.message


# the server of the wheel is built without TLS, Debian's with it
def test_tls_refused_required_and_unverified(tmp_path: Path, server_15: Server, hard_15: str) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()
    argv = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1")
    files = ("-keyout", str(folder / "server.key"), "-out", str(folder / "server.crt"))
    subprocess.run((*argv, *files, "-addext", "subjectAltName=IP:127.0.0.1"), check=True, capture_output=True)
    with running(15) as target:
        for name in ("server.key", "server.crt"):
            shutil.copy(folder / name, target.data / name)
            if os.geteuid() == 0:
                shutil.chown(target.data / name, "postgres", "postgres")
            (target.data / name).chmod(0o600)
        (target.data / "pg_hba.conf").write_text("local all all trust\nhostssl all all all scram-sha-256\n")
        target.settings = {"ssl": "on"}
        target.restart()
        with target.connect() as connection:
            connection.execute('CREATE ROLE "app owner"; CREATE ROLE reader')
        case = Case(tmp_path / "case", (server_15, hard_15), (target, "postgres"))
        case.target_options = {"sslmode": "disable"}
        assert "TLSFailed" in problems(case)
        case.target_options = {"sslmode": "verify-full"}
        assert "TLSFailed" in problems(case)
        case.target_options = {"insecureSkipVerify": True}
        assert problems(case) == {}
        case.target_options = {}
        case.authority = folder / "server.crt"
        assert problems(case) == {}
        case.good("copy")
        case.good("verify")


@pytest.mark.parametrize(
    "params",
    [
        {"source": {"host": "h", "database": "postgres://u:p@h/db"}},
        {"source": {"host": "h", "port": 0, "database": "d"}},
        {"target": {"host": "h", "database": "host=x password=y"}},
        {"tables": {"include": "all"}},
        {"owners": "Maybe"},
    ],
)
def test_a_wrong_param_is_named(case: Case, params: dict[str, object]) -> None:
    request = case.request("survey", **params)
    from project_migration.workers.harness import Job, WrongRequest
    from project_migration.workers.lists import NameLists
    from project_migration.workers.postgres import survey

    name = next(iter(params))
    with pytest.raises(WrongRequest, match=name):
        survey.work(Job(request, NameLists(Path(request.roots["workspace"]), "x")))


def _with_children(number: int) -> Iterator[Path]:
    """A process and all below it; what other tests run at the same time is theirs."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
    for process in parents:
        above = process
        while above not in (number, 0, 1):
            above = parents.get(above, 0)
        if above == number:
            yield Path(f"/proc/{process}")


def test_no_secret_is_seen_by_other_processes(case: Case) -> None:
    """Sampled while a copy runs: no command line, environment or file holds the password."""
    secret = PASSWORD.encode()
    worker = case.start("copy")
    seen = 0
    while worker.poll() is None:
        for process in _with_children(worker.pid):
            for name in ("cmdline", "environ"):
                try:
                    text = (process / name).read_bytes()
                except OSError:
                    continue
                seen += 1
                assert secret not in text, (process, name)
    out, err = worker.communicate()
    assert worker.returncode == 0, err
    assert seen
    assert PASSWORD not in out + err
    for path in case.directory.rglob("*"):
        if path.is_file() and "credentials" not in str(path):
            assert secret not in path.read_bytes(), path
