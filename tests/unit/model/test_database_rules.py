"""What a document may not say of databases, and that no refusal repeats a password."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_migration.model.crd import root_schema
from project_migration.model.endpoints import HOST
from project_migration.model.errors import DocumentError
from project_migration.model.rules import read_document


def an_endpoint(host: str = "db.old", database: str = "shop", **more: Any) -> dict[str, Any]:
    return {"postgres": {"host": host, "database": database}, "credentialsRef": {"name": "db"}, **more}


def a_database(**changes: Any) -> dict[str, Any]:
    return {"name": "shop", "source": an_endpoint(), "target": an_endpoint("db.new"), **changes}


def a_document(*databases: dict[str, Any], **spec: Any) -> dict[str, Any]:
    volumes = {"databases": list(databases or (a_database(),)), **spec.pop("volumes", {})}
    return {
        "metadata": {"name": "files", "namespace": "ml"},
        "spec": {"volumes": volumes, "workspace": {"claimName": "work"}, **spec},
    }


def refused(data: object) -> tuple[str, ...]:
    with pytest.raises(DocumentError) as caught:
        read_document(data, local=False)
    return caught.value.problems


def test_databases_alone_are_a_document_with_careful_defaults() -> None:
    volumes = read_document(a_document(), local=False).spec.volumes
    assert volumes is not None
    assert volumes.pairs == ()
    [found] = volumes.databases
    assert (found.source.postgres.port, found.replace, found.accept_collation) == (5432, False, False)
    assert (found.owners, found.privileges, found.missing_roles) == ("Keep", "Keep", "Refuse")
    assert (found.target.ca_ref, found.target.insecure_skip_verify) == (None, False)


@pytest.mark.parametrize("volumes", [{}, {"pairs": []}, {"pairs": [], "databases": []}])
def test_something_has_to_move(volumes: dict[str, Any]) -> None:
    data = a_document()
    data["spec"]["volumes"] = volumes
    assert refused(data) == ("spec.volumes: name at least one pair or database",)


SECRET = "hunter2"
URIS = (f"postgres://me:{SECRET}@db.old/shop", f"me:{SECRET}@db.old", "https://db.old")


@pytest.mark.parametrize("host", URIS)
def test_a_uri_is_refused_without_being_repeated(host: str) -> None:
    (found,) = refused(a_document(a_database(source=an_endpoint(host))))
    assert found.startswith("spec.volumes.databases[0].source.postgres.host: ")
    assert "credentialsRef" in found
    assert SECRET not in found


def test_a_database_that_is_a_connection_string_is_refused_without_being_repeated() -> None:
    for name in (URIS[0][:63], f"dbname=shop password={SECRET}"):
        (found,) = refused(a_document(a_database(source=an_endpoint(database=name))))
        assert found.startswith("spec.volumes.databases[0].source.postgres.database: ")
        assert SECRET not in found


@pytest.mark.parametrize("host", ["db:5432", "/var/run/postgresql", "a,b", "-x", "a b", "db\n"])
def test_what_is_no_host_is_refused(host: str) -> None:
    (found,) = refused(a_document(a_database(target=an_endpoint(host))))
    assert found.startswith("spec.volumes.databases[0].target.postgres.host: give a host name or an address")


@pytest.mark.parametrize(
    "host", ["db", "db-1.ml.svc.cluster.local", "10.1.2.3", "::1", "fd00::1:2", "my_db", "db.old."]
)
def test_names_and_addresses_are_hosts(host: str) -> None:
    assert read_document(a_document(a_database(target=an_endpoint(host, "other"))), local=False)


@given(st.ip_addresses().map(str))
def test_every_address_is_a_host(host: str) -> None:
    assert re.match(HOST, host)


def test_a_name_is_used_once_among_pairs_and_databases() -> None:
    pair = {"name": "shop", "source": {"claimName": "a"}, "target": {"claimName": "b"}}
    assert "spec.volumes.databases[0].name: shop is used twice" in refused(a_document(volumes={"pairs": [pair]}))


def test_source_and_target_are_different_databases() -> None:
    (found,) = refused(a_document(a_database(target=an_endpoint("DB.old"))))
    assert found == "spec.volumes.databases[0].target: source and target must be different databases"
    assert read_document(a_document(a_database(target=an_endpoint(database="shop2"))), local=False)


def test_no_database_is_written_that_another_one_reads_or_writes() -> None:
    second = a_database(name="two", source=an_endpoint("db.new"), target=an_endpoint("db.third"))
    third = a_database(name="three", source=an_endpoint("db.fourth"))
    problems = refused(a_document(a_database(), second, third))
    assert [problem.split(":")[0] for problem in problems] == [
        "spec.volumes.databases[1].source",
        "spec.volumes.databases[2].target",
        "spec.volumes.databases[2].target",
    ]


def test_replace_needs_a_word_about_what_is_there() -> None:
    data = a_document(a_database(replace=True))
    (found,) = refused(data)
    assert found.startswith("spec.volumes.databases[0].replace: it needs spec.backup")
    data["spec"]["backup"] = {"waive": "a failed try"}
    assert read_document(data, local=False)


def test_a_certificate_is_either_checked_or_not() -> None:
    endpoint = an_endpoint("db.new", caRef={"name": "ca"}, insecureSkipVerify=True)
    (found,) = refused(a_document(a_database(target=endpoint)))
    assert found.startswith("spec.volumes.databases[0].target.insecureSkipVerify: ")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"owners": "Mine"}, "owners"),
        ({"missingRoles": "Ignore"}, "missingRoles"),
        ({"excludeTableData": [""]}, "excludeTableData[0]"),
        ({"source": {"postgres": {"host": "a", "database": "b"}}}, "source.credentialsRef"),
        ({"source": an_endpoint(password="x")}, "source.password"),
        ({"source": an_endpoint(caRef={"name": "ca", "key": "../x"})}, "source.caRef.key"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(change: dict[str, Any], field: str) -> None:
    assert any(
        line.startswith(f"spec.volumes.databases[0].{field}: ") for line in refused(a_document(a_database(**change)))
    )


def test_the_schema_says_of_hosts_what_python_says() -> None:
    database = copy.deepcopy(root_schema()["properties"]["spec"]["properties"]["volumes"]["properties"]["databases"])
    server = database["items"]["properties"]["source"]["properties"]["postgres"]
    rules = [entry for entry in server["x-kubernetes-validations"] if entry["fieldPath"] == ".host"]
    assert len(rules) == 2
    assert HOST in rules[1]["rule"]
    assert "\\" not in HOST, "it stands in a CEL literal as it is"
    for field in ("host", "database"):
        text = server["properties"][field]
        assert not {"pattern", "x-kubernetes-validations"} & text.keys(), "the API server would repeat a password"
