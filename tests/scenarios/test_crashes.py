"""The operator dies, comes twice, comes late: after every saved status, and wherever hypothesis thinks of."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from project_migration.backends.fake import Behaviour, FakeBackend, FakeCluster
from project_migration.engine.effects import Effect
from project_migration.engine.names import Key
from project_migration.engine.world import Migration, Questions, World
from project_migration.model.errors import PassingError
from project_migration.model.status import Status
from project_migration.reconcile import one_pass

from .surroundings import (
    NIGHTLY,
    PACE,
    STORE,
    WEB,
    a_cluster,
    a_document,
    assert_workloads_are_back,
    run,
    settle,
    watch_invariants,
)


class Death(Exception):
    """The operator's process ends here."""


class Mortal(FakeBackend):
    """An operator that dies at the nth thing it does: a save, or one effect. Before it (``lost``), or right after."""

    def __init__(self, cluster: FakeCluster, dies_at: int, *, before: bool) -> None:
        super().__init__(cluster)
        self.left, self.before = dies_at, before

    def _deed(self) -> bool:
        self.left -= 1
        if self.left == 0 and self.before:
            raise Death
        return self.left == 0

    def save(self, migration: Migration, status: Status) -> Migration:
        last = self._deed()
        saved = super().save(migration, status)
        if last:
            raise Death
        return saved

    def apply_one(self, migration: Migration, effect: Effect) -> None:
        last = self._deed()
        super().apply_one(migration, effect)
        if last:
            raise Death


class Chronicle(FakeBackend):
    """An operator that lives on, and keeps what its death would have left before and after each thing it does."""

    def __init__(self, cluster: FakeCluster) -> None:
        super().__init__(cluster)
        self.left: list[FakeCluster] = []
        self._kept_at: datetime | None = None

    def save(self, migration: Migration, status: Status) -> Migration:
        self._keep_before()
        saved = super().save(migration, status)
        self._keep()
        return saved

    def apply_one(self, migration: Migration, effect: Effect) -> None:
        self._keep_before()
        super().apply_one(migration, effect)
        self._keep()

    def _keep_before(self) -> None:
        """Unless it is what a death after the deed before has left: only time changes anything in between."""
        if self.cluster.now != self._kept_at:
            self._keep()

    def _keep(self) -> None:
        self._kept_at = self.cluster.now
        self.left.append(self.cluster.copy())


def deaths(cluster: FakeCluster, key: Key) -> list[FakeCluster]:
    """What each death of an operator leaves, wherever it comes; and last ``cluster``, in which it never died.

    Lived through once: what another operator would have done up to the same death is the same.
    """
    living = Chronicle(cluster)
    assert not live_until_death(cluster, key, living)
    return [*living.left, cluster]


def live_until_death(cluster: FakeCluster, key: Key, backend: FakeBackend) -> bool:
    """Whether the operator died; False when the migration ended before that."""
    for _ in range(400):
        try:
            for _ in range(20):
                again_in = one_pass(backend, key, pace=PACE, now=lambda: cluster.now)
                if again_in is None or again_in > 0:
                    break
        except Death:
            return True
        if key not in cluster.migrations or cluster.migrations[key].status.finished_at:
            return False
        cluster.tick()
    raise AssertionError("neither ended nor died")


def in_state(cluster: FakeCluster, kind: str) -> None:
    if kind == "failing":
        cluster.behaviours["copy", "home"] = [Behaviour.FAIL_PASSING, Behaviour.FAIL]
    if kind in ("verify fails", "kept", "halts"):
        cluster.behaviours["verify", "data"] = [Behaviour.FAIL]
    if kind == "kept":
        cluster.facts["home"] = {"target": {"empty": False, "entries": 7}}
        cluster.behaviours["roll_back", "home"] = [Behaviour.CRASH]
    if kind == "database replaced":
        cluster.client_images = frozenset({18})
        cluster.facts["shop"] = {
            "target": {"empty": False},
            "tools": {"needed": 18, "found": {"15": "/usr/bin"}},
        }
        cluster.behaviours["verify", "shop"] = [Behaviour.FAIL]


def a_database() -> dict[str, object]:
    def endpoint(host: str) -> dict[str, object]:
        return {"postgres": {"host": host, "database": "shop"}, "credentialsRef": {"name": host}}

    return {"name": "shop", "source": endpoint("old"), "target": endpoint("new"), "replace": True}


PAIR = {"name": "data", "source": {"claimName": "data-old"}, "target": {"claimName": "data-new"}}

SPECS: dict[str, dict[str, object]] = {
    "kept": {"backup": {"claimName": "backup"}},
    "halts": {"onFailure": "Halt"},
    "database replaced": {
        "volumes": {"pairs": [PAIR], "databases": [a_database()]},
        "backup": {"claimName": "backup"},
    },
}
"""What is in the document, beside the usual, for each kind of way."""


