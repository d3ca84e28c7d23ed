"""The platform block ``spec.mlflow``: one tracking server, or a chosen part of it, to another one."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from project_migration.model.endpoints import (
    HOST,
    NO_HOST,
    NO_URI,
    CaRef,
    Model,
    Pattern,
    PostgresServer,
    SecretRef,
    Volume,
    cel,
    rules,
)

#: How many patterns, names and renames a document may give.
MOST_NAMES = 200

#: No user and password in it, no query, no fragment.
HTTP_URI = r"^https?://[^/?#@\s]+(/[^?#\s]*)?$"

#: The root of a server's artifacts, as its database names it: a scheme or an absolute path. Azure's schemes have the
#: container before an ``@`` (``abfss://files@account.dfs.core.windows.net/mlflow``), others might have a password.
ARTIFACT_ROOT = r"^((abfss?|wasbs?)://[^@:/?#\s]+@[^@?#\s]*|[a-z][a-z0-9+.-]*:[^@?#\s]*|/[^?#\s]*)$"

#: A bucket's name (Amazon S3 user guide, "Bucket naming rules"; older ones may have capitals and underscores).
BUCKET = r"^[A-Za-z0-9][-A-Za-z0-9._]{1,61}[A-Za-z0-9]$"

#: The address of an object store: no path, since signatures hold the whole one.
ENDPOINT_URL = r"^https?://[^/?#@\s]+/?$"

#: Said without the address, since that may hold a password.
NO_ENDPOINT = "it begins with http:// or https://, and holds no user, password or path"

#: What a server's database calls its artifacts where the server hands files through.
PROXIED = "mlflow-artifacts:/"

#: The unit that stands for the tracking server in status, helper names and report, and the one for its files.
TRACKING = "tracking"
ARTIFACTS = "artifacts"

ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Patterns = Annotated[tuple[Pattern, ...], Field(max_length=MOST_NAMES)]
Renames = Annotated[dict[ObjectName, ObjectName], Field(max_length=MOST_NAMES)]


class Via(StrEnum):
    AUTO = "Auto"
    DATABASE = "Database"
    API = "Api"


class MysqlServer(Model):
    """A database of a MySQL or MariaDB server."""

    host: Annotated[str, StringConstraints(min_length=1, max_length=253)]
    """The server's name or address."""
    port: Annotated[int, Field(ge=1, le=65535)] = 3306
    """The server's port."""
    database: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    """The database's name."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("!self.host.contains('://') && !self.host.contains('@')", NO_URI, ".host"),
            cel(
                f"self.host.contains('://') || self.host.contains('@') || self.host.matches('{HOST}')",
                NO_HOST,
                ".host",
            ),
        )
    )


class SqliteFile(Volume):
    """A database in a file, on a volume."""

    file: Annotated[str, StringConstraints(pattern=r"^[^/\x00]+$", min_length=1, max_length=200)] = "mlflow.db"
    """The file's name, in the directory that claimName and subPath name."""


