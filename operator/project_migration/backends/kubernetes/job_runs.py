"""Jobs of the namespace that are run once more: a copy under a name of ours, the Job itself stays as it is.

A Job that has ended cannot be started again, and its name is taken for as long as it exists. So a copy is made of what
its author wrote; what the API server and the Job controller added is left out
(https://kubernetes.io/docs/concepts/workloads/controllers/job/#specifying-your-own-pod-selector).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from project_migration.backends.kubernetes.client import Client
from project_migration.backends.kubernetes.diagnosis import last_lines
from project_migration.backends.kubernetes.manifests import job_metadata, labels
from project_migration.backends.kubernetes.resources import (
    JOBS,
    Json,
    annotations_of,
    labels_of,
    name_of,
)
from project_migration.engine.effects import HelperSpec
from project_migration.engine.world import Migration
from project_migration.model.errors import Failure, Reason
from project_migration.model.labels import (
    MANAGED_BY,
    REQUEST,
    REQUEST_DIGEST,
    RUN_OF,
    UID,
)
from project_migration.model.records import Outcome, Record

#: What the Job controller writes on a template: labels of another Job's pods.
_CONTROLLERS = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")

#: Of a Job's spec: what says how it runs. Not what selects its pods, and not when it is thrown away.
_KEPT = (
    "activeDeadlineSeconds",
    "backoffLimit",
    "backoffLimitPerIndex",
    "completionMode",
    "completions",
    "maxFailedIndexes",
    "parallelism",
    "podFailurePolicy",
    "successPolicy",
)


def observe_jobs(client: Client, namespace: str, beginnings: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    """By the beginning of a name: the Jobs that have such a name, without helpers."""
    if not beginnings:
        return {}
    jobs = client.items(JOBS.path(namespace), metadata_only=True)
    names = sorted(name_of(job) for job in jobs if UID not in labels_of(job))
    return {beginning: tuple(name for name in names if name.startswith(beginning)) for beginning in beginnings}


def run_of(original: Json, spec: HelperSpec, migration: Migration) -> Json:
    """A copy, suspended like every helper before it is started."""
    wanted = original.get("spec") or {}
    template = wanted.get("template") or {}
    own = {key: value for key, value in labels_of(template).items() if key not in _CONTROLLERS}
    # ours, so that its pods are found again; but for the one by which network policies know helpers
    ours = {key: value for key, value in labels(spec.request).items() if key != MANAGED_BY}
    notes = {**annotations_of(template), REQUEST: spec.request.to_json()}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": job_metadata(spec, migration, **{RUN_OF: name_of(original)}),
        "spec": {
            **{key: wanted[key] for key in _KEPT if key in wanted},
            "suspend": True,
            "podReplacementPolicy": "Failed",
            "template": {
                "metadata": {"labels": {**own, **ours}, "annotations": notes},
                "spec": template.get("spec") or {},
            },
        },
    }


def original_of(job: Json | None) -> str:
    """The Job that this one is a run of; empty for other helpers."""
    return annotations_of(job).get(RUN_OF, "") if job is not None else ""


def container_of(job: Json) -> str:
    """The container whose log is told."""
    template = (job.get("spec") or {}).get("template") or {}
    containers: list[Json] = (template.get("spec") or {}).get("containers") or [{}]
    return str(containers[0].get("name", ""))


def ended_as(job: Json) -> str:
    """``Complete`` or ``Failed``; empty while it is at work."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
            return str(condition["type"])
    return ""


def record_of_run(job: Json) -> Record | None:
    """The Job controller's own word, for there is no other; None unless the Job is complete."""
    if ended_as(job) != "Complete":
        return None
    succeeded = int((job.get("status") or {}).get("succeeded") or 0)
    return Record(
        annotations_of(job).get(REQUEST_DIGEST, ""),
        Outcome.SUCCEEDED,
        message=f"Job {original_of(job)} ran on what was copied",
        counts={"succeeded": succeeded},
    )


def failure_of_run(job: Json, log: str) -> Failure:
    """``log``: the last lines of the pod that ended last, as far as they could be read."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    failed: Json = next((found for found in conditions if found.get("type") == "Failed"), {})
    why = ": ".join(str(failed[key]) for key in ("reason", "message") if failed.get(key))
    tail = last_lines(log)
    words = f"the run of Job {original_of(job)} failed" + (f": {why}" if why else "")
    return Failure(Reason.JOB_FAILED, words + (f"; its last lines: {tail}" if tail else ""))
