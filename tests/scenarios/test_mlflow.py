"""A tracking server through the engine: rows and files in the same steps, arranged before, taken back together."""

from __future__ import annotations

import pytest

from project_migration.backends.fake import Behaviour
from project_migration.engine.names import WorkloadRef
from project_migration.model.document import Document, WorkloadKind
from project_migration.model.labels import VERIFY
from project_migration.model.status import Keeping, State, Status

from .surroundings import STORE, WEB, a_cluster, a_document, assert_workloads_are_back, run, settle
from .test_crashes import Mortal, live_until_death
from .test_flow import annotated
from .test_report import checked


def by_database(address: str = "", **more: object) -> Document:
    """``address``: of the target's server, which is asked then."""

    def server(name: str) -> dict[str, object]:
        backend = {"postgres": {"host": f"db.{name}", "database": "mlflow"}, "credentialsRef": {"name": "login"}}
        return {"backend": backend, "artifacts": {"claimName": f"data-{name}"}}

    target = server("new") | ({"trackingUri": address} if address else {})
    return a_document(volumes=None, mlflow={"source": server("old"), "target": target}, **more)


def by_address(**more: object) -> Document:
    sides = {side: {"trackingUri": f"http://mlflow.{side}:5000"} for side in ("source", "target")}
    return a_document(volumes=None, mlflow=sides, **more)


ADDRESS = "http://mlflow.new:5000"


def units_of(status: Status, step_id: str) -> list[tuple[str, State]]:
    return [(unit.name, unit.state) for step in status.steps if step.id == step_id for unit in step.units]


def test_rows_and_files_arrive_together_after_what_they_share_was_arranged() -> None:
    cluster = a_cluster()
    asked: list[tuple[str, str]] = []
    cluster.watcher = lambda _, what, thing: (
        asked.append((thing.spec.request.step, thing.spec.request.unit))
        # type: ignore[attr-defined]
        if (what == "runs")
        else None
    )
    status = run(cluster, cluster.add(by_database()))
    assert status.phase == "Succeeded", status.failure
    both = [("tracking", State.SUCCEEDED), ("artifacts", State.SUCCEEDED)]
    assert [units_of(status, step) for step in ("preflight", "copy", "verify")] == [both] * 3
    assert units_of(status, "arrange") == [("tracking", State.SUCCEEDED)]
    assert asked.index(("arrange", "tracking")) < asked.index(("copy", "artifacts"))
    assert_workloads_are_back(cluster, status)


@pytest.mark.parametrize("step", ["arrange", "copy", "verify"])
def test_a_step_that_fails_takes_rows_and_files_back(step: str) -> None:
    cluster = a_cluster()
    cluster.behaviours[step, "tracking"] = [Behaviour.FAIL]
    status = run(cluster, cluster.add(by_database()))
    assert status.phase == "Failed"
    assert status.first_write_at is None
    assert (status.rolled_back_at is not None) == (step != "arrange"), "nothing was written before the copy"
    if step != "arrange":
        assert {name for name, state in units_of(status, "roll_back") if state is State.SUCCEEDED} >= {"tracking"}
    assert_workloads_are_back(cluster, status)


def test_users_that_cannot_be_taken_back_keep_the_target_from_its_users() -> None:
    """They lie in a database of their own, which the restore of the rows does not touch."""
    cluster = a_cluster()
    cluster.facts["tracking"] = {"target": {"empty": False, "entries": 7}}
    cluster.behaviours["verify", "tracking"] = [Behaviour.FAIL]
    cluster.behaviours["roll_back", "users"] = [Behaviour.FAIL]
    sides = by_database().model_dump(mode="json", by_alias=True, exclude_none=True)["spec"]["mlflow"]
    for name in ("source", "target"):
        backend = sides[name]["backend"]
        sides[name]["auth"] = {**backend, "postgres": {**backend["postgres"], "database": "users"}}
    document = a_document(volumes=None, mlflow=sides, backup={"claimName": "backup"}, retries=0)
    status = run(cluster, cluster.add(document))
    assert (status.phase, status.rolled_back_at) == ("Failed", None), status.failure
    assert "the target could not be put back: users" in status.failure