class Backend(Model):
    """The database of a tracking server, and how to get in."""

    postgres: PostgresServer | None = None
    """The server and the database, where it is PostgreSQL."""
    mysql: MysqlServer | None = None
    """The server and the database, where it is MySQL or MariaDB."""
    sqlite: SqliteFile | None = None
    """The file, where it is SQLite."""
    credentials_ref: SecretRef | None = None
    """The Secret with the keys `username` and `password`. Only helpers see it, as files. A file needs none."""
    ca_ref: CaRef | None = None
    """The authority that signed the server's certificate."""
    insecure_skip_verify: bool = False
    """Whether any certificate will do."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "[has(self.postgres), has(self.mysql), has(self.sqlite)].filter(given, given).size() == 1",
                "give exactly one of postgres, mysql, sqlite",
            ),
            cel(
                "has(self.sqlite) || has(self.credentialsRef)",
                "a server needs credentialsRef: a Secret with username and password",
                ".credentialsRef",
            ),
        )
    )

    @property
    def kind(self) -> str:
        return "postgres" if self.postgres else "mysql" if self.mysql else "sqlite"


class ObjectStore(Model):
    """A bucket of Amazon S3, or of a server that speaks its protocol."""

    bucket: Annotated[str, StringConstraints(pattern=BUCKET, min_length=3, max_length=63)]
    """The bucket's name. It has to exist."""
    prefix: Annotated[str, StringConstraints(min_length=1, max_length=900)] | None = None
    """What the keys of the files begin with, as a directory; the whole bucket when left out."""
    endpoint_url: Annotated[str, StringConstraints(min_length=8, max_length=1024)] | None = None
    """The server's address, such as `https://minio.ml.svc:9000`; Amazon's when left out."""
    region: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$", min_length=1, max_length=63)] | None = None
    """The bucket's region; the server is asked when left out."""
    credentials_ref: SecretRef
    """The Secret with the keys `accessKey` and `secretKey`. Only helpers see it, as files."""
    ca_ref: CaRef | None = None
    """The authority that signed the server's certificate."""
    insecure_skip_verify: bool = False
    """Whether any certificate will do."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.endpointUrl) || (!self.endpointUrl.contains('@') && (self.endpointUrl.startsWith('http://')"
                " || self.endpointUrl.startsWith('https://')))",
                NO_ENDPOINT,
                ".endpointUrl",
            ),
        )
    )

    @property
    def folder(self) -> str:
        """The prefix as a directory, with no slash around it."""
        return (self.prefix or "").strip("/")


class Artifacts(Volume):
    """Where a tracking server keeps the files of runs and models: a directory, or a bucket in `s3`."""

    uri: Annotated[str, StringConstraints(pattern=ARTIFACT_ROOT, min_length=1, max_length=1024)] | None = None
    """How the server's database calls this place: `mlflow-artifacts:/` for a server that hands files through
    (`--serve-artifacts`), else what its `--default-artifact-root` says, such as `file:///srv/mlartifacts`. Left out,
    it is `mlflow-artifacts:/`, and of a bucket `s3://bucket/prefix`. Alone, with select.metadataOnly, it says how
    locations are rewritten although no file moves."""
    s3: ObjectStore | None = None
    """The bucket, where files lie in an object store."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "[has(self.claimName), has(self.s3)].filter(given, given).size() == 1"
                " || (has(self.uri) && !has(self.claimName) && !has(self.s3))",
                "give claimName or s3; or uri alone, with select.metadataOnly",
                ".claimName",
            ),
            cel(
                "!has(self.subPath) || !self.subPath.matches('(^|/)[.][.](/|$)')",
                "subPath must stay inside the claim: no '..'",
                ".subPath",
            ),
        )
    )

    @property
    def root(self) -> str:
        """What the database calls the place."""
        if self.uri is not None:
            return self.uri
        if self.s3 is None:
            return PROXIED
        return f"s3://{self.s3.bucket}/{self.s3.folder}".rstrip("/")

    @property
    def is_directory(self) -> bool:
        return self.claim_name is not None or self.path is not None


