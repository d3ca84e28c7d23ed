"""A Job that is run once more is what its author wrote, and its end is what its controller says."""

from __future__ import annotations

import copy

import pytest

from project_migration.backends.kubernetes.helpers import phase_of
from project_migration.backends.kubernetes.job_runs import container_of, failure_of_run, record_of_run, run_of
from project_migration.backends.kubernetes.pods import addresses_of
from project_migration.backends.kubernetes.resources import Json
from project_migration.backends.kubernetes.variables import secret_key
from project_migration.engine.effects import HelperSpec, Rights
from project_migration.engine.names import Key, SecretKey
from project_migration.engine.world import HelperPhase, Migration
from project_migration.model.errors import Reason
from project_migration.model.labels import MANAGED_BY, RUN_OF, UID
from project_migration.model.records import Request
from project_migration.model.status import Status

REQUEST = Request("job", "uid-1", "cdsw", "mlx", "upgrade", "schema", params={"job": "db-migrate-2.0.28-b66"})
SPEC = HelperSpec("upgrade-schema-1-uid1", REQUEST, (), Rights.NONE, job="db-migrate-2.0.28-b66")
MIGRATION = Migration(Key("mlx", "cdsw"), "uid-1", "1", None, Status())


def original() -> Json:
    """As an API server gives one that has ended."""
    mine = {"controller-uid": "u", "batch.kubernetes.io/controller-uid": "u", "job-name": "db-migrate-2.0.28-b66"}
    return {
        "metadata": {"name": "db-migrate-2.0.28-b66", "uid": "u", "ownerReferences": [{"name": "installer"}]},
        "spec": {
            "backoffLimit": 6,
            "completions": 1,
            "parallelism": 1,
            "suspend": False,
            "ttlSecondsAfterFinished": 60,
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}},
            "template": {
                "metadata": {"labels": {"role": "db-migrate", **mine}, "annotations": {"note": "kept"}},
                "spec": {
                    "restartPolicy": "OnFailure",
                    "serviceAccountName": "migrator",
                    "containers": [{"name": "migrate", "image": "cml/db:2.0.28"}],
                },
            },
        },
        "status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]},
    }


def run() -> Json:
    return run_of(original(), SPEC, MIGRATION)


def test_a_run_is_what_the_author_wrote_without_what_the_controller_added() -> None:
    before = original()
    made = run_of(before, SPEC, MIGRATION)
    assert before == original(), "the Job itself stays as it is"
    assert made["metadata"]["name"] == "upgrade-schema-1-uid1"
    assert made["metadata"]["annotations"][RUN_OF] == "db-migrate-2.0.28-b66"
    assert made["metadata"]["ownerReferences"][0]["name"] == "cdsw"
    spec = made["spec"]
    assert spec["suspend"] is True
    assert "selector" not in spec
    assert "ttlSecondsAfterFinished" not in spec, "it goes once its end is on record, not before"
    assert spec["backoffLimit"] == 6
    assert spec["template"]["spec"] == original()["spec"]["template"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert labels["role"] == "db-migrate"
    assert labels[UID] == "uid-1"
    assert not {"controller-uid", "job-name", "batch.kubernetes.io/controller-uid"} & set(labels)
    assert MANAGED_BY not in labels, "policies for helpers do not hold it back"


def with_status(**status: object) -> Json:
    made = copy.deepcopy(run())
    made["spec"]["suspend"] = False
    made["status"] = status
    return made


def pod(phase: str, state: str) -> Json:
    return {"status": {"phase": phase, "containerStatuses": [{"name": "migrate", "state": {state: {}}}]}}


@pytest.mark.parametrize(
    ("job", "pods", "phase"),
    [
        (run(), [], HelperPhase.PREPARED),
        (with_status(), [], HelperPhase.PENDING),
        (with_status(), [pod("Running", "running")], HelperPhase.RUNNING),
        (with_status(failed=1), [pod("Failed", "terminated")], HelperPhase.RUNNING),
        (with_status(), [pod("Pending", "waiting")], HelperPhase.PENDING),
        (
            with_status(conditions=[{"type": "Complete", "status": "True"}]),
            [pod("Running", "running")],
            HelperPhase.RUNNING,
        ),
        (
            with_status(conditions=[{"type": "Failed", "status": "True"}]),
            [pod("Failed", "terminated")],
            HelperPhase.FINISHED,
        ),
    ],
    ids=["suspended", "no pod yet", "at work", "between two pods", "no image", "a pod that still runs", "failed"],
)
def test_it_has_ended_when_its_controller_says_so_and_no_pod_runs(
    job: Json, pods: list[Json], phase: HelperPhase
) -> None:
    assert phase_of(job, pods) is phase


def test_a_complete_run_is_evidence_and_any_other_is_none() -> None:
    record = record_of_run(with_status(succeeded=1, conditions=[{"type": "Complete", "status": "True"}]))
    assert record is not None
    assert (record.request_digest, record.counts) == (REQUEST.digest, {"succeeded": 1})
    assert record_of_run(with_status(succeeded=1)) is None


def test_a_failed_run_tells_why_and_its_last_lines_and_is_not_tried_again() -> None:
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}
    failure = failure_of_run(with_status(conditions=[failed]), "line one\nERROR: no such column\n")
    assert failure.reason is Reason.JOB_FAILED
    assert failure.message == (
        "the run of Job db-migrate-2.0.28-b66 failed: BackoffLimitExceeded: too often; its last lines: line one\n"
        "ERROR: no such column"
    )
    assert not failure.passing
    assert container_of(run()) == "migrate"


PASSWORD = "POSTGRES_PASSWORD"


def of(*containers: Json) -> Json:
    return {"spec": {"template": {"spec": {"containers": list(containers)}}}}


@pytest.mark.parametrize(
    ("workload", "key"),
    [
        (
            of({"env": [{"name": PASSWORD, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
            SecretKey("s", "k"),
        ),
        (of({}, {"envFrom": [{"secretRef": {"name": "all"}}]}), SecretKey("all", PASSWORD)),
        (of({"envFrom": [{"prefix": "POSTGRES_", "secretRef": {"name": "all"}}]}), SecretKey("all", "PASSWORD")),
        (of({"env": [{"name": PASSWORD, "value": "plain"}]}), None),
        (of({"envFrom": [{"secretRef": {"name": "one"}}, {"secretRef": {"name": "two"}}]}), None),
        (of({"env": [{"name": "OTHER", "value": "x"}]}), None),
        ({}, None),
    ],
    ids=["a key", "a whole Secret", "with a prefix", "plain text", "two that may", "not there", "nothing"],
)
def test_a_variable_leads_to_its_secret_where_there_is_one_without_doubt(workload: Json, key: SecretKey | None) -> None:
    assert secret_key(workload, PASSWORD) == key


def test_a_pod_is_found_by_every_address_that_it_has() -> None:
    assert list(addresses_of({"status": {"podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::7"}]}})) == [
        "10.0.0.7",
        "fd00::7",
    ]
    assert list(addresses_of({})) == []
