"""A bucket as a place for files. The client library is loaded by these helpers alone.

MinIO's library speaks the protocol: Amazon's own and the Kubernetes client ask for different releases of
python-dateutil, so that one environment cannot hold both at their newest.

An object that a migration writes carries whose it is and what it is a copy of, as ``x-amz-meta-`` headers: so it is
found again, skipped when it is whole, and taken back. A put shows an object when all of it is there; what a server got
of a larger one it keeps unseen until then.
"""

from __future__ import annotations

import io
import json
import mimetypes
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.datatypes import Object
from minio.error import S3Error

from project_migration.workers import reasons
from project_migration.workers.harness import Job, WrongRequest
from project_migration.workers.mlflow.buckets.failures import is_missing, told
from project_migration.workers.mlflow.buckets.items import Item, ItemFailed, Reading
from project_migration.workers.mlflow.database.failures import Refused
from project_migration.workers.postgres.failures import AUTHENTICATION_FAILED
from project_migration.workers.reserved import MARK

AMAZON = "https://s3.amazonaws.com"
SECONDS = 60.0
TRIES = 5

#: Headers of an object: whose work it is, and the stamp of what it is a copy of.
MIGRATION = "x-amz-meta-project-migration"
COPY_OF = "x-amz-meta-project-migration-source"

#: Kept from one bucket to another, besides what begins with ``x-amz-meta-``.
_KEPT = ("content-type", "content-encoding", "content-language", "content-disposition", "cache-control")

#: Where it says which document was carried out there, as the mark of a directory does.
_ARRIVED = f"{MARK}/arrived.json"
_LARGEST = 65536

#: S3 allows keys of so many bytes.
LONGEST_KEY = 1024

_PLAIN_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Address:
    """What a request says of a bucket, and the keys that a Secret holds."""

    side: str
    endpoint: str
    bucket: str
    folder: str
    region: str | None
    access_key: str
    secret_key: str
    ca_file: str
    verify: bool

    @property
    def name(self) -> str:
        return f"s3 {self.bucket}{'/' if self.folder else ''}{self.folder} at {self.endpoint}"

    @classmethod
    def read(cls, job: Job, side: str, data: Mapping[str, Any]) -> Address:
        """Raises ``WrongRequest`` for a param that cannot be, ``Refused`` for keys that are not there."""
        roots = job.request.roots
        folder = roots.get(f"{side}-store-credentials", "")
        bucket, endpoint = data.get("bucket"), data.get("endpointUrl") or AMAZON
        if not isinstance(bucket, str) or not bucket:
            raise WrongRequest(f"params.{side}.bucket is missing")
        if not isinstance(endpoint, str) or urlsplit(endpoint).scheme not in ("http", "https"):
            raise WrongRequest(f"params.{side}.endpointUrl is no address")
        ca = roots.get(f"{side}-store-ca", "")
        return cls(
            side,
            endpoint.rstrip("/"),
            bucket,
            str(data.get("prefix") or "").strip("/"),
            data.get("region") or None,
            _secret(side, folder, "accessKey"),
            _secret(side, folder, "secretKey"),
            os.path.join(ca, "ca.crt") if ca else "",
            data.get("insecureSkipVerify") is not True,
        )


