"""What the helpers of a tracking server are asked to do: the right programs, mounts and Secrets for each way."""

from __future__ import annotations

import json
from typing import Any

from project_migration.engine.effects import Mount, SecretMount
from project_migration.engine.platform import Backing
from project_migration.model.document import Side, Spec
from project_migration.model.endpoints import Volume
from project_migration.model.errors import Reason
from project_migration.model.mlflow import ARTIFACTS, TRACKING
from project_migration.model.records import Outcome, Record
from project_migration.platforms.mlflow.platform import MlflowPlatform
from tests.unit.model.test_mlflow_rules import a_backend, a_document, a_server, an_address, in_bucket, spec_of

PLACE = Volume(claim_name="backup", sub_path="tracking-1/tracking")
KEYS = (("username", "username"), ("password", "password"))


def a_laptop(name: str) -> dict[str, Any]:
    sqlite = {"claimName": name, "file": "mlflow.db"}
    return {"backend": {"sqlite": sqlite}, "artifacts": {"claimName": name, "subPath": "files"}}


def workers(works: Any) -> list[tuple[str, str]]:
    return [(work.name, work.worker) for work in works]


def surveyed(**counts: int) -> Record:
    return Record("sha256:1", Outcome.SUCCEEDED, counts=counts)


def test_rows_and_files_are_units_of_the_same_steps() -> None:
    platform, spec = MlflowPlatform(), spec_of(a_document(transfer={"bandwidth": "10Mi"}))
    assert platform.units(spec) == (TRACKING, ARTIFACTS)
    assert workers(platform.surveys(spec, ())) == [(TRACKING, "mlflow.database.survey"), (ARTIFACTS, "survey")]
    assert workers(platform.arrangements(spec)) == [(TRACKING, "mlflow.database.arrange")]
    copies = platform.copies(spec, share=2, empty=frozenset({ARTIFACTS}))
    assert workers(copies) == [(TRACKING, "mlflow.database.copy"), (ARTIFACTS, "mlflow.artifacts.copy")]
    assert [work.params["bandwidth"] for work in copies] == [5 * 2**20] * 2
    assert copies[1].params["requireEmpty"]
    assert workers(platform.verifications(spec)) == [
        (TRACKING, "mlflow.database.verify"),
        (ARTIFACTS, "mlflow.artifacts.verify"),
    ]
    assert platform.copies(spec, share=1, empty=frozenset(), warm=True) == ()


def test_a_helper_reads_rows_with_the_logins_of_its_databases_and_mounts_no_files() -> None:
    [rows, files] = MlflowPlatform().copies(spec_of(a_document()), share=1, empty=frozenset())
    assert rows.secrets == (
        SecretMount("source-credentials", "login", KEYS),
        SecretMount("target-credentials", "login", KEYS),
    )
    assert (rows.mounts, rows.network) == ((), True)
    assert (files.secrets, files.network) == ((), False)
    assert "login" not in json.dumps(dict(rows.params)), "a request names no Secret"
    assert rows.params["source"]["artifacts"] == "mlflow-artifacts:/"


def test_a_database_in_a_file_is_mounted_and_needs_no_network() -> None:
    platform, spec = MlflowPlatform(), spec_of(a_document(a_laptop("old"), a_laptop("new")))
    [rows, files] = platform.copies(spec, share=1, empty=frozenset())
    assert [(mount.root, mount.volume.claim_name, mount.read_only) for mount in rows.mounts] == [
        ("source-backend", "old", True),
        ("target-backend", "new", False),
    ]
    assert not rows.network
    assert rows.params["target"]["backend"] == {"kind": "sqlite", "root": "target-backend", "file": "mlflow.db"}
    [survey, _] = platform.surveys(spec, ())
    assert all(mount.read_only for mount in survey.mounts)
    uses = [(use.unit, use.side, use.volume.claim_name) for use in platform.uses(spec)]
    assert (TRACKING, Side.TARGET, "new") in uses
    assert (ARTIFACTS, Side.SOURCE, "old") in uses
    assert files.params["exclude"] == [], "the database lies outside of the files"


def test_a_database_among_the_files_is_not_moved_as_a_file() -> None:
    beside = {"backend": {"sqlite": {"claimName": "old"}}, "artifacts": {"claimName": "old"}}
    [_, files] = MlflowPlatform().copies(spec_of(a_document(beside, a_server("new"))), share=1, empty=frozenset())
    assert files.params["exclude"] == ["/mlflow.db", "/mlflow.db-journal", "/mlflow.db-shm", "/mlflow.db-wal"]


def test_a_shared_store_leaves_files_where_they_are() -> None:
    platform, spec = MlflowPlatform(), spec_of(a_document(mlflow={"select": {"metadataOnly": True}}))
    assert platform.units(spec) == (TRACKING,)
    assert platform.uses(spec) == ()


