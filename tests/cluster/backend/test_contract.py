"""The Kubernetes backend keeps the promises that every backend makes."""

from __future__ import annotations

import time

import pytest

from project_migration.backends.kubernetes import KubernetesBackend
from project_migration.backends.kubernetes.client import Client
from project_migration.backends.kubernetes.resources import DEPLOYMENTS
from project_migration.engine.effects import Mount
from project_migration.engine.world import Migration, WorkloadRef
from project_migration.model.document import Volume, WorkloadKind
from tests.cluster.backend.surroundings import claim, helper, pod_spec, workload
from tests.contract import BackendContract, Surroundings

pytestmark = pytest.mark.timeout(240)


class TestKubernetes(BackendContract):
    @pytest.fixture
    def around(self, client: Client, backend: KubernetesBackend, migration: Migration) -> Surroundings:
        namespace = migration.key.namespace
        old = Volume(claim_name=claim(client, namespace, "old"))
        client.create(DEPLOYMENTS.path(namespace), workload(DEPLOYMENTS, "web", pod_spec()))
        return Surroundings(
            backend=backend,
            key=migration.key,
            present=old,
            absent=Volume(claim_name="nowhere"),
            workload=WorkloadRef(WorkloadKind.DEPLOYMENT, "web"),
            replicas=2,
            no_workload=WorkloadRef(WorkloadKind.DEPLOYMENT, "ghost"),
            helper=helper(migration, "succeed", Mount("source", old, read_only=True)),
            wait=lambda: time.sleep(0.3),
        )
