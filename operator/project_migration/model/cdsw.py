"""The platform block ``spec.cdsw``: the whole of a CDSW into a fresh CML workspace, at database level."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from project_migration.model.endpoints import (
    CaRef,
    DatabaseEndpoint,
    Model,
    Name,
    PostgresServer,
    SecretRef,
    Volume,
    cel,
    rules,
)

#: The unit that stands for the workspace in status, helper names and the report, and the one for its projects' files.
WORKSPACE = "cdsw"
PROJECTS = "projects"
#: The unit of the schema Job's run.
SCHEMA = "schema"

#: What a CML calls its parts (reference: the guide of fxu1024/cdsw-migration, and published listings of workspaces).
DATABASE_HOST, DATABASE, ROLE = "db", "sense", "sense"
PASSWORD_VARIABLE = "POSTGRES_PASSWORD"  # noqa: S105 - a variable's name
PROJECTS_CLAIM = "projects-pvc"
SCHEMA_JOB = "db-migrate"

#: The Deployments of a workspace that the guide names: they talk to its database.
DEPLOYMENTS = ("web", "feature-flags", "usage-reporter", "model-proxy", "cron", "metering")

#: Whose a workspace's project files are.
FILES_UID = FILES_GID = 8536

SecretKeyName = Annotated[str, StringConstraints(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)]

#: ``table.column`` of the database that was loaded.
ColumnName = Annotated[str, StringConstraints(pattern=r"^[^.\x00]+\.[^.\x00]+$", max_length=130)]
TableName = Annotated[str, StringConstraints(pattern=r"^[^.\x00]+$", min_length=1, max_length=63)]


class UserMode(StrEnum):
    ADMINISTRATOR_OWNS_ALL = "AdministratorOwnsAll"
    MAP_BY_NAME = "MapByName"
    MAP_BY_EMAIL = "MapByEmail"


class FlagsOf(StrEnum):
    SOURCE = "Source"
    TARGET = "Target"


class ArchiveFile(Volume):
    """A `tar.gz` with `db.sql` and `projects/`, as the guide of cdsw-migration has it made: subPath names the file."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("has(self.subPath)", "name the archive's file in subPath, such as cml-migration.tar.gz", ".subPath"),
        )
    )


class CdswSource(Model):
    """A CDSW: its archive, or itself while it is in reach."""

    archive: ArchiveFile | None = None
    """The archive, on a claim."""
    database: DatabaseEndpoint | None = None
    """Of a CDSW in reach: its database."""
    projects: Volume | None = None
    """Of a CDSW in reach: the directory in which `projects/0/<id>` lie, on its hosts /var/lib/cdsw/current/projects."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("has(self.archive) != has(self.database)", "give archive, or database and projects"),
            cel(
                "has(self.database) == has(self.projects)",
                "a CDSW in reach needs both, its database and its projects",
                ".projects",
            ),
        )
    )


class WorkspaceDatabase(Model):
    """The database of a workspace. Its role has to be a superuser, or own the database and all that is in it."""

    postgres: PostgresServer = PostgresServer(host=DATABASE_HOST, database=DATABASE)
    """The server and the database: what a workspace's own Service and database are called, when left out."""
    username: Annotated[str, StringConstraints(min_length=1, max_length=63)] = ROLE
    """The role."""
    credentials_ref: SecretRef
    """The Secret with its password. Only helpers see it, as files."""
    password_key: SecretKeyName = "password"  # noqa: S105 - a key's name
    """The key of that Secret that holds the password."""
    ca_ref: CaRef | None = None
    """The authority that signed the server's certificate."""
    insecure_skip_verify: bool = False
    """Whether any certificate will do."""


class CdswTarget(Model):
    """A fresh CML workspace, or an archive to export to."""

    archive: ArchiveFile | None = None
    """Export alone: the archive to be made. There must be none of that name."""
    namespace: Name | None = None
    """The workspace's namespace, which is the migration's own. What is left out beside it is looked up there: the
    database `sense` of the Service `db` with the password that the StatefulSet `db` is given, the claim
    `projects-pvc`, the Job whose name begins with `db-migrate`, and the workloads that use the database."""
    database: WorkspaceDatabase | None = None
    """The workspace's database."""
    projects: Volume | None = None
    """The directory in which its `projects/0/<id>` will lie: the root of the claim `projects-pvc`, when left out."""
    schema_job: Name = SCHEMA_JOB
    """The Job that brings a database to the workspace's release: its name, or what the name of the only one begins
    with. A copy of it is run on what was loaded."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.archive) != (has(self.namespace) || has(self.database) || has(self.projects))",
                "give archive, or namespace, or database and projects",
            ),
            cel(
                "has(self.archive) || has(self.namespace) || (has(self.database) && has(self.projects))",
                "without namespace both are needed, database and projects",
                ".projects",
            ),
        )
    )


class Administrator(Model):
    """Who owns what has no other owner. It is chosen, and never the one with the highest number."""

    username: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    """The name of an administrator of the target, who has logged in there."""


class Unlisted(Model):
    """What happens to tables that the guide does not know. Preflight names them."""

    hand_over: Annotated[tuple[ColumnName, ...], Field(max_length=50)] = ()
    """Columns that hold users' numbers and follow the owners, as `table.column`."""
    empty: Annotated[tuple[TableName, ...], Field(max_length=50)] = ()
    """Tables that are emptied like those that are bound to the old installation."""


class Cdsw(Model):
    """The platform `cdsw`: all of a CDSW into a CML workspace that has no projects yet, or into an archive."""

    source: CdswSource
    """The CDSW. It is only read."""
    target: CdswTarget
    """Where it goes."""
    administrator: Administrator | None = None
    """The target's user who owns what nobody else does. An export needs none."""
    users: UserMode = UserMode.ADMINISTRATOR_OWNS_ALL
    """AdministratorOwnsAll gives everything to the administrator; MapByName and MapByEmail leave it to the users of the
    target who have the same name, or the same e-mail."""
    feature_flags: FlagsOf = FlagsOf.TARGET
    """Whose feature flags the target has afterwards."""
    unlisted: Unlisted = Unlisted()
    """What happens to tables that the guide does not know."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.target.archive) || has(self.administrator)",
                "name an administrator of the target in administrator.username",
                ".administrator",
            ),
            cel(
                "!has(self.target.archive) || !has(self.source.archive)",
                "an archive is made of a CDSW in reach: give source.database and source.projects",
                ".source",
            ),
        )
    )

    @property
    def is_export(self) -> bool:
        return self.target.archive is not None

    @property
    def server(self) -> PostgresServer:
        """The target's, which is known before its credentials are."""
        database = self.target.database
        return database.postgres if database else PostgresServer(host=DATABASE_HOST, database=DATABASE)

    @property
    def projects(self) -> Volume:
        """The target's directory of projects."""
        return self.target.projects or Volume(claim_name=PROJECTS_CLAIM)


def directory_of(archive: ArchiveFile) -> Volume:
    """The directory that holds the archive: files are not mounted."""
    above, _, _ = (archive.sub_path or "").rstrip("/").rpartition("/")
    return Volume(claim_name=archive.claim_name, path=archive.path, sub_path=above or None, namespace=archive.namespace)


def file_of(archive: ArchiveFile) -> str:
    return (archive.sub_path or "").rstrip("/").rpartition("/")[2]
