from __future__ import annotations

from project_migration.backends.kubernetes.helpers import newest, phase_of, progress_in, record_of
from project_migration.backends.kubernetes.resources import Json
from project_migration.engine.world import HelperPhase
from project_migration.model.records import Outcome, Progress, Record
from tests.unit.kubernetes.objects import a_pod, container, with_containers

RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
TERMINATED = {"terminated": {"exitCode": 0}}


def a_job(*, suspend: bool = False, deleting: bool = False, condition: str = "") -> Json:
    meta = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {}
    conditions = [{"type": condition, "status": "True"}] if condition else []
    return {"metadata": {"name": "x", **meta}, "spec": {"suspend": suspend}, "status": {"conditions": conditions}}


def running_pod(**parts: object) -> Json:
    return a_pod(status=with_containers(container(RUNNING)), **parts)


def test_a_suspended_job_is_prepared_and_a_started_one_is_pending_until_its_program_runs() -> None:
    assert phase_of(a_job(suspend=True), []) is HelperPhase.PREPARED
    assert phase_of(a_job(), []) is HelperPhase.PENDING
    assert phase_of(a_job(), [a_pod(phase="Pending")]) is HelperPhase.PENDING
    assert phase_of(a_job(), [running_pod()]) is HelperPhase.RUNNING


def test_a_helper_is_finished_when_its_program_ended_whatever_its_job_says() -> None:
    done = a_pod(phase="Succeeded", status=with_containers(container(TERMINATED)))
    assert phase_of(a_job(), [done]) is HelperPhase.FINISHED
    ending = a_pod(phase="Running", status=with_containers(container(TERMINATED)))
    assert phase_of(a_job(), [ending]) is HelperPhase.FINISHED
    assert phase_of(a_job(condition="Failed"), []) is HelperPhase.FINISHED


def test_a_failed_job_whose_container_still_runs_is_not_finished() -> None:
    """A node that is lost: the Job is given up, and its program may go on writing."""
    assert phase_of(a_job(condition="Failed"), [running_pod(phase="Failed")]) is HelperPhase.RUNNING
    both = [a_pod(phase="Failed"), running_pod()]
    assert phase_of(a_job(condition="Failed"), both) is HelperPhase.RUNNING


def test_a_helper_is_ending_until_its_job_is_gone_and_its_pods_have_ended() -> None:
    assert phase_of(a_job(deleting=True), []) is HelperPhase.ENDING
    assert phase_of(None, [running_pod()]) is HelperPhase.ENDING
    assert phase_of(None, [a_pod(phase="Pending")]) is HelperPhase.ENDING
    assert phase_of(None, [a_pod(phase="Succeeded")]) is HelperPhase.FINISHED


def test_a_sidecar_that_admission_injected_does_not_keep_a_helper_running() -> None:
    sidecar = {"name": "istio-proxy", "state": RUNNING}
    done = a_pod(status=with_containers(sidecar, container(TERMINATED)))
    assert phase_of(a_job(), [done]) is HelperPhase.FINISHED
    assert (
        phase_of(a_job(), [a_pod(status=with_containers(sidecar, container({"waiting": {}})))]) is HelperPhase.PENDING
    )
    assert phase_of(a_job(), [a_pod(status=with_containers(sidecar, container(RUNNING)))]) is HelperPhase.RUNNING


def test_the_pod_that_may_still_write_counts_before_a_younger_one() -> None:
    old = a_pod("old", phase="Running", creationTimestamp="2026-01-01T00:00:00Z")
    young = a_pod("young", phase="Failed", creationTimestamp="2026-01-02T00:00:00Z")
    assert newest([old, young]) is old
    assert newest([]) is None


def test_only_a_whole_record_is_a_record() -> None:
    record = Record("sha256:1", Outcome.SUCCEEDED, counts={"files": 3})

    def left(message: str) -> Record | None:
        state = {"terminated": {"exitCode": 0, "message": message}}
        return record_of(a_pod(phase="Succeeded", status=with_containers(container(state))))

    assert left(record.to_json()) == record
    assert left(record.to_json()[:-5]) is None
    assert left("") is None
    assert left("[1]") is None


def test_progress_is_the_last_line_that_is_one() -> None:
    log = "\n".join(["begin", Progress(1, 9, 0, 0).to_json(), Progress(2, 9, 0, 0).to_json(), "copied x", "{broken"])
    assert progress_in(log) == Progress(2, 9, 0, 0)
    assert progress_in("nothing here") is None
