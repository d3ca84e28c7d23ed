"""What would scale a workload back while it rests: KEDA, an owner that controls it, and what is kept in Git.

A HorizontalPodAutoscaler is none of these: a workload at 0 replicas pauses it.
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#implicit-maintenance-mode-deactivation

Whether Argo CD or Flux corrects what we do stands in their own objects, often in a namespace that we may not look
into. What cannot be seen is a suspect, and no reason to refuse a migration: it shows itself when it acts, which is
before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from project_migration.backends.kubernetes.client import Client, unless_there
from project_migration.backends.kubernetes.resources import (
    ARGO_APPLICATIONS,
    FLUX_KUSTOMIZATIONS,
    SCALED_OBJECTS,
    Json,
    Resource,
    annotations_of,
    controller_of,
    labels_of,
    metadata,
    name_of,
)
from project_migration.engine.names import WorkloadRef

#: https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/
ARGO_TRACKING = "argocd.argoproj.io/tracking-id"
ARGO_INSTANCE = "argocd.argoproj.io/instance"

#: https://fluxcd.io/flux/components/kustomize/kustomizations/#controlling-the-apply-behavior-of-resources
FLUX_NAME = "kustomize.toolkit.fluxcd.io/name"
FLUX_NAMESPACE = "kustomize.toolkit.fluxcd.io/namespace"
FLUX_RECONCILE = "kustomize.toolkit.fluxcd.io/reconcile"

#: https://keda.sh/docs/latest/concepts/scaling-deployments/#pausing-autoscaling
KEDA_PAUSED = "autoscaling.keda.sh/paused"
KEDA_PAUSED_REPLICAS = "autoscaling.keda.sh/paused-replicas"

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

NOTHING: list[Json] = []


@dataclass(frozen=True, slots=True)
class ScaleBack:
    """In words: what certainly would, and what we cannot look at."""

    certain: tuple[str, ...] = ()
    suspects: tuple[str, ...] = ()


class Controllers:
    """Looks once for all workloads of a namespace that are asked about in one pass."""

    def __init__(self, client: Client, namespace: str, argocd_namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._argocd_namespace = argocd_namespace
        self._keda: list[Json] | None = None

    def of(self, ref: WorkloadRef, workload: Json) -> ScaleBack:
        certain, suspects = [], []
        owner = controller_of(workload)
        if owner is not None:
            certain.append(f"its owner, {owner}")
        certain += [f"KEDA ScaledObject {name_of(scaler)}" for scaler in self._scalers() if keda_scales(scaler, ref)]
        if sets_replicas(workload):
            for text, corrects in self._gitops(workload):
                if corrects is None:
                    suspects.append(text)
                elif corrects:
                    certain.append(text)
        return ScaleBack(tuple(certain), tuple(suspects))

    def _scalers(self) -> list[Json]:
        if self._keda is None:
            path = SCALED_OBJECTS.path(self._namespace)
            self._keda = unless_there(lambda: self._client.items(path), NOTHING)
        return self._keda

    def _gitops(self, workload: Json) -> Iterator[tuple[str, bool | None]]:
        """Each that keeps the workload in Git, and whether it corrects it; None when that cannot be seen."""
        application = argo_application(workload, self._argocd_namespace)
        if application is not None:
            namespace, name = application
            yield f"Argo CD application {name}", self._look(ARGO_APPLICATIONS, namespace, name, argo_heals)
        labels = labels_of(workload)
        if labels.get(FLUX_NAME) and annotations_of(workload).get(FLUX_RECONCILE) != "disabled":
            name, namespace = labels[FLUX_NAME], labels.get(FLUX_NAMESPACE, self._namespace)
            yield f"Flux Kustomization {name}", self._look(FLUX_KUSTOMIZATIONS, namespace, name, flux_corrects)

    def _look(self, resource: Resource, namespace: str, name: str, corrects: Callable[[Json], bool]) -> bool | None:
        found: Json = unless_there(lambda: self._client.get(resource.path(namespace, name)), {})
        return corrects(found) if found else None


def keda_scales(scaler: Json, ref: WorkloadRef) -> bool:
    target = (scaler.get("spec") or {}).get("scaleTargetRef") or {}
    notes = annotations_of(scaler)
    paused = notes.get(KEDA_PAUSED) == "true" or KEDA_PAUSED_REPLICAS in notes
    return not paused and target.get("name") == ref.name and target.get("kind", "Deployment") == str(ref.kind)


def argo_application(workload: Json, default_namespace: str) -> tuple[str, str] | None:
    """Namespace and name of the application that tracks the workload.

    The label ``app.kubernetes.io/instance`` alone says nothing: Helm sets it as well. An application outside Argo
    CD's own namespace is called ``<namespace>_<name>``.
    """
    labels, notes = labels_of(workload), annotations_of(workload)
    tracked = notes.get(ARGO_TRACKING, "").partition(":")[0]
    found = tracked or labels.get(ARGO_INSTANCE) or notes.get(ARGO_INSTANCE)
    if not found:
        return None
    namespace, separator, name = found.partition("_")
    return (namespace, name) if separator else (default_namespace, found)


def argo_heals(application: Json) -> bool:
    automated = ((application.get("spec") or {}).get("syncPolicy") or {}).get("automated")
    return bool(automated and automated.get("enabled") is not False and automated.get("selfHeal"))


def flux_corrects(kustomization: Json) -> bool:
    return not (kustomization.get("spec") or {}).get("suspend")


def sets_replicas(workload: Json) -> bool:
    """Whether what is kept in Git names a replica count, as far as can be seen; if not, it never scales back.

    kubectl-style applies leave what they applied as an annotation, server-side ones own the field.
    """
    applied = annotations_of(workload).get(LAST_APPLIED)
    if applied is not None:
        return '"replicas"' in applied
    appliers = [entry for entry in metadata(workload).get("managedFields") or () if entry.get("operation") == "Apply"]
    return not appliers or any(owns(entry, "replicas") for entry in appliers)


def owns(entry: Json, field: str) -> bool:
    """Whether a manager's entry in ``managedFields`` owns ``spec.<field>``."""
    return f"f:{field}" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
