"""One side of a migration: which server and database, with which credentials, and how tools get at them.

A password reaches psycopg as a parameter and the client tools as a password file that exists in memory only
(``memfd_create``), named ``/proc/self/fd/N`` in ``PGPASSFILE``: it has no name on any disk, nobody else can open it,
and it is gone with the process even after ``kill -9``. libpq reads it like any file (manual, "The Password File").
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from project_migration.workers.harness import Job, WrongRequest
from project_migration.workers.postgres.failures import AUTHENTICATION_FAILED, Refused

CONNECT_SECONDS = 15
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

#: Our own sessions on a server, in pg_stat_activity.
APPLICATION = "project_migration"

#: A client tool that writes, so that a later worker can end what a dead one left behind.
WRITING_TOOL = "project_migration/writing"


@dataclass(frozen=True, slots=True)
class Endpoint:
    side: str
    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    sslmode: str = "prefer"
    ca_file: str = ""
    application: str = APPLICATION

    @classmethod
    def from_job(cls, job: Job, side: str) -> Endpoint:
        """Raises ``WrongRequest`` for a param that cannot be, ``Refused`` for credentials that are not there."""
        data = job.request.params.get(side)
        if not isinstance(data, Mapping):
            raise WrongRequest(f"params.{side} does not name a server")
        return cls.read(job, side, data)

    @classmethod
    def read(cls, job: Job, side: str, data: Mapping[str, Any]) -> Endpoint:
        """From the description of a server, wherever it stood in the request. Raises as ``from_job``."""
        host, database = (_text(data, side, name) for name in ("host", "database"))
        port = data.get("port", 5432)
        if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
            raise WrongRequest(f"params.{side}.port is not a port")
        roots = job.request.roots
        ca_file = os.path.join(roots[f"{side}-ca"], "ca.crt") if f"{side}-ca" in roots else ""
        folder = roots.get(f"{side}-credentials", "")
        return cls(
            side=side,
            host=host,
            port=port,
            database=database,
            # a Secret may hold the password alone
            user=_text(data, side, "user") if "user" in data else _secret(side, folder, "username"),
            password=_secret(side, folder, "password"),
            sslmode=_sslmode(data, side, ca_file),
            ca_file=ca_file,
            application=f"{APPLICATION}/{job.request.migration_uid}"[:60],
        )

    @property
    def name(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"

    @property
    def conninfo(self) -> dict[str, Any]:
        """Keywords of libpq (manual, "Parameter Key Words")."""
        return {
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "user": self.user,
            "password": self.password,
            "sslmode": self.sslmode,
            "sslrootcert": self.ca_file or "/nonexistent",
            "application_name": self.application,
            "connect_timeout": CONNECT_SECONDS,
            "gssencmode": "disable",
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        }

    @contextmanager
    def tool_environment(self, application: str = "") -> Iterator[ToolEnvironment]:
        descriptor = os.memfd_create("pgpass", os.MFD_CLOEXEC)
        try:
            os.fchmod(descriptor, 0o600)
            os.write(descriptor, f"*:*:*:*:{_escaped(self.password)}\n".encode())
            variables = self._variables(descriptor)
            yield ToolEnvironment(variables | {"PGAPPNAME": application or self.application}, descriptor)
        finally:
            os.close(descriptor)

    def _variables(self, descriptor: int) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return kept | {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGDATABASE": self.database,
            "PGSSLMODE": self.sslmode,
            "PGSSLROOTCERT": self.ca_file or "/nonexistent",
            "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS),
            "PGGSSENCMODE": "disable",
            "PGPASSFILE": f"/proc/self/fd/{descriptor}",
            "LC_ALL": "C.UTF-8",
        }

    def scrub(self, text: str) -> str:
        return text.replace(self.password, "***") if len(self.password) > 2 else text


@dataclass(frozen=True, slots=True)
class ToolEnvironment:
    variables: Mapping[str, str] = field(repr=False)
    descriptor: int


def _text(data: Mapping[str, Any], side: str, name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value or "\0" in value:
        raise WrongRequest(f"params.{side}.{name} is missing")
    # libpq takes a database name that looks like a connection string for one
    if name == "database" and ("=" in value or "://" in value):
        raise WrongRequest(f"params.{side}.database is a connection string; give the name only")
    return value


def _sslmode(data: Mapping[str, Any], side: str, ca_file: str) -> str:
    mode = data.get("sslmode") or ("verify-full" if ca_file else "prefer")
    if mode not in SSL_MODES:
        raise WrongRequest(f"params.{side}.sslmode is none of {', '.join(SSL_MODES)}")
    return "require" if data.get("insecureSkipVerify") is True and mode != "disable" else str(mode)


def _secret(side: str, folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as stream:
            value = stream.read().removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError):
        raise Refused(AUTHENTICATION_FAILED, f"{side}: the secret has no readable key {name}") from None
    if not value or "\n" in value or "\0" in value:
        raise Refused(AUTHENTICATION_FAILED, f"{side}: the secret's key {name} is empty or has more than one line")
    return value


def _escaped(password: str) -> str:
    return password.replace("\\", "\\\\").replace(":", "\\:")
