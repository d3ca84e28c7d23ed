"""What a document may not say of tracking servers; no refusal repeats a password."""

from __future__ import annotations

from typing import Any

import pytest

from project_migration.model.document import Spec
from project_migration.model.errors import DocumentError
from project_migration.model.mentions import secrets, volumes
from project_migration.model.rules import read_document

SECRET = "hunter2"


def a_backend(host: str = "db.old", **more: Any) -> dict[str, Any]:
    return {"postgres": {"host": host, "database": "mlflow"}, "credentialsRef": {"name": "login"}, **more}


def a_server(name: str = "old", **more: Any) -> dict[str, Any]:
    return {"backend": a_backend(f"db.{name}"), "artifacts": {"claimName": f"mlflow-{name}"}, **more}


def an_address(name: str = "old", **more: Any) -> dict[str, Any]:
    return {"trackingUri": f"http://mlflow.{name}:5000", **more}


def a_document(source: dict[str, Any] | None = None, target: dict[str, Any] | None = None, **more: Any) -> Any:
    sides = {"source": a_server() if source is None else source, "target": target or a_server("new")}
    mlflow = {**sides, **more.pop("mlflow", {})}
    spec = {"mlflow": mlflow, "workspace": {"claimName": "work"}, **more}
    return {"metadata": {"name": "tracking", "namespace": "ml"}, "spec": spec}


def spec_of(data: Any, *, local: bool = False) -> Spec:
    return read_document(data, local=local).spec


def refused(data: Any) -> tuple[str, ...]:
    with pytest.raises(DocumentError) as caught:
        read_document(data, local=False)
    return caught.value.problems


def test_two_servers_are_a_document_that_takes_everything_and_overwrites_nothing() -> None:
    mlflow = spec_of(a_document()).mlflow
    assert mlflow is not None
    assert mlflow.by_database
    assert (mlflow.on_conflict, mlflow.missing_artifacts, mlflow.select.experiments.lifecycle) == (
        "Skip",
        "Fail",
        "Active",
    )
    assert mlflow.source.artifacts is not None
    assert mlflow.source.artifacts.root == "mlflow-artifacts:/"


@pytest.mark.parametrize(
    ("via", "by_database"), [("Auto", True), ("Database", True), ("Api", False)], ids=["auto", "database", "api"]
)
def test_auto_takes_the_database_where_both_sides_give_one(via: str, by_database: bool) -> None:
    both = {**a_server(), **an_address()}, {**a_server("new"), **an_address("new")}
    mlflow = spec_of(a_document(*both, mlflow={"via": via})).mlflow
    assert mlflow is not None
    assert mlflow.by_database is by_database


