"""Documents with directories and databases: both in the same steps, each judged by what its own survey says."""

from __future__ import annotations

import pytest

from project_migration.backends.fake import Behaviour, FakeBackend, FakeHelper
from project_migration.engine.effects import Rights
from project_migration.engine.steps.keeping import can_roll_back
from project_migration.engine.world import ClaimFacts, NamespaceFacts
from project_migration.model.document import Document
from project_migration.model.errors import Failure, Reason
from project_migration.model.status import Keeping, State
from project_migration.reconcile import one_pass

from .surroundings import PACE, a_cluster, a_document, assert_workloads_are_back, run, watch_invariants


def both_kinds(**spec: object) -> Document:
    def endpoint(host: str) -> dict[str, object]:
        return {"postgres": {"host": host, "database": "shop"}, "credentialsRef": {"name": host}}

    pair = {"name": "data", "source": {"claimName": "data-old"}, "target": {"claimName": "data-new"}}
    database = {"name": "shop", "source": endpoint("old"), "target": endpoint("new")}
    return a_document(volumes={"pairs": [pair], "databases": [database]}, **spec)


def problem(reason: Reason, *, passing: bool = False) -> dict[str, object]:
    return {"reason": str(reason), "message": "as the server says", "passing": passing}


def test_both_kinds_arrive_in_the_same_steps() -> None:
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    key = cluster.add(both_kinds())
    status = run(cluster, key)
    assert status.phase == "Succeeded", status.failure
    for step in ("preflight", "copy", "verify"):
        units = next(found.units for found in status.steps if found.id == step)
        assert [(unit.name, unit.state) for unit in units] == [("data", State.SUCCEEDED), ("shop", State.SUCCEEDED)]
    assert [unit.name for unit in status.plan] == ["data", "shop"]
    assert status.result is not None
    assert_workloads_are_back(cluster, status)


def test_what_stands_against_either_is_said_at_once_and_nothing_is_written() -> None:
    cluster = a_cluster()
    cluster.facts["data"] = {"target": {"empty": False, "entries": 7}}
    found = [problem(Reason.TARGET_OLDER), problem(Reason.ROLE_MISSING)]
    cluster.facts["shop"] = {"problems": {"found": found, "count": 2}}
    key = cluster.add(both_kinds())
    status = run(cluster, key)
    assert (status.phase, status.failure_reason) == ("Failed", "TargetNotEmpty")
    assert "data: the target holds 7 object(s) already" in status.failure
    assert status.failure.count("shop: as the server says") == 2
    assert status.first_write_at is None
    assert_workloads_are_back(cluster, status)


def test_a_server_that_does_not_answer_is_asked_again_and_a_wrong_password_is_not() -> None:
    attempts = {}
    for reason, passing in ((Reason.DATABASE_UNREACHABLE, True), (Reason.AUTHENTICATION_FAILED, False)):
        cluster = a_cluster()
        cluster.facts["shop"] = {"problems": {"found": [problem(reason, passing=passing)], "count": 1}}
        status = run(cluster, cluster.add(both_kinds()))
        assert (status.phase, status.failure_reason) == ("Failed", str(reason))
        preflight = next(step for step in status.steps if step.id == "preflight")
        unit = preflight.unit("shop")
        assert unit is not None
        attempts[reason] = unit.attempt
    assert attempts == {Reason.DATABASE_UNREACHABLE: 4, Reason.AUTHENTICATION_FAILED: 1}


def test_a_database_that_fails_takes_the_files_back_too() -> None:
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    cluster.behaviours["copy", "shop"] = [Behaviour.FAIL]
    status = run(cluster, cluster.add(both_kinds()))
    assert (status.phase, status.failure_reason) == ("Failed", "CopyIncomplete")
    assert (status.first_write_at, status.rolled_back_at is not None) == (None, True)
    back = next(step for step in status.steps if step.id == "roll_back")
    assert {unit.name for unit in back.units} == {"data", "shop"}
    assert_workloads_are_back(cluster, status)


