from __future__ import annotations

from typing import Any

import pytest

from project_migration.backends.kubernetes.controllers import (
    Controllers,
    argo_application,
    argo_heals,
    flux_corrects,
    keda_scales,
    sets_replicas,
)
from project_migration.backends.kubernetes.pods import NamespacePods
from project_migration.backends.kubernetes.resources import Json
from project_migration.backends.kubernetes.workloads import hold_patch, last_manager, release_patch, workload_facts
from project_migration.engine.effects import HoldWorkload, ReleaseWorkload
from project_migration.engine.names import WorkloadRef
from project_migration.model.document import WorkloadKind
from project_migration.model.labels import QUIESCED_BY, RECORDED_REPLICAS, RECORDED_SUSPENDED, RELEASED
from tests.unit.kubernetes.objects import owned_by

WEB = WorkloadRef(WorkloadKind.DEPLOYMENT, "web")
NIGHTLY = WorkloadRef(WorkloadKind.CRON_JOB, "nightly")


def applied_by(manager: str, *fields: str, operation: str = "Apply", time: str = "2026-01-01T00:00:00Z") -> Json:
    owned = {f"f:{field}": {} for field in fields}
    return {"manager": manager, "operation": operation, "time": time, "fieldsV1": {"f:spec": owned}}


def a_deployment(**meta: Any) -> Json:
    return {"metadata": {"name": "web", "resourceVersion": "5", **meta}, "spec": {"replicas": 3}}


def test_a_hold_is_one_write_that_an_old_view_cannot_make() -> None:
    patch = hold_patch(HoldWorkload(WEB, "5", "ml/vision/uid", 3, suspended=False))
    assert patch == {
        "metadata": {
            "resourceVersion": "5",
            "annotations": {QUIESCED_BY: "ml/vision/uid", RELEASED: None, RECORDED_REPLICAS: "3"},
        },
        "spec": {"replicas": 0},
    }
    cron = hold_patch(HoldWorkload(NIGHTLY, "5", "ml/vision/uid", 0, suspended=False))
    assert cron["spec"] == {"suspend": True}
    assert cron["metadata"]["annotations"][RECORDED_SUSPENDED] == "false"


def test_a_release_takes_every_trace_off_but_its_mark() -> None:
    patch = release_patch(ReleaseWorkload(WEB, "6", "round-1", replicas=3, suspended=None))
    assert patch == {
        "metadata": {
            "resourceVersion": "6",
            "annotations": {
                QUIESCED_BY: None,
                RECORDED_REPLICAS: None,
                RECORDED_SUSPENDED: None,
                RELEASED: "round-1",
            },
        },
        "spec": {"replicas": 3},
    }


@pytest.mark.parametrize(
    "effect",
    [
        ReleaseWorkload(WEB, "6", "1", replicas=None, suspended=None),
        ReleaseWorkload(NIGHTLY, "6", "1", replicas=None, suspended=None),
        ReleaseWorkload(NIGHTLY, "6", "1", replicas=4, suspended=None),
    ],
)
def test_a_workload_that_stays_down_is_released_as_it_is(effect: ReleaseWorkload) -> None:
    assert "spec" not in release_patch(effect)


def test_what_a_holder_noted_is_read_back() -> None:
    notes = {QUIESCED_BY: "ml/vision/uid", RECORDED_REPLICAS: "3", RELEASED: "0"}
    facts = workload_facts(WEB, a_deployment(annotations=notes), NamespacePods((), {}))
    assert (facts.holder, facts.held_replicas, facts.released) == ("ml/vision/uid", 3, "0")
    broken = workload_facts(WEB, a_deployment(annotations={RECORDED_REPLICAS: "-1"}), NamespacePods((), {}))
    assert broken.held_replicas is None


def test_who_scaled_it_last_is_the_latest_owner_of_the_count() -> None:
    fields = [
        applied_by("helm", "replicas", operation="Update"),
        {**applied_by("kube-controller-manager", "replicas", time="2026-01-03T00:00:00Z"), "subresource": "scale"},
        applied_by("kubectl-edit", "template", time="2026-01-09T00:00:00Z"),
    ]
    assert last_manager(a_deployment(managedFields=fields), "replicas") == "kube-controller-manager"
    assert last_manager(a_deployment(), "replicas") == ""


def test_argo_cd_is_known_by_its_own_marks_and_not_by_helms() -> None:
    tracked = {"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:ml/web"}}
    assert argo_application(a_deployment(**tracked), "argocd") == ("argocd", "shop")
    elsewhere = {"annotations": {"argocd.argoproj.io/tracking-id": "team_shop:apps/Deployment:ml/web"}}
    assert argo_application(a_deployment(**elsewhere), "argocd") == ("team", "shop")
    assert argo_application(a_deployment(labels={"argocd.argoproj.io/instance": "shop"}), "cd") == ("cd", "shop")
    assert argo_application(a_deployment(labels={"app.kubernetes.io/instance": "shop"}), "argocd") is None


def test_argo_cd_scales_back_only_where_it_heals_itself() -> None:
    def application(policy: Json) -> Json:
        return {"spec": {"syncPolicy": policy}}

    assert argo_heals(application({"automated": {"selfHeal": True}}))
    assert not argo_heals(application({"automated": {"prune": True}}))
    assert not argo_heals(application({"automated": {"selfHeal": True, "enabled": False}}))
    assert not argo_heals(application({}))
    assert not argo_heals({"spec": {}})


def test_flux_corrects_unless_it_is_suspended() -> None:
    assert flux_corrects({"spec": {}})
    assert not flux_corrects({"spec": {"suspend": True}})


def test_git_scales_back_only_what_it_names() -> None:
    with_count = {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"spec":{"replicas":3}}'}}
    without = {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"spec":{"template":{}}}'}}
    assert sets_replicas(a_deployment(**with_count))
    assert not sets_replicas(a_deployment(**without))
    assert sets_replicas(a_deployment(managedFields=[applied_by("argocd-controller", "replicas")]))
    assert not sets_replicas(a_deployment(managedFields=[applied_by("argocd-controller", "template")]))
    assert sets_replicas(a_deployment())


def test_whoever_controls_a_workload_would_scale_it_back() -> None:
    class Nothing:
        def items(self, path: str) -> list[Json]:
            return []

    owned = a_deployment(ownerReferences=[owned_by("mlops.example/v1", "Server", "shop", "u")])
    nobody: Any = Nothing()
    found = Controllers(nobody, "ml", "argocd").of(WEB, owned)
    assert [who for who in found.certain if "Server shop" in who]
    assert Controllers(nobody, "ml", "argocd").of(WEB, a_deployment()).certain == ()


def test_keda_counts_for_what_it_targets_unless_it_is_paused() -> None:
    def scaler(target: Json, **notes: str) -> Json:
        return {"metadata": {"name": "s", "annotations": notes}, "spec": {"scaleTargetRef": target}}

    assert keda_scales(scaler({"name": "web"}), WEB)
    assert keda_scales(scaler({"name": "web", "kind": "Deployment"}), WEB)
    assert not keda_scales(scaler({"name": "web", "kind": "StatefulSet"}), WEB)
    assert not keda_scales(scaler({"name": "other"}), WEB)
    assert not keda_scales(scaler({"name": "web"}, **{"autoscaling.keda.sh/paused": "true"}), WEB)
    assert not keda_scales(scaler({"name": "web"}, **{"autoscaling.keda.sh/paused-replicas": "0"}), WEB)
