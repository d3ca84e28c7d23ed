"""A cluster with the CRD and without an operator: these tests do by hand what an operator would do.

An operator that is installed is scaled down for as long as they run, so all of them go to one worker.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from kubernetes import config
from kubernetes.client import Configuration

from project_migration.backends.kubernetes import KubernetesBackend, manifests
from project_migration.backends.kubernetes.client import AlreadyExists, Client, NotThere
from project_migration.backends.kubernetes.resources import DEPLOYMENTS, MIGRATIONS, NAMESPACES, PODS, Json, name_of
from project_migration.engine.names import Key
from project_migration.engine.world import Migration
from tests.cluster.backend.surroundings import ACCOUNTS, CRDS, STUB, document, settings, wait_until
from tests.cluster.node import Tools

CRD = Path(__file__).parents[3] / "crds" / "projectmigrations.migration.mlops.dev.yaml"
OPERATORS = "app.kubernetes.io/name=project-migration-operator"


@pytest.fixture(scope="package")
def configuration(cluster: Tools) -> Configuration:
    found = Configuration()
    config.load_kube_config(config_file=str(cluster.kubeconfig), client_configuration=found)
    return found


@pytest.fixture(scope="package")
def client(configuration: Configuration) -> Iterator[Client]:
    found = Client(configuration)
    definition = yaml.safe_load(CRD.read_text())
    ours = not _served(found)
    if ours:
        with suppress(AlreadyExists):
            found.create(CRDS.path(), definition)
        wait_until(lambda: _served(found), "the CRD is served")
    resting = _rest(found)
    yield found
    for path, replicas in resting:
        found.patch(path, {"spec": {"replicas": replicas}})
    if ours:  # the chart brings its own
        found.delete(CRDS.path(name=name_of(definition)))
        wait_until(lambda: not _served(found), "the CRD is gone")
    found.close()


def _served(client: Client) -> bool:
    try:
        client.items(MIGRATIONS.path())
    except NotThere:
        return False
    return True


def _rest(client: Client) -> list[tuple[str, int]]:
    """An operator that is installed would take these tests' migrations into its hands."""
    found = client.items(DEPLOYMENTS.path(), labelSelector=OPERATORS)
    resting = [(DEPLOYMENTS.path(d["metadata"]["namespace"], name_of(d)), d["spec"]["replicas"]) for d in found]
    for path, _ in resting:
        client.patch(path, {"spec": {"replicas": 0}})
    wait_until(lambda: not client.items(PODS.path(), labelSelector=OPERATORS), "no operator runs")
    return resting


@pytest.fixture
def namespace(client: Client) -> Iterator[str]:
    name = f"backend-{uuid.uuid4().hex[:8]}"
    client.create(NAMESPACES.path(), {"metadata": {"name": name}})
    wait_until(lambda: "default" in map(name_of, client.items(ACCOUNTS.path(name))), "there is a service account")
    yield name
    for stored in client.items(MIGRATIONS.path(name)):
        client.patch(MIGRATIONS.path(name, name_of(stored)), {"metadata": {"finalizers": None}})
    client.delete(NAMESPACES.path(name=name))


@pytest.fixture
def backend(client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch) -> KubernetesBackend:
    monkeypatch.setattr(manifests, "command", lambda _worker: ["python3", "-c", STUB])
    return KubernetesBackend(settings(namespace), client)


@pytest.fixture
def stored(client: Client, namespace: str) -> Json:
    return client.create(MIGRATIONS.path(namespace), document(namespace))


@pytest.fixture
def migration(backend: KubernetesBackend, stored: Json) -> Migration:
    return backend.load(Key(stored["metadata"]["namespace"], name_of(stored)))
