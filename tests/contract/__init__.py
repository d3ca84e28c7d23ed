"""What every backend promises to the engine: one suite, which the fake, the local and the Kubernetes backend pass.

Each backend's test module makes a :class:`Surroundings` and inherits :class:`BackendContract`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from project_migration.backends.backend import Backend
from project_migration.engine.effects import (
    Announce,
    DropLease,
    Effect,
    EnsureClaim,
    HelperSpec,
    HoldWorkload,
    PrepareHelper,
    ReleaseWorkload,
    RemoveHelper,
    StartHelper,
    TakeLease,
    volume_key,
)
from project_migration.engine.names import Key, WorkloadRef
from project_migration.engine.world import HelperFacts, HelperPhase, Migration, Questions, WorkloadFacts
from project_migration.model.endpoints import Volume
from project_migration.model.errors import Conflict, Gone


@dataclass
class Surroundings:
    """A backend with one stored migration, a volume, a workload at ``replicas``, and a helper that will succeed."""

    backend: Backend
    key: Key
    present: Volume
    absent: Volume
    workload: WorkloadRef
    replicas: int
    no_workload: WorkloadRef
    helper: HelperSpec
    wait: Callable[[], None]
    """Lets a moment pass."""
    makes_claims: bool = True
    """Whether claims are made at all: a directory is made by the copy."""

    def until(self, look: Callable[[], bool], what: str) -> None:
        for _ in range(300):
            if look():
                return
            self.wait()
        raise AssertionError(f"waited for {what}")

    def load(self) -> Migration:
        return self.backend.load(self.key)

    def apply(self, *effects: Effect) -> None:
        self.backend.apply(self.load(), effects)

    def facts(self, ref: WorkloadRef | None = None) -> WorkloadFacts:
        ref = ref or self.workload
        return self.backend.observe(self.load(), Questions(workloads=frozenset({ref}))).workloads[ref]

    def helpers(self) -> dict[str, HelperFacts]:
        return dict(self.backend.observe(self.load(), Questions()).helpers)

    def hold(self) -> None:
        """As the engine does: again, when the view was old by then."""

        def held() -> bool:
            facts = self.facts()
            if not facts.holder:
                self.apply(self.held(facts))
            return bool(facts.holder)

        self.until(held, "the workload to be held")
        self.until(lambda: not self.facts().pods, "its pods to end")

    def release(self, replicas: int | None) -> None:
        def released() -> bool:
            facts = self.facts()
            if facts.released != "uid/1":
                self.apply(ReleaseWorkload(self.workload, facts.version, "uid/1", replicas, None))
            return facts.released == "uid/1"

        self.until(released, "the workload to be released")

    def start(self) -> None:
        def started() -> bool:
            facts = self.helpers()[self.helper.name]
            if facts.phase is HelperPhase.PREPARED:
                self.apply(StartHelper(facts.name, facts.uid, facts.version))
            return facts.phase is not HelperPhase.PREPARED

        self.apply(PrepareHelper(self.helper))
        self.until(started, "the helper to be started")

    def held(self, facts: WorkloadFacts) -> HoldWorkload:
        return HoldWorkload(self.workload, facts.version, self.load().holder, self.replicas, suspended=False)


class BackendContract:
    """Inherit it, and give a fixture ``around`` that returns Surroundings."""

    def test_what_is_not_stored_is_gone(self, around: Surroundings) -> None:
        assert around.key in set(around.backend.keys())
        with pytest.raises(Gone):
            around.backend.load(Key(around.key.namespace, "nobody"))

    def test_a_save_from_an_old_view_is_refused(self, around: Surroundings) -> None:
        old = around.load()
        saved = around.backend.save(old, old.status.model_copy(update={"phase": "Copying"}))
        assert around.load().status.phase == saved.status.phase == "Copying"
        with pytest.raises(Conflict):
            around.backend.save(old, old.status)
        assert around.load().status.phase == "Copying"

    def test_what_does_not_exist_is_a_fact(self, around: Surroundings) -> None:
        keys = frozenset({volume_key(around.present), volume_key(around.absent)})
        world = around.backend.observe(
            around.load(), Questions(claims=keys, workloads=frozenset({around.no_workload}), leases=frozenset({"none"}))
        )
        assert {key: facts.exists for key, facts in world.claims.items()} == {
            volume_key(around.present): True,
            volume_key(around.absent): False,
        }
        assert world.claims[volume_key(around.present)].uid
        assert not world.workloads[around.no_workload].exists
        assert world.leases == {}

    def test_a_workload_is_held_with_its_count_and_comes_back(self, around: Surroundings) -> None:
        before = around.facts()
        assert (before.exists, before.replicas, before.holder) == (True, around.replicas, "")
        around.hold()
        down = around.facts()
        assert (down.replicas, down.holder, down.held_replicas) == (0, around.load().holder, around.replicas)
        around.release(around.replicas)
        assert around.facts().replicas == around.replicas
        assert (around.facts().holder, around.facts().released) == ("", "uid/1")

    def test_a_hold_that_comes_late_is_refused(self, around: Surroundings) -> None:
        before = around.facts()
        late = around.held(before)
        around.release(None)
        around.apply(late)
        assert (around.facts().replicas, around.facts().holder) == (around.replicas, "")

    def test_a_release_that_comes_late_is_refused(self, around: Surroundings) -> None:
        late = around.facts()
        around.hold()
        around.apply(ReleaseWorkload(around.workload, late.version, "uid/0", around.replicas, None))
        assert (around.facts().holder, around.facts().replicas) == (around.load().holder, 0)
        around.release(around.replicas)

    def test_a_prepared_helper_does_nothing_and_is_made_once(self, around: Surroundings) -> None:
        around.apply(PrepareHelper(around.helper))
        first = around.helpers()[around.helper.name]
        around.apply(PrepareHelper(around.helper))
        around.wait()
        again = around.helpers()[around.helper.name]
        assert (again.phase, again.uid) == (HelperPhase.PREPARED, first.uid)
        assert again.request_digest == around.helper.request.digest
        self.remove(around)

    def test_a_started_helper_ends_with_the_record_of_its_request(self, around: Surroundings) -> None:
        around.start()
        around.until(lambda: around.helpers()[around.helper.name].phase is HelperPhase.FINISHED, "the helper to end")
        record = around.helpers()[around.helper.name].record
        assert record is not None
        assert (record.succeeded, record.request_digest) == (True, around.helper.request.digest)
        self.remove(around)

    def test_a_start_or_removal_of_another_helper_of_that_name_is_passed_over(self, around: Surroundings) -> None:
        around.apply(PrepareHelper(around.helper))
        around.apply(StartHelper(around.helper.name, "another", "0"), RemoveHelper(around.helper.name, "another"))
        assert around.helpers()[around.helper.name].phase is HelperPhase.PREPARED
        self.remove(around)

    def remove(self, around: Surroundings) -> None:
        around.apply(RemoveHelper(around.helper.name, around.helpers()[around.helper.name].uid))
        around.until(lambda: not around.helpers(), "the helper to be gone")

    def test_a_lock_is_held_by_one(self, around: Surroundings) -> None:
        holder = around.load().holder
        around.apply(TakeLease("pmig-lock", holder, None))
        around.apply(TakeLease("pmig-lock", "ml/other/uid", None))
        lease = self.lease(around)
        assert lease is not None
        assert (lease.holder, lease.alive) == (holder, True)
        around.apply(DropLease("pmig-lock", "0"))
        assert self.lease(around) is not None, "an old view does not drop it"
        around.apply(DropLease("pmig-lock", lease.version))
        assert self.lease(around) is None

    def lease(self, around: Surroundings):  # type: ignore[no-untyped-def]
        world = around.backend.observe(around.load(), Questions(leases=frozenset({"pmig-lock"})))
        return world.leases.get("pmig-lock")

    def test_a_claim_is_offered_and_then_made_once_for_its_migration(self, around: Surroundings) -> None:
        wanted = EnsureClaim("fresh", "16Mi", None, ("ReadWriteOnce",), stays=True)
        questions = Questions(claims=frozenset({"claim/fresh"}), dry_run=(lambda _: (wanted,),))
        before = around.backend.observe(around.load(), questions)
        assert before.refused == {}
        around.apply(wanted, wanted, replace(wanted, size="32Mi"))
        if not around.makes_claims:
            return
        assert not before.claims["claim/fresh"].exists
        made = around.backend.observe(around.load(), questions).claims["claim/fresh"]
        assert (made.exists, made.made_for, made.requested) == (True, around.load().uid, 16 * 2**20)
        assert made.access_modes == ("ReadWriteOnce",)
        assert made.uid

    def test_an_announcement_never_fails(self, around: Surroundings) -> None:
        around.apply(Announce("StepBegun", "copy"), Announce("Failed", "x" * 1000, warning=True))
