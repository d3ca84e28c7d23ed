"""A target database alone, looked at again beside what its proof wrote down, on real servers."""

from __future__ import annotations

import gzip

import pytest

from project_migration.model.records import Record
from tests.local.postgres.running import Case
from tests.local.postgres.test_copy import PAIRS, Made, made, plain, servers
from tools.postgres_servers import Server

__all__ = ["made", "plain", "servers"]

PROVED = "manifests/verify-db-target.tsv.gz"

Servers = dict[int, tuple[Server, str]]


def proved(case: Case) -> Record:
    case.good("copy")
    record = case.good("verify")
    case.good("clear", what="Note")
    return record


def check(case: Case, proof: Record, step: str) -> Record:
    return case.run("check", step, against={"manifest": PROVED, "digest": proof.digest})


def do(case: Case, *statements: str) -> None:
    server, database = case.target
    with server.connect(database) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_target_that_nobody_touched_is_what_was_proved(
    source: int, target: int, servers: Servers, made: Made
) -> None:
    case = made(*servers[source], servers[target][0])
    proof = proved(case)
    record = check(case, proof, "check")
    assert record.succeeded, (record.message, record.names)
    assert record.digest == proof.digest
    assert record.counts["verified"] == proof.counts["objects"]
    assert {kind: record.counts[kind] for kind in ("tables", "rows", "sequences", "largeObjects")} == {
        kind: proof.counts[kind] for kind in ("tables", "rows", "sequences", "largeObjects")
    }


def test_what_changed_in_the_target_is_named_and_what_is_new_there_is_no_fault(
    plain: str, server_15: Server, made: Made
) -> None:
    case = made(server_15, plain, server_15)
    proof = proved(case)
    do(case, "CREATE TABLE theirs (id integer)", "INSERT INTO theirs VALUES (1)")
    added = check(case, proof, "added")
    assert added.succeeded, added.message
    assert added.counts["extra"] > 0
    assert "more in the target" in added.message
    do(
        case,
        "UPDATE child1 SET t = 'theirs' WHERE id = 7",
        "DROP TABLE child2",
        "SELECT lo_put(min(oid), 0, 'y') FROM pg_largeobject_metadata",
    )
    record = check(case, proof, "changed")
    assert (record.succeeded, record.reason) == (False, "VerifyFailed")
    assert "rows public.child1" in record.names["different"]
    assert "rows public.child2" in record.names["missing"]
    assert any(name.startswith("large object") for name in record.names["different"])
    assert "60000 rows" in record.message


def test_a_database_of_another_encoding_is_read_as_it_was_when_it_was_proved(server_15: Server, made: Made) -> None:
    with server_15.connect() as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with server_15.connect("latin") as connection:
            connection.execute("CREATE TABLE word AS SELECT 'na\u00efve' AS w")
        case = made(server_15, "latin", server_15)
        case.good("copy", acceptCollation=True)
        proof = case.good("verify", acceptCollation=True)
        record = check(case, proof, "check")
        assert record.succeeded, (record.message, record.names)
    finally:
        with server_15.connect() as connection:
            connection.execute("DROP DATABASE latin WITH (FORCE)")


def test_what_the_document_leaves_out_is_not_missing_later(plain: str, server_15: Server, made: Made) -> None:
    case = made(server_15, plain, server_15)
    filters = {"tables": {"exclude": ["child0"]}, "excludeTableData": ["child1"]}
    case.good("copy", **filters)
    proof = case.good("verify", **filters)
    against = {"manifest": PROVED, "digest": proof.digest}
    record = case.run("check", against=against, **filters)
    assert record.succeeded, (record.message, record.names)


@pytest.mark.parametrize("spoil", ["removed", "changed"])
def test_without_the_list_nothing_is_said_of_a_database(spoil: str, plain: str, server_15: Server, made: Made) -> None:
    case = made(server_15, plain, server_15)
    proof = proved(case)
    path = case.directory / "workspace" / PROVED
    if spoil == "removed":
        path.unlink()
    else:
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"60000 rows", b"60001 rows")))
    record = check(case, proof, "check")
    assert (record.reason, PROVED in record.message) == ("ProofMissing", True)


def test_the_list_holds_no_definitions(servers: Servers, made: Made) -> None:
    case = made(*servers[15], servers[15][0])
    proved(case)
    for side in ("source", "target"):
        path = case.directory / "workspace" / f"manifests/verify-db-{side}.tsv.gz"
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            text = stream.read()
        assert "TOC entry" not in text
        assert "rows\tpublic." in text
