"""Workloads: what is asked of them, who holds them down, what would scale them back; and holding and releasing them.

Holding and releasing are one merge patch each, with the resource version that the decision was made on: the API server
refuses it if anything about the workload changed since. Source of the rule: "resourceVersion" in
https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from project_migration.backends.kubernetes.client import Client, read_named, unless_there
from project_migration.backends.kubernetes.pods import NamespacePods
from project_migration.backends.kubernetes.resources import (
    CRON_JOBS,
    DEPLOYMENTS,
    SCALED_OBJECTS,
    STATEFUL_SETS,
    Json,
    Resource,
    annotations_of,
    controller_of,
    labels_of,
    metadata,
    name_of,
    version_of,
)
from project_migration.engine.effects import HoldWorkload, ReleaseWorkload
from project_migration.engine.world import WorkloadFacts, WorkloadRef
from project_migration.model.document import WorkloadKind
from project_migration.model.labels import QUIESCED_BY, RECORDED_REPLICAS, RECORDED_SUSPENDED, RELEASED

RESOURCES: Mapping[WorkloadKind, Resource] = {
    WorkloadKind.DEPLOYMENT: DEPLOYMENTS,
    WorkloadKind.STATEFUL_SET: STATEFUL_SETS,
    WorkloadKind.CRON_JOB: CRON_JOBS,
}

#: https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/
ARGO_TRACKING = "argocd.argoproj.io/tracking-id"
ARGO_INSTANCE = "argocd.argoproj.io/instance"
INSTANCE = "app.kubernetes.io/instance"

#: https://fluxcd.io/flux/components/kustomize/kustomizations/#controlling-the-apply-behavior-of-resources
FLUX_NAME = "kustomize.toolkit.fluxcd.io/name"
FLUX_RECONCILE = "kustomize.toolkit.fluxcd.io/reconcile"

#: https://keda.sh/docs/latest/concepts/scaling-deployments/#pausing-autoscaling
KEDA_PAUSED = ("autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas")

NOTHING: list[Json] = []

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def path_of(namespace: str, ref: WorkloadRef) -> str:
    return RESOURCES[ref.kind].path(namespace, ref.name)


def observe_workloads(
    client: Client, namespace: str, refs: Collection[WorkloadRef], pods: NamespacePods
) -> Mapping[WorkloadRef, WorkloadFacts]:
    """Facts of each workload that is asked for."""
    names: dict[WorkloadKind, set[str]] = defaultdict(set)
    for ref in refs:
        names[ref.kind].add(ref.name)
    found = {kind: read_named(client, RESOURCES[kind], namespace, wanted) for kind, wanted in names.items()}
    scaled = any(ref.name in found[ref.kind] and ref.kind is not WorkloadKind.CRON_JOB for ref in refs)
    keda = unless_there(lambda: client.items(SCALED_OBJECTS.path(namespace)), NOTHING) if scaled else NOTHING
    return {ref: workload_facts(ref, found[ref.kind].get(ref.name), pods, keda) for ref in refs}


def workload_facts(
    ref: WorkloadRef, workload: Json | None, pods: NamespacePods, keda: Iterable[Json] = ()
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
        controllers=() if cron else tuple(_controllers(ref, workload, keda)),
    )


def _recorded_count(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _recorded_flag(text: str | None) -> bool | None:
    return {"true": True, "false": False}.get(text or "")


def last_manager(workload: Json, field: str) -> str:
    """Who last set ``spec.<field>``: the latest of the managers that own it, the subresource ``scale`` included."""
    owning = [
        entry
        for entry in metadata(workload).get("managedFields") or ()
        if f"f:{field}" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    latest = max(owning, key=lambda entry: str(entry.get("time", "")), default=None)
    return str(latest.get("manager", "")) if latest else ""


def _controllers(ref: WorkloadRef, workload: Json, keda: Iterable[Json]) -> Iterable[str]:
    """What would scale the workload back, in words.

    A HorizontalPodAutoscaler is none of these: a workload at 0 replicas pauses it.
    https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#implicit-maintenance-mode-deactivation
    """
    owner = controller_of(workload)
    if owner is not None:
        yield f"its owner, {owner}"
    yield from (f"KEDA ScaledObject {name_of(scaler)}" for scaler in keda if _keda_scales(scaler, ref))
    if sets_replicas(workload):
        yield from _gitops(workload)


def _keda_scales(scaler: Json, ref: WorkloadRef) -> bool:
    target = (scaler.get("spec") or {}).get("scaleTargetRef") or {}
    notes = annotations_of(scaler)
    paused = notes.get(KEDA_PAUSED[0]) == "true" or KEDA_PAUSED[1] in notes
    return not paused and target.get("name") == ref.name and target.get("kind", "Deployment") == str(ref.kind)


def _gitops(workload: Json) -> Iterable[str]:
    labels, notes = labels_of(workload), annotations_of(workload)
    tracking = notes.get(ARGO_TRACKING)
    application = labels.get(ARGO_INSTANCE) or notes.get(ARGO_INSTANCE)
    if tracking:
        application = tracking.partition(":")[0] or labels.get(INSTANCE)
    if application:
        yield f"Argo CD application {application}, if it heals itself"
    if labels.get(FLUX_NAME) and notes.get(FLUX_RECONCILE) != "disabled":
        yield f"Flux Kustomization {labels[FLUX_NAME]}"


def sets_replicas(workload: Json) -> bool:
    """Whether what is kept in Git names a replica count, as far as can be seen; if not, it never scales back.

    kubectl-style applies leave what they applied as an annotation, server-side ones own the field.
    """
    applied = annotations_of(workload).get(LAST_APPLIED)
    if applied is not None:
        return '"replicas"' in applied
    appliers = [entry for entry in metadata(workload).get("managedFields") or () if entry.get("operation") == "Apply"]
    owning = any("f:replicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {}) for entry in appliers)
    return owning or not appliers


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
            "resourceVersion": effect.version,
            "annotations": {QUIESCED_BY: effect.holder, RELEASED: None, **note},
        },
        "spec": {"suspend": True} if cron else {"replicas": 0},
    }


def release_patch(effect: ReleaseWorkload) -> Json:
    """Take the signature and the notes off, leave the mark, and bring the workload back: one write."""
    patch: Json = {
        "metadata": {
            "resourceVersion": effect.version,
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
