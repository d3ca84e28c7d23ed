"""Pods: which have ended, what they mount, and whose they are.

Owners are followed by UID and never guessed from names: ``web-7d9f`` need not be a pod of the Deployment ``web``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from project_migration.backends.kubernetes.callers import names_server
from project_migration.backends.kubernetes.client import Client
from project_migration.backends.kubernetes.resources import (
    JOBS,
    PODS,
    REPLICA_SETS,
    Json,
    Owner,
    Resource,
    controller_of,
    deleting,
    labels_of,
    name_of,
    uid_of,
)
from project_migration.backends.kubernetes.shared_reads import SharedReads
from project_migration.engine.names import WorkloadRef
from project_migration.engine.world import PodFacts
from project_migration.model.document import WorkloadKind
from project_migration.model.labels import UID

ENDED = frozenset({"Succeeded", "Failed"})

#: What stands between a pod and the workload that a person scales.
BETWEEN = {("apps", "ReplicaSet"): REPLICA_SETS, ("batch", "Job"): JOBS}

RESTABLE = {
    ("apps", "Deployment"): WorkloadKind.DEPLOYMENT,
    ("apps", "StatefulSet"): WorkloadKind.STATEFUL_SET,
    ("batch", "CronJob"): WorkloadKind.CRON_JOB,
}


def container_statuses(pod: Json) -> Iterator[Json]:
    status = pod.get("status") or {}
    for kind in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        yield from status.get(kind) or ()


def runs(pod: Json) -> bool:
    """Whether a container of it runs, whatever the pod's phase says."""
    return any("running" in (status.get("state") or {}) for status in container_statuses(pod))


def ended(pod: Json) -> bool:
    """Whether nothing of the pod can write any more.

    A pod that was given up (its node is lost) keeps the phase that it had: only its kubelet may say that its
    containers ended.
    """
    return (pod.get("status") or {}).get("phase") in ENDED and not runs(pod)


def claims_of(pod: Json) -> Iterator[str]:
    """The names of the claims that a pod mounts; a generic ephemeral volume is a claim named ``<pod>-<volume>``."""
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            yield str(volume["persistentVolumeClaim"].get("claimName", ""))
        elif "ephemeral" in volume:
            yield f"{name_of(pod)}-{volume.get('name', '')}"


def node_of(pod: Json) -> str:
    return str((pod.get("spec") or {}).get("nodeName") or "")


def addresses_of(pod: Json) -> Iterator[str]:
    for found in (pod.get("status") or {}).get("podIPs") or ():
        yield str(found.get("ip", ""))


def describe(owner: Owner | None) -> tuple[WorkloadRef | None, str]:
    """The owner as a workload that we can rest, if it is one, and in words."""
    if owner is None:
        return None, ""
    kind = RESTABLE.get((owner.group, owner.kind))
    return (WorkloadRef(kind, owner.name) if kind else None), str(owner)


@dataclass(frozen=True)
class NamespacePods:
    """The pods of a namespace at one moment, with what stands between them and their workloads."""

    pods: Sequence[Json]
    owners: dict[str, Owner | None]
    """Of ReplicaSets and Jobs, by their UID. One that is not here has been deleted since."""

    @cached_property
    def active(self) -> tuple[Json, ...]:
        return tuple(pod for pod in self.pods if not ended(pod))

    def top_owner(self, pod: Json) -> Owner | None:
        owner = controller_of(pod)
        while owner is not None and (owner.group, owner.kind) in BETWEEN:
            above = self.owners.get(owner.uid)
            if above is None:
                return owner
            owner = above
        return owner

    def mounters(self, claim: str, migration_uid: str) -> tuple[PodFacts, ...]:
        return tuple(self._facts(pod, migration_uid) for pod in self.active if claim in claims_of(pod))

    def callers(self, host: str, namespace: str, migration_uid: str) -> tuple[PodFacts, ...]:
        named = (pod for pod in self.active if host in addresses_of(pod) or names_server(pod, host, namespace))
        return tuple(self._facts(pod, migration_uid) for pod in named)

    def of_workload(self, ref: WorkloadRef) -> tuple[str, ...]:
        return tuple(sorted(name_of(pod) for pod in self.active if describe(self.top_owner(pod))[0] == ref))

    def labelled(self, label: str, value: str) -> tuple[Json, ...]:
        return tuple(pod for pod in self.pods if labels_of(pod).get(label) == value)

    def _facts(self, pod: Json, migration_uid: str) -> PodFacts:
        ref, text = describe(self.top_owner(pod))
        return PodFacts(
            name=name_of(pod),
            ours=labels_of(pod).get(UID) == migration_uid,
            node=node_of(pod),
            owner=ref,
            owner_text=text,
        )


class PodReader:
    """Reads a namespace's pods for all migrations that ask at the same time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reads: SharedReads[NamespacePods] = SharedReads()

    def namespace(self, namespace: str) -> NamespacePods:
        return self._reads.read(namespace, lambda: self._namespace(namespace))

    def of_migration(self, namespace: str, uid: str) -> list[Json]:
        """The pods of one migration's helpers only: cheap in a namespace with a thousand others."""
        return self._client.items(PODS.path(namespace), labelSelector=f"{UID}={uid}")

    def _namespace(self, namespace: str) -> NamespacePods:
        pods = self._client.items(PODS.path(namespace))
        owners: dict[str, Owner | None] = {}
        for resource in self._needed(pods):
            # read after the pods, so that an owner which is not found was deleted and not merely later
            for item in self._client.items(resource.path(namespace), metadata_only=True):
                owners[uid_of(item)] = controller_of(item)
        return NamespacePods(pods, owners)

    @staticmethod
    def _needed(pods: Iterable[Json]) -> list[Resource]:
        """A helper's Job is its own; what people scale is sought for the others."""
        strangers = (pod for pod in pods if not ended(pod) and UID not in labels_of(pod))
        kinds = {(owner.group, owner.kind) for pod in strangers if (owner := controller_of(pod))}
        return [resource for key, resource in BETWEEN.items() if key in kinds]


def ending(pod: Json) -> bool:
    """Whether somebody deleted the pod and it has not ended yet."""
    return deleting(pod) and not ended(pod)