class Server(Model):
    """A tracking server: its address, or its database and files, or an archive in its place."""

    tracking_uri: Annotated[str, StringConstraints(min_length=8, max_length=1024)] | None = None
    """The server's address, such as `http://mlflow.old:5000`. Needed by via Api."""
    credentials_ref: SecretRef | None = None
    """The Secret with the keys `username` and `password`, or `token`, for the address."""
    ca_ref: CaRef | None = None
    """The authority that signed the server's certificate."""
    insecure_skip_verify: bool = False
    """Whether any certificate will do."""
    backend: Backend | None = None
    """The server's database. Needed by via Database."""
    auth: Backend | None = None
    """The database of the basic-auth app (`database_uri` in its settings), or `backend` once more where both lie in
    one: users with their passwords, roles and permissions move too. On both sides or on none (via Database)."""
    artifacts: Artifacts | None = None
    """The directory or bucket that holds the server's files (via Database)."""
    archive: Volume | None = None
    """A directory in the layout of mlflow-export-import, in place of a server."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.archive) ? !has(self.trackingUri) && !has(self.backend)"
                " : has(self.trackingUri) || has(self.backend)",
                "give trackingUri, backend or both; or archive alone",
            ),
            cel("!has(self.trackingUri) || !self.trackingUri.contains('@')", NO_URI, ".trackingUri"),
            cel(
                "!has(self.trackingUri) || self.trackingUri.startsWith('http://')"
                " || self.trackingUri.startsWith('https://')",
                "trackingUri begins with http:// or https://",
                ".trackingUri",
            ),
        )
    )


class Lifecycle(StrEnum):
    ACTIVE = "Active"
    ALL = "All"


class ExperimentChoice(Model):
    """Which experiments move, with all that is in them. Names are globs: `vision/*`."""

    include: Patterns = ()
    """Only those whose name matches one of these; all when neither include nor ids is given."""
    exclude: Patterns = ()
    """Without those whose name matches one of these."""
    ids: Annotated[
        tuple[Annotated[str, StringConstraints(pattern="^[0-9]{1,20}$", max_length=20)], ...],
        Field(max_length=MOST_NAMES),
    ] = ()
    """Those with these ids, too."""
    lifecycle: Lifecycle = Lifecycle.ACTIVE
    """Active leaves deleted experiments and runs behind; All takes them as deleted."""


class WithRuns(StrEnum):
    VERSIONS = "Versions"
    ALL = "All"
    NONE = "None"


class ModelChoice(Model):
    """Which registered models move. Names are globs."""

    include: Patterns = ()
    """Only those whose name matches one of these; all when empty."""
    exclude: Patterns = ()
    """Without those whose name matches one of these."""
    stages: Annotated[tuple[ObjectName, ...], Field(max_length=10)] = ()
    """Only versions in one of these stages."""
    aliases: Annotated[tuple[ObjectName, ...], Field(max_length=50)] = ()
    """Only versions that one of these aliases names."""
    versions: Annotated[str, StringConstraints(pattern="^(All|Latest|[0-9]+(,[0-9]+)*)$", max_length=500)] = "All"
    """All, Latest (of each stage), or numbers such as `1,4,7`."""
    with_runs: WithRuns = WithRuns.VERSIONS
    """Which runs come with a model, beside those that experiments choose: those that its versions came from, all of
    their experiments, or none."""


class Select(Model):
    """What moves; everything when left out."""

    experiments: ExperimentChoice = ExperimentChoice()
    """Which experiments."""
    models: ModelChoice = ModelChoice()
    """Which registered models, and prompts."""
    metadata_only: bool = False
    """Whether files stay where they are: both servers use one artifact store."""


class Rename(Model):
    """New names, exactly: no patterns."""

    experiments: Renames = {}
    """Of experiments, from old to new."""
    models: Renames = {}
    """Of registered models, from old to new."""


class OnConflict(StrEnum):
    SKIP = "Skip"
    UPDATE = "Update"
    FAIL = "Fail"


class MissingArtifacts(StrEnum):
    FAIL = "Fail"
    ALLOW = "Allow"


class Mlflow(Model):
    """The platform `mlflow`: a tracking server, or part of it, to another one."""

    via: Via = Via.AUTO
    """Database copies rows and files, keeps ids and times, and stops both servers meanwhile; Api speaks to the
    running servers and gives new ids; Auto is Database where both backends are given, else Api. Where addresses are
    given too and nothing is to rest, Auto goes on via Api when preflight finds that the databases cannot be reached or
    do not fit, and says so in the warnings."""
    source: Server
    """The server to read."""
    target: Server
    """The server to fill."""
    select: Select = Select()
    """What moves."""
    rename: Rename = Rename()
    """What is called otherwise on the target."""
    on_conflict: OnConflict = OnConflict.SKIP
    """What happens to an object whose name is taken on the target: Skip leaves the target's, Update brings it to the
    source's state, Fail refuses the migration before anything is written."""
    missing_artifacts: MissingArtifacts = MissingArtifacts.FAIL
    """Whether a file that the source lists and cannot give makes the migration fail. It is named in both cases."""
    source_tags: bool = False
    """Whether what an object was on the source (ids, times, users) is written to its tags on the target."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.via) || self.via != 'Database' || (has(self.source.backend) && has(self.target.backend))",
                "via Database needs backend on both sides",
                ".via",
            ),
            cel(
                "(has(self.source.backend) && has(self.target.backend) && (!has(self.via) || self.via != 'Api'))"
                " || ((has(self.source.trackingUri) || has(self.source.archive))"
                " && (has(self.target.trackingUri) || has(self.target.archive)))",
                "give backend on both sides (via Database), or trackingUri or archive on both sides (via Api)",
            ),
            cel(
                "!has(self.source.archive) || !has(self.target.archive)",
                "one side has to be a server",
                ".target.archive",
            ),
        )
    )

    @property
    def by_database(self) -> bool:
        """Whether rows are copied, as via says. What preflight found in Auto is in ``status.way``."""
        both = self.source.backend is not None and self.target.backend is not None
        return both and self.via is not Via.API

    @property
    def either_way(self) -> bool:
        """Whether the document leaves the choice, and gives what both ways need."""
        addresses = self.source.tracking_uri is not None and self.target.tracking_uri is not None
        users = self.source.auth is not None or self.target.auth is not None
        return self.via is Via.AUTO and self.by_database and addresses and not users
