"""Why a helper does not start, or ended without a record: read from its pod, its events and its last lines.

Pure: what it needs is read before. Reasons of containers are the kubelet's (kubernetes/pkg/kubelet/images/types.go,
container/sync_result.go); reasons of ``DisruptionTarget`` are in
https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from project_migration.backends.kubernetes.manifests import CONTAINER
from project_migration.backends.kubernetes.pods import container_statuses
from project_migration.backends.kubernetes.resources import Json
from project_migration.model.errors import Failure, Reason
from project_migration.model.records import Progress

#: A failure is one paragraph in a status, not a log.
TAIL_BYTES = 1200

IMAGE_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)

#: What a container waits in while all is well.
STARTING_REASONS = frozenset({"", "ContainerCreating", "PodInitializing"})

MOUNT_EVENTS = frozenset(
    {"FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedBinding", "ProvisioningFailed"}
)

#: kubernetes/pkg/volume/secret/secret.go: a Secret that is not there, and a key that it does not have.
_NO_SECRET = re.compile(
    r'for volume "(?P<volume>[^"]+)" : '
    r'(?:secret "(?P<secret>[^"]+)" not found|references non-existent secret key: (?P<key>\S+))'
)

NODE_IS_GONE = frozenset({"DeletionByPodGC", "DeletionByTaintManager"})

#: 128 + SIGKILL, 128 + SIGTERM: somebody ended the program from outside.
KILLED, TERMINATED = 137, 143


def helper_statuses(pod: Json) -> list[Json]:
    """Of the one container that mounts anything; what admission injected beside it may run on."""
    return [status for status in container_statuses(pod) if status.get("name") == CONTAINER]


def pending_failure(pod: Json | None, events: Sequence[Json]) -> Failure | None:
    """Why a helper that was started does not run yet; None while nothing seems wrong. The wait itself goes on."""
    if pod is None:
        said = latest(events, {"FailedCreate"})
        return Failure(Reason.HELPER_REFUSED, said) if said else None
    for status in container_statuses(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
        if reason in IMAGE_REASONS:
            return Failure(Reason.HELPER_IMAGE, f"image {status.get('image')}: {reason}: {message}".rstrip(": "))
        if reason not in STARTING_REASONS:
            return Failure(Reason.HELPER_NOT_STARTED, f"{reason}: {message}".rstrip(": "))
    return _unscheduled(pod) or _without_secret(pod, events) or _unmounted(events)


def _unscheduled(pod: Json) -> Failure | None:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            message = str(condition.get("message") or condition.get("reason") or "")
            return Failure(Reason.HELPER_UNSCHEDULABLE, message)
    return None


def _without_secret(pod: Json, events: Sequence[Json]) -> Failure | None:
    """The newest event speaks of a time-out only, so the one that says which Secret is looked for among all."""
    for event in events:
        said = str(event.get("message", ""))
        missing = _NO_SECRET.search(said)
        if event.get("reason") not in MOUNT_EVENTS or missing is None:
            continue
        name = missing["secret"] or _secret_of(pod, missing["volume"] or "")
        what = f"has no key {missing['key']}" if missing["key"] else "does not exist"
        return Failure(Reason.SECRET_NOT_FOUND, f"Secret {name} {what}")
    return None


def _secret_of(pod: Json, volume: str) -> str:
    """Which Secret a pod's volume is made of; the volume's own name where that cannot be told."""
    for found in (pod.get("spec") or {}).get("volumes") or ():
        if found.get("name") == volume and found.get("secret"):
            return str(found["secret"].get("secretName"))
    return f"of the volume {volume}"


def _unmounted(events: Sequence[Json]) -> Failure | None:
    said = latest(events, MOUNT_EVENTS)
    return Failure(Reason.CLAIM_NOT_MOUNTABLE, said) if said else None


def latest(events: Iterable[Json], reasons: Iterable[str]) -> str:
    """The newest message among events of these reasons, or empty."""
    wanted = set(reasons)
    found = [event for event in events if event.get("reason") in wanted]
    newest = max(found, key=_moment, default=None)
    return str(newest.get("message", "")) if newest else ""


def _moment(event: Json) -> str:
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")


def end_failure(pod: Json | None, log: str) -> Failure:
    """Why a helper that ended left no record. ``log``: its last lines, as far as they could be read."""
    if pod is None:
        return Failure(Reason.HELPER_LOST, "the helper's pod was removed before it left a record", passing=True)
    status = pod.get("status") or {}
    disrupted = _disruption(status)
    if disrupted is not None:
        return disrupted
    terminated = next(
        (ended for found in helper_statuses(pod) if (ended := (found.get("state") or {}).get("terminated"))), None
    )
    if terminated is None:
        said = status.get("message") or status.get("reason") or "its pod ended before its program began"
        return Failure(Reason.HELPER_LOST, str(said), passing=True)
    return _exit_failure(terminated, log)


def _disruption(status: Json) -> Failure | None:
    """Whether somebody other than the program ended it: a node that is short of something, a drain, a preemption."""
    reason, message = str(status.get("reason", "")), str(status.get("message", ""))
    if reason == "Evicted":
        return Failure(Reason.HELPER_EVICTED, f"the node evicted the helper: {message}", passing=True)
    for condition in status.get("conditions") or ():
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            why = str(condition.get("reason", ""))
            kind = Reason.HELPER_LOST if why in NODE_IS_GONE else Reason.HELPER_EVICTED
            return Failure(kind, f"{why}: {condition.get('message', '')}".rstrip(": "), passing=True)
    if reason in ("NodeLost", "Terminated", "NodeShutdown", "Shutdown"):
        return Failure(Reason.HELPER_LOST, f"{reason}: {message}".rstrip(": "), passing=True)
    return None


def _exit_failure(terminated: Json, log: str) -> Failure:
    code = int(terminated.get("exitCode", 0))
    tail = last_lines(log)
    lines = f"; its last lines: {tail}" if tail else ""
    if terminated.get("reason") == "OOMKilled":
        return Failure(Reason.HELPER_OUT_OF_MEMORY, f"the helper used more memory than its limit{lines}")
    if code in (KILLED, TERMINATED):
        said = f"the helper was ended from outside (exit code {code}){lines}"
        return Failure(Reason.HELPER_LOST, said, passing=True)
    if terminated.get("reason") in ("ContainerCannotRun", "StartError"):
        return Failure(Reason.HELPER_NOT_STARTED, f"{terminated['reason']}: {terminated.get('message', '')}")
    said = _unread(str(terminated.get("message") or ""))
    message = f"the helper ended with exit code {code} and left no record{said}{lines}"
    # passing, since another attempt costs seconds, attempts are counted, and a helper may be run again at any time
    return Failure(Reason.HELPER_CRASHED, message, passing=True)


def _unread(message: str) -> str:
    """What it left instead of a record, for instance half of one."""
    return f" (it left {message[:200]!r})" if message.strip() else ""


def last_lines(log: str, limit: int = TAIL_BYTES) -> str:
    """The end of a log for a person: without progress lines, at most ``limit`` bytes."""
    lines = [line for line in log.splitlines() if line.strip() and Progress.from_line(line) is None]
    return _cut("\n".join(lines).encode(), limit)


def _cut(text: bytes, limit: int) -> str:
    if len(text) <= limit:
        return text.decode()
    return "…" + text[-limit:].decode(errors="ignore").partition("\n")[2]
