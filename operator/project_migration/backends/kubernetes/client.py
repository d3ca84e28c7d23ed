"""One connection to the API server: JSON in, JSON out, a time-out on every call, errors by what they mean for us.

The generated classes of the client library are passed by: they parse every field of every pod of a namespace, which
costs more than all else in a pass, and they refuse objects that an API server accepts. What the library is good for,
configuration and transport, is used: kubeconfig, in-cluster tokens with their renewal, proxies, TLS.

Errors, all of them :class:`~project_migration.model.errors.MigrationError`::

    Conflict              409: changed since it was read
    └── AlreadyExists     409 to a creation
    PassingError          no answer
    ├── TroubleError      429, 5xx, 401
    └── Refused           any other 4xx: it will be the same next time, and the message says why
        └── NotThere      404
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

import urllib3
from kubernetes import config
from kubernetes.client import Configuration
from kubernetes.client.rest import RESTClientObject

from project_migration.backends.kubernetes.resources import Json, Resource, metadata, name_of
from project_migration.model.errors import Conflict, PassingError

T = TypeVar("T")

#: Who we are in managed fields and in the API server's audit log.
FIELD_MANAGER = "project-migration-operator"

CONNECT_SECONDS = 5.0
PAGE = 500

#: From so many objects on, one list is cheaper than a read of each.
LIST_FROM = 4

#: Metadata only, where that is all we read: a tenth of the bytes.
#: https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-metadata
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

#: 401 passes because service account tokens are renewed while we run.
PASSING = frozenset({401, 408, 425, 429})


class Refused(PassingError):  # noqa: N818 - an answer of the API server, which callers may expect
    """The API server answered, and the answer is no. Passing only in so far as people may change its mind."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class NotThere(Refused):
    """The object does not exist; or, when ``named`` is false, the API server does not know its kind (now)."""

    def __init__(self, status: int, message: str, *, named: bool = True) -> None:
        super().__init__(status, message)
        self.named = named


