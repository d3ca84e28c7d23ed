"""The kinds of objects we speak about, their paths in the API, and how their JSON is read.

Objects stay the mappings that the API server sent: its schema is the model, and a second one would only add ways to
lose a field. Nothing outside this package ever sees one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from project_migration.model.document import API_VERSION, PLURAL

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """A collection of the API, as ``apps/v1`` ``deployments``."""

    api_version: str
    plural: str
    kind: str

    def path(self, namespace: str | None = None, name: str | None = None, sub: str | None = None) -> str:
        """``/apis/apps/v1/namespaces/ml/deployments/web``; without a namespace, the whole cluster's collection."""
        root = "/api" if self.api_version == "v1" else "/apis"
        parts = [root, self.api_version]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, sub) if part is not None]
        return "/".join(parts)


MIGRATIONS = Resource(API_VERSION, PLURAL, "ProjectMigration")
NAMESPACES = Resource("v1", "namespaces", "Namespace")
PODS = Resource("v1", "pods", "Pod")
CLAIMS = Resource("v1", "persistentvolumeclaims", "PersistentVolumeClaim")
VOLUMES = Resource("v1", "persistentvolumes", "PersistentVolume")
EVENTS = Resource("v1", "events", "Event")
DEPLOYMENTS = Resource("apps/v1", "deployments", "Deployment")
STATEFUL_SETS = Resource("apps/v1", "statefulsets", "StatefulSet")
REPLICA_SETS = Resource("apps/v1", "replicasets", "ReplicaSet")
JOBS = Resource("batch/v1", "jobs", "Job")
CRON_JOBS = Resource("batch/v1", "cronjobs", "CronJob")
LEASES = Resource("coordination.k8s.io/v1", "leases", "Lease")
STORAGE_CLASSES = Resource("storage.k8s.io/v1", "storageclasses", "StorageClass")
SCALED_OBJECTS = Resource("keda.sh/v1alpha1", "scaledobjects", "ScaledObject")
ARGO_APPLICATIONS = Resource("argoproj.io/v1alpha1", "applications", "Application")
FLUX_KUSTOMIZATIONS = Resource("kustomize.toolkit.fluxcd.io/v1", "kustomizations", "Kustomization")


#: The label that a node carries its host name in.
HOSTNAME = "kubernetes.io/hostname"


class Owner(NamedTuple):
    """The controlling owner of an object. ``group`` is empty for the core API."""

    group: str
    kind: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def metadata(obj: Json) -> Json:
    found = obj.get("metadata")
    return found if isinstance(found, dict) else {}


def name_of(obj: Json) -> str:
    return str(metadata(obj).get("name", ""))


def uid_of(obj: Json) -> str:
    return str(metadata(obj).get("uid", ""))


def version_of(obj: Json) -> str:
    return str(metadata(obj).get("resourceVersion", ""))


def labels_of(obj: Json) -> dict[str, str]:
    return metadata(obj).get("labels") or {}


def annotations_of(obj: Json) -> dict[str, str]:
    return metadata(obj).get("annotations") or {}


def deleting(obj: Json) -> bool:
    return bool(metadata(obj).get("deletionTimestamp"))


def controller_of(obj: Json) -> Owner | None:
    """The owner that manages the object; there is at most one."""
    for owner in metadata(obj).get("ownerReferences") or ():
        if owner.get("controller"):
            group = str(owner.get("apiVersion", "")).rpartition("/")[0]
            return Owner(group, str(owner["kind"]), str(owner["name"]), str(owner["uid"]))
    return None


def time_of(text: str | None) -> datetime | None:
    """A moment as the API server writes it, RFC 3339 with or without fractions."""
    return datetime.fromisoformat(text) if text else None