def test_through_addresses_nothing_has_to_be_kept_and_what_was_added_is_taken_back() -> None:
    cluster = a_cluster()
    cluster.facts["tracking"] = {"target": {"empty": False, "entries": 7}}
    cluster.behaviours["verify", "tracking"] = [Behaviour.FAIL]
    status = run(cluster, cluster.add(by_address()))
    assert (status.phase, status.rolled_back_at is not None) == ("Failed", True), status.failure
    assert units_of(status, "roll_back") == [("tracking", State.SUCCEEDED)]


def test_what_was_added_through_addresses_is_kept_apart_until_it_is_proved() -> None:
    cluster = a_cluster()
    status = run(cluster, cluster.add(by_address()))
    assert status.phase == "Succeeded", status.failure
    assert status.backup is not None
    assert [unit.keeping for unit in status.backup.units] == [Keeping.LET_GO]


def test_a_document_that_was_carried_out_is_known_again_by_rows_and_files() -> None:
    cluster = a_cluster()
    key = cluster.add(by_database())
    assert run(cluster, key).phase == "Succeeded"
    del cluster.migrations[key]
    for unit in ("tracking", "artifacts"):
        cluster.facts[unit] = {"target": {"empty": False, "entries": 7}}
    status = run(cluster, cluster.add(by_database()))
    assert (status.phase, status.first_write_at) == ("AlreadyMigrated", None), status.failure
    another = by_database(transfer={"verify": "Metadata"})
    assert run(cluster, cluster.add(another)).failure_reason == "TargetNotEmpty"


def test_both_are_looked_at_again_when_a_person_asks() -> None:
    cluster = a_cluster()
    key = cluster.add(by_database())
    run(cluster, key)
    annotated(cluster, key, VERIFY, "today")
    found = checked(cluster, key)
    assert (found.same, [unit.name for unit in found.units]) == (True, ["tracking", "artifacts"])


def test_a_server_behind_an_address_cannot_be_looked_at_alone_and_that_is_said() -> None:
    cluster = a_cluster()
    key = cluster.add(by_address())
    run(cluster, key)
    annotated(cluster, key, VERIFY, "today")
    found = checked(cluster, key)
    assert found.same is None
    assert "without the source" in found.message


def test_a_server_that_has_the_files_and_is_not_to_rest_is_refused() -> None:
    cluster = a_cluster()
    status = run(cluster, cluster.add(by_database(quiesce={"workloads": []})))
    assert (status.phase, status.failure_reason, status.first_write_at) == ("Failed", "ClaimInUse", None)
    assert "artifacts: source claim data-old is mounted by pod web-0 of Deployment web" in status.failure


def test_who_names_a_database_and_is_not_to_rest_is_told() -> None:
    cluster = a_cluster()
    cluster.callers = {"db.old": (WorkloadRef(WorkloadKind.DEPLOYMENT, "tracker"), WEB), "db.new": (WEB,)}
    status = run(cluster, cluster.add(by_database()))
    assert status.phase == "Succeeded", status.failure
    [warning] = status.warnings
    assert warning.startswith("Deployment tracker names db.old, where the source's database is")


def test_a_target_s_server_is_asked_once_its_workloads_are_back() -> None:
    cluster = a_cluster()
    asked: list[tuple[str, int, list[str]]] = []

    def see(_: object, what: str, thing: object) -> None:
        if what == "runs" and thing.spec.request.step == "ask_server":  # type: ignore[attr-defined]
            spec = thing.spec  # type: ignore[attr-defined]
            mounted = [mount.root for mount in spec.mounts]
            asked.append((spec.request.worker, cluster.workloads[STORE].replicas, mounted))

    cluster.watcher = see
    key = cluster.add(by_database(ADDRESS))
    status = run(cluster, key)
    assert status.phase == "Succeeded", status.failure
    assert asked == [("mlflow.api.ask", 2, [])]
    assert units_of(status, "ask_server") == [("tracking", State.SUCCEEDED)]


def test_without_an_address_no_server_is_asked() -> None:
    cluster = a_cluster()
    status = run(cluster, cluster.add(by_database()))
    assert units_of(status, "ask_server") == []


def test_a_server_that_stays_down_is_not_asked() -> None:
    cluster = a_cluster()
    down = {"kind": "StatefulSet", "name": "store", "side": "Target", "afterSuccess": "StayDown"}
    source = {"kind": "Deployment", "name": "web", "side": "Source"}
    status = run(cluster, cluster.add(by_database(ADDRESS, quiesce={"workloads": [down, source]})))
    assert status.phase == "Succeeded", status.failure
    assert units_of(status, "ask_server") == []
    [said] = [step.message for step in status.steps if step.id == "ask_server"]
    assert "stay down" in said


