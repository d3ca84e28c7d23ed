"""What a test needs to work with the cluster."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.node import build, helm, images, lifecycle, program
from tests.cluster.node.place import Place, chosen_by_environment
from tests.cluster.node.shell import NodeError


@dataclass(frozen=True)
class Tools:
    """The cluster, the programs that speak to it, and the images that its pods can have."""

    kubeconfig: Path
    kubectl: Path
    image: str
    """For workloads of the tests: a shell, the usual small programs, Python. Pull policy IfNotPresent."""
    operator_image: str
    """The project's own, once ``build-image`` has loaded it."""
    server_image: str
    """PostgreSQL 15 and 18 below /usr/lib/postgresql, once :func:`load_postgres` has loaded it."""
    operator_image_postgres_18: str
    """The project's own with the client tools of PostgreSQL 18, loaded by the same."""
    tracking_image: str
    """MLflow's server in /opt/mlflow, once :func:`load_mlflow` has loaded it."""
    machine_address: str | None
    """Where pods reach servers that a test has started itself; none in a cluster of the user's."""

    @property
    def helm(self) -> Path:
        """Built at the first use, as only the tests of the chart need it."""
        return helm.ensure()

    @property
    def env(self) -> dict[str, str]:
        """The environment for programs of the test: this cluster, and this kubectl before others."""
        path = f"{self.kubectl.parent}:{os.environ.get('PATH', '')}"
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path}


def tools(name: str = "pmig") -> Tools:
    """The cluster of KUBECONFIG, or else the node of this name, which has to be up."""
    chosen = chosen_by_environment()
    if chosen is not None:
        return _of_the_user(chosen)
    place = Place(name)
    if not place.kubeconfig.exists():
        raise NodeError(f"no cluster: set KUBECONFIG, or run: python -m tests.cluster.node up --name {name}")
    return Tools(
        kubeconfig=place.kubeconfig,
        kubectl=program.ensure() / "kubectl",
        image=images.BASE,
        operator_image=build.IMAGE,
        server_image=build.SERVERS,
        operator_image_postgres_18=build.IMAGE_POSTGRES_18,
        tracking_image=build.TRACKING,
        machine_address=place.machine_address,
    )


def cluster(name: str = "pmig", *, operator_image: bool = False) -> Tools:
    """The same, but the node is started if need be, and given the project's image if wanted: for a fixture.

    A cluster of the user's has to have the image already.
    """
    if chosen_by_environment() is None:
        lifecycle.up(Place(name))
        if operator_image:
            _load(name, build.PROJECT)
    return tools(name)


def load_postgres(name: str = "pmig") -> None:
    """Gives the node the images that tests with databases need; a cluster of the user's has to have them already."""
    if chosen_by_environment() is None:
        _load(name, build.PROJECT, build.POSTGRES, build.PROJECT_POSTGRES_18)


def load_mlflow(name: str = "pmig") -> None:
    """Gives the node the images with MLflow's server and its databases'; a cluster of the user's has to have them."""
    if chosen_by_environment() is None:
        _load(name, build.POSTGRES, build.MLFLOW)


def _load(name: str, *recipes: build.Recipe) -> None:
    for archive in build.ensure(*recipes):
        images.load(Place(name), archive)


def _of_the_user(kubeconfig: Path) -> Tools:
    kubectl = shutil.which("kubectl")
    return Tools(
        kubeconfig=kubeconfig,
        kubectl=Path(kubectl) if kubectl else program.ensure() / "kubectl",
        image=os.environ.get("WORKLOAD_IMAGE", "python:3.11-slim"),
        operator_image=os.environ.get("OPERATOR_IMAGE", build.IMAGE),
        server_image=os.environ.get("POSTGRES_IMAGE", build.SERVERS),
        operator_image_postgres_18=os.environ.get("OPERATOR_IMAGE_POSTGRES_18", build.IMAGE_POSTGRES_18),
        tracking_image=os.environ.get("MLFLOW_IMAGE", build.TRACKING),
        machine_address=None,
    )
