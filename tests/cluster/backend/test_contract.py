"""The Kubernetes backend keeps the promises that every backend makes; its helper is the real survey in a real pod."""

from __future__ import annotations

import time

import pytest

from project_migration.backends.kubernetes import KubernetesBackend
from project_migration.backends.kubernetes.client import Client
from project_migration.backends.kubernetes.resources import DEPLOYMENTS, MIGRATIONS, Json, name_of
from project_migration.engine.effects import HelperSpec, Mount, Rights
from project_migration.engine.names import Key, WorkloadRef
from project_migration.model.document import WorkloadKind
from project_migration.model.endpoints import Volume
from project_migration.model.records import Request
from project_migration.settings import Settings
from tests.cluster.backend.surroundings import claim, document, pod_spec, wait_until, workload
from tests.cluster.node import Tools
from tests.contract import BackendContract, Surroundings


class TestKubernetes(BackendContract):
    @pytest.fixture
    def around(self, client: Client, namespace: str, cluster: Tools) -> Surroundings:
        stored: Json = client.create(MIGRATIONS.path(namespace), document(namespace))
        client.create(DEPLOYMENTS.path(namespace), workload(DEPLOYMENTS, "web", pod_spec()))
        path = DEPLOYMENTS.path(namespace, "web")
        wait_until(lambda: (client.get(path).get("status") or {}).get("readyReplicas") == 2, "web is ready")
        old, new, work = (Volume(claim_name=claim(client, namespace, name)) for name in ("old", "new", "work"))
        uid = stored["metadata"]["uid"]
        owners = {"ownership": {"mode": "Helper"}}
        request = Request("survey", uid, name_of(stored), namespace, "preflight", "data", params=owners)
        mounts = (Mount("source", old, True), Mount("target", new, True))
        settings = Settings(
            namespaces=(namespace,), helper_image=cluster.operator_image, helper_pull_policy="IfNotPresent"
        )
        return Surroundings(
            backend=KubernetesBackend(settings, client),
            key=Key(namespace, name_of(stored)),
            present=old,
            absent=Volume(claim_name="nowhere"),
            workload=WorkloadRef(WorkloadKind.DEPLOYMENT, "web"),
            replicas=2,
            no_workload=WorkloadRef(WorkloadKind.DEPLOYMENT, "ghost"),
            helper=HelperSpec(f"preflight-data-1-{uid[:8]}", request, mounts, Rights.NONE, workspace=work),
            wait=lambda: time.sleep(0.3),
        )