class TroubleError(PassingError):
    """The API server, or a webhook that it asked, is in trouble."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"the API server is in trouble ({status}): {message}")
        self.status = status
        self.message = message


class AlreadyExists(Conflict):
    """There is an object of that name already."""


class Expired(Conflict):
    """A list changed too much while it was read page by page."""


def load_configuration(context: str | None = None) -> Configuration:
    """KUBECONFIG where it is set, else the pod's own service account, else the user's default file.

    ``context`` names one of the kubeconfig's contexts, in place of its current one.

    Raises PassingError with the reason of each, because an operator's pod may start before its token is mounted.
    """
    configuration = Configuration()
    # named in the call: the library looks at the environment once, when it is imported
    file = os.environ.get("KUBECONFIG")
    try:
        if file or context or not os.environ.get("KUBERNETES_SERVICE_HOST"):
            config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=file or str(Path("~/.kube/config").expanduser()),
                context=context,
                client_configuration=configuration,
            )
        else:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError) as error:
        raise PassingError(f"there is no way to a cluster: {error}") from error
    return configuration


class Client:
    """Threads may share it."""

    def __init__(
        self,
        configuration: Configuration | None = None,
        *,
        timeout_seconds: float = 20.0,
        connections: int = 16,
    ) -> None:
        self._configuration = configuration or load_configuration()
        self._configuration.connection_pool_maxsize = connections
        self._host = str(self._configuration.host).rstrip("/")
        self._pool: urllib3.PoolManager = RESTClientObject(self._configuration).pool_manager
        self._timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=timeout_seconds)
        self.clock_skew: float | None = None
        """Seconds by which our clock was ahead of the API server's when it last answered; None when it never said."""

    def get(self, path: str, **query: object) -> Json:
        return _decoded(self._call("GET", path, query))

    def text(self, path: str, *, seconds: float = 5.0, **query: object) -> str:
        """The body as it is, such as a pod's log. Asked for once, with a time-out of its own."""
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=seconds)
        return self._call("GET", path, query, retries=False, timeout=timeout).decode(errors="replace")

    def items(self, path: str, *, metadata_only: bool = False, **query: object) -> list[Json]:
        """Every item, read in pages. A list that expires between pages is read again in one piece."""
        headers = {"Accept": METADATA_ONLY} if metadata_only else {}
        try:
            return list(self._pages(path, headers, {**query, "limit": PAGE}))
        except Expired:
            return list(self._pages(path, headers, query))

    def create(self, path: str, body: Json, *, dry_run: bool = False) -> Json:
        return _decoded(self._call("POST", path, _write(dry_run), body))

    def replace(self, path: str, body: Json) -> Json:
        return _decoded(self._call("PUT", path, _write(), body))

    def patch(self, path: str, body: Json) -> Json:
        """A JSON merge patch. Put ``metadata.resourceVersion`` into it to have an old view refused."""
        return _decoded(self._call("PATCH", path, _write(), body, content="application/merge-patch+json"))

    def delete(
        self, path: str, *, uid: str | None = None, version: str | None = None, propagation: str = "Background"
    ) -> None:
        """Delete, if it still is that very object (``uid``) at that very version."""
        conditions = {"uid": uid, "resourceVersion": version}
        body: Json = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": {key: value for key, value in conditions.items() if value is not None},
        }
        self._call("DELETE", path, {}, body)

    def close(self) -> None:
        self._pool.clear()

    def _pages(self, path: str, headers: Mapping[str, str], query: Mapping[str, object]) -> Iterator[Json]:
        more: Mapping[str, object] = query
        while True:
            page = _decoded(self._call("GET", path, more, headers=headers))
            yield from page.get("items") or ()
            token = metadata(page).get("continue")
            if not token:
                return
            more = {**query, "continue": token}

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: Json | None = None,
        *,
        content: str = "application/json",
        headers: Mapping[str, str] | None = None,
        retries: bool | None = None,
        timeout: urllib3.Timeout | None = None,
    ) -> bytes:
        url = f"{self._host}{path}" + (f"?{urlencode(query)}" if query else "")
        again = method == "GET" if retries is None else retries
        try:
            answer = self._pool.request(
                method,
                url,
                body=None if body is None else json.dumps(body),
                headers={"Accept": "application/json", "Content-Type": content, **self._who(), **(headers or {})},
                timeout=timeout or self._timeout,
                # a write that got no answer may have been done: observing again is the only way to know
                retries=urllib3.Retry(total=2, backoff_factor=0.2, redirect=0) if again else False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise PassingError(f"the API server does not answer ({method} {path}): {error}") from error
        self._compare_clocks(answer.headers.get("Date"))
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise _problem(method, path, answer.status, answer.data)
        return answer.data

    def _compare_clocks(self, theirs: str | None) -> None:
        """By the moment that stands on an answer, which is whole seconds; what cannot be read says nothing."""
        with suppress(ValueError, TypeError):
            self.clock_skew = time.time() - parsedate_to_datetime(theirs or "").timestamp()

    def _who(self) -> dict[str, str]:
        found = {"User-Agent": FIELD_MANAGER}
        scheme: Json
        for scheme in self._configuration.auth_settings().values():  # type: ignore[assignment]
            if scheme.get("in") == "header" and scheme.get("value"):
                found[scheme["key"]] = scheme["value"]
        return found


def _write(dry_run: bool = False) -> dict[str, object]:
    query: dict[str, object] = {"fieldManager": FIELD_MANAGER}
    return {**query, "dryRun": "All"} if dry_run else query


def _decoded(body: bytes) -> Json:
    try:
        found = json.loads(body)
    except ValueError as error:
        raise PassingError(f"the API server answered with something that is no JSON: {body[:80]!r}") from error
    if not isinstance(found, dict):
        raise PassingError(f"the API server answered with something that is no object: {body[:80]!r}")
    return found


def _problem(method: str, path: str, status: int, body: bytes) -> Exception:
    """The answer as one of our errors. The API server's own words are the message: they name the object."""
    try:
        said = json.loads(body)
        reason, message = str(said.get("reason", "")), str(said.get("message", ""))
        named = bool((said.get("details") or {}).get("name"))
    except (ValueError, AttributeError):
        reason, message, named = "", body[:200].decode(errors="replace"), False
    message = message or f"{method} {path}: {status}"
    if status == HTTPStatus.CONFLICT:
        return AlreadyExists(message) if reason == "AlreadyExists" else Conflict(message)
    if status == HTTPStatus.GONE:
        return Expired(message)
    if status == HTTPStatus.NOT_FOUND:
        return NotThere(status, message, named=named)
    if status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return TroubleError(status, message)
    return Refused(status, message)


def fence(version: str) -> str:
    """``version``, as a write has to name it. Raises Conflict for one that would fence nothing off.

    The API server takes a write with no resource version, or with "0", as one to be done whatever is there
    (k8s.io/apiserver/pkg/registry/generic/registry/store.go, ``doUnconditionalUpdate``).
    """
    if version in ("", "0"):
        raise Conflict("the thing was not there when this was decided")
    return version


def unless_there(read: Callable[[], T], default: T) -> T:
    """What ``read`` finds, or ``default`` when it does not exist or we may not look: that is an answer too."""
    try:
        return read()
    except Refused as refusal:
        if refusal.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN):
            raise
        return default


def read_named(client: Client, resource: Resource, namespace: str, names: Collection[str]) -> dict[str, Json]:
    """Those of the named objects that exist, by name, in as few calls as may be."""
    if len(names) >= LIST_FROM:
        return {name_of(item): item for item in client.items(resource.path(namespace)) if name_of(item) in names}
    read: dict[str, Json] = {}
    for name in names:
        with suppress(NotThere):
            read[name] = client.get(resource.path(namespace, name))
    return read