def test_auto_takes_the_address_where_one_side_lacks_a_database() -> None:
    mlflow = spec_of(a_document(an_address(), {**a_server("new"), **an_address("new")})).mlflow
    assert mlflow is not None
    assert not mlflow.by_database


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (a_document({}), "spec.mlflow.source: give trackingUri, backend or both; or archive alone"),
        (a_document({"backend": {}}), "spec.mlflow.source.backend: give exactly one of postgres, mysql, sqlite"),
        (
            a_document({"backend": {"mysql": {"host": "db", "database": "m"}}}),
            "spec.mlflow.source.backend.credentialsRef: a server needs a Secret with username and password",
        ),
        (a_document(an_address(), mlflow={"via": "Database"}), "spec.mlflow.via: Database needs backend on both sides"),
        (a_document(mlflow={"via": "Api"}), "spec.mlflow.source.trackingUri: via Api needs the server's address"),
        (
            a_document({"backend": a_backend()}),
            "spec.mlflow.source.artifacts: name the directory or bucket that holds the server's files, or set"
            " select.metadataOnly where both servers use one store",
        ),
        (
            a_document(target=a_server("old", artifacts={"claimName": "mlflow-new"})),
            "spec.mlflow.target.backend: source and target must be different databases",
        ),
        (
            a_document(target=a_server("new", artifacts={"claimName": "mlflow-old"})),
            "spec.mlflow.target.artifacts: source and target must be different places (both are in claim mlflow-old)",
        ),
        (
            a_document(an_address(), an_address()),
            "spec.mlflow.target.trackingUri: source and target must be different servers",
        ),
        (
            a_document({"trackingUri": "ftp://mlflow.old"}, an_address("new")),
            "spec.mlflow.source.trackingUri: it begins with http:// or https://, and has no query",
        ),
        (
            a_document({"archive": {"claimName": "a"}}, {"archive": {"claimName": "b"}}),
            "spec.mlflow.target.archive: one side has to be a server",
        ),
        (
            a_document({"archive": {"claimName": "a", "subPath": "../b"}}, an_address("new")),
            "spec.mlflow.source.archive.subPath: must stay inside the claim: no '..'",
        ),
        (
            a_document(a_server(auth=a_backend("auth.old"))),
            "spec.mlflow.target.auth: users move from database to database: give auth on both sides, or on none",
        ),
        (
            a_document(an_address(auth=a_backend("auth.old")), an_address("new")),
            "spec.mlflow.source.auth: NotSupportedYet: users and permissions move via Database only, since no server"
            " gives out passwords: leave auth out and make the users on the target, or give backend on both sides",
        ),
        (
            a_document(a_server(auth=a_backend("auth.old")), a_server("new", auth=a_backend("db.old"))),
            "spec.mlflow.target.auth: it is the source's own database (spec.mlflow.source.backend)",
        ),
        (
            a_document(transfer={"preCopy": 1}),
            "spec.transfer.preCopy: a tracking server is copied as it is at one moment: leave it out",
        ),
        (
            a_document(an_address(), an_address("new"), mlflow={"onConflict": "Update"}),
            "spec.mlflow.onConflict: what Update changes via Api cannot be put back: choose spec.onFailure Halt,"
            " or take Skip",
        ),
        (
            a_document(backup={"claimName": "mlflow-new"}),
            "spec.backup: claim mlflow-new holds a source or a target too: a backup needs a place of its own",
        ),
    ],
)
def test_what_cannot_be_is_named_by_its_field(data: Any, line: str) -> None:
    assert line in refused(data)


@pytest.mark.parametrize("address", [f"http://me:{SECRET}@mlflow.old", f"https://{SECRET}@mlflow.old/x"])
def test_an_address_with_a_password_is_refused_without_being_repeated(address: str) -> None:
    (found,) = refused(a_document({"trackingUri": address}, an_address("new")))
    assert found.startswith("spec.mlflow.source.trackingUri: ")
    assert SECRET not in found


def test_a_host_that_is_a_uri_is_refused_without_being_repeated() -> None:
    found = refused(a_document(a_server(backend=a_backend(f"postgres://me:{SECRET}@db"))))
    assert any(line.startswith("spec.mlflow.source.backend.postgres.host: ") for line in found)
    assert SECRET not in " ".join(found)


def test_a_database_may_lie_beside_its_servers_files() -> None:
    def a_laptop(name: str) -> dict[str, Any]:
        return {
            "backend": {"sqlite": {"claimName": name, "file": "mlflow.db"}},
            "artifacts": {"claimName": name, "subPath": "mlartifacts"},
        }

    spec = spec_of(a_document(a_laptop("old"), a_laptop("new")))
    assert [(use.field, use.writes, use.shared) for use in volumes(spec)] == [
        ("spec.mlflow.source.backend.sqlite", False, True),
        ("spec.mlflow.source.artifacts", False, False),
        ("spec.mlflow.target.backend.sqlite", True, True),
        ("spec.mlflow.target.artifacts", True, False),
    ]
    assert list(secrets(spec)) == []


def test_only_the_secrets_that_helpers_will_read_are_wanted() -> None:
    both = {**a_server(), **an_address(credentialsRef={"name": "token"})}, {**a_server("new"), **an_address("new")}
    by_database = {(use.name, use.key) for use in secrets(spec_of(a_document(*both, mlflow={"via": "Database"})))}
    either_way = {(use.name, use.key) for use in secrets(spec_of(a_document(*both)))}
    by_address = {(use.name, use.key) for use in secrets(spec_of(a_document(*both, mlflow={"via": "Api"})))}
    assert by_database == {("login", "username"), ("login", "password")}
    assert by_address == {("token", "")}
    assert either_way == by_database | by_address