def test_a_server_that_does_not_give_it_fails_the_migration_and_nothing_is_taken_back() -> None:
    cluster = a_cluster()
    cluster.behaviours["ask_server", "tracking"] = [Behaviour.FAIL]
    key = cluster.add(by_database(ADDRESS))
    status = run(cluster, key)
    assert (status.phase, status.rolled_back_at) == ("Failed", None), status.failure
    assert units_of(status, "settle"), "all else was over"
    assert_workloads_are_back(cluster, status)
    assert status.result is not None, "rows and files stay proved"


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "verify-fails"])
def test_it_ends_the_same_wherever_the_operator_died(before: bool, fails: bool) -> None:
    for dies_at in range(1, 400, 2):
        cluster = a_cluster()
        if fails:
            cluster.behaviours["verify", "artifacts"] = [Behaviour.FAIL]
        key = cluster.add(by_database(ADDRESS))
        died = live_until_death(cluster, key, Mortal(cluster, dies_at, before=before))
        status = run(cluster, key)
        assert status.phase == ("Failed" if fails else "Succeeded"), (dies_at, status.failure)
        assert (status.rolled_back_at is not None) == fails
        settle(cluster, key)
        assert_workloads_are_back(cluster, cluster.migrations[key].status)
        if not died:
            assert dies_at > 30, "it did hardly anything"
            return
    raise AssertionError("it never ended by itself")


def either_way(**more: object) -> Document:
    found = by_database().model_dump(mode="json", by_alias=True, exclude_none=True)["spec"]["mlflow"]
    for side in ("source", "target"):
        found[side]["trackingUri"] = f"http://mlflow.{side}:5000"
    return a_document(volumes=None, mlflow=found, quiesce={}, **more)


def out_of_reach(reason: str) -> dict[str, dict[str, object]]:
    problem = {"reason": reason, "message": "source: no answer from db.old", "passing": False}
    return {"problems": {"found": [problem], "count": 1}}


@pytest.mark.parametrize("reason", ["DatabaseUnreachable", "SchemaMismatch"])
def test_databases_that_cannot_be_had_lead_to_the_addresses_and_the_status_says_why(reason: str) -> None:
    cluster = a_cluster()
    cluster.facts["mlflow.database.survey"] = out_of_reach(reason)
    programs: set[str] = set()
    cluster.watcher = lambda _, what, thing: programs.add(thing.spec.request.worker) if what == "runs" else None  # type: ignore[attr-defined]
    status = run(cluster, cluster.add(either_way()))
    assert status.phase == "Succeeded", status.failure
    assert (status.way, programs & {"mlflow.api.copy", "mlflow.database.copy"}) == ("Api", {"mlflow.api.copy"})
    assert any("via Api" in warning and "no answer from db.old" in warning for warning in status.warnings)


def test_a_wrong_login_is_a_fault_of_the_document_and_changes_no_way() -> None:
    cluster = a_cluster()
    cluster.facts["mlflow.database.survey"] = out_of_reach("AuthenticationFailed")
    status = run(cluster, cluster.add(either_way()))
    assert (status.phase, status.way) == ("Failed", "")


def test_servers_that_are_to_rest_are_not_asked_through_their_addresses() -> None:
    cluster = a_cluster()
    cluster.facts["mlflow.database.survey"] = out_of_reach("DatabaseUnreachable")
    document = either_way().model_dump(mode="json", by_alias=True, exclude_none=True)["spec"]["mlflow"]
    status = run(cluster, cluster.add(a_document(volumes=None, mlflow=document)))
    assert (status.phase, status.failure_reason, status.way) == ("Failed", "DatabaseUnreachable", "")


def test_databases_in_reach_are_the_first_choice() -> None:
    cluster = a_cluster()
    cluster.workloads.clear()  # nobody uses the claims
    status = run(cluster, cluster.add(either_way()))
    assert (status.phase, status.way, status.warnings) == ("Succeeded", "", ())
    assert units_of(status, "arrange") == [("tracking", State.SUCCEEDED)]