def test_a_database_s_note_goes_at_the_very_end_and_with_it_the_way_back() -> None:
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    status = run(cluster, cluster.add(both_kinds()))
    settled = next(step for step in status.steps if step.id == "settle")
    assert [unit.name for unit in settled.units] == ["data", "shop"]
    assert status.backup is not None
    kept = {unit.name: unit.keeping for unit in status.backup.units}
    assert kept == {"data": Keeping.SETTLED, "shop": Keeping.LET_GO}
    assert not can_roll_back(status)


@pytest.mark.parametrize("allowed", [True, False])
def test_admission_sees_a_helper_of_each_program_and_none_has_more_rights_than_it_needs(allowed: bool) -> None:
    cluster = a_cluster()
    cluster.namespace = NamespaceFacts(privileged_helpers=allowed)
    run(cluster, cluster.add(both_kinds()))
    offered = {spec.request.worker: spec for spec in cluster.offered}
    assert set(offered) == {"survey", "postgres.survey", "copy_tree", "postgres.copy"}
    for worker, spec in offered.items():
        server = worker.startswith("postgres.")
        assert spec.network is server
        assert bool(spec.secrets) is server
        assert spec.rights is (Rights.NONE if not allowed else Rights.WORKSPACE if server else Rights.OWNERS)


def test_a_secret_that_is_missing_fails_with_its_name_when_the_time_is_over() -> None:
    cluster = a_cluster()
    cluster.behaviours["preflight", "shop"] = [Behaviour.NEVER_START]

    def no_secret(_cluster: object, what: str, thing: object) -> None:
        for helper in cluster.helpers.values():
            if helper.spec.request.unit == "shop":
                helper.failure = Failure(Reason.SECRET_NOT_FOUND, "Secret new does not exist")

    cluster.watcher = no_secret
    status = run(cluster, cluster.add(both_kinds()))
    assert (status.phase, status.failure_reason) == ("Failed", "SecretNotFound")
    assert "Secret new does not exist (waited 20s, timeouts.helperStart)" in status.failure
    assert status.first_write_at is None


def only_a_database(name: str, host: str) -> Document:
    def endpoint(at: str) -> dict[str, object]:
        return {"postgres": {"host": at, "database": "shop"}, "credentialsRef": {"name": "db"}}

    database = {"name": "shop", "source": endpoint("old"), "target": endpoint(host)}
    return a_document(name, volumes={"databases": [database]}, quiesce={})


def test_a_second_migration_into_one_database_waits_for_the_first() -> None:
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    first, second = cluster.add(only_a_database("first", "new")), cluster.add(only_a_database("second", "NEW."))
    backend = FakeBackend(cluster)
    for _ in range(6):
        one_pass(backend, first, pace=PACE, now=lambda: cluster.now)
    for _ in range(6):
        one_pass(backend, second, pace=PACE, now=lambda: cluster.now)
    waiting = cluster.migrations[second].status
    assert "TargetLocked: migration ml/first holds the target" in [step.message for step in waiting.steps]
    assert any(condition.type == "TargetLocked" for condition in waiting.conditions)
    assert run(cluster, first).phase == "Succeeded"
    assert run(cluster, second).phase == "Succeeded"
    assert not cluster.leases


def test_migrations_into_different_databases_do_not_wait_for_each_other() -> None:
    cluster = a_cluster()
    first, second = cluster.add(only_a_database("first", "new")), cluster.add(only_a_database("second", "newer"))
    for _ in range(6):
        one_pass(FakeBackend(cluster), first, pace=PACE, now=lambda: cluster.now)
    assert cluster.leases
    assert run(cluster, second).phase == "Succeeded"


NEEDS_18 = {"tools": {"needed": 18, "found": {"15": "/usr/bin"}}}


def test_client_tools_that_no_image_has_are_named_by_version_and_setting() -> None:
    cluster = a_cluster()
    cluster.facts["shop"] = NEEDS_18
    status = run(cluster, cluster.add(both_kinds()))
    assert (status.phase, status.failure_reason) == ("Failed", "ClientToolsMissing")
    assert "shop: the target is PostgreSQL 18" in status.failure
    assert "(found: 15); helper.postgresImages names no image for 18" in status.failure
    assert "helper.postgresImages" in status.remedy
    assert status.first_write_at is None
    assert_workloads_are_back(cluster, status)


