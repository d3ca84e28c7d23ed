"""Workloads: what is asked of them, who holds them down, what would scale them back; and holding and releasing them.

Holding and releasing are one merge patch each, with the resource version that the decision was made on: the API server
refuses it if anything about the workload changed since. Source of the rule: "resourceVersion" in
https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from project_migration.backends.kubernetes.client import Client, fence, read_named
from project_migration.backends.kubernetes.controllers import Controllers, ScaleBack, owns
from project_migration.backends.kubernetes.pods import NamespacePods
from project_migration.backends.kubernetes.resources import (
    CRON_JOBS,
    DEPLOYMENTS,
    STATEFUL_SETS,
    Json,
    Resource,
    annotations_of,
    metadata,
    version_of,
)
from project_migration.engine.effects import HoldWorkload, ReleaseWorkload
from project_migration.engine.names import WorkloadRef
from project_migration.engine.world import WorkloadFacts
from project_migration.model.document import WorkloadKind
from project_migration.model.labels import QUIESCED_BY, RECORDED_REPLICAS, RECORDED_SUSPENDED, RELEASED

RESOURCES: Mapping[WorkloadKind, Resource] = {
    WorkloadKind.DEPLOYMENT: DEPLOYMENTS,
    WorkloadKind.STATEFUL_SET: STATEFUL_SETS,
    WorkloadKind.CRON_JOB: CRON_JOBS,
}


NOBODY = ScaleBack()


def path_of(namespace: str, ref: WorkloadRef) -> str:
    return RESOURCES[ref.kind].path(namespace, ref.name)


def observe_workloads(
    client: Client,
    namespace: str,
    refs: Collection[WorkloadRef],
    pods: NamespacePods,
    argocd_namespace: str,
) -> Mapping[WorkloadRef, WorkloadFacts]:
    """Facts of each workload that is asked for."""
    names: dict[WorkloadKind, set[str]] = defaultdict(set)
    for ref in refs:
        names[ref.kind].add(ref.name)
    found = {kind: read_named(client, RESOURCES[kind], namespace, wanted) for kind, wanted in names.items()}
    controllers = Controllers(client, namespace, argocd_namespace)
    facts = {}
    for ref in refs:
        workload = found[ref.kind].get(ref.name)
        scalable = workload is not None and ref.kind is not WorkloadKind.CRON_JOB
        # while one rests, who might scale it need not be looked up in every pass
        back = controllers.of(ref, workload) if scalable and workload and not rests(workload) else NOBODY
        facts[ref] = workload_facts(ref, workload, pods, back)
    return facts


def rests(workload: Json) -> bool:
    return QUIESCED_BY in annotations_of(workload) and (workload.get("spec") or {}).get("replicas") == 0


def workload_facts(
    ref: WorkloadRef, workload: Json | None, pods: NamespacePods, back: ScaleBack = NOBODY
) -> WorkloadFacts:
    """One workload's facts from its JSON. Pods may outlive a workload that is gone."""
    remaining = pods.of_workload(ref)
    if workload is None:
        return WorkloadFacts(exists=False, pods=remaining)
    spec, notes = workload.get("spec") or {}, annotations_of(workload)
    cron = ref.kind is WorkloadKind.CRON_JOB
    return WorkloadFacts(
        exists=True,
        version=version_of(workload),
        replicas=0 if cron else int(spec.get("replicas", 1)),
        suspended=bool(cron and spec.get("suspend")),
        pods=remaining,
        holder=notes.get(QUIESCED_BY, ""),
        held_replicas=_recorded_count(notes.get(RECORDED_REPLICAS)),
        held_suspended=_recorded_flag(notes.get(RECORDED_SUSPENDED)),
        released=notes.get(RELEASED, ""),
        scaled_by=last_manager(workload, "suspend" if cron else "replicas"),
        controllers=back.certain,
        suspects=back.suspects,
    )


def _recorded_count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _recorded_flag(text: str | None) -> bool | None:
    return {"true": True, "false": False}.get(text or "")


def last_manager(workload: Json, field: str) -> str:
    """Who last set ``spec.<field>``: the latest of the managers that own it, the subresource ``scale`` included."""
    owning = [entry for entry in metadata(workload).get("managedFields") or () if owns(entry, field)]
    latest = max(owning, key=lambda entry: str(entry.get("time", "")), default=None)
    return str(latest.get("manager", "")) if latest else ""


def hold_patch(effect: HoldWorkload) -> Json:
    """Sign, note what it was, and scale down or suspend: one write, refused when the workload changed since."""
    cron = effect.ref.kind is WorkloadKind.CRON_JOB
    note = (
        {RECORDED_SUSPENDED: "true" if effect.suspended else "false"}
        if cron
        else {RECORDED_REPLICAS: str(effect.replicas)}
    )
    return {
        "metadata": {
            "resourceVersion": fence(effect.version),
            "annotations": {QUIESCED_BY: effect.holder, RELEASED: None, **note},
        },
        "spec": {"suspend": True} if cron else {"replicas": 0},
    }


def release_patch(effect: ReleaseWorkload) -> Json:
    """Take the signature and the notes off, leave the mark, and bring the workload back: one write."""
    patch: Json = {
        "metadata": {
            "resourceVersion": fence(effect.version),
            "annotations": {
                QUIESCED_BY: None,
                RECORDED_REPLICAS: None,
                RECORDED_SUSPENDED: None,
                RELEASED: effect.released,
            },
        }
    }
    if effect.ref.kind is WorkloadKind.CRON_JOB:
        if effect.suspended is not None:
            patch["spec"] = {"suspend": effect.suspended}
    elif effect.replicas is not None:
        patch["spec"] = {"replicas": effect.replicas}
    return patch
