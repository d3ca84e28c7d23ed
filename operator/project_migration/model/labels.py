"""Names that we write on objects: labels, annotations, the finalizer. People and other programs rely on them."""

from __future__ import annotations

from project_migration.model.document import GROUP

MANAGED_BY = "app.kubernetes.io/managed-by"
OPERATOR = "project-migration-operator"

#: labels of helpers
UID = f"{GROUP}/uid"
NAME = f"{GROUP}/name"
STEP = f"{GROUP}/step"
UNIT = f"{GROUP}/unit"

#: label of a helper's pod that talks to a server: all others need no network
NETWORK = f"{GROUP}/network"
NETWORK_SERVER = "server"

#: annotations of helpers
REQUEST = f"{GROUP}/request"
REQUEST_DIGEST = f"{GROUP}/request-digest"
#: of those that are a run of somebody else's Job: its name
RUN_OF = f"{GROUP}/run-of"

#: annotations of workloads: who holds it down, what it was before, the mark of the last release
QUIESCED_BY = f"{GROUP}/quiesced-by"
RECORDED_REPLICAS = f"{GROUP}/recorded-replicas"
RECORDED_SUSPENDED = f"{GROUP}/recorded-suspended"
RELEASED = f"{GROUP}/released"

#: labels of namespaces, set by their administrators
ALLOW_FROM = f"{GROUP}/allow-from"
PRIVILEGED_HELPERS = f"{GROUP}/privileged-helpers"

#: annotations of a migration, set by people
RETRY = f"{GROUP}/retry"
ROLLBACK = f"{GROUP}/rollback"
RELEASE = f"{GROUP}/release"
VERIFY = f"{GROUP}/verify"
EXPIRE = f"{GROUP}/expire"

FINALIZER = f"{GROUP}/workloads-back"