@pytest.mark.parametrize(
    ("kind", "phase"),
    [
        ("well", "Succeeded"),
        ("failing", "Failed"),
        ("verify fails", "Failed"),
        ("kept", "Failed"),
        ("halts", "Failed"),
        ("database replaced", "Failed"),
    ],
)
def test_the_outcome_is_the_same_wherever_the_operator_dies(kind: str, phase: str) -> None:
    whole = a_cluster()
    whole.watcher = watch_invariants
    in_state(whole, kind)
    key = whole.add(a_document(**SPECS.get(kind, {})))
    left = deaths(whole, key)
    for dies_at, cluster in enumerate(left):
        cluster.tick()
        status = run(cluster, key)
        assert status.phase == phase, f"died at {dies_at}: {status.failure}"
        assert (status.rolled_back_at is not None) == (phase == "Failed" and kind != "halts"), f"died at {dies_at}"
        assert_workloads_are_back(cluster, status)
        assert not cluster.leases
    assert len(left) > 80, "the deaths have to cover the whole way"


@pytest.mark.parametrize("how", ["cancel", "delete", "namespace"])
def test_workloads_come_back_wherever_a_person_stops_it(how: str) -> None:
    whole = a_cluster()
    whole.watcher = watch_invariants
    key = whole.add(a_document())
    left = deaths(whole, key)[:-1]
    for cluster in left:
        stop(cluster, key, how)
        status = run(cluster, key)
        if how == "cancel":
            assert status.phase in ("Cancelled", "Succeeded")
            assert_workloads_are_back(cluster, status)
        else:
            assert key not in cluster.migrations, "the finalizer goes"
            if how == "delete":
                assert_workloads_are_back(cluster, Status())
        assert not cluster.helpers
    assert len(left) > 80


def stop(cluster: FakeCluster, key: Key, how: str) -> None:
    migration = cluster.migrations[key]
    if how == "cancel":
        spec = migration.document.spec.model_copy(update={"cancel": True})
        migration.document = migration.document.model_copy(update={"spec": spec})
        migration.generation += 1
    else:
        migration.deleting_since = cluster.now
        if not migration.finalizer:
            del cluster.migrations[key]
        if how == "namespace":
            cluster.workloads.clear()
    migration.version += 1


class Late(FakeBackend):
    """An operator whose effects arrive whenever the other side pleases."""

    def __init__(self, cluster: FakeCluster) -> None:
        super().__init__(cluster)
        self.on_their_way: list[tuple[Migration, Effect]] = []

    def apply(self, migration: Migration, effects: Sequence[Effect]) -> None:
        self.on_their_way.extend((migration, effect) for effect in effects)

    def deliver(self, position: int) -> None:
        if self.on_their_way:
            migration, effect = self.on_their_way.pop(position % len(self.on_their_way))
            self.apply_one(migration, effect)

    def deliver_all(self) -> None:
        while self.on_their_way:
            self.deliver(0)


class Blind(FakeBackend):
    """An operator whose answers are lost: what it did is done, and it does not learn of it."""

    def observe(self, migration: Migration, questions: Questions) -> World:
        raise PassingError("the API server does not answer")


@pytest.mark.parametrize("how", ["none", "cancel", "delete"])
@pytest.mark.parametrize("later", [0, 3, 10_000])
def test_effects_that_arrive_late_change_nothing(how: str, later: int) -> None:
    """One operator decides and saves, and is then so slow that another has gone on, or ended it all, before its
    effects arrive: ``later`` ticks afterwards."""
    passes = 0
    for slow_at in range(1, 200):
        cluster = a_cluster()
        cluster.watcher = watch_invariants
        key = cluster.add(a_document())
        late = Late(cluster)
        if not pass_by_pass(cluster, key, slow_at, late):
            break
        passes += 1
        if how != "none":
            stop(cluster, key, how)
        for _ in range(later if later < 100 else 0):
            one_pass(FakeBackend(cluster), key, pace=PACE, now=lambda: cluster.now)
            cluster.tick()
        if later < 100:
            late.deliver_all()
        status = run(cluster, key)
        late.deliver_all()
        if key in cluster.migrations:
            settle(cluster, key)
            status = cluster.migrations[key].status
        assert_workloads_are_back(cluster, status if key in cluster.migrations else Status())
    assert passes > 20


def pass_by_pass(cluster: FakeCluster, key: Key, slow_at: int, late: Late) -> bool:
    """Goes on as usual to the pass ``slow_at``, which is the late operator's. False when it ended before that."""
    for number in range(1, slow_at + 1):
        backend = late if number == slow_at else FakeBackend(cluster)
        again_in = one_pass(backend, key, pace=PACE, now=lambda: cluster.now)
        if cluster.migrations[key].status.finished_at:
            return False
        if again_in is None or again_in > 0:
            cluster.tick()
    return True


