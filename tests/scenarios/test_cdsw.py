"""A CDSW through the engine: what is left to be found is found, a schema Job is run on what was loaded, and a failure
anywhere gives the workspace back."""

from __future__ import annotations

import pytest

from project_migration.backends.fake import Behaviour, FakeCluster, FakeHelper, FakeWorkload
from project_migration.engine.names import SecretKey, Variable, WorkloadRef
from project_migration.engine.world import ClaimFacts
from project_migration.model.cdsw import PROJECTS, SCHEMA, WORKSPACE
from project_migration.model.document import Document, WorkloadKind
from project_migration.model.status import Keeping, State, Status

from .surroundings import a_cluster, a_document, run, settle
from .test_crashes import deaths

JOB = "db-migrate-2.0.28-b66"
DB = WorkloadRef(WorkloadKind.STATEFUL_SET, "db")
WEB, CRON, OPERATOR, API = (
    WorkloadRef(WorkloadKind.DEPLOYMENT, name) for name in ("web", "cron", "ds-operator", "api")
)
COUNTS = {WEB: 3, CRON: 1, OPERATOR: 1, API: 2, DB: 1}
ADDRESS = "10.42.0.7"


def a_cdsw(**more: object) -> Document:
    archive = {"claimName": "archive", "subPath": "cml-migration.tar.gz"}
    cdsw = {
        "source": {"archive": archive},
        "target": {"namespace": "ml"},
        "administrator": {"username": "admin"},
    }
    spec = {"quiesce": {}, "backup": {"claimName": "backup"}, "retries": 0, **more}
    return a_document(volumes=None, cdsw=cdsw, **spec)


def a_workspace() -> FakeCluster:
    """What the guide names, a Deployment that names the database, and one that only has a session there."""
    cluster = a_cluster()
    cluster.workloads.clear()
    for number, name in enumerate(("archive", "projects-pvc", "backup", "work")):
        cluster.claims[f"claim/{name}"] = ClaimFacts(exists=True, uid=f"claim-{number}")
    for ref, count in COUNTS.items():
        mounts = ("claim/projects-pvc",) if ref == WEB else ()
        cluster.workloads[ref] = FakeWorkload(replicas=count, pods=count, claims=mounts)
    cluster.jobs = (JOB, "other")
    cluster.secret_keys = {Variable(DB, "POSTGRES_PASSWORD"): SecretKey("db-password", "password")}
    cluster.callers = {"db": (API, DB), ADDRESS: (OPERATOR,)}
    cluster.facts["cdsw.survey"] = {"target": {"empty": False, "addresses": [ADDRESS, "10.42.0.99"]}}
    return cluster


def assert_as_before(cluster: FakeCluster) -> None:
    assert {ref: (w.replicas, w.holder) for ref, w in cluster.workloads.items()} == {
        ref: (count, "") for ref, count in COUNTS.items()
    }


def units_of(status: Status, step_id: str) -> list[tuple[str, State]]:
    return [(unit.name, unit.state) for step in status.steps if step.id == step_id for unit in step.units]


def test_everything_that_a_document_leaves_out_is_found_and_the_steps_follow_the_guide() -> None:
    cluster = a_workspace()
    ran: list[FakeHelper] = []
    cluster.watcher = lambda _, what, thing: ran.append(thing) if what == "runs" else None  # type: ignore[arg-type]
    status = run(cluster, cluster.add(a_cdsw()))
    assert status.phase == "Succeeded", status.failure
    assert status.found is not None
    assert (status.found.job, status.found.secret) == (JOB, "db-password")
    assert {one.name for one in status.found.workloads} == {"web", "cron", "api", "ds-operator"}
    programs = [(helper.spec.request.step, helper.spec.request.worker) for helper in ran]
    assert [worker for step, worker in programs if step in ("back_up", "upgrade", "adapt", "verify", "settle")] == [
        "postgres.dump",
        "job",
        "cdsw.adapt",
        "cdsw.verify",
        "cdsw.clear",
    ]
    assert {worker for step, worker in programs if step == "copy"} == {"cdsw.load", "cdsw.files"}
    assert {helper.spec.job for helper in ran} == {"", JOB}
    logins = {secret.secret for helper in ran for secret in helper.spec.secrets}
    assert logins == {"db-password"}
    assert_as_before(cluster)


def test_whoever_has_a_session_at_the_database_rests_and_the_database_does_not() -> None:
    cluster = a_workspace()
    rested: set[WorkloadRef] = set()

    def watch(cluster: FakeCluster, what: str, thing: object) -> None:
        if what == "runs" and isinstance(thing, FakeHelper) and thing.spec.request.step == "copy":
            rested.update(ref for ref, workload in cluster.workloads.items() if workload.replicas == 0)

    cluster.watcher = watch
    status = run(cluster, cluster.add(a_cdsw()))
    assert status.phase == "Succeeded", status.failure
    assert rested == {WEB, CRON, API, OPERATOR}


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        ((), "there is no Job whose name begins with db-migrate"),
        ((JOB, "db-migrate-2.0.29-b1"), f"several Jobs have a name that begins with db-migrate: {JOB}"),
    ],
)
def test_without_the_one_schema_job_nothing_begins(jobs: tuple[str, ...], words: str) -> None:
    cluster = a_workspace()
    cluster.jobs = jobs
    status = run(cluster, cluster.add(a_cdsw()))
    assert (status.phase, status.failure_reason) == ("Failed", "JobNotFound")
    assert words in status.failure
    assert status.first_write_at is None
    assert_as_before(cluster)