def test_an_image_for_the_target_s_version_is_looked_into_and_used_by_all_that_need_its_tools() -> None:
    cluster = a_cluster()
    cluster.facts["shop"], cluster.client_images = NEEDS_18, frozenset({17, 18})
    majors: dict[str, set[int | None]] = {}

    def note(watched: object, what: str, thing: object) -> None:
        watch_invariants(cluster, what, thing)
        if what == "runs" and isinstance(thing, FakeHelper):
            majors.setdefault(thing.spec.request.worker, set()).add(thing.spec.client_major)

    cluster.watcher = note
    status = run(cluster, cluster.add(both_kinds()))
    assert status.phase == "Succeeded", status.failure
    preflight = next(step for step in status.steps if step.id == "preflight")
    assert [unit.name for unit in preflight.units] == ["data", "shop", "client-tools-18"]
    assert {worker for worker, found in majors.items() if found == {18}} == {
        "postgres.client_tools",
        "postgres.copy",
        "postgres.verify",
        "postgres.clear",
    }
    assert {worker for worker, found in majors.items() if found == {None}} == {
        "survey",
        "postgres.survey",
        "copy_tree",
        "manifest",
        "release",
        "report",
    }
    assert [(unit.name, unit.client_major) for unit in status.plan] == [("data", None), ("shop", 18)]


def test_an_image_without_the_tools_fails_before_anything_is_stopped() -> None:
    cluster = a_cluster()
    cluster.facts["shop"], cluster.client_images = NEEDS_18, frozenset({18})
    cluster.behaviours["preflight", "client-tools-18"] = [Behaviour.FAIL]
    status = run(cluster, cluster.add(both_kinds()))
    assert status.phase == "Failed"
    assert status.first_write_at is None
    assert all(step.id != "quiesce_target" or step.started_at is None for step in status.steps)
    assert_workloads_are_back(cluster, status)


@pytest.mark.parametrize("step", ["preflight", "copy"])
def test_an_operator_that_comes_back_with_other_settings_goes_on_with_the_version_on_record(step: str) -> None:
    cluster = a_cluster()
    cluster.facts["shop"], cluster.client_images = NEEDS_18, frozenset({18})
    majors: list[int | None] = []

    def note(watched: object, what: str, thing: object) -> None:
        if what == "runs" and isinstance(thing, FakeHelper):
            if thing.spec.request.step == step and thing.spec.client_major:
                cluster.client_images = frozenset()
            if thing.spec.request.worker in ("postgres.copy", "postgres.verify"):
                majors.append(thing.spec.client_major)

    cluster.watcher = note
    status = run(cluster, cluster.add(both_kinds()))
    assert status.phase == "Succeeded", status.failure
    assert cluster.client_images == frozenset()
    assert majors == [18, 18]


def test_a_dump_goes_the_same_steps_and_is_mounted_by_those_who_read_it() -> None:
    cluster = a_cluster()
    cluster.claims["claim/transfer"] = ClaimFacts(exists=True, uid="claim-transfer")
    target = {"postgres": {"host": "db.new", "database": "shop"}, "credentialsRef": {"name": "login"}}
    database = {"name": "shop", "source": {"dump": {"claimName": "transfer"}}, "target": target}
    seen: dict[str, tuple[str, ...]] = {}
    cluster.watcher = lambda _, what, thing: (  # type: ignore[attr-defined]
        seen.setdefault(thing.spec.request.worker, tuple(mount.root for mount in thing.spec.mounts))
        if what == "runs"
        else None
    )
    status = run(cluster, cluster.add(a_document(volumes={"databases": [database]})))
    assert status.phase == "Succeeded", status.failure
    dumped = {worker: roots for worker, roots in seen.items() if worker.startswith("postgres.dumped.")}
    assert dumped == {f"postgres.dumped.{what}": ("source",) for what in ("survey", "copy", "verify")}