MOVES = st.one_of(
    st.tuples(st.just("go on"), st.integers(1, 25)),
    st.tuples(st.just("go on"), st.integers(1, 5)),
    st.tuples(st.just("pass"), st.just(0)),
    st.tuples(st.just("late pass"), st.just(0)),
    st.tuples(st.just("deliver"), st.integers(0, 30)),
    st.tuples(st.just("die"), st.integers(1, 8)),
    st.tuples(st.just("tick"), st.integers(1, 5)),
    st.tuples(st.just("kill helper"), st.integers(0, 5)),
    st.tuples(st.just("scale back"), st.integers(0, 1)),
    st.tuples(st.just("touch workload"), st.integers(0, 2)),
    st.tuples(st.just("blind"), st.just(0)),
)


#: Somebody scales a target's workload up after the migration failed and held it.
SCALED_UP_AT_THE_END = [("go on", 17), ("scale back", 0), ("pass", 0), ("go on", 4), ("scale back", 1)]


@given(moves=st.lists(MOVES, max_size=40), end=st.sampled_from(["none", "cancel", "delete"]), seed=st.integers(0, 999))
@example(moves=SCALED_UP_AT_THE_END, end="none", seed=0)
def test_two_operators_and_lost_answers_leave_every_invariant_whole(
    moves: list[tuple[str, int]], end: str, seed: int
) -> None:
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    rng = random.Random(seed)
    for step in ("preflight", "copy", "verify"):
        if rng.random() < 0.3:
            cluster.behaviours[step, rng.choice(["data", "home"])] = [rng.choice(list(Behaviour))]
    key = cluster.add(a_document())
    steady, late = FakeBackend(cluster), Late(cluster)
    for move, value in moves:
        play(cluster, key, steady, late, move, value)
    if end != "none" and key in cluster.migrations:
        stop(cluster, key, end)
    status = run(cluster, key)
    while late.on_their_way:  # whatever was still on its way arrives after the end
        late.deliver(rng.randrange(100))
    settle(cluster, key)
    status = cluster.migrations[key].status if key in cluster.migrations else status
    assert not cluster.helpers or key not in cluster.migrations
    assert_workloads_are_back(cluster, status if key in cluster.migrations else Status())


def play(cluster: FakeCluster, key: Key, steady: FakeBackend, late: Late, move: str, value: int) -> None:
    helpers = sorted(cluster.helpers)
    match move:
        case "pass":
            one_pass(steady, key, pace=PACE, now=lambda: cluster.now)
        case "go on":
            for _ in range(value):
                one_pass(steady, key, pace=PACE, now=lambda: cluster.now)
                cluster.tick()
        case "late pass":
            one_pass(late, key, pace=PACE, now=lambda: cluster.now)
        case "deliver":
            late.deliver(value)
        case "die":
            try:
                one_pass(Mortal(cluster, value, before=bool(value % 2)), key, pace=PACE, now=lambda: cluster.now)
            except Death:
                return
        case "tick":
            cluster.tick(value)
        case "kill helper" if helpers:
            del cluster.helpers[helpers[value % len(helpers)]]
        case "scale back":
            workload = cluster.workloads[(WEB, STORE)[value]]
            if workload.holder:
                workload.replicas = workload.held_replicas or 0
                workload.version += 1
        case "touch workload":
            cluster.workloads[(WEB, STORE, NIGHTLY)[value]].version += 1
        case "blind":
            with pytest.raises(PassingError):
                one_pass(Blind(cluster), key, pace=PACE, now=lambda: cluster.now)


@pytest.mark.parametrize("seed", range(20))
def test_two_migrations_never_write_one_claim_at_the_same_time(seed: int) -> None:
    rng = random.Random(seed)
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    keys = [cluster.add(a_document(name, quiesce={}, retries=0)) for name in ("first", "second")]
    cluster.workloads.clear()
    if seed % 3 == 0:
        cluster.behaviours["copy", "data"] = [Behaviour.CRASH]
    operators = [FakeBackend(cluster), FakeBackend(cluster)]
    waited = False
    for _ in range(600):
        for key in rng.sample(keys, 2):
            one_pass(rng.choice(operators), key, pace=PACE, now=lambda: cluster.now)
        types = {c.type for m in cluster.migrations.values() for c in m.status.conditions}
        waited = waited or "TargetLocked" in types
        cluster.tick(rng.choice([0.2, 1.0]))
    assert waited, "the second waits, and says so"
    assert all(m.status.finished_at for m in cluster.migrations.values())
    assert not cluster.leases