def test_a_postgresql_in_use_is_dumped_and_a_file_in_use_is_copied_without_its_neighbours() -> None:
    platform, backings = MlflowPlatform(), (Backing(TRACKING, PLACE), Backing(ARTIFACTS, PLACE))
    server = spec_of(a_document())
    assert workers(platform.backups(server, backings)) == [(TRACKING, "postgres.dump"), (ARTIFACTS, "copy_tree")]
    assert workers(platform.backup_proofs(server, backings)) == [(ARTIFACTS, "manifest")], "a dump proves itself"
    assert workers(platform.restores(server, backings)) == [(TRACKING, "postgres.restore"), (ARTIFACTS, "copy_tree")]
    laptop = spec_of(a_document(a_laptop("old"), a_laptop("new")))
    [rows, _] = platform.backups(laptop, backings)
    assert (rows.worker, rows.mounts[1]) == ("copy_tree", Mount("target", PLACE, read_only=False))
    assert rows.params["include"] == ["/mlflow.db", "/mlflow.db-wal", "/mlflow.db-shm", "/mlflow.db-journal"]
    [back, _] = platform.restores(laptop, backings)
    assert (back.worker, back.params["include"], back.params["delete"]) == ("copy_tree", rows.params["include"], True)


def test_a_target_that_was_empty_is_made_so_again() -> None:
    [rows, files] = MlflowPlatform().restores(
        spec_of(a_document()), (Backing(TRACKING, None), Backing(ARTIFACTS, None))
    )
    assert (rows.worker, rows.params["what"], files.worker) == ("mlflow.database.clear", "Everything", "clear_tree")


def judged(spec: Spec, record: Record, *, written: bool = False) -> list[Reason]:
    return [found.reason for found in MlflowPlatform().judge_survey(spec, TRACKING, record, written=written)]


def test_a_target_in_use_needs_a_backup_or_a_waiver() -> None:
    in_use, bare = surveyed(targetEmpty=0), spec_of(a_document())
    assert judged(bare, in_use) == [Reason.TARGET_NOT_EMPTY]
    assert judged(bare, in_use, written=True) == []
    assert judged(bare, surveyed(targetEmpty=1)) == []
    for backup in ({"claimName": "backup"}, {"waive": "a copy of last night"}):
        assert judged(spec_of(a_document(backup=backup)), in_use) == []


def test_a_mysql_in_use_cannot_be_kept() -> None:
    mysql = {"mysql": {"host": "db.new", "database": "mlflow"}, "credentialsRef": {"name": "login"}}
    target = a_server("new", backend=mysql)
    kept = spec_of(a_document(target=target, backup={"claimName": "backup"}))
    assert judged(kept, surveyed(targetEmpty=0)) == [Reason.NOT_SUPPORTED_YET]
    assert judged(spec_of(a_document(target=target, backup={"waive": "dumped"})), surveyed(targetEmpty=0)) == []


def test_through_addresses_one_unit_adds_and_takes_back_what_it_added() -> None:
    platform = MlflowPlatform()
    spec = spec_of(a_document(an_address(credentialsRef={"name": "old"}), an_address("new")))
    [copy] = platform.copies(spec, share=1, empty=frozenset())
    assert (copy.name, copy.worker, copy.network, copy.mounts) == (TRACKING, "mlflow.api.copy", True, ())
    assert copy.secrets == (SecretMount("source-credentials", "old", ()),), "a token, or a name and a password"
    assert platform.adds_only(spec) == {TRACKING}
    assert platform.arrangements(spec) == ()
    assert workers(platform.restores(spec, (Backing(TRACKING, None),))) == [(TRACKING, "mlflow.api.clear")]
    assert platform.backups(spec, (Backing(TRACKING, PLACE),)) == ()


def test_an_archive_is_mounted_in_place_of_a_server_and_has_to_be_empty_as_a_target() -> None:
    spec = spec_of(a_document(an_address(), {"archive": {"claimName": "old-export"}}))
    [survey] = MlflowPlatform().surveys(spec, ())
    assert survey.params["target"] == {"archive": {"root": "target-archive"}}
    assert [mount.root for mount in survey.mounts] == ["target-archive"]
    assert judged(spec, surveyed(targetEmpty=0)) == [Reason.TARGET_NOT_EMPTY]


