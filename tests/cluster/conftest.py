"""A cluster for the session: the one KUBECONFIG names, or a node of our own; in it the operator, from its own image,
installed by its own chart."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.cluster import node
from tests.cluster.kube import OPERATOR_NAMESPACE, RELEASE, Kube, Namespaces, wait
from tests.cluster.node import Tools, lifecycle
from tests.cluster.node.place import Place, chosen_by_environment

NODE = "pmig-tests"
CHART = "helm/project-migration-operator"
PRIVILEGED = "migration.mlops.dev/privileged-helpers"

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Tools]:
    """Always torn down, unless it is the user's own. The image in it is what the project's own Dockerfile makes."""
    try:
        yield node.cluster(NODE, operator_image=True)
    finally:
        if chosen_by_environment() is None:
            lifecycle.down(Place(NODE))


def helm(cluster: Tools, *words: str, timeout: float = 180) -> str:
    done = subprocess.run(
        (str(cluster.helm), *words), env=cluster.env, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"helm {' '.join(words)}: {done.stderr}"
    return done.stdout


def install(cluster: Tools, *values: str) -> None:
    """The chart, for every namespace; a second time it is an upgrade."""
    repository, tag = cluster.operator_image.rsplit(":", 1)
    sets = ("clusterWide=true", f"image.repository={repository}", f"image.tag={tag}", *values)
    flags = [word for value in sets for word in ("--set", value)]
    place = ("--namespace", OPERATOR_NAMESPACE, "--create-namespace", "--wait", "--timeout", "120s")
    helm(cluster, "upgrade", "--install", RELEASE, CHART, *place, *flags)


@pytest.fixture(scope="session")
def operator(cluster: Tools) -> Kube:
    """The operator as its users have it."""
    install(cluster)
    kube = Kube(cluster, OPERATOR_NAMESPACE)
    wait(lambda: kube.list("pods", "app.kubernetes.io/name=project-migration-operator"), "the operator's pod", 30)
    return kube


@pytest.fixture
def namespaces(cluster: Tools, operator: Kube) -> Iterator[Namespaces]:
    found = Namespaces(cluster)
    yield found
    for name in found.made:
        operator.delete("namespace", name)


@pytest.fixture
def kube(namespaces: Namespaces, request: pytest.FixtureRequest) -> Kube:
    """A namespace of the test's own that allows privileged helpers, with the claims old, new and work."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())[:30].strip("-")
    kube = namespaces.make(f"{name}-{next(numbers)}", **{PRIVILEGED: "true"})
    kube.claims("old", "new", "work")
    return kube
