"""One look at everything that a pass asks about, in as few calls as the questions allow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime

from project_migration.backends.kubernetes.admission import offer
from project_migration.backends.kubernetes.claims import ClaimReader
from project_migration.backends.kubernetes.client import Client, unless_there
from project_migration.backends.kubernetes.helpers import observe_helpers
from project_migration.backends.kubernetes.job_runs import observe_jobs
from project_migration.backends.kubernetes.leases import observe_leases
from project_migration.backends.kubernetes.pods import NamespacePods, PodReader
from project_migration.backends.kubernetes.queue import Queue
from project_migration.backends.kubernetes.refusals import Refusals
from project_migration.backends.kubernetes.resources import NAMESPACES, Json, deleting, labels_of
from project_migration.backends.kubernetes.variables import observe_variables
from project_migration.backends.kubernetes.workloads import observe_workloads
from project_migration.engine.world import ClaimFacts, Migration, NamespaceFacts, Questions, World
from project_migration.model.labels import ALLOW_FROM, PRIVILEGED_HELPERS, UID
from project_migration.settings import Settings

CLAIM = "claim/"


class Observation:
    def __init__(
        self, client: Client, settings: Settings, pods: PodReader, executor: Executor, refusals: Refusals
    ) -> None:
        self._client = client
        self._settings = settings
        self._pods = pods
        self._claim_reader = ClaimReader(client)
        self._executor = executor
        self._refusals = refusals
        self._queue = Queue(client, settings)

    def world(self, migration: Migration, questions: Questions) -> World:
        namespace, uid = migration.key.namespace, migration.uid
        everything = bool(questions.claims or questions.workloads or questions.hosts)
        seen: list[NamespacePods] = []

        def helper_pods() -> Sequence[Json]:
            if not everything:
                return self._pods.of_migration(namespace, uid)
            seen.append(self._pods.namespace(namespace))
            return seen[0].labelled(UID, uid)

        helpers = observe_helpers(self._client, self._executor, namespace, uid, helper_pods)
        pods = seen[0] if seen else NamespacePods((), {})
        world = World(
            now=datetime.now(UTC),
            claims=self._claims(migration, questions.claims, pods),
            workloads=observe_workloads(
                self._client, namespace, questions.workloads, pods, self._settings.argocd_namespace
            ),
            helpers=helpers,
            leases=observe_leases(self._client, migration, questions.leases),
            namespace=self._namespace(namespace) if questions.namespace else NamespaceFacts(),
            denied=self._refusals.of(uid),
            clock_skew=self._client.clock_skew,
            client_images=frozenset(self._settings.helper_postgres_images),
            callers={host: pods.callers(host, namespace, uid) for host in questions.hosts},
            jobs=observe_jobs(self._client, namespace, questions.jobs),
            secret_keys=observe_variables(self._client, namespace, questions.variables),
            queue=self._queue.facts(uid) if questions.queue else None,
            consenting=frozenset(other for other in questions.other_namespaces if self._consents(other, namespace)),
        )
        return world.with_refusals(
            questions, lambda specs: offer(self._client, self._executor, migration, specs, self._settings)
        )

    def _claims(self, migration: Migration, keys: Collection[str], pods: NamespacePods) -> Mapping[str, ClaimFacts]:
        """A path is nothing that a cluster has; it does not exist here."""
        names = {key.removeprefix(CLAIM) for key in keys if key.startswith(CLAIM)}
        found = self._claim_reader.observe(migration.key.namespace, names, pods, migration.uid)
        return {key: found.get(key.removeprefix(CLAIM), ClaimFacts(exists=False)) for key in keys}

    def _namespace(self, name: str) -> NamespaceFacts:
        """What we may not read allows nothing."""
        found = self._read_namespace(name)
        return NamespaceFacts(
            privileged_helpers=labels_of(found).get(PRIVILEGED_HELPERS) == "true",
            terminating=deleting(found) or (found.get("status") or {}).get("phase") == "Terminating",
        )

    def _consents(self, other: str, namespace: str) -> bool:
        return labels_of(self._read_namespace(other)).get(ALLOW_FROM) == namespace

    def _read_namespace(self, name: str) -> Json:
        return unless_there(lambda: self._client.get(NAMESPACES.path(name=name)), {})
