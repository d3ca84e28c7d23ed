"""The backend with exactly the rights that the manifests give it: they suffice for everything, and read no Secret."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import Configuration

from project_migration.backends.kubernetes import KubernetesBackend
from project_migration.backends.kubernetes.client import Client, Refused
from project_migration.backends.kubernetes.resources import (
    CRON_JOBS,
    DEPLOYMENTS,
    MIGRATIONS,
    PODS,
    STATEFUL_SETS,
    Json,
    Resource,
)
from project_migration.engine.effects import (
    Announce,
    DropFinalizer,
    DropLease,
    EnsureClaim,
    EnsureFinalizer,
    HoldWorkload,
    PrepareHelper,
    ReleaseWorkload,
    RemoveHelper,
    StartHelper,
    TakeLease,
)
from project_migration.engine.names import Key, WorkloadRef
from project_migration.engine.world import HelperPhase, Questions
from project_migration.model.document import WorkloadKind
from project_migration.model.errors import Gone
from project_migration.model.status import Status
from tests.cluster.backend.surroundings import (
    ACCOUNTS,
    apply,
    class_with,
    document,
    facts_of,
    helper,
    pod_spec,
    settings,
    wait_until,
    workload,
)

pytestmark = pytest.mark.timeout(240)

RIGHTS = Path(__file__).parents[3] / "manifests" / "base" / "watched" / "rights.yaml"
ROLES = Resource("rbac.authorization.k8s.io/v1", "roles", "Role")
BINDINGS = Resource("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding")
SECRETS = Resource("v1", "secrets", "Secret")

WEB = WorkloadRef(WorkloadKind.DEPLOYMENT, "web")
DB = WorkloadRef(WorkloadKind.STATEFUL_SET, "db")
NIGHTLY = WorkloadRef(WorkloadKind.CRON_JOB, "nightly")


def the_role() -> Json:
    return next(found for found in yaml.safe_load_all(RIGHTS.read_text()) if found["kind"] == "Role")


@pytest.fixture
def limited(client: Client, configuration: Configuration, namespace: str) -> Client:
    """The operator as it is installed: a service account with the Role in one namespace, and nothing else."""
    client.create(ACCOUNTS.path(namespace), {"metadata": {"name": "operator"}})
    client.create(ROLES.path(namespace), {**the_role(), "metadata": {"name": "operator"}})
    binding = {
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
        "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": namespace}],
    }
    client.create(BINDINGS.path(namespace), binding)
    issued = client.create(ACCOUNTS.path(namespace, "operator", "token"), {"spec": {"expirationSeconds": 3600}})
    ours = Configuration()
    ours.host, ours.ssl_ca_cert = configuration.host, configuration.ssl_ca_cert
    ours.api_key["authorization"] = f"Bearer {issued['status']['token']}"
    return Client(ours)


def test_the_rights_in_the_manifests_suffice_for_every_question_and_every_effect(
    client: Client,
    limited: Client,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    client.create(MIGRATIONS.path(namespace), document(namespace))
    client.create(DEPLOYMENTS.path(namespace), workload(DEPLOYMENTS, "web", pod_spec()))
    client.create(STATEFUL_SETS.path(namespace), workload(STATEFUL_SETS, "db", pod_spec()))
    template = {"spec": {"template": {"spec": pod_spec(restartPolicy="Never")}}}
    client.create(
        CRON_JOBS.path(namespace),
        {"metadata": {"name": "nightly"}, "spec": {"schedule": "0 0 1 1 *", "jobTemplate": template}},
    )
    backend = KubernetesBackend(settings(namespace), limited)
    assert backend.keys() == [Key(namespace, "vision")]
    migration = backend.load(Key(namespace, "vision"))
    migration = backend.save(migration, Status(phase="Trying"))
    everything = Questions(
        claims=frozenset({"claim/work", "claim/none"}),
        workloads=frozenset({WEB, DB, NIGHTLY}),
        leases=frozenset({"lock"}),
        namespace=True,
        dry_run=(lambda _: (helper(migration, "look"),),),
        other_namespaces=frozenset({"kube-system"}),
    )
    apply(
        backend,
        migration,
        EnsureFinalizer(),
        EnsureClaim("work", "16Mi", class_with(client, "WaitForFirstConsumer")),
        TakeLease("lock", migration.holder, None),
        Announce("StepBegun", "trying"),
        PrepareHelper(helper(migration, "crash")),
    )
    world = backend.observe(migration, everything)
    assert world.refused == world.denied == {}
    assert world.consenting == frozenset()
    # storage classes belong to the cluster, and this account may not see them: the event on the claim tells
    waits = lambda: backend.observe(migration, everything).claims["claim/work"].waits_for_consumer  # noqa: E731
    wait_until(waits, "the claim is known to wait")

    for ref in (WEB, DB, NIGHTLY):
        _until_held(backend, migration, ref)
    _until_helper_ended(backend, migration)
    for ref in (WEB, DB, NIGHTLY):
        facts = backend.observe(migration, everything).workloads[ref]
        cron = ref is NIGHTLY
        apply(
            backend,
            migration,
            ReleaseWorkload(ref, facts.version, "1", replicas=None if cron else 1, suspended=False if cron else None),
        )
    taken = backend.observe(migration, everything).leases["lock"]
    apply(backend, migration, TakeLease("lock", migration.holder, taken.version))
    taken = backend.observe(migration, everything).leases["lock"]
    apply(backend, migration, DropLease("lock", taken.version))
    assert backend.restore_orphans() == []
    client.delete(MIGRATIONS.path(namespace, "vision"))
    apply(backend, backend.load(migration.key), DropFinalizer())
    with pytest.raises(Gone):
        backend.load(migration.key)
    told = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert told == []
    assert "could not be posted" not in caplog.text


def _until_held(backend: KubernetesBackend, migration: Any, ref: WorkloadRef) -> None:
    def held() -> bool:
        facts = backend.observe(migration, Questions(workloads=frozenset({ref}))).workloads[ref]
        if not facts.holder:
            hold = HoldWorkload(ref, facts.version, migration.holder, facts.replicas, facts.suspended)
            apply(backend, migration, hold)
        return bool(facts.holder)

    wait_until(held, f"{ref} is held")


def _until_helper_ended(backend: KubernetesBackend, migration: Any) -> None:
    """From prepared to removed. Its program is not in this image, which is a way to end too."""

    def started() -> bool:
        facts = facts_of(backend, migration)
        if facts is not None and facts.phase is HelperPhase.PREPARED:
            apply(backend, migration, StartHelper(facts.name, facts.uid, facts.version))
        return facts is not None and facts.failure is not None

    wait_until(started, "the helper failed")
    facts = facts_of(backend, migration)
    assert facts is not None
    apply(backend, migration, RemoveHelper(facts.name, facts.uid))
    wait_until(lambda: facts_of(backend, migration) is None, "the helper is gone")


def test_the_operator_reads_no_secret_and_enters_no_pod(limited: Client, namespace: str) -> None:
    for attempt in (
        lambda: limited.items(SECRETS.path(namespace)),
        lambda: limited.get(SECRETS.path(namespace, "any")),
        lambda: limited.items(SECRETS.path()),
        lambda: limited.create(PODS.path(namespace, "any", "exec"), {}),
        lambda: limited.items(PODS.path("kube-system")),
        lambda: limited.create(ACCOUNTS.path(namespace, "default", "token"), {"spec": {}}),
    ):
        with pytest.raises(Refused) as refusal:
            attempt()
        assert refusal.value.status == 403


def test_no_rule_has_a_wildcard() -> None:
    rules = the_role()["rules"]
    assert not any("*" in rule[part] for rule in rules for part in ("apiGroups", "resources", "verbs"))