def test_the_targets_login_is_wanted_where_its_server_is_asked_once_it_is_back() -> None:
    target = {**a_server("new"), **an_address("new", credentialsRef={"name": "token"})}
    found = {(use.name, use.key) for use in secrets(spec_of(a_document(a_server(), target)))}
    assert ("token", "") in found


def a_bucket(name: str = "old", **more: Any) -> dict[str, Any]:
    return {"s3": {"bucket": f"mlflow-{name}", "credentialsRef": {"name": "keys"}, **more}}


def in_bucket(name: str = "old", **more: Any) -> dict[str, Any]:
    return {"backend": a_backend(f"db.{name}"), "artifacts": a_bucket(name, **more)}


def test_a_bucket_is_called_by_its_name_and_prefix_unless_the_document_says_otherwise() -> None:
    mlflow = spec_of(a_document(in_bucket(prefix="team/files"), in_bucket("new", endpointUrl="https://s3.new"))).mlflow
    assert mlflow is not None
    assert mlflow.source.artifacts is not None
    assert mlflow.target.artifacts is not None
    assert (mlflow.source.artifacts.root, mlflow.target.artifacts.root) == (
        "s3://mlflow-old/team/files",
        "s3://mlflow-new",
    )


def test_the_keys_of_a_bucket_are_asked_for_and_no_volume_is() -> None:
    spec = spec_of(a_document(in_bucket(caRef={"name": "ca"}), in_bucket("new")))
    assert list(volumes(spec)) == []
    asked = [(mention.field, mention.key) for mention in secrets(spec) if ".s3." in mention.field]
    assert asked == [
        ("spec.mlflow.source.artifacts.s3.credentialsRef.name", "accessKey"),
        ("spec.mlflow.source.artifacts.s3.credentialsRef.name", "secretKey"),
        ("spec.mlflow.source.artifacts.s3.caRef.name", "ca.crt"),
        ("spec.mlflow.target.artifacts.s3.credentialsRef.name", "accessKey"),
        ("spec.mlflow.target.artifacts.s3.credentialsRef.name", "secretKey"),
    ]


@pytest.mark.parametrize(
    ("document", "field", "words"),
    [
        (a_document(in_bucket(endpointUrl=f"https://me:{SECRET}@s3")), ".source.artifacts.s3.endpointUrl", "no user"),
        (a_document(in_bucket(prefix="a/../b")), ".source.artifacts.s3.prefix", "no '..'"),
        (a_document(in_bucket(), in_bucket(prefix="inner")), ".target.artifacts", "one inside the other"),
        (
            a_document(target=in_bucket("new"), mlflow={"onConflict": "Update"}),
            ".onConflict",
            "cannot be put back",
        ),
        (
            a_document(target={"backend": a_backend("db.new"), "artifacts": {"uri": "gs://b/x"}}),
            ".target.artifacts",
            "NotSupportedYet: files of a store of scheme gs",
        ),
    ],
    ids=["password", "prefix", "inside", "update", "gs"],
)
def test_a_wrong_bucket_is_refused_by_its_field(document: Any, field: str, words: str) -> None:
    if document["spec"]["mlflow"]["target"].get("artifacts", {}).get("s3", {}).get("prefix") == "inner":
        document["spec"]["mlflow"]["target"]["artifacts"]["s3"]["bucket"] = "mlflow-old"
    found = refused(document)
    assert any(problem.startswith(f"spec.mlflow{field}") and words in problem for problem in found), found
    assert SECRET not in "".join(found)


def test_azure_s_container_before_the_account_is_no_password() -> None:
    uri = "abfss://files@account.dfs.core.windows.net/mlflow"
    side = {"backend": a_backend("db.new"), "artifacts": {"uri": uri}}
    mlflow = spec_of(a_document(target=side, mlflow={"select": {"metadataOnly": True}})).mlflow
    assert mlflow is not None
    assert mlflow.target.artifacts is not None
    assert mlflow.target.artifacts.root == uri
