"""Target claims that are made on request: what they are like, when they are made, and whose they are."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from project_migration.backends.fake import Behaviour, FakeBackend, FakeCluster, FakeHelper, FakeWorkload
from project_migration.engine.effects import EnsureClaim
from project_migration.engine.names import Key
from project_migration.engine.steps.lock import lease_name
from project_migration.engine.world import ClaimFacts
from project_migration.model.document import Document
from project_migration.model.errors import Failure, Reason
from project_migration.model.labels import RETRY
from project_migration.model.status import Keeping, State, Status
from project_migration.reconcile import one_pass

from .surroundings import PACE, STORE, a_cluster, a_document, assert_workloads_are_back, run, watch_invariants
from .test_crashes import Late, deaths, stop
from .test_flow import annotated, changed

GI = 2**30
NEW = "claim/data-new"


def without_target() -> FakeCluster:
    """As ever, but the target of `data` does not exist, and its source tells what it is like."""
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    del cluster.claims[NEW]
    old = ClaimFacts(True, "claim-0", capacity=10 * GI, requested=8 * GI, storage_class="slow")
    cluster.claims["claim/data-old"] = replace(old, access_modes=("ReadWriteMany",))
    return cluster


def asking(name: str = "vision", create: dict[str, object] | None = None, **spec: object) -> Document:
    target = {"claimName": "data-new", "create": create or {}}
    pairs = [
        {"name": "data", "source": {"claimName": "data-old"}, "target": target},
        {"name": "home", "source": {"claimName": "home-old"}, "target": {"claimName": "home-new"}},
    ]
    return a_document(name, volumes={"pairs": pairs}, **spec)


def state_of(status: Status, step_id: str) -> State:
    return next(step.state for step in status.steps if step.id == step_id)


def message_of(status: Status, step_id: str) -> str:
    return next(step.message for step in status.steps if step.id == step_id)


def test_a_claim_is_made_as_the_source_s_is() -> None:
    cluster = without_target()
    status = run(cluster, cluster.add(asking()))
    assert status.phase == "Succeeded", status.failure
    made = cluster.claims[NEW]
    assert (made.capacity, made.storage_class, made.access_modes) == (10 * GI, "slow", ("ReadWriteMany",))
    assert [claim.uid for claim in status.claims] == [made.uid]
    assert "claim data-new: 10Gi, class slow, ReadWriteMany, would be made" in message_of(status, "plan")
    assert not cluster.leases
    assert_workloads_are_back(cluster, status)


def test_what_the_document_says_of_a_claim_wins_over_the_source() -> None:
    cluster = without_target()
    create = {"storageClassName": "fast", "size": "20Gi", "accessModes": ["ReadWriteOncePod"]}
    status = run(cluster, cluster.add(asking(create=create)))
    assert status.phase == "Succeeded", status.failure
    made = cluster.claims[NEW]
    assert (made.capacity, made.storage_class, made.access_modes) == (20 * GI, "fast", ("ReadWriteOncePod",))


def test_a_source_that_holds_more_than_its_claim_says_gets_a_claim_with_room_for_it() -> None:
    cluster = without_target()
    cluster.claims["claim/data-old"] = replace(cluster.claims["claim/data-old"], capacity=None, requested=20)
    status = run(cluster, cluster.add(asking()))
    assert cluster.claims[NEW].capacity == 2**20, "in whole mebibytes"
    assert status.phase == "Succeeded"


def test_pairs_that_share_a_target_share_one_new_claim_with_room_for_all() -> None:
    cluster = without_target()
    cluster.watcher = None  # it takes two writers of one claim for two migrations
    cluster.claims["claim/home-old"] = ClaimFacts(True, "claim-2", requested=5 * GI)
    pairs = [
        {"name": name, "source": {"claimName": f"{name}-old"}, "target": {"claimName": "data-new", "subPath": name}}
        for name in ("data", "home")
    ]
    pairs[0]["target"]["create"] = {}  # type: ignore[index]
    status = run(cluster, cluster.add(a_document(volumes={"pairs": pairs})))
    assert status.phase == "Succeeded", status.failure
    assert cluster.claims[NEW].capacity == 15 * GI
    assert [claim.name for claim in status.claims] == ["data-new"]


def test_a_plan_says_what_would_be_made_and_makes_nothing() -> None:
    cluster = without_target()
    status = run(cluster, cluster.add(asking(mode="Plan")))
    assert status.phase == "Planned"
    assert "claim data-new: 10Gi, class slow, ReadWriteMany, would be made" in message_of(status, "plan")
    assert NEW not in cluster.claims


def test_preflight_looks_at_the_source_alone_and_offers_the_claim_to_admission() -> None:
    cluster = without_target()
    surveys: dict[str, set[str]] = {}

    def watch(cluster: FakeCluster, what: str, thing: object) -> None:
        watch_invariants(cluster, what, thing)
        if what == "runs" and isinstance(thing, FakeHelper) and thing.spec.request.step == "preflight":
            surveys[thing.spec.request.unit] = {mount.root for mount in thing.spec.mounts}

    cluster.watcher = watch
    run(cluster, cluster.add(asking(backup={"claimName": "backup"})))
    assert surveys == {"data": {"source"}, "home": {"source", "target"}, "backup-home": {"source", "target"}}
    [offered] = set(cluster.offered_claims)
    assert (offered.name, offered.size, offered.storage_class, offered.stays) == ("data-new", "10Gi", "slow", True)


def test_nothing_is_made_while_anything_stands_against_the_migration() -> None:
    cluster = without_target()
    no_class = "target claim data-new cannot be made: there is no storage class slow"
    cluster.refused["claim/data-new"] = Failure(Reason.STORAGE_CLASS_NOT_FOUND, no_class)
    cluster.facts["home"] = {"target": {"empty": False, "entries": 7}}
    status = run(cluster, cluster.add(asking()))
    assert status.phase == "Failed"
    assert no_class in status.failure
    assert "holds 7 object(s)" in status.failure, "all that is wrong is said at once"
    assert NEW not in cluster.claims
    assert_workloads_are_back(cluster, status)


def test_a_size_without_room_for_what_would_move_is_refused_with_both_sizes() -> None:
    cluster = without_target()
    status = run(cluster, cluster.add(asking(create={"size": "20"})))
    assert (status.phase, status.failure_reason) == ("Failed", "NotEnoughSpace")
    assert "data: 30 B needed, and target.create makes claim data-new 20" in status.failure
    assert NEW not in cluster.claims


def test_a_size_that_nothing_tells_has_to_be_given() -> None:
    cluster = without_target()
    cluster.claims["claim/data-old"] = ClaimFacts(True, "claim-0")
    status = run(cluster, cluster.add(asking()))
    assert (status.phase, status.failure_reason) == ("Failed", "ClaimNotMade")
    assert "claim data-new is made for is not known: give it in size" in status.failure
    cluster = without_target()
    cluster.claims["claim/data-old"] = ClaimFacts(True, "claim-0")
    assert run(cluster, cluster.add(asking(create={"size": "1Gi"}))).phase == "Succeeded"


def test_a_claim_that_is_refused_in_earnest_fails_with_what_refused_it() -> None:
    cluster = without_target()
    cluster.denied["data-new"] = Failure(Reason.HELPER_REFUSED, "exceeded quota: storage")
    status = run(cluster, cluster.add(asking()))
    assert (status.phase, status.failure_reason) == ("Failed", "ClaimNotMade")
    assert "exceeded quota: storage" in status.failure
    assert status.first_write_at is None
    assert_workloads_are_back(cluster, status)


def test_a_claim_that_exists_is_a_target_like_any_other() -> None:
    cluster = without_target()
    cluster.claims[NEW] = ClaimFacts(exists=True, uid="theirs")
    cluster.facts["data"] = {"target": {"empty": False, "entries": 7}}
    status = run(cluster, cluster.add(asking()))
    assert (status.phase, status.failure_reason) == ("Failed", "TargetNotEmpty")
    assert not cluster.offered_claims


def test_a_claim_that_somebody_else_makes_meanwhile_is_not_written_to() -> None:
    cluster = without_target()

    def watch(cluster: FakeCluster, what: str, thing: object) -> None:
        watch_invariants(cluster, what, thing)
        if what == "runs" and isinstance(thing, FakeHelper) and thing.spec.request.step == "preflight":
            cluster.claims[NEW] = ClaimFacts(exists=True, uid="theirs")

    cluster.watcher = watch
    key = cluster.add(asking())
    status = run(cluster, key)
    assert (status.phase, status.failure_reason) == ("Failed", "ClaimTaken")
    assert status.first_write_at is None
    assert_workloads_are_back(cluster, status)
    annotated(cluster, key, RETRY, "1")
    assert run(cluster, key).phase == "Succeeded", "it is looked at then"


def test_a_workload_that_waits_for_its_claim_rests_before_the_claim_is_made() -> None:
    cluster = without_target()
    cluster.workloads[STORE] = FakeWorkload(replicas=2, pods=2, claims=(NEW,))
    pods_then: list[int] = []

    def watch(cluster: FakeCluster, what: str, thing: object) -> None:
        watch_invariants(cluster, what, thing)
        if what == "claim made":
            pods_then.append(cluster.workloads[STORE].pods)

    cluster.watcher = watch
    status = run(cluster, cluster.add(asking()))
    assert status.phase == "Succeeded", status.failure
    assert pods_then == [0]
    assert_workloads_are_back(cluster, status)


@pytest.mark.parametrize("fails_in", ["copy", "verify"])
def test_after_a_failure_the_claim_stays_and_is_empty_again(fails_in: str) -> None:
    cluster = without_target()
    cluster.behaviours[fails_in, "data"] = [Behaviour.FAIL]
    key = cluster.add(asking())
    status = run(cluster, key)
    assert status.phase == "Failed"
    assert status.rolled_back_at is not None
    assert state_of(status, "prove_roll_back") is State.SUCCEEDED
    assert NEW in cluster.claims
    assert message_of(status, "tidy_up") == "claim/data-new, made for this migration, stays"
    uid = cluster.claims[NEW].uid
    annotated(cluster, key, RETRY, "1")
    again = run(cluster, key)
    assert again.phase == "Succeeded", again.failure
    assert cluster.claims[NEW].uid == uid, "a retry goes on with it"
    assert [claim.uid for claim in again.claims] == [uid]
    assert_workloads_are_back(cluster, again)


def test_an_undo_leaves_a_made_claim_empty() -> None:
    cluster = without_target()
    key = cluster.add(asking())
    status = run(cluster, key)
    assert status.backup is not None
    assert {unit.keeping for unit in status.backup.units} == {Keeping.SETTLED}
    changed(cluster, key, undo=True)
    status = run(cluster, key)
    assert (status.phase, NEW in cluster.claims) == ("Undone", True)
    cleared = next(step for step in status.steps if step.id == "roll_back")
    assert {unit.name for unit in cleared.units} == {"data", "home"}


@pytest.mark.parametrize("fails", [False, True], ids=["well", "failing"])
def test_one_claim_is_made_wherever_the_operator_dies(fails: bool) -> None:
    made: Counter[int] = Counter()

    def watch(cluster: FakeCluster, what: str, thing: object) -> None:
        watch_invariants(cluster, what, thing)
        made[id(cluster)] += what == "claim made"

    whole = without_target()
    whole.watcher = watch
    if fails:
        whole.behaviours["copy", "home"] = [Behaviour.FAIL]
    key = whole.add(asking())
    left = deaths(whole, key)
    for dies_at, cluster in enumerate(left):
        before_the_death = cluster is not whole and NEW in cluster.claims
        cluster.tick()
        status = run(cluster, key)
        assert status.phase == ("Failed" if fails else "Succeeded"), f"died at {dies_at}: {status.failure}"
        assert before_the_death + made[id(cluster)] == 1
        assert [claim.uid for claim in status.claims] == [cluster.claims[NEW].uid]
        assert_workloads_are_back(cluster, status)
        assert not cluster.leases
    assert len(left) > 80


@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_workloads_and_locks_come_back_wherever_a_person_stops_the_making(how: str) -> None:
    whole = without_target()
    key = whole.add(asking())
    left = deaths(whole, key)[:-1]
    for stopped_at, cluster in enumerate(left):
        stop(cluster, key, how)
        status = run(cluster, key)
        assert not cluster.leases, f"stopped at {stopped_at}"
        assert not cluster.helpers
        assert_workloads_are_back(cluster, status if key in cluster.migrations else Status())
    assert len(left) > 80


def test_a_claim_whose_making_arrives_after_the_end_is_empty_and_says_whose_it_was() -> None:
    cluster = without_target()
    key = cluster.add(asking())
    late = Late(cluster)
    for _ in range(200):
        before = len(cluster.claims)
        one_pass(late, key, pace=PACE, now=lambda: cluster.now)
        if any(isinstance(effect, EnsureClaim) for _, effect in late.on_their_way):
            break
        late.deliver_all()
        cluster.tick()
    assert len(cluster.claims) == before
    stop(cluster, key, "cancel")
    status = run(cluster, key)
    assert (status.phase, NEW in cluster.claims) == ("Cancelled", False)
    late.deliver_all()
    assert cluster.claims[NEW].made_for == cluster.migrations[key].uid
    assert not cluster.leases
    assert_workloads_are_back(cluster, status)


@pytest.mark.parametrize("seed", range(20))
def test_two_migrations_that_make_one_claim_run_one_after_the_other(seed: int) -> None:
    rng = random.Random(seed)
    cluster = without_target()
    writers: list[str] = []

    def watch(cluster: FakeCluster, what: str, thing: object) -> None:
        watch_invariants(cluster, what, thing)
        if what == "runs" and isinstance(thing, FakeHelper) and thing.spec.request.step == "copy":
            writers.append(thing.spec.request.migration_name)

    cluster.watcher = watch
    keys = [cluster.add(asking(name, quiesce={}, retries=0)) for name in ("first", "second")]
    cluster.workloads.clear()
    waited = run_both(cluster, keys, rng)
    assert waited, "the second waits, and says so"
    ends = {key.name: cluster.migrations[key].status for key in keys}
    assert [end.phase for end in ends.values()] == ["Succeeded", "Succeeded"], [e.failure for e in ends.values()]
    assert writers in (sorted(writers), sorted(writers, reverse=True)), "they do not interleave"
    assert sum(bool(end.claims) for end in ends.values()) == 1, "one has made it"
    assert not cluster.leases


def run_both(cluster: FakeCluster, keys: list[Key], rng: random.Random) -> bool:
    """Both to their ends, with two operators. Whether one waited for the other."""
    operators, waited = [FakeBackend(cluster), FakeBackend(cluster)], False
    for _ in range(600):
        for key in rng.sample(keys, 2):
            one_pass(rng.choice(operators), key, pace=PACE, now=lambda: cluster.now)
        types = {c.type for m in cluster.migrations.values() for c in m.status.conditions}
        waited = waited or "TargetLocked" in types
        cluster.tick(rng.choice([0.2, 1.0]))
    assert all(m.status.finished_at for m in cluster.migrations.values())
    return waited


def test_whoever_finds_the_new_claim_first_keeps_it_and_its_maker_waits_for_nobody() -> None:
    """Another migration, which does not want it made, locks the claim between its making and its maker's lock."""
    cluster = without_target()
    other = cluster.add(a_document("other", quiesce={}))

    def watch(cluster: FakeCluster, what: str, thing: object) -> None:
        watch_invariants(cluster, what, thing)
        if what == "claim made":
            backend = FakeBackend(cluster)
            for _ in range(8):
                one_pass(backend, other, pace=PACE, now=lambda: cluster.now)

    cluster.watcher = watch
    key = cluster.add(asking())
    status = run(cluster, key, step=0.1, seconds=60)
    assert lease_name(cluster.claims[NEW].uid) in cluster.leases, "the other one holds it"
    assert (status.phase, status.failure_reason) == ("Failed", "ClaimTaken")
    assert "was taken by migration ml/other" in status.failure
    assert_workloads_are_back(cluster, status)
