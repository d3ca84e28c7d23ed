"""Helpers: the Jobs of a migration and their pods, as facts.

A helper is there for as long as its Job or any of its pods is: somebody may delete a Job and leave its pod behind,
and that pod may still write.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta

from project_migration.backends.kubernetes.client import Client
from project_migration.backends.kubernetes.diagnosis import end_failure, helper_statuses, pending_failure
from project_migration.backends.kubernetes.job_runs import container_of, failure_of_run, original_of, record_of_run
from project_migration.backends.kubernetes.manifests import CONTAINER
from project_migration.backends.kubernetes.pods import ended, runs
from project_migration.backends.kubernetes.resources import (
    EVENTS,
    JOBS,
    PODS,
    Json,
    annotations_of,
    controller_of,
    deleting,
    labels_of,
    metadata,
    name_of,
    time_of,
    uid_of,
    version_of,
)
from project_migration.engine.world import HelperFacts, HelperPhase
from project_migration.model.errors import MigrationError
from project_migration.model.labels import REQUEST, REQUEST_DIGEST, UID
from project_migration.model.records import Progress, Record, Request

#: Progress is the last line of this kind; others may follow it.
PROGRESS_LINES = 20
DIAGNOSTIC_LINES = 40
LOG_BYTES = 64 * 1024

#: Most helpers run by then, and their events need not be read.
WONDER_AFTER = timedelta(seconds=4)

#: Labels that the Job controller puts on pods. They stay when a Job is deleted without its pods.
#: https://kubernetes.io/docs/reference/labels-annotations-taints/#batch-kubernetes-io-job-name
JOB_NAME = "batch.kubernetes.io/job-name"
JOB_UID = "batch.kubernetes.io/controller-uid"


def job_uid_of(pod: Json) -> str:
    owner = controller_of(pod)
    return owner.uid if owner is not None else labels_of(pod).get(JOB_UID, "")


def observe_helpers(
    client: Client, executor: Executor, namespace: str, uid: str, read_pods: Callable[[], Sequence[Json]]
) -> Mapping[str, HelperFacts]:
    """Every helper of the migration by name. ``read_pods`` reads their pods, and is called after Jobs were read."""
    jobs = client.items(JOBS.path(namespace), labelSelector=f"{UID}={uid}")
    pods: dict[str, list[Json]] = defaultdict(list)
    for pod in read_pods():
        pods[job_uid_of(pod)].append(pod)
    helpers = [_Helper(client, namespace, job, pods.pop(uid_of(job), [])) for job in jobs]
    left = [_Helper(client, namespace, None, found) for found in pods.values()]
    facts = executor.map(lambda helper: helper.facts(), [*helpers, *left])
    return {found.name: found for found in sorted(facts, key=_ending_last, reverse=True)}


def _ending_last(facts: HelperFacts) -> bool:
    """Of two that share a name, the one that is ending is told: a new one may not begin before it is gone."""
    return facts.phase is not HelperPhase.ENDING


def newest(pods: Iterable[Json]) -> Json | None:
    """The pod that counts: one that has not ended before one that has, then the youngest."""
    return max(pods, key=lambda pod: (not ended(pod), str(metadata(pod).get("creationTimestamp", ""))), default=None)


def program_runs(pod: Json) -> bool:
    return any("running" in (status.get("state") or {}) for status in helper_statuses(pod))


def program_ended(pod: Json) -> bool:
    """Whether its program ended, which shows in the container's state some moments before the pod's phase."""
    statuses = helper_statuses(pod)
    return ended(pod) or (bool(statuses) and all("terminated" in (found.get("state") or {}) for found in statuses))


def phase_of(job: Json | None, pods: Sequence[Json]) -> HelperPhase:
    """Where a helper is. Finished means that its program ended, whatever its Job says."""
    if job is None:
        return HelperPhase.FINISHED if all(map(ended, pods)) else HelperPhase.ENDING
    if deleting(job):
        return HelperPhase.ENDING
    if original_of(job):
        return _phase_of_run(job, pods)
    if any(map(program_runs, pods)):
        return HelperPhase.RUNNING
    if all(map(program_ended, pods)) if pods else job_ended(job):
        return HelperPhase.FINISHED
    suspended = bool((job.get("spec") or {}).get("suspend"))
    return HelperPhase.PREPARED if suspended and not pods else HelperPhase.PENDING


def _phase_of_run(job: Json, pods: Sequence[Json]) -> HelperPhase:
    """Of somebody else's Job, whose pods may be replaced: its controller says when it has ended."""
    if job_ended(job):
        return HelperPhase.FINISHED if all(map(ended, pods)) else HelperPhase.RUNNING
    if any(map(runs, pods)) or (pods and all(map(ended, pods))):  # between two pods it is at work, too
        return HelperPhase.RUNNING
    suspended = bool((job.get("spec") or {}).get("suspend"))
    return HelperPhase.PREPARED if suspended and not pods else HelperPhase.PENDING


