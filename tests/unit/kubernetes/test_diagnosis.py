from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_migration.backends.kubernetes.diagnosis import TAIL_BYTES, end_failure, last_lines, pending_failure
from project_migration.backends.kubernetes.resources import Json
from project_migration.model.errors import Reason
from project_migration.model.records import Progress
from tests.unit.kubernetes.objects import a_pod, container, with_containers

RECORDED_EVENTS = [
    {"reason": "Scheduled", "message": "Successfully assigned ml/x to node", "lastTimestamp": "2026-01-01T00:00:00Z"},
    {
        "reason": "FailedMount",
        "message": 'MountVolume.SetUp failed for volume "pvc-1": rpc error',
        "lastTimestamp": "2026-01-01T00:00:09Z",
    },
    {
        "reason": "FailedAttachVolume",
        "message": 'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) web-1',
        "lastTimestamp": "2026-01-01T00:00:05Z",
    },
]


def waiting(reason: str, message: str = "") -> Json:
    status = with_containers(container({"waiting": {"reason": reason, "message": message}}))
    return a_pod(phase="Pending", status=status)


def ended(code: int, reason: str = "Error", message: str = "", **status: object) -> Json:
    state = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
    return a_pod(phase="Failed", status=with_containers(container(state), **status))


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"])
def test_an_image_that_cannot_be_had_is_named(reason: str) -> None:
    failure = pending_failure(waiting(reason, "not found"), [])
    assert failure is not None
    assert failure.reason is Reason.HELPER_IMAGE
    assert failure.message == f"image localhost/base:1: {reason}: not found"


def test_a_container_that_cannot_be_made_says_why() -> None:
    failure = pending_failure(waiting("CreateContainerConfigError", "secret x not found"), [])
    assert failure is not None
    assert failure.reason is Reason.HELPER_NOT_STARTED
    assert "secret x not found" in failure.message


def test_a_pod_without_a_node_says_what_the_scheduler_says() -> None:
    said = "0/3 nodes are available: 3 Insufficient memory."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}
    failure = pending_failure(a_pod(phase="Pending", status={"conditions": [condition]}), RECORDED_EVENTS)
    assert failure is not None
    assert (failure.reason, failure.message, failure.passing) == (Reason.HELPER_UNSCHEDULABLE, said, False)


def test_a_volume_that_cannot_be_mounted_is_named_by_its_latest_event() -> None:
    failure = pending_failure(waiting("ContainerCreating"), RECORDED_EVENTS)
    assert failure is not None
    assert failure.reason is Reason.CLAIM_NOT_MOUNTABLE
    assert "MountVolume.SetUp failed" in failure.message


def test_a_job_without_a_pod_says_who_refuses_it() -> None:
    events = [{"reason": "FailedCreate", "message": "violates PodSecurity", "lastTimestamp": "2026-01-01T00:00:00Z"}]
    failure = pending_failure(None, events)
    assert failure is not None
    assert (failure.reason, failure.message) == (Reason.HELPER_REFUSED, "violates PodSecurity")


def test_a_helper_that_is_merely_starting_has_no_failure() -> None:
    assert pending_failure(waiting("ContainerCreating"), RECORDED_EVENTS[:1]) is None
    assert pending_failure(waiting("PodInitializing"), []) is None
    assert pending_failure(None, []) is None


def test_memory_is_told_from_a_crash() -> None:
    failure = end_failure(ended(137, "OOMKilled"), "")
    assert (failure.reason, failure.passing) == (Reason.HELPER_OUT_OF_MEMORY, False)


def test_a_crash_tells_its_exit_code_and_last_lines() -> None:
    failure = end_failure(ended(1), "Traceback\nOSError: broken\n")
    assert failure.reason is Reason.HELPER_CRASHED
    assert "exit code 1" in failure.message
    assert failure.message.endswith("OSError: broken")


def test_a_helper_that_ends_well_without_a_record_has_still_failed() -> None:
    failure = end_failure(ended(0, "Completed"), "")
    assert failure.reason is Reason.HELPER_CRASHED
    assert "left no record" in failure.message


def test_half_a_record_is_shown_and_is_no_evidence() -> None:
    failure = end_failure(ended(0, "Completed", '{"version": 1, "reque'), "")
    assert '\'{"version": 1, "reque\'' in failure.message


def test_an_eviction_passes() -> None:
    evicted = a_pod(phase="Failed", status={"reason": "Evicted", "message": "The node was low on resource: memory."})
    failure = end_failure(evicted, "")
    assert (failure.reason, failure.passing) == (Reason.HELPER_EVICTED, True)
    assert "low on resource" in failure.message


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("PreemptionByScheduler", Reason.HELPER_EVICTED),
        ("EvictionByEvictionAPI", Reason.HELPER_EVICTED),
        ("TerminationByKubelet", Reason.HELPER_EVICTED),
        ("DeletionByPodGC", Reason.HELPER_LOST),
        ("DeletionByTaintManager", Reason.HELPER_LOST),
    ],
)
def test_a_disruption_is_told_by_its_kind_whatever_the_exit_code(why: str, reason: Reason) -> None:
    condition = {"type": "DisruptionTarget", "status": "True", "reason": why, "message": "because"}
    failure = end_failure(ended(143, conditions=[condition]), "some lines")
    assert (failure.reason, failure.passing) == (reason, True)
    assert failure.message == f"{why}: because"


@pytest.mark.parametrize("code", [137, 143])
def test_a_helper_ended_from_outside_is_lost_for_the_moment(code: int) -> None:
    failure = end_failure(ended(code), "")
    assert (failure.reason, failure.passing) == (Reason.HELPER_LOST, True)


def test_a_pod_that_somebody_removed_is_lost_for_the_moment() -> None:
    assert end_failure(None, "").reason is Reason.HELPER_LOST
    assert end_failure(None, "").passing


def test_a_program_that_is_not_there_is_no_crash() -> None:
    failure = end_failure(ended(128, "StartError", 'exec: "python": not found'), "")
    assert failure.reason is Reason.HELPER_NOT_STARTED
    assert "not found" in failure.message


def test_progress_is_left_out_of_what_people_read() -> None:
    log = f"begin\n{Progress(1, 2, 3, 4).to_json()}\n\nend\n"
    assert last_lines(log) == "begin\nend"


@given(st.text(max_size=5000))
def test_last_lines_are_bounded_and_whole(log: str) -> None:
    found = last_lines(log)
    assert len(found.encode()) <= TAIL_BYTES + len("…".encode())


SECRET_POD = a_pod(
    phase="Pending",
    status=with_containers(container({"waiting": {"reason": "ContainerCreating"}})),
    spec={"volumes": [{"name": "secret-target-ca", "secret": {"secretName": "authority"}}]},
)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('MountVolume.SetUp failed for volume "secret-a" : secret "db-new" not found', "Secret db-new does not exist"),
        (
            'MountVolume.SetUp failed for volume "secret-target-ca" : references non-existent secret key: ca.crt',
            "Secret authority has no key ca.crt",
        ),
    ],
)
def test_a_secret_that_is_missing_is_named_whatever_was_said_since(said: str, message: str) -> None:
    events = [
        {"reason": "FailedMount", "message": said, "lastTimestamp": "2026-01-01T00:00:01Z"},
        {
            "reason": "FailedMount",
            "message": "Unable to attach or mount volumes: unmounted volumes=[secret-a], timed out",
            "lastTimestamp": "2026-01-01T00:02:01Z",
        },
    ]
    failure = pending_failure(SECRET_POD, events)
    assert failure is not None
    assert (failure.reason, failure.message) == (Reason.SECRET_NOT_FOUND, message)
