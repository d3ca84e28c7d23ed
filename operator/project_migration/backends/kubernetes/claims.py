"""Claims: whether they exist and are bound, who mounts them, and where they can be mounted."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from project_migration.backends.kubernetes.client import Client, read_named, unless_there
from project_migration.backends.kubernetes.pods import NamespacePods
from project_migration.backends.kubernetes.remembered import Remembered
from project_migration.backends.kubernetes.resources import (
    CLAIMS,
    EVENTS,
    HOSTNAME,
    STORAGE_CLASSES,
    VOLUMES,
    Json,
    labels_of,
    uid_of,
)
from project_migration.engine.world import ClaimFacts, PodFacts
from project_migration.model.labels import MANAGED_BY, OPERATOR, UID
from project_migration.model.quantities import parse_bytes

#: Modes in which one node at most can mount the volume.
ONE_NODE = frozenset({"ReadWriteOnce", "ReadWriteOncePod"})

NOTHING: list[Json] = []


class ClaimReader:
    """Reads claims for every pass; what belongs to the cluster is remembered between them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pinned: Remembered[tuple[str, ...]] = Remembered()
        self._modes: Remembered[str] = Remembered()

    def observe(
        self, namespace: str, names: Collection[str], pods: NamespacePods, migration_uid: str
    ) -> Mapping[str, ClaimFacts]:
        """Facts of each claim by its name."""
        found = read_named(self._client, CLAIMS, namespace, names)
        return {
            name: self._facts(namespace, found[name], pods.mounters(name, migration_uid))
            if name in found
            else ClaimFacts(exists=False, mounters=pods.mounters(name, migration_uid))
            for name in sorted(names)
        }

    def _facts(self, namespace: str, claim: Json, mounters: tuple[PodFacts, ...]) -> ClaimFacts:
        spec, status = claim.get("spec") or {}, claim.get("status") or {}
        modes = tuple(status.get("accessModes") or spec.get("accessModes") or ())
        phase = str(status.get("phase") or "Pending")
        nodes: tuple[str, ...] = ()
        if modes and set(modes) <= ONE_NODE:
            nodes = tuple(sorted({pod.node for pod in mounters if pod.node}))
        if not nodes and spec.get("volumeName"):
            nodes = self._nodes_of_volume(str(spec["volumeName"]), uid_of(claim))
        return ClaimFacts(
            exists=True,
            uid=uid_of(claim),
            phase=phase,
            access_modes=modes,
            capacity=quantity((status.get("capacity") or {}).get("storage")),
            requested=quantity(((spec.get("resources") or {}).get("requests") or {}).get("storage")),
            storage_class=str(spec.get("storageClassName") or ""),
            made_for=labels_of(claim).get(UID, "") if labels_of(claim).get(MANAGED_BY) == OPERATOR else "",
            waits_for_consumer=phase == "Pending" and self._waits(namespace, claim),
            nodes=nodes,
            mounters=mounters,
        )

    def _nodes_of_volume(self, name: str, claim_uid: str) -> tuple[str, ...]:
        """The nodes that the volume is bound to for ever, such as a disk of one machine.

        Volumes belong to the cluster, so the right to read them may be missing. The scheduler knows them anyway;
        what is lost without it is the early word that two claims can never be mounted by one pod.
        """

        def look() -> tuple[str, ...]:
            volume: Json = unless_there(lambda: self._client.get(VOLUMES.path(name=name)), {})
            return pinned_to(volume)

        return self._pinned.get(f"{name} {claim_uid}", look)

    def _waits(self, namespace: str, claim: Json) -> bool:
        """Whether the claim is bound by its first pod only.

        Where storage classes cannot be read, the controller's own event on the claim says the same.
        """
        class_name = (claim.get("spec") or {}).get("storageClassName")
        mode = self._binding_mode(str(class_name)) if class_name else ""
        if mode:
            return mode == "WaitForFirstConsumer"
        selector = f"involvedObject.uid={uid_of(claim)},reason=WaitForFirstConsumer"
        path = EVENTS.path(namespace)
        return bool(unless_there(lambda: self._client.items(path, fieldSelector=selector), NOTHING))

    def _binding_mode(self, class_name: str) -> str:
        """As its storage class says, or empty when that cannot be read."""

        def look() -> str:
            found: Json = unless_there(lambda: self._client.get(STORAGE_CLASSES.path(name=class_name)), {})
            return str(found.get("volumeBindingMode") or "")

        return self._modes.get(class_name, look)


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
