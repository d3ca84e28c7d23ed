"""What is left of migrations whose object is gone without our finalizer: workloads that rest, leases that are held.

A migration can be deleted by force. Its workloads come back all the same: what they were is noted on them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress

from project_migration.backends.kubernetes.client import Client, NotThere
from project_migration.backends.kubernetes.leases import drop_abandoned, holder_exists, parse_holder
from project_migration.backends.kubernetes.pods import NamespacePods
from project_migration.backends.kubernetes.resources import Json, annotations_of, metadata, name_of
from project_migration.backends.kubernetes.workloads import RESOURCES, path_of, release_patch, workload_facts
from project_migration.engine.effects import ReleaseWorkload
from project_migration.engine.names import WorkloadRef
from project_migration.engine.world import WorkloadFacts
from project_migration.model.document import WorkloadKind
from project_migration.model.errors import Conflict
from project_migration.model.labels import QUIESCED_BY

log = logging.getLogger(__name__)

NO_PODS = NamespacePods((), {})


def restore_orphans(client: Client, namespaces: Iterable[str]) -> list[str]:
    """Release every workload held by a migration that is gone; says which. ``namespaces`` empty: everywhere."""
    watched = tuple(namespaces)
    restored = []
    for namespace, ref in _held(client, watched):
        with suppress(NotThere):
            if _restore(client, namespace, ref, client.get(path_of(namespace, ref))):
                restored.append(f"{namespace}/{ref}")
    return restored


def drop_abandoned_leases(client: Client, namespaces: Iterable[str]) -> list[str]:
    return [name for namespace in tuple(namespaces) or (None,) for name in drop_abandoned(client, namespace)]


def _held(client: Client, namespaces: tuple[str, ...]) -> Iterator[tuple[str, WorkloadRef]]:
    for namespace in namespaces or (None,):
        for kind, resource in RESOURCES.items():
            for item in client.items(resource.path(namespace), metadata_only=True):
                if QUIESCED_BY in annotations_of(item):
                    yield str(metadata(item)["namespace"]), WorkloadRef(kind, name_of(item))


def _restore(client: Client, namespace: str, ref: WorkloadRef, workload: Json) -> bool:
    facts = workload_facts(ref, workload, NO_PODS)
    holder = parse_holder(facts.holder)
    if holder is None or holder[0].namespace != namespace:
        log.warning("%s in %s is signed by %r, which is no migration here: left alone", ref, namespace, facts.holder)
        return False
    if holder_exists(client, facts.holder):
        return False
    if facts.held_replicas is None and facts.held_suspended is None:
        log.error("%s in %s is held by %s, which is gone, and nobody noted what it was", ref, namespace, facts.holder)
        return False
    try:
        client.patch(path_of(namespace, ref), release_patch(_release(ref, facts)))
    except Conflict:
        return False  # somebody changed it just now; the next sweep looks again
    log.warning("%s in %s was held by %s, which is gone: brought back", ref, namespace, facts.holder)
    return True


def _release(ref: WorkloadRef, facts: WorkloadFacts) -> ReleaseWorkload:
    cron = ref.kind is WorkloadKind.CRON_JOB
    return ReleaseWorkload(
        ref=ref,
        version=facts.version,
        released=f"orphan:{facts.holder}",
        replicas=None if cron else facts.held_replicas,
        suspended=facts.held_suspended if cron else None,
    )