def job_ended(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(found.get("type") in ("Complete", "Failed") and found.get("status") == "True" for found in conditions)


def record_of(pod: Json) -> Record | None:
    """The record in the container's termination message; None for anything that is no whole record."""
    for status in helper_statuses(pod):
        message = ((status.get("state") or {}).get("terminated") or {}).get("message")
        if message:
            try:
                return Record.from_json(message)
            except ValueError:
                return None
    return None


def progress_in(log: str) -> Progress | None:
    """The last progress line of a log."""
    found = (Progress.from_line(line) for line in reversed(log.splitlines()))
    return next((progress for progress in found if progress is not None), None)


def _young(obj: Json) -> bool:
    """Whether it is too early to wonder why it does not run. A clock that is wrong only costs a look."""
    created = time_of(metadata(obj).get("creationTimestamp"))
    return created is not None and timedelta(0) <= datetime.now(UTC) - created < WONDER_AFTER


class _Helper:
    """One helper while its facts are read: the logs and events that its phase calls for, and no others."""

    def __init__(self, client: Client, namespace: str, job: Json | None, pods: Sequence[Json]) -> None:
        self._client = client
        self._namespace = namespace
        self._job = job
        self._pods = pods
        self._pod = newest(pods)
        self._phase = phase_of(job, pods)

    def facts(self) -> HelperFacts:
        record = None
        failure = None
        progress = None
        if self._phase is HelperPhase.PENDING:
            failure = pending_failure(self._pod, self._events())
        elif self._phase is HelperPhase.RUNNING:
            progress = progress_in(self._log(PROGRESS_LINES))
        elif self._phase is HelperPhase.FINISHED and self._job and original_of(self._job):
            record = record_of_run(self._job)
            failure = None if record else failure_of_run(self._job, self._log(DIAGNOSTIC_LINES))
        elif self._phase is HelperPhase.FINISHED:
            record = record_of(self._pod) if self._pod else None
            failure = None if record else end_failure(self._pod, self._log(DIAGNOSTIC_LINES))
        return HelperFacts(
            name=self._name(),
            uid=uid_of(self._job) if self._job else job_uid_of(self._pods[0]),
            version=version_of(self._job) if self._job else "",
            phase=self._phase,
            request_digest=self._digest(),
            record=record,
            progress=progress,
            failure=failure,
        )

    def _name(self) -> str:
        return name_of(self._job) if self._job else labels_of(self._pods[0]).get(JOB_NAME, name_of(self._pods[0]))

    def _digest(self) -> str:
        if self._job:
            return annotations_of(self._job).get(REQUEST_DIGEST, "")
        try:
            return Request.from_json(annotations_of(self._pods[0]).get(REQUEST, "")).digest
        except ValueError:
            return ""

    def _log(self, lines: int) -> str:
        """Its last lines; empty when they cannot be had, for a log is never worth a pass."""
        if self._pod is None:
            return ""
        path = PODS.path(self._namespace, name_of(self._pod), "log")
        try:
            container = container_of(self._job) if original_of(self._job) and self._job else CONTAINER
            return self._client.text(path, container=container, tailLines=lines, limitBytes=LOG_BYTES)
        except MigrationError:
            return ""

    def _events(self) -> Sequence[Json]:
        about = self._pod if self._pod is not None else self._job
        if about is None or _young(about):
            return ()
        try:
            return self._client.items(EVENTS.path(self._namespace), fieldSelector=f"involvedObject.uid={uid_of(about)}")
        except MigrationError:
            return ()
