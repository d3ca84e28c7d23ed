"""What whoever installs the operator decides, read from environment variables once at start.

A document decides nothing of this: the helper's image, its service account and its registry secrets are the
installation's affair, or a requester could run what he likes with what he likes. The chart sets each of these.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

PREFIX = "PROJECT_MIGRATION_"

#: PostgreSQL numbers its major versions so since 10.
PostgresMajor = Annotated[int, Field(ge=10, le=99)]
Image = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=0, le=65535)]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class SettingsError(ValueError):
    """A variable is wrong. The message names each, one a line."""


class Settings(BaseModel):
    """The operator's settings; each field is the variable ``PROJECT_MIGRATION_`` and its name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    namespaces: tuple[str, ...] = ()
    """Namespaces that are watched, separated by commas. Empty: all of them, which needs cluster-wide rights."""

    helper_image: Image
    """The image of helpers, by digest where possible: it is the operator's own."""
    helper_postgres_images: Annotated[dict[PostgresMajor, Image], Field(max_length=20)] = {}
    """Images for helpers of databases, by the target's major version, ``18=name:tag`` separated by commas. Each is the
    helper image with the client tools of that version; a version without one is left to the helper image's own."""
    helper_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When a node pulls that image."""
    helper_pull_secrets: tuple[str, ...] = ()
    """Secrets for the image's registry, separated by commas. They have to exist in the helpers' namespace."""
    helper_service_account: str = "default"
    """The service account of helpers. They get no token of it, but admission and image policies look at it."""
    helper_user: Annotated[int, Field(ge=1, le=4_294_967_294)] | None = 65532
    """The user and group of helpers whose document names none; ``none`` leaves it to the platform (OpenShift)."""
    helper_scratch: str = "1Gi"
    """How much a helper may write to its /tmp, and to its workspace where it has no claim for one."""

    argocd_namespace: str = "argocd"
    """Where Argo CD keeps its applications. With the right to read them, one that heals itself is named early."""

    metrics_port: Port = 8081
    """Where Prometheus reads; 0 switches it off."""
    liveness_port: Port = 8080
    """Where ``/healthz`` answers; 0 switches it off."""
    log_level: LogLevel = "INFO"
    """The least that is logged."""

    passes: Annotated[int, Field(ge=1, le=64)] = 16
    """How many migrations are looked at in the same moment (threads, which mostly wait for the API server)."""
    resync_seconds: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """Every migration is looked at this often, even if nothing seems to have happened."""
    sweep_seconds: Annotated[float, Field(ge=10, le=86400)] = 600.0
    """How often to look for workloads whose migration is gone, to bring them back."""
    helper_poll_seconds: Annotated[float, Field(ge=0.2, le=60)] = 2.0
    """How often a running helper's progress is read."""
    max_concurrent_migrations: Annotated[int, Field(ge=0, le=10_000)] = 0
    """How many migrations may run at the same time, the others wait; 0 is no limit. See docs/operations.md."""

    request_timeout_seconds: Annotated[float, Field(ge=1, le=300)] = 20.0
    """How long one request to the API server may take."""

    @field_validator("namespaces", "helper_pull_secrets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        return value

    @field_validator("helper_postgres_images", mode="before")
    @classmethod
    def _images(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        named = [part.strip().partition("=") for part in value.split(",") if part.strip()]
        if len({major for major, _, _ in named}) < len(named):
            raise ValueError("a major version is named twice")
        return {major.strip(): image.strip() for major, _, image in named}

    @field_validator("helper_user", mode="before")
    @classmethod
    def _platform_chooses(cls, value: object) -> object:
        return None if isinstance(value, str) and value.strip().lower() == "none" else value

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Raises SettingsError, with a line for each variable that is missing or wrong.

        An empty variable counts as not set: that is how a chart leaves one out. See also :func:`unknown`.
        """
        given = {field: environ.get(PREFIX + field.upper(), "") for field in cls.model_fields}
        try:
            return cls.model_validate({field: value for field, value in given.items() if value != ""})
        except ValidationError as error:
            raise SettingsError("\n".join(_described(error))) from error


def unknown(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Variables with our prefix that mean nothing to us: a typo, to be warned of.

    No error: Kubernetes itself sets such variables for a Service whose name begins like ours (service links).
    """
    known = {PREFIX + field.upper() for field in Settings.model_fields}
    return tuple(sorted(name for name in environ if name.startswith(PREFIX) and name not in known))


def _described(error: ValidationError) -> list[str]:
    return [f"{PREFIX}{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors(include_url=False)]