def test_a_password_that_comes_from_no_secret_is_asked_for() -> None:
    cluster = a_workspace()
    cluster.secret_keys = {}
    status = run(cluster, cluster.add(a_cdsw()))
    assert status.failure_reason == "SecretNotFound"
    assert "POSTGRES_PASSWORD of StatefulSet db comes from no Secret" in status.failure
    del cluster.workloads[DB]
    gone = run(cluster, cluster.add(a_cdsw(name="again")))
    assert "StatefulSet db, the target's database, does not exist" in gone.failure


@pytest.mark.parametrize(
    ("step", "unit"),
    [("copy", WORKSPACE), ("copy", PROJECTS), ("upgrade", SCHEMA), ("adapt", WORKSPACE), ("verify", WORKSPACE)],
)
def test_a_step_that_fails_has_database_and_files_put_back(step: str, unit: str) -> None:
    cluster = a_workspace()
    cluster.behaviours[step, unit] = [Behaviour.FAIL]
    status = run(cluster, cluster.add(a_cdsw()))
    assert status.phase == "Failed"
    assert status.rolled_back_at is not None, status.failure
    assert status.first_write_at is None
    assert units_of(status, "roll_back") == [(WORKSPACE, State.SUCCEEDED), (PROJECTS, State.SUCCEEDED)]
    assert_as_before(cluster)


@pytest.mark.parametrize("unit", [WORKSPACE, PROJECTS])
def test_a_workspace_that_cannot_be_put_back_is_not_given_to_its_users(unit: str) -> None:
    cluster = a_workspace()
    cluster.behaviours["upgrade", SCHEMA] = [Behaviour.FAIL]
    cluster.behaviours["roll_back", unit] = [Behaviour.FAIL]
    status = run(cluster, cluster.add(a_cdsw()))
    assert status.rolled_back_at is None
    assert "the target could not be put back" in status.failure
    assert cluster.workloads[WEB].replicas == 0


def test_a_schema_job_that_hangs_is_ended_and_not_tried_again() -> None:
    cluster = a_workspace()
    cluster.behaviours["upgrade", SCHEMA] = [Behaviour.SILENT] * 9
    status = run(cluster, cluster.add(a_cdsw(retries=3)))
    assert (status.phase, status.failure_reason) == ("Failed", "JobFailed")
    assert f"of Job {JOB} has not ended within 20s (timeouts.silence)" in status.failure
    assert next(step for step in status.steps if step.id == "upgrade").units[0].attempt == 1
    assert status.rolled_back_at is not None


def test_what_is_kept_is_the_database_and_an_undo_puts_both_back() -> None:
    cluster = a_workspace()
    key = cluster.add(a_cdsw())
    status = run(cluster, key)
    assert status.backup is not None
    assert [(unit.name, unit.keeping) for unit in status.backup.units] == [(WORKSPACE, Keeping.KEPT)]
    found = cluster.migrations[key]
    found.document = a_cdsw(undo=True)
    found.version += 1
    cluster.callers[ADDRESS] = ()  # its pods have others since they came back
    del cluster.workloads[CRON]
    rested: set[WorkloadRef] = set()

    def watch(cluster: FakeCluster, what: str, thing: object) -> None:
        if what == "runs" and isinstance(thing, FakeHelper) and thing.spec.request.step == "roll_back":
            rested.update(ref for ref, workload in cluster.workloads.items() if workload.replicas == 0)

    cluster.watcher = watch
    undone = run(cluster, key)
    assert undone.phase == "Undone", undone.failure
    assert rested == {WEB, API, OPERATOR}, "whoever was found; one that went since is missed by nobody"
    assert {ref: w.replicas for ref, w in cluster.workloads.items()} == {WEB: 3, API: 2, OPERATOR: 1, DB: 1}


@pytest.mark.parametrize("fails", [False, True], ids=["arrives", "fails"])
def test_the_outcome_is_the_same_wherever_the_operator_dies(fails: bool) -> None:
    whole = a_workspace()
    if fails:
        whole.behaviours["upgrade", SCHEMA] = [Behaviour.FAIL]
    key = whole.add(a_cdsw())
    left = deaths(whole, key)
    for dies_at, cluster in enumerate(left):
        status = run(cluster, key)
        assert status.phase == ("Failed" if fails else "Succeeded"), (dies_at, status.failure)
        assert (status.rolled_back_at is not None) == fails
        settle(cluster, key)
        assert_as_before(cluster)
    assert len(left) > 60, "it did hardly anything"


def test_an_export_is_a_copy_into_an_archive_and_needs_no_backup() -> None:
    cluster = a_workspace()
    cluster.claims["claim/cdsw-projects"] = ClaimFacts(exists=True, uid="claim-9")
    cluster.facts["cdsw.survey"] = {"target": {"empty": True}}
    live = {
        "database": {"postgres": {"host": "db.old", "database": "sense"}, "credentialsRef": {"name": "old"}},
        "projects": {"claimName": "cdsw-projects"},
    }
    target = {"archive": {"claimName": "archive", "subPath": "cml-migration.tar.gz"}}
    programs: list[str] = []
    cluster.watcher = lambda _, what, thing: (
        programs.append(thing.spec.request.worker) if what == "runs" else None  # type: ignore[attr-defined]
    )
    document = a_document(volumes=None, cdsw={"source": live, "target": target}, quiesce={})
    status = run(cluster, cluster.add(document))
    assert status.phase == "Succeeded", status.failure
    assert programs == ["cdsw.survey", "cdsw.export", "cdsw.verify", "report"]
