"""Claims: whether they exist and are bound, who mounts them, and where they can be mounted."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from project_migration.backends.kubernetes.client import Client, read_named, unless_there
from project_migration.backends.kubernetes.pods import NamespacePods
from project_migration.backends.kubernetes.resources import (
    CLAIMS,
    EVENTS,
    HOSTNAME,
    STORAGE_CLASSES,
    VOLUMES,
    Json,
    uid_of,
)
from project_migration.engine.world import ClaimFacts
from project_migration.model.quantities import parse_bytes

#: Modes in which one node at most can mount the volume.
ONE_NODE = frozenset({"ReadWriteOnce", "ReadWriteOncePod"})

NOTHING: list[Json] = []


def observe_claims(
    client: Client, namespace: str, names: Collection[str], pods: NamespacePods, migration_uid: str
) -> Mapping[str, ClaimFacts]:
    """Facts of each claim by its name."""
    found = read_named(client, CLAIMS, namespace, names)
    reader = _Claims(client, namespace, pods, migration_uid)
    return {name: reader.facts(name, found.get(name)) for name in sorted(names)}


class _Claims:
    def __init__(self, client: Client, namespace: str, pods: NamespacePods, migration_uid: str) -> None:
        self._client = client
        self._namespace = namespace
        self._pods = pods
        self._migration_uid = migration_uid

    def facts(self, name: str, claim: Json | None) -> ClaimFacts:
        if claim is None:
            return ClaimFacts(exists=False)
        spec, status = claim.get("spec") or {}, claim.get("status") or {}
        modes = tuple(status.get("accessModes") or spec.get("accessModes") or ())
        phase = str(status.get("phase") or "Pending")
        mounters = self._pods.mounters(name, self._migration_uid)
        nodes: tuple[str, ...] = ()
        if modes and set(modes) <= ONE_NODE:
            nodes = tuple(sorted({pod.node for pod in mounters if pod.node}))
        if not nodes and spec.get("volumeName"):
            nodes = self._nodes_of_volume(str(spec["volumeName"]))
        return ClaimFacts(
            exists=True,
            uid=uid_of(claim),
            phase=phase,
            access_modes=modes,
            capacity=quantity((status.get("capacity") or {}).get("storage")),
            waits_for_consumer=phase == "Pending" and self._waits(claim),
            nodes=nodes,
            mounters=mounters,
        )

    def _nodes_of_volume(self, name: str) -> tuple[str, ...]:
        """The nodes that the volume is bound to for ever, such as a disk of one machine.

        Volumes belong to the cluster, so the right to read them may be missing. The scheduler knows them anyway;
        what is lost without it is the early word that two claims can never be mounted by one pod.
        """
        volume = unless_there(lambda: self._client.get(VOLUMES.path(name=name)), None)
        return () if volume is None else pinned_to(volume)

    def _waits(self, claim: Json) -> bool:
        """Whether the claim is bound by its first pod only.

        Where storage classes cannot be read, the controller's own event on the claim says the same.
        """
        class_name = (claim.get("spec") or {}).get("storageClassName")
        if class_name:
            found = unless_there(lambda: self._client.get(STORAGE_CLASSES.path(name=str(class_name))), None)
            if found is not None:
                return bool(found.get("volumeBindingMode") == "WaitForFirstConsumer")
        selector = f"involvedObject.uid={uid_of(claim)},reason=WaitForFirstConsumer"
        path = EVENTS.path(self._namespace)
        return bool(unless_there(lambda: self._client.items(path, fieldSelector=selector), NOTHING))


def pinned_to(volume: Json) -> tuple[str, ...]:
    """Host names in a volume's node affinity; empty when it is not limited to named hosts."""
    required = (((volume.get("spec") or {}).get("nodeAffinity") or {}).get("required")) or {}
    nodes: set[str] = set()
    for term in required.get("nodeSelectorTerms") or ():
        hosts = [
            set(rule.get("values") or ())
            for rule in term.get("matchExpressions") or ()
            if rule.get("key") == HOSTNAME and rule.get("operator") == "In"
        ]
        if not hosts:
            return ()  # terms are alternatives: one without host names leaves it open
        nodes |= set.intersection(*hosts)
    return tuple(sorted(nodes))


def quantity(text: object) -> int | None:
    """Bytes, or None for what is written in a way that we do not read (``1e3``)."""
    try:
        return parse_bytes(str(text)) if text is not None else None
    except ValueError:
        return None
