"""A document whose files lie in a bucket, run on this machine: rows name the new place, and the server finds it."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.local.mlflow.buckets import Bucket
from tests.local.mlflow.conftest import Populated
from tests.local.mlflow.running import Base, copied
from tests.local.mlflow.test_documents import Site, tree
from tools import mlflow_servers


@dataclass
class BucketSite(Site):
    """The same with a bucket in place of a directory of files, on the sides that have one."""

    buckets: tuple[Bucket | None, Bucket | None] = (None, None)

    def server(self, base: Base, artifacts: Path) -> dict[str, Any]:
        found = super().server(base, artifacts)
        side = 0 if base is self.source[0] else 1
        bucket = self.buckets[side]
        if bucket is not None:
            s3 = {name: value for name, value in bucket.params.items() if name != "region"}
            found["artifacts"] = {"s3": {**s3, "credentialsRef": {"name": "store"}}}
        return found

    def call(self, verb: str, *options: str) -> Any:
        for bucket in self.buckets:
            if bucket is not None and verb in ("run", "plan"):
                login = bucket.write_login(self.path / "store")
                options = ("--bind", f"secret/store={login}", *options)
                break
        return super().call(verb, *options)


def locations(base: Base) -> set[str]:
    return {row[0] for row in base.rows("SELECT artifact_uri FROM runs WHERE lifecycle_stage = 'active'")}


@pytest.fixture
def into_bucket(tmp_path: Path, populated: Populated, new_sqlite: Base, bucket: Bucket) -> BucketSite:
    new = copied(new_sqlite, tmp_path / "new" / "mlflow.db")
    site = BucketSite(tmp_path, (populated.base, populated.artifacts), (new, tmp_path / "unused"))
    site.buckets = (None, bucket)
    return site


def test_files_go_into_a_bucket_and_the_server_hands_them_out_and_back_again(
    into_bucket: BucketSite, tmp_path: Path, new_sqlite: Base, bucket: Bucket
) -> None:
    before = tree(into_bucket.source[1])
    done = into_bucket.call("run", "--report", str(tmp_path / "report.html"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert bucket.tree() == before
    assert all(uri.startswith(f"{bucket.uri}/") for uri in locations(into_bucket.target[0]))
    assert f"s3 {bucket.name}/{bucket.prefix}" in (tmp_path / "report.html").read_text()
    said = json.dumps(into_bucket.status()) + done.stdout + done.stderr + (tmp_path / "report.html").read_text()
    assert bucket.store.secret_key not in said
    again = BucketSite(tmp_path / "again", into_bucket.source, into_bucket.target)
    again.path.mkdir()
    again.buckets = into_bucket.buckets
    known = again.call("run")
    assert known.returncode == 0, known.stdout + known.stderr
    assert again.status()["phase"] == "AlreadyMigrated", "the bucket says so too"
    _served(into_bucket, bucket, before)
    _back(into_bucket, tmp_path / "back", copied(new_sqlite, tmp_path / "back" / "new" / "mlflow.db"), before)


def _served(site: BucketSite, bucket: Bucket, files: dict[str, str]) -> None:
    """The real server reads from the bucket itself."""
    run = next(row for row in site.target[0].rows("SELECT run_uuid, artifact_uri FROM runs WHERE name = 'child'"))
    name = next(name for name in files if f"/{run[0]}/artifacts/" in name and "notes" in name)
    variables = {
        "AWS_ACCESS_KEY_ID": bucket.store.access_key,
        "AWS_SECRET_ACCESS_KEY": bucket.store.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_S3_ENDPOINT_URL": bucket.store.endpoint,
    }
    with mlflow_servers.serving(site.target[0].uri, site.path / "none", site.path / "server", **variables) as address:
        path = name.partition("/artifacts/")[2]
        asked = f"{address}/get-artifact?run_uuid={run[0]}&path={quote(path)}"
        with urllib.request.urlopen(asked, timeout=30) as found:
            assert hashlib.sha256(found.read()).hexdigest() == files[name]


def _back(site: BucketSite, path: Path, new: Base, before: dict[str, str]) -> None:
    """From the bucket into a directory: rows and files are what they were at first."""
    again = BucketSite(path, (site.target[0], path / "unused"), (new, path / "mlartifacts"))
    again.buckets = (site.buckets[1], None)
    done = again.call("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert tree(path / "mlartifacts") == before
    assert locations(new) == locations(site.source[0])


def test_what_went_into_a_bucket_is_taken_back_when_rows_cannot_be(into_bucket: BucketSite, bucket: Bucket) -> None:
    name = next(name for name in sorted(tree(into_bucket.source[1])) if "notes" in name)
    bucket.put({name: b"somebody else's", "theirs": b"theirs"})
    before = bucket.tree()
    failed = into_bucket.call("run")
    assert failed.returncode == 1
    assert into_bucket.status()["failureReason"] == "NameClash", into_bucket.status()["failure"]
    assert into_bucket.status()["rolledBackAt"]
    assert bucket.tree() == before
    assert into_bucket.target[0].value("SELECT count(*) FROM runs") == 0


def test_rows_are_given_other_locations_although_no_file_moves(into_bucket: BucketSite) -> None:
    into_bucket.buckets = (None, None)
    document = {"artifacts": {"uri": "mlflow-artifacts:/"}}, {"artifacts": {"uri": "gs://new/place"}}
    sides = iter(document * 2)
    plain = into_bucket.server
    into_bucket.server = lambda *given: {**plain(*given), **next(sides)}  # type: ignore[method-assign]
    into_bucket.mlflow = {"select": {"metadataOnly": True}}
    done = into_bucket.call("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(uri.startswith("gs://new/place/") for uri in locations(into_bucket.target[0]))


@pytest.mark.parametrize(
    "uri", ["gs://bucket/x", "abfss://files@account.dfs.core.windows.net/x", "dbfs:/x", "hdfs://n/x"]
)
def test_a_store_that_is_named_and_cannot_be_reached_is_refused_with_its_scheme(
    into_bucket: BucketSite, uri: str
) -> None:
    plain = into_bucket.server
    into_bucket.server = lambda *given: {**plain(*given), "artifacts": {"uri": uri}}  # type: ignore[method-assign]
    refused = into_bucket.call("run")
    assert refused.returncode == 2
    said = refused.stdout + refused.stderr
    assert "NotSupportedYet" in said
    assert f"scheme {uri.partition(':')[0]} " in " ".join(said.split())
    assert "metadataOnly" in said
