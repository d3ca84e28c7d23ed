"""What all documents are made of: the base model, rules for CEL, volumes, servers, references to Secrets."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from project_migration.model.quantities import DURATION_PATTERN, QUANTITY_PATTERN

#: One pair's name is part of its helpers' names, which have to fit into 63 characters.
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
RELATIVE_PATH = r"^[^/\x00]+(/[^/\x00]+)*/?$"

Name = Annotated[str, StringConstraints(pattern=DNS_SUBDOMAIN, min_length=1, max_length=253)]
UnitName = Annotated[str, StringConstraints(pattern=DNS_LABEL, min_length=1, max_length=30)]
Quantity = Annotated[str, StringConstraints(pattern=QUANTITY_PATTERN, min_length=1, max_length=20)]
Duration = Annotated[str, StringConstraints(pattern=DURATION_PATTERN, min_length=2, max_length=20)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Id = Annotated[int, Field(ge=0, le=4_294_967_294)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=63)]
Moment = Annotated[AwareDatetime, Field(json_schema_extra={"maxLength": 40})]


def cel(rule: str, message: str, field: str = "") -> dict[str, str]:
    """One entry of ``x-kubernetes-validations``; ``field`` is the path that the API server names, as ``.transfer``."""
    entry = {"rule": rule, "message": message}
    return {**entry, "fieldPath": field} if field else entry


def rules(*entries: dict[str, str]) -> dict[str, Any]:
    return {"x-kubernetes-validations": list(entries)}


def once_true(field: str) -> dict[str, Any]:
    """A boolean that goes from false to true and never back."""
    return rules(cel("!oldSelf || self", f"{field} goes from false to true only"))


class Model(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class Volume(Model):
    """A directory: a claim in the cluster, or a path in a document for one machine."""

    claim_name: Name | None = None
    """The PersistentVolumeClaim that holds the files."""
    sub_path: Annotated[str, StringConstraints(pattern=RELATIVE_PATH, max_length=1024)] | None = None
    """The directory within the claim; the whole claim when left out. It must not hold `..`."""
    namespace: Name | None = None
    """The claim's namespace when it is another one. Refused as NotSupportedYet in this release."""
    cluster: Name | None = None
    """The claim's cluster when it is another one. Refused as NotSupportedYet in this release."""
    path: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = Field(
        default=None, json_schema_extra={"x-local-only": True}
    )
    """A directory of this machine, in documents that `project-migration run` runs. The cluster's schema has none."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("has(self.claimName)", "name the claim in claimName", ".claimName"),
            cel(
                "!has(self.subPath) || !self.subPath.matches('(^|/)[.][.](/|$)')",
                "subPath must stay inside the claim: no '..'",
                ".subPath",
            ),
        )
    )


class AccessMode(StrEnum):
    """As of a PersistentVolumeClaim; those with which a target can be written to."""

    READ_WRITE_ONCE = "ReadWriteOnce"
    READ_WRITE_MANY = "ReadWriteMany"
    READ_WRITE_ONCE_POD = "ReadWriteOncePod"


class NewClaim(Model):
    """A claim that the operator makes, when there is none of that name. What is left out is as the source's is."""

    storage_class_name: Name | None = None
    """Its storage class. Left out, it is the source claim's, or the cluster's default where that has none."""
    size: Quantity | None = None
    """Its size. Left out, it is what the source claim has or asks for, whichever is more, and never less than what
    moves takes."""
    access_modes: Annotated[tuple[AccessMode, ...], Field(max_length=3)] = ()
    """How it may be mounted. Left out, it is as the source claim may be."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.accessModes) || self.accessModes.size() < 2"
                " || self.accessModes.all(mode, mode != 'ReadWriteOncePod')",
                "ReadWriteOncePod goes with no other mode",
                ".accessModes",
            ),
        )
    )


class TargetVolume(Volume):
    """A directory that is written to."""

    create: NewClaim | None = None
    """Have the claim made when there is none of that name. On one machine a directory that is missing is always
    made."""


#: A name or an address, in RE2's words: letters, digits, dashes and dots, or two colons at least.
HOST = r"^([A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9_.])?|[0-9A-Fa-f]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)$"

#: Said without the value, since that may hold a password.
NO_URI = "give the plain name, no URI: user and password belong in the Secret that credentialsRef names"
NO_HOST = "give a host name or an address; the port belongs in port"


class SslMode(StrEnum):
    """The words of libpq."""

    DISABLE = "disable"
    ALLOW = "allow"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


class SecretRef(Model):
    """A Secret in the migration's namespace; on one machine a directory with a file for each key."""

    name: Name
    """The Secret's name."""


class CaRef(Model):
    """A certificate authority in a Secret of the migration's namespace."""

    name: Name
    """The Secret's name."""
    key: Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)] = "ca.crt"
    """The key that holds the certificates, as PEM."""


class PostgresServer(Model):
    """A database of a PostgreSQL server."""

    host: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """The server's name or address."""
    port: Annotated[int, Field(ge=1, le=65535)] = 5432
    """The server's port."""
    database: Annotated[str, StringConstraints(min_length=1, max_length=63)]
    """The database's name. A target has to exist already: only its owner knows how it should be made."""
    sslmode: SslMode | None = None
    """As in libpq. Left out, it is verify-full where caRef is given, and prefer elsewhere."""

    # on the object and not on the text, which the API server would repeat
    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("!self.host.contains('://') && !self.host.contains('@')", NO_URI, ".host"),
            cel(
                f"self.host.contains('://') || self.host.contains('@') || self.host.matches('{HOST}')",
                NO_HOST,
                ".host",
            ),
            cel("!self.database.contains('://') && !self.database.contains('=')", NO_URI, ".database"),
        )
    )


class DatabaseEndpoint(Model):
    """A database, and how to get in."""

    postgres: PostgresServer
    """The server and the database."""
    credentials_ref: SecretRef
    """The Secret with the keys `username` and `password`. Only helpers see it, as files."""
    ca_ref: CaRef | None = None
    """The authority that signed the server's certificate."""
    insecure_skip_verify: bool = False
    """Whether any certificate will do: what is sent is encrypted, and nobody knows who reads it."""


class DatabaseSource(Model):
    """A database to read: on its server, or as a dump of it where no helper reaches the server."""

    postgres: PostgresServer | None = None
    """The server and the database."""
    credentials_ref: SecretRef | None = None
    """The Secret with the keys `username` and `password`. Only helpers see it, as files."""
    ca_ref: CaRef | None = None
    """The authority that signed the server's certificate."""
    insecure_skip_verify: bool = False
    """Whether any certificate will do: what is sent is encrypted, and nobody knows who reads it."""
    dump: Volume | None = None
    """The directory that `pg_dump --format=directory` made of the database, in place of its server."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("has(self.postgres) != has(self.dump)", "give postgres or dump"),
            cel(
                "has(self.dump) != has(self.credentialsRef)",
                "a server needs credentialsRef: a Secret with username and password; a dump needs none",
                ".credentialsRef",
            ),
        )
    )

    @property
    def endpoint(self) -> DatabaseEndpoint | None:
        """The database on its server; None for a dump."""
        if self.postgres is None or self.credentials_ref is None:
            return None
        return DatabaseEndpoint(
            postgres=self.postgres,
            credentials_ref=self.credentials_ref,
            ca_ref=self.ca_ref,
            insecure_skip_verify=self.insecure_skip_verify,
        )
