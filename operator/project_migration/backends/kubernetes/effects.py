"""Effects, carried out one after the other.

Three answers are outcomes and not errors: Conflict (decided on an old view: the next pass sees what is), NotThere
(needless by now) and Refused (admission, quota or rights: kept for the next pass to tell).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus

from project_migration.backends.kubernetes import announcements, leases, manifests, workloads
from project_migration.backends.kubernetes.client import AlreadyExists, Client, NotThere, Refused, fence
from project_migration.backends.kubernetes.helpers import job_uid_of
from project_migration.backends.kubernetes.job_runs import run_of
from project_migration.backends.kubernetes.migrations import Migrations
from project_migration.backends.kubernetes.pods import PodReader
from project_migration.backends.kubernetes.refusals import Refusals
from project_migration.backends.kubernetes.resources import CLAIMS, JOBS, PODS, Json, name_of, uid_of
from project_migration.engine.effects import (
    Announce,
    DropFinalizer,
    DropLease,
    Effect,
    EnsureClaim,
    EnsureFinalizer,
    HelperSpec,
    HoldWorkload,
    PrepareHelper,
    ReleaseWorkload,
    RemoveHelper,
    StartHelper,
    TakeLease,
)
from project_migration.engine.world import Migration
from project_migration.model.errors import Conflict, Failure, MigrationError, Reason
from project_migration.settings import Settings

log = logging.getLogger(__name__)


def subject_of(effect: Effect) -> str:
    """What an effect is about, as a refusal is filed."""
    match effect:
        case PrepareHelper(spec):
            return spec.name
        case HoldWorkload() | ReleaseWorkload():
            return str(effect.ref)
        case StartHelper() | RemoveHelper() | EnsureClaim() | TakeLease() | DropLease():
            return effect.name
        case _:
            return type(effect).__name__


class Effects:
    def __init__(
        self,
        client: Client,
        settings: Settings,
        migrations: Migrations,
        pods: PodReader,
        refusals: Refusals,
        on_late: Callable[[str], None] = lambda _kind: None,
    ) -> None:
        """``on_late`` is called with the kind of each effect that was refused as late."""
        self._client = client
        self._settings = settings
        self._migrations = migrations
        self._pods = pods
        self._refusals = refusals
        self._on_late = on_late

    def apply(self, migration: Migration, effects: Sequence[Effect]) -> None:
        for effect in effects:
            self._attempt(migration, effect)

    def _attempt(self, migration: Migration, effect: Effect) -> None:
        subject, kind = subject_of(effect), type(effect).__name__
        try:
            self._carry_out(migration, effect)
        except AlreadyExists:
            log.debug("%s %s: it is there already", kind, subject)
        except Conflict as conflict:
            self._on_late(kind)
            log.info("%s %s was decided on an old view: %s", kind, subject, conflict)
        except NotThere as missing:
            log.info("%s %s is needless by now: %s", kind, subject, missing)
        except Refused as refusal:
            log.warning("%s %s was refused: %s", kind, subject, refusal)
            self._refusals.note(migration.uid, subject, Failure(Reason.HELPER_REFUSED, refusal.message))
            return
        self._refusals.clear(migration.uid, subject)

    def _carry_out(self, migration: Migration, effect: Effect) -> None:
        namespace, client = migration.key.namespace, self._client
        match effect:
            case EnsureFinalizer():
                self._migrations.ensure_finalizer(migration)
            case DropFinalizer():
                self._migrations.drop_finalizer(migration)
            case EnsureClaim():
                client.create(CLAIMS.path(namespace), manifests.claim(effect, migration))
            case PrepareHelper(spec):
                client.create(JOBS.path(namespace), self._job(spec, migration))
            case StartHelper():
                self._start(namespace, effect)
            case RemoveHelper():
                self._remove(migration, effect)
            case HoldWorkload():
                client.patch(workloads.path_of(namespace, effect.ref), workloads.hold_patch(effect))
            case ReleaseWorkload():
                client.patch(workloads.path_of(namespace, effect.ref), workloads.release_patch(effect))
            case TakeLease():
                leases.take(client, namespace, effect)
            case DropLease():
                leases.drop(client, namespace, effect)
            case Announce():
                self._announce(migration, effect)

    def _job(self, spec: HelperSpec, migration: Migration) -> Json:
        if not spec.job:
            return manifests.job(spec, migration, self._settings)
        return run_of(self._client.get(JOBS.path(migration.key.namespace, spec.job)), spec, migration)

    def _start(self, namespace: str, effect: StartHelper) -> None:
        meta = {"uid": effect.uid, "resourceVersion": fence(effect.version)}
        try:
            self._client.patch(JOBS.path(namespace, effect.name), {"metadata": meta, "spec": {"suspend": False}})
        except Refused as refusal:
            if refusal.status == HTTPStatus.UNPROCESSABLE_ENTITY:  # a UID never changes: it is another Job
                raise Conflict(refusal.message) from refusal
            raise

    def _remove(self, migration: Migration, effect: RemoveHelper) -> None:
        """In the foreground: the Job stays until its pods are gone, so what is not listed does not run."""
        namespace = migration.key.namespace
        with suppress(NotThere, Conflict):  # the Job is gone, or another one has its name
            self._client.delete(JOBS.path(namespace, effect.name), uid=effect.uid, propagation="Foreground")
            return
        for pod in self._pods.of_migration(namespace, migration.uid):
            if job_uid_of(pod) == effect.uid:
                with suppress(NotThere, Conflict):
                    self._client.delete(PODS.path(namespace, name_of(pod)), uid=uid_of(pod))

    def _announce(self, migration: Migration, effect: Announce) -> None:
        """Never fatal: people miss a line, the migration goes on."""
        log.log(logging.WARNING if effect.warning else logging.INFO, "%s: %s", effect.reason, effect.message)
        try:
            announcements.announce(self._client, effect, migration)
        except AlreadyExists:
            return
        except MigrationError as error:
            log.warning("an event could not be posted (%s): %s", error, effect.message)