def test_the_choice_is_the_same_in_every_request() -> None:
    select = {"experiments": {"include": ["vision/*"]}, "models": {"versions": "1,4"}}
    spec = spec_of(a_document(mlflow={"select": select, "rename": {"models": {"a": "b"}}, "onConflict": "Fail"}))
    platform = MlflowPlatform()
    asked = [platform.surveys(spec, ())[0], platform.copies(spec, share=1, empty=frozenset())[0]]
    for work in (*asked, platform.verifications(spec)[0], platform.arrangements(spec)[0]):
        assert work.params["select"]["experiments"]["include"] == ["vision/*"]
        assert work.params["select"]["models"]["versions"] == ["1", "4"]
        assert (work.params["rename"]["models"], work.params["onConflict"]) == ({"a": "b"}, "Fail")


def test_a_dump_of_rows_needs_client_tools_and_nothing_else_does() -> None:
    platform = MlflowPlatform()
    found = {TRACKING: {"targetMajor": 18}}
    [look] = platform.tool_looks(spec_of(a_document()), found)
    assert (look.name, look.worker, look.client_major) == ("client-tools-18", "postgres.client_tools", 18)
    assert platform.tool_looks(spec_of(a_document()), {TRACKING: {}}) == ()


def test_a_target_that_could_not_be_looked_into_is_not_called_in_use() -> None:
    spec = spec_of(a_document())
    problem = {"reason": "NotMlflow", "message": "target: there is no file mlflow.db", "passing": False}
    facts = {"target": {"reachable": False}, "problems": {"found": [problem], "count": 1}}
    record = Record("sha256:1", Outcome.SUCCEEDED, counts={"targetEmpty": 0}, facts=facts)
    [failure] = MlflowPlatform().judge_survey(spec, TRACKING, record, written=False)
    assert failure.reason is Reason.NOT_MLFLOW


def test_a_bucket_is_only_added_to_and_what_was_added_is_taken_away() -> None:
    platform, spec = MlflowPlatform(), spec_of(a_document(target=in_bucket("new", endpointUrl="https://S3.new/")))
    assert platform.adds_only(spec) == frozenset({ARTIFACTS})
    assert "s3/https://s3.new/mlflow-new" in platform.servers(spec)
    [copied] = [work for work in platform.copies(spec, share=1, empty=frozenset()) if work.name == ARTIFACTS]
    assert (copied.worker, copied.network, copied.params["replace"]) == ("mlflow.buckets.copy", True, False)
    assert [mount.root for mount in copied.mounts] == ["source"]
    assert copied.secrets == (
        SecretMount("target-store-credentials", "keys", (("accessKey", "accessKey"), ("secretKey", "secretKey"))),
    )
    assert "keys" not in json.dumps(dict(copied.params)), "a request names no Secret"
    backing = Backing(ARTIFACTS, None)
    assert workers(platform.restores(spec, [backing])) == [(ARTIFACTS, "mlflow.buckets.clear")]
    [proof] = platform.restore_proofs(spec, [backing])
    assert proof.params["look"]


def test_a_directory_that_is_filled_from_a_bucket_is_kept_like_any_other() -> None:
    platform, spec = MlflowPlatform(), spec_of(a_document(in_bucket()))
    assert platform.adds_only(spec) == frozenset()
    assert [(use.unit, use.side) for use in platform.uses(spec)] == [(ARTIFACTS, Side.TARGET)]
    assert workers(platform.backups(spec, [Backing(ARTIFACTS, PLACE)])) == [(ARTIFACTS, "copy_tree")]
    assert workers(platform.restores(spec, [Backing(ARTIFACTS, None)])) == [(ARTIFACTS, "clear_tree")]
    [copied] = [work for work in platform.copies(spec, share=1, empty=frozenset()) if work.name == ARTIFACTS]
    assert copied.owners, "files from a bucket get an owner on the target"


def test_users_in_a_database_of_their_own_are_taken_back_beside_a_restore_and_with_the_rows_otherwise() -> None:
    own = a_document(a_server(auth=a_backend("auth.old")), a_server("new", auth=a_backend("auth.new")))
    one = a_document(a_server(auth=a_backend("db.old")), a_server("new", auth=a_backend("db.new")))
    platform = MlflowPlatform()
    kept, empty = Backing(TRACKING, PLACE), Backing(TRACKING, None)
    assert ("users", "mlflow.users.clear") in workers(platform.restores(spec_of(own), [kept]))
    assert "users" not in dict(workers(platform.restores(spec_of(own), [empty])))
    assert "users" not in dict(workers(platform.restores(spec_of(one), [kept])))
    assert len(platform.servers(spec_of(own))) == 2
    assert len(platform.servers(spec_of(one))) == 1, "one database, one lock"
    [rows, _] = platform.copies(spec_of(own), share=1, empty=frozenset())
    assert [mount.root for mount in rows.secrets] == [
        "source-credentials",
        "source-auth-credentials",
        "target-credentials",
        "target-auth-credentials",
    ]
