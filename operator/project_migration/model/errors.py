"""Every way in which a migration can fail or wait: one reason, and what a person does about it.

``Reason`` is the whole list. Each has a remedy in :data:`REMEDIES`, and its paragraph in ``docs/failure-reasons.md``;
tests see that neither lacks one. Messages are written where the failure is found, and name the object.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The reason of a failure or of a wait, as it stands in conditions, steps and events."""

    INVALID_DOCUMENT = "InvalidDocument"
    NOT_SUPPORTED_YET = "NotSupportedYet"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    PRIVILEGE_DENIED = "PrivilegeDenied"
    CLAIM_NOT_FOUND = "ClaimNotFound"
    CLAIM_NOT_MADE = "ClaimNotMade"
    CLAIM_TAKEN = "ClaimTaken"
    STORAGE_CLASS_NOT_FOUND = "StorageClassNotFound"
    CLAIM_LOST = "ClaimLost"
    CLAIM_IN_USE = "ClaimInUse"
    CLAIM_NOT_MOUNTABLE = "ClaimNotMountable"
    PATHS_OVERLAP = "PathsOverlap"
    PATH_IS_A_LINK = "PathIsALink"
    SOURCE_NOT_FOUND = "SourceNotFound"
    SOURCE_NOT_A_DIRECTORY = "SourceNotADirectory"
    SOURCE_UNREADABLE = "SourceUnreadable"
    TARGET_NOT_EMPTY = "TargetNotEmpty"
    TARGET_READ_ONLY = "TargetReadOnly"
    TARGET_NOT_A_DIRECTORY = "TargetNotADirectory"
    NOT_ENOUGH_SPACE = "NotEnoughSpace"
    NOT_ENOUGH_INODES = "NotEnoughInodes"
    NO_SPACE_LEFT = "NoSpaceLeft"
    PERMISSION_DENIED = "PermissionDenied"
    WORKLOAD_NOT_FOUND = "WorkloadNotFound"
    WORKLOAD_HELD = "WorkloadHeld"
    SCALED_BACK = "ScaledBack"
    QUIESCE_TIMEOUT = "QuiesceTimeout"
    RESUME_TIMEOUT = "ResumeTimeout"
    TARGET_LOCKED = "TargetLocked"
    LOCK_TIMEOUT = "LockTimeout"
    TARGET_BUSY = "TargetBusy"
    TARGET_HELD = "TargetHeld"
    HELPER_REFUSED = "HelperRefused"
    HELPER_NOT_STARTED = "HelperNotStarted"
    HELPER_IMAGE = "HelperImage"
    HELPER_UNSCHEDULABLE = "HelperUnschedulable"
    HELPER_OUT_OF_MEMORY = "HelperOutOfMemory"
    HELPER_EVICTED = "HelperEvicted"
    HELPER_LOST = "HelperLost"
    HELPER_SILENT = "HelperSilent"
    HELPER_CRASHED = "HelperCrashed"
    HELPER_STUCK = "HelperStuck"
    SOURCE_CHANGED = "SourceChanged"
    CUTOVER_IN_THE_PAST = "CutoverInThePast"
    CUTOVER_MISSED = "CutoverMissed"
    NOT_PRESERVED = "NotPreserved"
    COPY_INCOMPLETE = "CopyIncomplete"
    IO_ERROR = "IOError"
    VERIFY_FAILED = "VerifyFailed"
    PROOF_MISSING = "ProofMissing"
    BACKUP_TOO_SMALL = "BackupTooSmall"
    ROLLBACK_FAILED = "RollbackFailed"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 - a reason, not a secret
    DATABASE_UNREACHABLE = "DatabaseUnreachable"
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    TLS_FAILED = "TLSFailed"
    DATABASE_NOT_FOUND = "DatabaseNotFound"
    TARGET_OLDER = "TargetOlder"
    CLIENT_TOOLS_MISSING = "ClientToolsMissing"
    EXTENSION_MISSING = "ExtensionMissing"
    ROLE_MISSING = "RoleMissing"
    ENCODING_DIFFERS = "EncodingDiffers"
    COLLATION_DIFFERS = "CollationDiffers"
    BACKUP_UNREADABLE = "BackupUnreadable"
    BACKUP_REMOVED = "BackupRemoved"
    NOTHING_KEPT = "NothingKept"
    REQUEST_REFUSED = "RequestRefused"
    NOT_MLFLOW = "NotMlflow"
    TARGET_NOT_INITIALISED = "TargetNotInitialised"
    SCHEMA_MISMATCH = "SchemaMismatch"
    NAME_CLASH = "NameClash"
    NOTHING_SELECTED = "NothingSelected"
    VALUE_DOES_NOT_FIT = "ValueDoesNotFit"
    ARTIFACTS_UNSUPPORTED = "ArtifactsUnsupported"
    SERVER_UNREACHABLE = "ServerUnreachable"
    NOT_SERVED = "NotServed"
    ARTIFACTS_UNREACHABLE = "ArtifactsUnreachable"
    OBJECT_STORE_UNREACHABLE = "ObjectStoreUnreachable"
    BUCKET_NOT_FOUND = "BucketNotFound"
    ARCHIVE_UNREADABLE = "ArchiveUnreadable"
    ARCHIVE_UNSAFE = "ArchiveUnsafe"
    DUMP_UNUSABLE = "DumpUnusable"
    LOAD_FAILED = "LoadFailed"
    NOT_A_WORKSPACE = "NotAWorkspace"
    ADMINISTRATOR_UNFIT = "AdministratorUnfit"
    ADMINISTRATOR_CLASH = "AdministratorClash"
    USERS_REFERRED_TO = "UsersReferredTo"
    TABLES_REFERRED_TO = "TablesReferredTo"
    SETTINGS_NOT_KEPT = "SettingsNotKept"
    JOB_NOT_FOUND = "JobNotFound"
    JOB_FAILED = "JobFailed"
    CANCELLED = "Cancelled"
    INTERNAL_ERROR = "InternalError"


