"""One side of a migration: which tracking server, with which credentials, and which of its artifacts are mounted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from project_migration.workers.harness import Job, WrongRequest
from project_migration.workers.mlflow.api.failures import AUTHENTICATION_FAILED, TLS_FAILED, Refused

SIDES = ("source", "target")


@dataclass(frozen=True, slots=True)
class Mounted:
    """A directory that stands for a prefix of artifact URIs."""

    directory: str
    uri: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    side: str
    url: str
    """Without a slash at its end; a prefix that the server was started with is part of it."""
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    verify: bool | str = True
    """As ``requests`` takes it: a file of authorities, or False."""
    workspace: str = ""
    mounted: Mounted | None = None

    @classmethod
    def from_job(cls, job: Job, side: str) -> Endpoint:
        """Raises ``WrongRequest`` for a param that cannot be, ``Refused`` for a Secret that cannot be read."""
        data = side_of(job, side)
        roots = job.request.roots
        folder = roots.get(f"{side}-credentials", "")
        token = _secret(side, folder, "token")
        username, password = _secret(side, folder, "username"), _secret(side, folder, "password")
        if folder and not token and not (username and password):
            raise Refused(AUTHENTICATION_FAILED, f"{side}: the secret has neither username and password nor token")
        return cls(
            side=side,
            url=_url(data, side),
            username=username,
            password=password,
            token=token,
            verify=_verify(data, side, roots),
            workspace=str(data.get("workspace") or ""),
            mounted=_mounted(data, side, roots),
        )

    def scrub(self, text: str) -> str:
        for secret in (self.password, self.token):
            if len(secret) > 2:
                text = text.replace(secret, "***")
        return text


def side_of(job: Job, side: str) -> Mapping[str, Any]:
    data = job.request.params.get(side)
    if not isinstance(data, Mapping):
        raise WrongRequest(f"params.{side} is missing")
    return data


def archive_of(job: Job, side: str) -> str:
    """The directory of an archive, or an empty text where the side is a server."""
    archive = side_of(job, side).get("archive")
    if archive is None:
        return ""
    root = archive.get("root") if isinstance(archive, Mapping) else None
    if not isinstance(root, str) or not os.path.isabs(job.request.roots.get(root, "")):
        raise WrongRequest(f"params.{side}.archive.root names none of the request's directories")
    return job.request.roots[root]


def _url(data: Mapping[str, Any], side: str) -> str:
    value = data.get("trackingUri")
    if not isinstance(value, str) or not value:
        raise WrongRequest(f"params.{side}.trackingUri is missing")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise WrongRequest(f"params.{side}.trackingUri is no address") from None
    # the address itself is not repeated: it may hold a password
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise WrongRequest(f"params.{side}.trackingUri names a user; give credentials in a Secret")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise WrongRequest(f"params.{side}.trackingUri is not http://… or https://…")
    if parts.query or parts.fragment:
        raise WrongRequest(f"params.{side}.trackingUri has a query or a fragment")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _verify(data: Mapping[str, Any], side: str, roots: Mapping[str, str]) -> bool | str:
    skip = data.get("insecureSkipVerify") or False
    if not isinstance(skip, bool):
        raise WrongRequest(f"params.{side}.insecureSkipVerify is not true or false")
    if skip:
        return False
    if f"{side}-ca" not in roots:
        return True
    path = os.path.join(roots[f"{side}-ca"], "ca.crt")
    if not os.path.isfile(path):
        raise Refused(TLS_FAILED, f"{side}: the authority's secret has no key ca.crt")
    return path


def _mounted(data: Mapping[str, Any], side: str, roots: Mapping[str, str]) -> Mounted | None:
    found = data.get("artifacts")
    if found is None:
        return None
    if not isinstance(found, Mapping):
        raise WrongRequest(f"params.{side}.artifacts is not a mapping")
    root, uri = found.get("root"), found.get("uri")
    if not isinstance(root, str) or not os.path.isabs(roots.get(root, "")):
        raise WrongRequest(f"params.{side}.artifacts.root names none of the request's directories")
    if not isinstance(uri, str) or not uri:
        raise WrongRequest(f"params.{side}.artifacts.uri is missing")
    return Mounted(roots[root], uri)


def _secret(side: str, folder: str, name: str) -> str:
    if not folder or not os.path.exists(os.path.join(folder, name)):
        return ""
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as stream:
            value = stream.read().removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError):
        raise Refused(AUTHENTICATION_FAILED, f"{side}: the secret's key {name} cannot be read") from None
    if not value or not value.isprintable():
        raise Refused(AUTHENTICATION_FAILED, f"{side}: the secret's key {name} is empty or has more than one line")
    return value
