"""Helpers offered to admission before any is made: Pod Security, quota, limit ranges and policies speak early.

They act on pods, and a Job that no pod comes of says so in an event only, minutes later. So both the Job and its pod
are created as a dry run, and so are claims. https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

from project_migration.backends.kubernetes import manifests
from project_migration.backends.kubernetes.client import AlreadyExists, Client, NotThere, Refused, TroubleError
from project_migration.backends.kubernetes.resources import CLAIMS, JOBS, PODS, STORAGE_CLASSES, Json
from project_migration.engine.effects import EnsureClaim, HelperSpec
from project_migration.engine.world import Migration, Offered
from project_migration.model.errors import Failure, Reason
from project_migration.model.labels import UNIT
from project_migration.settings import Settings


def offer(
    client: Client, executor: Executor, migration: Migration, specs: Sequence[Offered], settings: Settings
) -> Mapping[str, Failure]:
    """What admission says against each helper and claim, by its name; those it takes are not there.

    Helpers that differ in nothing that admission can see are offered once.
    """
    helpers = [spec for spec in specs if isinstance(spec, HelperSpec)]
    claims = {spec.name: _offer_claim(client, migration, spec) for spec in specs if isinstance(spec, EnsureClaim)}
    refused = {name: failure for name, failure in claims.items() if failure is not None}
    return {**_offer_helpers(client, executor, migration, helpers, settings), **refused}


def _offer_helpers(
    client: Client, executor: Executor, migration: Migration, specs: Sequence[HelperSpec], settings: Settings
) -> Mapping[str, Failure]:
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


def _offer_claim(client: Client, migration: Migration, effect: EnsureClaim) -> Failure | None:
    """Admission takes a claim of a class that does not exist, and nothing would ever come of it."""
    what = f"target claim {effect.name} cannot be made"
    if effect.storage_class is not None and not _class_may_exist(client, effect.storage_class):
        message = f"{what}: there is no storage class {effect.storage_class}"
        return Failure(Reason.STORAGE_CLASS_NOT_FOUND, message)
    try:
        client.create(CLAIMS.path(migration.key.namespace), manifests.claim(effect, migration), dry_run=True)
    except AlreadyExists:
        return None
    except Refused as refusal:
        return Failure(Reason.CLAIM_NOT_MADE, f"{what}: {refusal.message}")
    except TroubleError as trouble:
        return Failure(Reason.CLAIM_NOT_MADE, f"{what}: {trouble.message}", passing=True)
    return None


def _class_may_exist(client: Client, name: str) -> bool:
    """Whoever may not read storage classes hears it from the claim's events, once a helper waits for it."""
    try:
        client.get(STORAGE_CLASSES.path(name=name))
    except NotThere:
        return False
    except Refused:
        return True
    return True


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
