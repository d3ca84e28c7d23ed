"""The first look: everything that stands against a migration in one message, and nothing touched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from project_migration.backends.fake import Behaviour, FakeCluster
from project_migration.engine.world import ClaimFacts, PodFacts
from project_migration.model.document import Document, Spec
from project_migration.model.errors import Failure, Reason
from project_migration.model.quantities import parse_bytes

from .surroundings import WEB, a_cluster, a_document, assert_workloads_are_back, run
from .test_databases import problem


def of_every_kind() -> Document:
    """Five pairs and a database; each pair meets a fault of its own."""
    names = ("gone", "full", "small", "apart", "mine")
    pairs = [
        {"name": name, "source": {"claimName": f"{name}-old"}, "target": {"claimName": f"{name}-new"}} for name in names
    ]

    def endpoint(host: str) -> dict[str, object]:
        return {"postgres": {"host": host, "database": "shop"}, "credentialsRef": {"name": host}}

    database = {"name": "shop", "source": endpoint("old"), "target": endpoint("new")}
    workloads = [
        {"kind": "Deployment", "name": "web", "side": "Source"},
        {"kind": "Deployment", "name": "nobody", "side": "Source"},
    ]
    return a_document(volumes={"pairs": pairs, "databases": [database]}, quiesce={"workloads": workloads})


def with_every_fault() -> FakeCluster:
    cluster = a_cluster()
    for name in ("full", "small", "apart", "mine"):
        for side in ("old", "new"):
            cluster.claims[f"claim/{name}-{side}"] = ClaimFacts(exists=True, uid=f"{name}-{side}")
    cluster.claims["claim/gone-new"] = ClaimFacts(exists=True, uid="gone-new")
    for side, node in (("old", "n1"), ("new", "n2")):
        key = f"claim/apart-{side}"
        cluster.claims[key] = replace(cluster.claims[key], nodes=(node,), access_modes=("ReadWriteOnce",))
    cluster.facts["full"] = {"target": {"empty": False, "entries": 7}}
    cluster.facts["small"] = {"source": {"diskBytes": parse_bytes("5Gi")}, "target": {"freeBytes": parse_bytes("1Gi")}}
    cluster.facts["mine"] = {"source": {"foreignOwners": 3}, "target": {"canChown": False}}
    faults = [problem(Reason.TARGET_OLDER), problem(Reason.AUTHENTICATION_FAILED)]
    cluster.facts["shop"] = {"problems": {"found": faults, "count": 2}}
    cluster.workloads[WEB].controllers = ("Argo CD application shop",)
    cluster.workloads[WEB].claims = ()
    cluster.refused["any"] = Failure(Reason.HELPER_REFUSED, "exceeded quota: pods=10")
    cluster.clock_skew = 300.0
    return cluster


def test_every_kind_of_fault_is_in_one_message_and_nothing_is_touched() -> None:
    cluster = with_every_fault()
    status = run(cluster, cluster.add(of_every_kind()))
    assert status.phase == "Failed"
    for words in (
        "gone: source claim gone-old does not exist",
        "full: the target holds 7 object(s) already",
        "small: 5.1 GiB needed, 1.0 GiB free on the target",
        "no node can mount both sides now: apart: source claim apart-old on n1; apart: target claim apart-new on n2",
        "mine: the helper may not keep the owners of 3 object(s)",
        "shop: as the server says",
        "Deployment nobody does not exist",
        "Deployment web would be scaled back by Argo CD application shop",
        "exceeded quota: pods=10",
    ):
        assert words in status.failure
    assert [w for w in status.warnings if "clock is 300s ahead" in w]
    assert status.first_write_at is None
    assert all(workload.version == 1 for workload in cluster.workloads.values())
    assert not cluster.helpers
    assert not cluster.leases
    assert_workloads_are_back(cluster, status)


def test_every_single_fault_is_enough() -> None:
    """None of them is told only because another one made the look fail."""
    with_all = with_every_fault()
    for unit in ("full", "small", "mine", "shop"):
        cluster = a_cluster()
        cluster.claims |= {key: ClaimFacts(exists=True, uid=key) for key in (*with_all.claims, "claim/gone-old")}
        cluster.facts[unit] = with_all.facts[unit]
        status = run(cluster, cluster.add(of_every_kind().model_copy(update={"spec": without_nobody()})))
        assert status.phase == "Failed"
        assert status.failure.startswith(f"{unit}: "), status.failure
        assert status.first_write_at is None


def without_nobody() -> Spec:
    spec = of_every_kind().spec
    quiesce = spec.quiesce.model_copy(update={"workloads": spec.quiesce.workloads[:1]})
    return spec.model_copy(update={"quiesce": quiesce})


def test_a_claim_for_one_pod_alone_that_a_pod_has_is_not_waited_for() -> None:
    cluster = a_cluster()
    pod = PodFacts("store-0", owner=WEB)
    alone = ClaimFacts(True, "claim-1", access_modes=("ReadWriteOncePod",), mounters=(pod,))
    cluster.claims["claim/data-new"] = alone
    status = run(cluster, cluster.add(a_document()))
    assert (status.phase, status.failure_reason) == ("Failed", "ClaimNotMountable")
    assert "target claim data-new is ReadWriteOncePod and used by" in status.failure
    assert status.first_write_at is None


@pytest.mark.parametrize("nodes", [(("n1",), ("n1",)), (("n1",), ()), ((), ())])
def test_claims_that_one_node_can_mount_are_no_fault(nodes: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    cluster = a_cluster()
    for name, where in zip(("data-old", "data-new"), nodes, strict=True):
        cluster.claims[f"claim/{name}"] = replace(cluster.claims[f"claim/{name}"], nodes=where)
    assert run(cluster, cluster.add(a_document())).phase == "Succeeded"


def test_what_is_lost_on_the_way_fails_the_migration_and_is_named_with_its_whole_list() -> None:
    cluster = a_cluster()
    cluster.behaviours["copy", "home"] = [Behaviour.FAIL]
    status = run(cluster, cluster.add(a_document(onFailure="Halt")))
    assert (status.phase, status.failure_reason) == ("Failed", "CopyIncomplete")
    assert "home: 2 objects failed (whole list of failed: lists/failed.txt)" in status.failure
    copy = next(step for step in status.steps if step.id == "copy")
    unit = copy.unit("home")
    assert unit is not None
    assert (unit.counts["failed"], unit.names["failed"]) == (2, ("models/one", "models/two"))


def test_helpers_that_run_at_the_same_time_share_the_bandwidth_of_the_migration() -> None:
    cluster, given = a_cluster(), {}

    def watch(_cluster: FakeCluster, what: str, thing: object) -> None:
        request = getattr(getattr(thing, "spec", None), "request", None)
        if what == "runs" and request is not None and request.step == "copy":
            given[request.unit] = request.params["bandwidth"]

    cluster.watcher = watch
    assert run(cluster, cluster.add(a_document(transfer={"bandwidth": "10Mi"}))).phase == "Succeeded"
    assert sum(given.values()) <= parse_bytes("10Mi")
    assert set(given) == {"data", "home"}