def _secret(side: str, folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as stream:
            value = stream.read().strip()
    except (OSError, ValueError):
        raise Refused(AUTHENTICATION_FAILED, f"{side}: the secret has no readable key {name}") from None
    if not value:
        raise Refused(AUTHENTICATION_FAILED, f"{side}: the secret's key {name} is empty")
    return value


class Bucket:
    """See :class:`~project_migration.workers.mlflow.buckets.items.Place`."""

    def __init__(self, address: Address, migration: str, threads: int) -> None:
        self.side = address.side
        self.name = address.name
        self._bucket = address.bucket
        self._folder = f"{address.folder}/" if address.folder else ""
        self._migration = migration
        self._client = _client(address, threads)

    def check(self) -> None:
        with told(self._where):
            next(iter(self._client.list_objects(self._bucket, prefix=self._folder, recursive=True)), None)

    def check_writable(self) -> None:
        """Begins an upload and drops it, which takes the right to write and leaves nothing."""
        key, client = self._key(_ARRIVED), cast("Any", self._client)
        try:
            with told(self._where):
                upload = client._create_multipart_upload(self._bucket, key, {})
        except ItemFailed as failure:
            message = f"{self._where}: nothing can be written there: {failure.cause}"
            raise Refused(reasons.PERMISSION_DENIED, message) from failure
        with suppress(Exception):  # an upload that is never completed is no object
            client._abort_multipart_upload(self._bucket, key, upload)

    @property
    def _where(self) -> str:
        return f"{self.side}: {self.name}"

    def items(self, below: str = "") -> Iterator[Item]:
        prefix = f"{self._folder}{below}/" if below else self._folder
        with told(self._where):
            for found in self._client.list_objects(self._bucket, prefix=prefix, recursive=True):
                key = str(found.object_name)
                # what some tools leave in a directory's place, so that it can be seen empty; and what is ours
                if not key.endswith("/") and not key.startswith(f"{self._folder}{MARK}/"):
                    yield self._item(found)

    def left(self) -> Mapping[str, str]:
        return {}

    def holds_anything(self) -> bool:
        return next(self.items(), None) is not None

    def look(self, path: str) -> Item | None:
        try:
            return self._item(self._client.stat_object(self._bucket, self._key(path)))
        except S3Error as error:
            if is_missing(error):
                return None
            with told(self._where):
                raise
        except Exception:
            with told(self._where):
                raise
        return None

    def _item(self, found: Object) -> Item:
        etag = (found.etag or "").strip('"')
        kept = {name.lower(): value for name, value in (found.metadata or {}).items()}
        return Item(
            path=str(found.object_name)[len(self._folder) :],
            size=found.size or 0,
            stamp=etag,
            modified_ns=int(found.last_modified.timestamp()) * 1_000_000_000 if found.last_modified else 0,
            md5=etag if _PLAIN_MD5.fullmatch(etag) else "",
            copy_of=kept.get(COPY_OF, ""),
            migration=kept.get(MIGRATION, ""),
        )

    @contextmanager
    def reading(self, item: Item) -> Iterator[Reading]:
        with told(self._where):
            # the very object that was listed, or none
            asked: Any = {"If-Match": f'"{item.stamp}"'} if item.stamp else None
            response = self._client.get_object(self._bucket, self._key(item.path), request_headers=asked)
        try:
            yield _Stream(response, self._where)
        finally:
            response.close()
            response.release_conn()

    def write(self, path: str, item: Item, content: Reading) -> None:
        key = self._key(path)
        if len(key.encode("utf-8", "surrogateescape")) > LONGEST_KEY or not _is_text(key):
            raise ItemFailed("no object can have this name: it is too long, or no UTF-8")
        kept: dict[str, Any] = {name: value for name, value in content.headers.items() if _is_kept(name)}
        kind = str(kept.pop("content-type", "") or mimetypes.guess_type(path)[0] or "application/octet-stream")
        kept |= {MIGRATION: self._migration, COPY_OF: item.stamp}
        with told(self._where):
            stream = cast("BinaryIO", content)
            self._client.put_object(self._bucket, key, stream, item.size, kind, metadata=kept, num_parallel_uploads=1)

    def arrived(self) -> tuple[str, ...]:
        """The digests of the document that was carried out here; none where that is not known."""
        if self.look(_ARRIVED) is None:
            return ()
        try:
            with self.reading(Item(_ARRIVED, 0, "")) as content:
                return tuple(str(digest) for digest in json.loads(content.read(_LARGEST))["document"])
        except (ItemFailed, ValueError, KeyError, TypeError):
            return ()

    def say_arrived(self, document: Sequence[str]) -> None:
        text = json.dumps({"uid": self._migration, "document": list(document)}).encode()
        with told(self._where):
            self._client.put_object(self._bucket, self._key(_ARRIVED), io.BytesIO(text), len(text), "application/json")

    def forget_arrived(self) -> None:
        """Before anything is changed: what was carried out before is no more what lies here."""
        if self.look(_ARRIVED) is not None:
            self.remove(_ARRIVED)

    def remove(self, path: str) -> None:
        with told(self._where):
            self._client.remove_object(self._bucket, self._key(path))

    def finish(self) -> None:
        """A put is durable when it is answered."""

    def close(self) -> None:
        """Its connections go with the process."""

    def _key(self, path: str) -> str:
        return self._folder + path


class _Stream:
    def __init__(self, response: Any, where: str) -> None:
        self._response = response
        self._where = where

    @property
    def headers(self) -> Mapping[str, str]:
        return {name.lower(): value for name, value in self._response.headers.items()}

    def read(self, size: int, /) -> bytes:
        with told(self._where):
            # as it lies there: what is stored compressed stays so
            return bytes(self._response.read(size, decode_content=False))


def _is_kept(name: str) -> bool:
    ours = name in (MIGRATION, COPY_OF)
    return not ours and (name in _KEPT or name.startswith("x-amz-meta-"))


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _client(address: Address, threads: int) -> Minio:
    verified = {"cert_reqs": "CERT_REQUIRED", "ca_certs": address.ca_file or None}
    pool = urllib3.PoolManager(
        maxsize=threads + 1,
        timeout=urllib3.Timeout(connect=SECONDS / 4, read=SECONDS),
        retries=urllib3.Retry(total=TRIES, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504)),
        **(verified if address.verify else {"cert_reqs": "CERT_NONE", "assert_hostname": False}),
    )
    parts = urlsplit(address.endpoint)
    return Minio(
        parts.netloc,
        access_key=address.access_key,
        secret_key=address.secret_key,
        secure=parts.scheme == "https",
        region=address.region,
        http_client=pool,
    )
