"""Helpers offered to admission before any is made: Pod Security, quota, limit ranges and policies speak early.

They act on pods, and a Job that no pod comes of says so in an event only, minutes later. So both the Job and its pod
are created as a dry run. https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

from project_migration.backends.kubernetes import manifests
from project_migration.backends.kubernetes.client import AlreadyExists, Client, Refused, TroubleError
from project_migration.backends.kubernetes.resources import JOBS, PODS, Json
from project_migration.engine.effects import HelperSpec
from project_migration.engine.world import Migration
from project_migration.model.errors import Failure, Reason
from project_migration.model.labels import UNIT
from project_migration.settings import Settings


def offer(
    client: Client, executor: Executor, migration: Migration, specs: Sequence[HelperSpec], settings: Settings
) -> Mapping[str, Failure]:
    """What admission says against each helper, by the helper's name; those it takes are not there.

    Helpers that differ in nothing that admission can see are offered once.
    """
    kinds: dict[str, list[HelperSpec]] = {}
    for spec in specs:
        kinds.setdefault(_looks(manifests.dry_run_pod(spec, migration, settings)), []).append(spec)
    firsts = [alike[0] for alike in kinds.values()]
    answers = executor.map(lambda spec: _offer(client, migration, spec, settings), firsts)
    return {
        spec.name: failure
        for alike, failure in zip(kinds.values(), answers, strict=True)
        if failure is not None
        for spec in alike
    }


def _looks(pod: Json) -> str:
    """A pod without what only tells it from its brothers: name, request, and which unit it is."""
    labels = {key: value for key, value in pod["metadata"]["labels"].items() if key != UNIT}
    return json.dumps([labels, pod["spec"]], sort_keys=True)


def _offer(client: Client, migration: Migration, spec: HelperSpec, settings: Settings) -> Failure | None:
    namespace = migration.key.namespace
    try:
        client.create(PODS.path(namespace), manifests.dry_run_pod(spec, migration, settings), dry_run=True)
        client.create(JOBS.path(namespace), manifests.job(spec, migration, settings), dry_run=True)
    except AlreadyExists:
        return None
    except Refused as refusal:
        return Failure(Reason.HELPER_REFUSED, refusal.message)
    except TroubleError as trouble:
        # a webhook that does not answer is a reason to tell, and not only to wait for
        return Failure(Reason.HELPER_REFUSED, trouble.message, passing=True)
    return None
