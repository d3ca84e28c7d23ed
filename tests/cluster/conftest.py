"""A cluster for the session: the one KUBECONFIG names, or a node of our own; in it the operator, from its own image,
installed by its own chart.

With several workers each has a node of its own. Tests wait far more than they compute, and many of them kill, scale or
upgrade the operator that others on the same node would need.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.cluster import node
from tests.cluster.kube import OPERATOR_NAMESPACE, RELEASE, Kube, Namespaces, wait
from tests.cluster.node import Tools, lifecycle
from tests.cluster.node.enclosure import holder
from tests.cluster.node.place import Place, chosen_by_environment

#: pytest-xdist's name for the worker that this is; none where there are no workers.
WORKER = os.environ.get("PYTEST_XDIST_WORKER")


def node_of(worker: str | None) -> str:
    return f"pmig-tests-{worker}" if worker else "pmig-tests"


NODE = node_of(WORKER)
CHART = "helm/project-migration-operator"
PRIVILEGED = "migration.mlops.dev/privileged-helpers"

numbers = itertools.count(1)


#: A node and what runs on it take some 1.5 GiB of memory, and more than half a processor at times.
MOST_NODES = 4


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Of ``-n auto``: a node for each processor, and none beside the user's cluster."""
    return 0 if chosen_by_environment() else min(MOST_NODES, os.cpu_count() or 1)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Workers take their nodes down themselves; of a run that was interrupted, the one that started them does."""
    workers = 0 if WORKER else config.getoption("numprocesses", default=None) or 0
    for place in (Place(node_of(f"gw{number}")) for number in range(workers)):
        if holder(place) is not None:
            lifecycle.down(place)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Tools]:
    """Always torn down, unless it is the user's own. The image in it is what the project's own Dockerfile makes."""
    if chosen_by_environment() is not None and WORKER:
        pytest.exit("tests on the cluster that KUBECONFIG names run one after the other: leave out -n")
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