#: What a person does about it, in a sentence. ``docs/failure-reasons.md`` says more.
REMEDIES: dict[Reason, str] = {
    Reason.INVALID_DOCUMENT: "Correct the field that the message names and apply the document again.",
    Reason.NOT_SUPPORTED_YET: "Leave the field out; the release notes say when it works.",
    Reason.NAMESPACE_NOT_ALLOWED: "Let an administrator of that namespace label it"
    " migration.mlops.dev/allow-from=<this namespace>.",
    Reason.PRIVILEGE_DENIED: "Let an administrator label the namespace"
    " migration.mlops.dev/privileged-helpers=true, or set ownership.mode to Helper.",
    Reason.CLAIM_NOT_FOUND: "Create the claim, or correct claimName; a target's is made on request (target.create).",
    Reason.CLAIM_NOT_MADE: "Change what the message names (quota, limit range, the target's create), or create the"
    " claim yourself; then retry.",
    Reason.CLAIM_TAKEN: "Somebody else made or took the target's claim meanwhile: retry, and it is looked at like any"
    " target that exists.",
    Reason.STORAGE_CLASS_NOT_FOUND: "Correct storageClassName under target.create, or leave it out.",
    Reason.CLAIM_LOST: "The claim's volume is gone: restore the volume, or name another claim.",
    Reason.CLAIM_IN_USE: "List the workload under quiesce.workloads, set quiesce.discover, or stop the pod.",
    Reason.CLAIM_NOT_MOUNTABLE: "Release the claim from the node or pod that holds it, or use one that"
    " several nodes can mount.",
    Reason.PATHS_OVERLAP: "Give source and target places of which neither lies inside the other.",
    Reason.PATH_IS_A_LINK: "Name the directory itself: a subPath is never followed through a symbolic link.",
    Reason.SOURCE_NOT_FOUND: "Correct the source's subPath or path.",
    Reason.SOURCE_NOT_A_DIRECTORY: "Name the directory that holds the file, and include the file by name.",
    Reason.SOURCE_UNREADABLE: "Let the helper read the files (ownership.mode Set or Preserve in a namespace that"
    " allows privileged helpers), or exclude them.",
    Reason.TARGET_NOT_EMPTY: "Empty the target, name another, or write down in backup.waive why nothing"
    " there is needed (for a database, set its replace as well).",
    Reason.TARGET_READ_ONLY: "Make the target writable for the helper, or name another.",
    Reason.TARGET_NOT_A_DIRECTORY: "Name a directory as the target.",
    Reason.NOT_ENOUGH_SPACE: "Enlarge the target, or exclude what need not move.",
    Reason.NOT_ENOUGH_INODES: "Use a file system with more inodes, or exclude what need not move.",
    Reason.NO_SPACE_LEFT: "Enlarge the target and retry: what is there is not copied again.",
    Reason.PERMISSION_DENIED: "Give the helper the right that the message names, or choose ownership.mode Helper.",
    Reason.WORKLOAD_NOT_FOUND: "Correct kind and name under quiesce.workloads.",
    Reason.WORKLOAD_HELD: "Wait for the migration that holds the workload, or cancel that one.",
    Reason.SCALED_BACK: "Pause what scales the workload (Argo CD self-heal, KEDA, an operator), then retry.",
    Reason.QUIESCE_TIMEOUT: "See why the pods that the message names do not end, or raise"
    " timeouts.quiesce; then retry.",
    Reason.RESUME_TIMEOUT: "See why the workload cannot be scaled, then retry; its recorded count is in"
    " status.workloads.",
    Reason.TARGET_LOCKED: "Wait for the migration that the message names, or cancel it.",
    Reason.LOCK_TIMEOUT: "Cancel the migration that holds the target, then retry.",
    Reason.TARGET_BUSY: "Another copy writes there now: wait until it ends; the operator tries again by itself.",
    Reason.TARGET_HELD: "Retry the migration or roll it back; or, when the target is in order, annotate the"
    " migration with migration.mlops.dev/release.",
    Reason.HELPER_REFUSED: "Change what the message names (quota, Pod Security, admission policy), then retry.",
    Reason.HELPER_NOT_STARTED: "See the message for what the pod waits for, or raise timeouts.helperStart; then retry.",
    Reason.HELPER_IMAGE: "Correct the operator's helper image or its pull secret, then retry.",
    Reason.HELPER_UNSCHEDULABLE: "Free or add a node that fits the message (resources, taints, the"
    " volume's node), then retry.",
    Reason.HELPER_OUT_OF_MEMORY: "Raise helper.resources.limits.memory or lower transfer.workers, then retry.",
    Reason.HELPER_EVICTED: "See why the node evicts pods; the operator tries again by itself.",
    Reason.HELPER_LOST: "Somebody removed the helper; the operator tries again by itself.",
    Reason.HELPER_SILENT: "See the helper's last lines in the message; raise timeouts.silence when the"
    " storage is slow.",
    Reason.HELPER_CRASHED: "The last lines in the message say why; report it when they name our own code.",
    Reason.HELPER_STUCK: "A helper's pod does not end (its node may be gone): remove the pod by force, then retry.",
    Reason.SOURCE_CHANGED: "Stop what writes to the source (quiesce.workloads), then retry.",
    Reason.CUTOVER_IN_THE_PAST: "Give a moment that lies ahead in cutover.at or cutover.notAfter, or leave it out;"
    " then retry.",
    Reason.CUTOVER_MISSED: "Set cutover.notAfter to a later moment, or leave it out; then retry.",
    Reason.NOT_PRESERVED: "Allow the right that is missing, use a target that keeps the attribute, or"
    " exclude the objects.",
    Reason.COPY_INCOMPLETE: "The named objects could not be copied: mend or exclude them, then retry.",
    Reason.IO_ERROR: "The storage reported an error: look at the node and the volume; the operator tries"
    " again by itself.",
    Reason.VERIFY_FAILED: "The named objects differ from the source: see what writes to the target, then retry.",
    Reason.PROOF_MISSING: "Bring the manifest that the message names back into the workspace; without it nothing says"
    " what was proved of a database.",
    Reason.BACKUP_TOO_SMALL: "Enlarge the backup's claim, name another, or write down in backup.waive why no backup is"
    " needed.",
    Reason.ROLLBACK_FAILED: "What the target held lies whole where status.backup says; mend what the message names,"
    " then roll back again (project-migration rollback), or retry the migration.",
    Reason.SECRET_NOT_FOUND: "Create the Secret with the keys that the message names, or correct its name under"
    " credentialsRef or caRef; then retry.",
    Reason.DATABASE_UNREACHABLE: "Correct host and port, and see that helpers may reach the server (name resolution,"
    " NetworkPolicies, firewalls); then retry.",
    Reason.AUTHENTICATION_FAILED: "Correct username and password (of an object store accessKey and secretKey) in the"
    " Secret that credentialsRef names, or the server's pg_hba.conf; then retry.",
    Reason.TLS_FAILED: "Give the authority that signed the server's certificate in caRef, correct the host name or"
    " choose another sslmode.",
    Reason.DATABASE_NOT_FOUND: "Create the database on that server, or correct its name.",
    Reason.TARGET_OLDER: "Use a target server of the source's major version or a later one.",
    Reason.CLIENT_TOOLS_MISSING: "Name a helper image with the client tools of the major version that the message"
    " names, in the chart's helper.postgresImages; on one machine install them.",
    Reason.EXTENSION_MISSING: "Install the extension on the target's server, or leave out what needs it.",
    Reason.ROLE_MISSING: "Create the roles on the target's server, or set missingRoles to LeaveOut, or owners and"
    " privileges to Drop.",
    Reason.ENCODING_DIFFERS: "Create the target database with the source's encoding, or with UTF8.",
    Reason.COLLATION_DIFFERS: "Create the target database with the source's locale, or set acceptCollation.",
    Reason.BACKUP_UNREADABLE: "Restore the backup's files from a copy of your own: what is there is not whole.",
    Reason.BACKUP_REMOVED: "The backup was kept for as long as backup.keepFor says and is gone: put the target back"
    " from one of your own. For the next migration raise backup.keepFor, or leave it out.",
    Reason.NOTHING_KEPT: "Put the target back from a backup of your own; name a claim in backup.claimName for the next"
    " migration.",
    Reason.REQUEST_REFUSED: "Nothing was changed: the message says why, and what can be asked for instead. Take the"
    " request out of the document again.",
    Reason.NOT_MLFLOW: "Name the database that MLflow's server has as its backend store, or that server's address.",
    Reason.TARGET_NOT_INITIALISED: "Start the target's MLflow server once on that database, which makes its tables;"
    " then retry.",
    Reason.SCHEMA_MISMATCH: "Bring both sides to one release: upgrade the target's MLflow, or run `mlflow db upgrade`"
    " of the target's release on a copy of the source and migrate the copy.",
    Reason.NAME_CLASH: "Give another name under rename, remove what holds the name on the target (a deleted experiment"
    " holds its name until it is restored, renamed or purged with `mlflow gc`), or set onConflict to Skip or Update.",
    Reason.NOTHING_SELECTED: "Correct the patterns and numbers under select: nothing on the source matches.",
    Reason.VALUE_DOES_NOT_FIT: "Shorten or correct the values that the message names on the source, or leave their"
    " objects out.",
    Reason.ARTIFACTS_UNSUPPORTED: "Correct the artifact location that the message names, or leave its experiment out.",
    Reason.SERVER_UNREACHABLE: "Correct trackingUri, and see that the server runs and helpers may reach it (name"
    " resolution, NetworkPolicies, firewalls); then retry.",
    Reason.NOT_SERVED: "Rows and files were proved where they lie, so look at the server: that trackingUri is its"
    " address, and that it runs with the target's backend and artifacts (--backend-store-uri, --artifacts-destination);"
    " then retry.",
    Reason.ARTIFACTS_UNREACHABLE: "Mount the volume that holds the artifacts (artifacts.claimName), let the server"
    " proxy them (--serve-artifacts), or set select.metadataOnly.",
    Reason.ARCHIVE_UNREADABLE: "Of MLflow: name the directory that holds the export's experiments or models, and"
    " mend or remove the files that the message names. Of a CDSW: bring the whole archive again (db.sql and projects/"
    " in one tar.gz), or make it anew.",
    Reason.ARCHIVE_UNSAFE: "Do not trust this archive: make it anew on the CDSW with the guide's command, or remove"
    " there what the message names.",
    Reason.DUMP_UNUSABLE: "Make db.sql anew with pg_dump in its plain format, without further options but"
    " --exclude-table-data, and see that it is copied to its end.",
    Reason.LOAD_FAILED: "Nothing of that transaction is left on the target: mend on the CDSW what the message names,"
    " make the dump anew and retry.",
    Reason.NOT_A_WORKSPACE: "Name the database of a CDSW as the source, and that of a CML workspace as the target.",
    Reason.ADMINISTRATOR_UNFIT: "Name a user of the target who is an administrator and no team, and who has logged in.",
    Reason.ADMINISTRATOR_CLASH: "Set users to MapByName or MapByEmail, which makes them one person, or name another"
    " administrator.",
    Reason.USERS_REFERRED_TO: "Decide about the columns that the message names: let them follow the owners, empty their"
    " tables, or remove the rows on the CDSW.",
    Reason.TABLES_REFERRED_TO: "Decide about the tables that the message names: have them emptied too, or remove the"
    " rows on the CDSW.",
    Reason.SETTINGS_NOT_KEPT: "Run the schema Job of the target's own release on what was loaded: it has to bring the"
    " columns that the message names.",
    Reason.JOB_NOT_FOUND: "Name the Job of the target that brings its database to its release, in target.schemaJob.",
    Reason.JOB_FAILED: "See the Job's last lines in the message: mend what they name and retry; the target was put back"
    " as onFailure says. A slow Job needs a longer timeouts.silence.",
    Reason.OBJECT_STORE_UNREACHABLE: "Correct s3.endpointUrl, and see that helpers may reach the object store (name"
    " resolution, NetworkPolicies, firewalls); then retry.",
    Reason.BUCKET_NOT_FOUND: "Create the bucket, or correct s3.bucket, s3.region or s3.endpointUrl; then retry.",
    Reason.CANCELLED: "Nothing to do: a person cancelled the migration.",
    Reason.INTERNAL_ERROR: "Report it with the message: this is a fault of the operator.",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed. ``passing``: whether the same thing may succeed when tried again."""

    reason: Reason
    message: str
    passing: bool = False

    @property
    def remedy(self) -> str:
        return REMEDIES[self.reason]


class MigrationError(Exception):
    """The root of what this package raises on purpose.

    ├── DocumentError      the document is wrong: field and remedy in the message (exit code 2)
    ├── Conflict           somebody saved first: observe again, decide again
    ├── Gone               the migration's object does not exist any more
    └── PassingError       the surroundings failed for the moment: try the pass again later
    """


class DocumentError(MigrationError):
    """The document is wrong. ``problems``: one line each, beginning with the field's path."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Conflict(MigrationError):  # noqa: N818 - an outcome, not an error: the caller looks again
    """The object was changed since it was read: the caller's view is old."""


class Gone(MigrationError):  # noqa: N818 - an outcome, not an error: there is nothing left to do
    """The migration's object does not exist any more."""


class PassingError(MigrationError):
    """The surroundings failed for the moment, such as an API server that does not answer."""
