"""What an object store says, as one of the reasons that a record may hold, or as the failure of one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import urllib3.exceptions as of_http
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from project_migration.workers import reasons
from project_migration.workers.mlflow.buckets.items import CHANGED, ItemFailed
from project_migration.workers.mlflow.database.failures import Refused
from project_migration.workers.postgres.failures import AUTHENTICATION_FAILED, TLS_FAILED

OBJECT_STORE_UNREACHABLE = "ObjectStoreUnreachable"
BUCKET_NOT_FOUND = "BucketNotFound"

#: Codes of Amazon S3 ("Error responses", API reference) and what they mean here.
_LOGIN = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "AuthFailure"})
_FULL = frozenset({"QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"})
_PASSING = frozenset(
    {"InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "OperationAborted", "TooManyRequests"}
)
_GONE = frozenset({"NoSuchKey", "NoSuchObject", "ResourceNotFound"})


@contextmanager
def told(where: str) -> Iterator[None]:
    """Raises ``Refused`` for what concerns the whole store, ``ItemFailed`` for what concerns one object of it."""
    try:
        yield
    except S3Error as error:
        raise _of_code(where, error) from error
    except (ServerError, InvalidResponseError) as error:
        message = f"{where} does not answer as an object store does: {str(error)[:200]}"
        raise Refused(OBJECT_STORE_UNREACHABLE, message, passing=True) from error
    except of_http.SSLError as error:
        raise Refused(TLS_FAILED, f"{where}: {_last(error)}") from error
    except of_http.MaxRetryError as error:
        if isinstance(error.reason, of_http.SSLError):
            raise Refused(TLS_FAILED, f"{where}: {_last(error.reason)}") from error
        message = f"{where} cannot be reached: {_last(error.reason or error)}"
        raise Refused(OBJECT_STORE_UNREACHABLE, message, passing=True) from error
    except (of_http.HTTPError, ConnectionError, TimeoutError) as error:
        raise ItemFailed(f"the connection broke: {_last(error)}", passing=True) from error
    except (MinioException, ValueError) as error:
        raise ItemFailed(str(error)[:200]) from error


def is_missing(error: S3Error) -> bool:
    return error.code in _GONE


def _of_code(where: str, error: S3Error) -> Exception:
    said = f"{error.code}: {error.message}"
    if error.code in _LOGIN:
        return Refused(AUTHENTICATION_FAILED, f"{where}: {said}")
    if error.code == "NoSuchBucket":
        return Refused(BUCKET_NOT_FOUND, f"{where}: there is no such bucket")
    if error.code in _FULL:
        return Refused(reasons.NO_SPACE_LEFT, f"{where}: {said}")
    if error.code == "PreconditionFailed":
        return ItemFailed(CHANGED, passing=True)
    if error.code in _GONE:
        return ItemFailed("it is not there any more", passing=True)
    return ItemFailed(said, passing=error.code in _PASSING)


def _last(error: object) -> str:
    return str(error).rpartition(": ")[2][:200]
