"""What stands against a document with a CDSW, each problem with its field; and what a document leaves to be found."""

from __future__ import annotations

from typing import Any

import pytest

from project_migration.model.cdsw import ArchiveFile, directory_of, file_of
from project_migration.model.document import Document, Side, WorkloadKind
from project_migration.model.errors import DocumentError
from project_migration.model.mentions import jobs, secrets, volumes
from project_migration.model.rules import read_document
from project_migration.model.status import FoundStatus, FoundWorkload, Status, along

ARCHIVE = {"archive": {"claimName": "migration-archive", "subPath": "from/cml-migration.tar.gz"}}
LIVE = {
    "database": {"postgres": {"host": "db.old", "database": "sense"}, "credentialsRef": {"name": "old"}},
    "projects": {"claimName": "cdsw-projects"},
}
DATABASE = {"credentialsRef": {"name": "db-password"}}


def document(**cdsw: Any) -> dict[str, Any]:
    spec = {"source": ARCHIVE, "target": {"namespace": "mlx"}, "administrator": {"username": "admin"}, **cdsw}
    return {
        "apiVersion": "migration.mlops.dev/v1alpha1",
        "kind": "ProjectMigration",
        "metadata": {"name": "cdsw", "namespace": "mlx"},
        "spec": {"cdsw": spec, "workspace": {"claimName": "work"}, "backup": {"claimName": "backup"}},
    }


def read(data: dict[str, Any], *, local: bool = False) -> Document:
    return read_document(data, local=local)


@pytest.mark.parametrize(
    ("cdsw", "line"),
    [
        ({"source": {}}, "spec.cdsw.source: give archive, or database and projects"),
        ({"source": {**LIVE, **ARCHIVE}}, "spec.cdsw.source: give archive, or database and projects"),
        ({"source": {"database": LIVE["database"]}}, "spec.cdsw.source.projects: a CDSW in reach needs both"),
        ({"source": {"archive": {"claimName": "a"}}}, "spec.cdsw.source.archive.subPath: name the archive's file"),
        ({"target": {}}, "spec.cdsw.target: give archive, or namespace, or database and projects"),
        ({"target": {"database": DATABASE}}, "spec.cdsw.target: without namespace both are needed"),
        (
            {"target": {"namespace": "ml"}},
            "spec.cdsw.target.namespace: NotSupportedYet: claims are mounted in",
        ),
        ({"target": ARCHIVE}, "spec.cdsw.source: an archive is made of a CDSW in reach"),
        ({"administrator": None}, "spec.cdsw.administrator: name an administrator of the target"),
        (
            {
                "source": LIVE,
                "target": {"database": {**DATABASE, "postgres": LIVE["database"]["postgres"]}, "namespace": "mlx"},
            },
            "spec.cdsw.target.database: source and target must be different databases",
        ),
        (
            {"source": {**LIVE, "projects": {"claimName": "projects-pvc", "subPath": "old"}}},
            "spec.cdsw.target.projects: source and target must be different places",
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_field(cdsw: dict[str, Any], line: str) -> None:
    with pytest.raises(DocumentError) as refused:
        read(document(**cdsw))
    assert any(problem.startswith(line) for problem in refused.value.problems), refused.value.problems


def test_a_workspace_needs_a_backup_and_an_archive_does_not() -> None:
    bare = document()
    del bare["spec"]["backup"]
    with pytest.raises(DocumentError) as refused:
        read(bare)
    assert refused.value.problems == (
        "spec.backup: a workspace that a CDSW moves into needs one: its database is replaced",
    )
    export = document(source=LIVE, target=ARCHIVE, administrator=None)
    del export["spec"]["backup"]
    assert read(export).spec.platform == "cdsw"


def test_one_machine_has_no_namespace_to_look_things_up_in() -> None:
    with pytest.raises(DocumentError) as refused:
        read(document(), local=True)
    assert "spec.cdsw.target.namespace: one machine has none: give database and projects" in refused.value.problems


def test_what_a_document_leaves_out_is_what_a_workspace_calls_it() -> None:
    spec = read(document()).spec
    assert [(use.field, use.volume.claim_name, use.volume.sub_path) for use in volumes(spec)][:2] == [
        ("spec.cdsw.source.archive", "migration-archive", "from"),
        ("spec.cdsw.target.projects", "projects-pvc", None),
    ]
    assert [job.name for job in jobs(spec)] == ["db-migrate"]
    assert list(secrets(spec)) == []
    assert spec.cdsw is not None
    assert (spec.cdsw.server.host, spec.cdsw.server.database) == ("db", "sense")


def test_what_was_found_is_seen_as_if_the_document_had_said_it() -> None:
    spec = read(document()).spec
    found = FoundStatus(
        job="db-migrate-2.0.28-b66",
        secret="db-password",
        secret_key="pass",
        workloads=(FoundWorkload(kind=WorkloadKind.DEPLOYMENT, name="web"),),
    )
    seen = along(spec, Status(found=found))
    assert seen.cdsw is not None
    assert seen.cdsw.target.schema_job == "db-migrate-2.0.28-b66"
    database = seen.cdsw.target.database
    assert database is not None
    assert (database.credentials_ref.name, database.password_key, database.username) == ("db-password", "pass", "sense")
    assert [(w.name, w.side) for w in seen.quiesce.workloads] == [("web", Side.TARGET)]
    assert along(spec, Status()) == spec


def test_a_document_that_names_its_database_keeps_it() -> None:
    spec = read(document(target={"namespace": "mlx", "database": {**DATABASE, "username": "owner"}})).spec
    seen = along(spec, Status(found=FoundStatus(job="db-migrate-1", secret="other", secret_key="key")))
    assert seen.cdsw is not None
    assert seen.cdsw.target.database == spec.cdsw.target.database if spec.cdsw else False


@pytest.mark.parametrize(
    ("path", "above", "file"), [("a.tar.gz", None, "a.tar.gz"), ("one/two/a.tgz", "one/two", "a.tgz")]
)
def test_an_archive_is_mounted_by_the_directory_that_holds_it(path: str, above: str | None, file: str) -> None:
    archive = ArchiveFile(claim_name="c", sub_path=path)
    assert (directory_of(archive).sub_path, file_of(archive)) == (above, file)
