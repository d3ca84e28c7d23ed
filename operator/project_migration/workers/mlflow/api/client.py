"""Calls to one tracking server: a bounded pool of connections, and errors that pass tried again for a while.

A call that makes something may have been carried out although its answer was lost. Who makes things therefore gives
``find``, which looks for what an earlier try made before there is another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, stop_after_delay
from tenacity.wait import wait_exponential, wait_random

from project_migration.workers.mlflow.api import failures
from project_migration.workers.mlflow.api.endpoint import Endpoint
from project_migration.workers.mlflow.api.failures import Answer, Refused, Unanswered

CONNECT_SECONDS = 10
#: Between two pieces of an answer; the largest database queries of a server take that long.
READ_SECONDS = 180

TRIES = 7
TRIES_SECONDS = 90
LONGEST_PAUSE = 15.0

#: An answer beyond this is no list that was asked for by pages.
ANSWER_LIMIT = 512 * 1024 * 1024

A = "api/2.0/mlflow"
B = "api/3.0/mlflow"
AJAX = "ajax-api/2.0/mlflow"

Json = Mapping[str, Any]
#: ``requests`` takes a sequence where a name comes more than once.
Query = Mapping[str, Any]
Result = TypeVar("Result")


class _Identity(AuthBase):
    """Sets the one header, and keeps ``requests`` from looking for credentials in a ``.netrc``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        end = self._endpoint
        if end.token:
            request.headers["Authorization"] = f"Bearer {end.token}"
        elif end.username:
            requests.auth.HTTPBasicAuth(end.username.encode(), end.password.encode())(request)
        return request


class Client:
    """Safe to use from several threads at once; ``connections`` of them get one at the same time."""

    def __init__(self, endpoint: Endpoint, connections: int) -> None:
        self.endpoint = endpoint
        self._session = requests.Session()
        # an authority of the environment would be taken before the one that the document names
        self._session.trust_env = endpoint.verify is True
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections, pool_block=True)
        self._session.mount(f"{urlsplit(endpoint.url).scheme}://", adapter)
        self._session.auth = _Identity(endpoint)
        self._session.headers["User-Agent"] = "project-migration"
        if endpoint.workspace:
            self._session.headers["X-MLFLOW-WORKSPACE"] = endpoint.workspace

    def close(self) -> None:
        self._session.close()

    @property
    def side(self) -> str:
        return self.endpoint.side

    def get(self, path: str, query: Query | None = None) -> Json:
        return self.call("GET", path, query=query)

    def post(self, path: str, body: Json, find: Callable[[], Json | None] | None = None) -> Json:
        return self.call("POST", path, body=body, find=find)

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Json | None = None,
        find: Callable[[], Json | None] | None = None,
    ) -> Json:
        """The answer as JSON. Raises :class:`Answer` for an error of the server, ``Refused`` where all is lost."""

        def once() -> Json:
            data = None if body is None else _encoded(body)
            headers = {"Content-Type": "application/json"} if data is not None else {}
            with self._sent(method, path, query=query, data=data, headers=headers) as response:
                return _json(response)

        return self.tried(once, find)

    def text(self, path: str, tries: int = TRIES) -> str:
        def once() -> str:
            with self._sent("GET", path) as response:
                return response.raw.read(4096, decode_content=True).decode("utf-8", "replace")

        return self.tried(once, tries=tries)

    def send(self, method: str, path: str, data: Any, headers: Mapping[str, str]) -> int:
        """The status. One try only: the caller may have to begin the body anew."""
        with self._sent(method, path, data=data, headers=headers) as response:
            return response.status_code

    @contextmanager
    def stream(self, path: str, query: Query | None = None) -> Iterator[requests.Response]:
        """One try only, for the reason given with :meth:`send`."""
        with self._sent("GET", path, query=query, headers={"Accept-Encoding": "identity"}) as response:
            yield response

    def tried(
        self, once: Callable[[], Result], find: Callable[[], Result | None] | None = None, tries: int = TRIES
    ) -> Result:
        """``once``, again after an error that may pass; what did not pass raises what it was."""
        retrying = Retrying(
            stop=stop_after_attempt(tries) | stop_after_delay(TRIES_SECONDS),
            wait=_pause,
            retry=retry_if_exception(_passes),
            reraise=True,
        )
        try:
            for attempt in retrying:
                with attempt:
                    number = attempt.retry_state.attempt_number
                    found = find() if find is not None and number > 1 else None
                    return found if found is not None else once()
        except Unanswered as error:
            raise Refused(failures.UNREACHABLE, f"{self.side}: {error}", passing=True) from error
        except Answer as error:
            if error.passing:
                raise Refused(failures.UNREACHABLE, f"{self.side}: {error}", passing=True) from error
            raise
        raise AssertionError("tenacity gives a result or raises")

    @contextmanager
    def _sent(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[requests.Response]:
        try:
            response = self._session.request(
                method,
                f"{self.endpoint.url}/{path}",
                params=query,
                data=data,
                headers=headers,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                verify=self.endpoint.verify,
                allow_redirects=False,  # it could lead the credentials to another host
                stream=True,
            )
            with response:
                self._judge(response)
                yield response
        except requests.exceptions.SSLError as error:
            raise Refused(failures.TLS_FAILED, f"{self.side}: {failures.said(str(error))}") from None
        except (requests.exceptions.RequestException, _urllib3_error()) as error:
            text = self.endpoint.scrub(str(error))
            raise Unanswered(f"{self.endpoint.url}: {failures.said(text)}") from None

    def _judge(self, response: requests.Response) -> None:
        status = response.status_code
        if status < 300:
            return
        if status < 400:
            where = failures.said(response.headers.get("Location", ""))
            raise Refused(failures.NOT_MLFLOW, f"{self.side}: the server sends on to {where}; name that address")
        code, message = _error(response.raw.read(65536, decode_content=True))
        message = self.endpoint.scrub(message)
        if status == 401:
            raise Refused(failures.AUTHENTICATION_FAILED, f"{self.side}: {failures.said(message) or 'refused'}")
        answer = Answer(status, code, message)
        if answer.passing:
            answer.pause = _seconds(response.headers.get("Retry-After", ""))
        raise answer


def _urllib3_error() -> type[Exception]:
    """What reading a body from the connection itself raises; ``requests`` translates it in its own loops only."""
    from urllib3.exceptions import HTTPError

    return HTTPError


def _passes(error: BaseException) -> bool:
    return isinstance(error, Unanswered) or (isinstance(error, Answer) and error.passing)


_exponential = wait_exponential(multiplier=0.2, max=LONGEST_PAUSE) + wait_random(0, 0.3)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.pause if isinstance(error, Answer) else 0.0
    return min(LONGEST_PAUSE, max(asked, _exponential(state)))


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _encoded(body: Json) -> bytes:
    """NaN and the infinities are texts in protobuf's JSON; nothing else may be there."""
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


def _json(response: requests.Response) -> Json:
    data = response.raw.read(ANSWER_LIMIT + 1, decode_content=True)
    if len(data) > ANSWER_LIMIT:
        raise Answer(response.status_code, "", "the answer is larger than any page should be")
    try:
        found = json.loads(data) if data.strip() else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        where = response.url.split("?")[0]
        raise Refused(failures.NOT_MLFLOW, f"{where} answers with something else than a JSON object")
    return found


def _error(data: bytes) -> tuple[str, str]:
    text = data.decode("utf-8", "replace")
    try:
        found = json.loads(text)
        return str(found.get("error_code", "")), str(found.get("message") or found.get("detail") or "")
    except (ValueError, AttributeError):
        return "", text
