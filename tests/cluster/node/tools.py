"""What a test needs to work with the cluster."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.node import helm, program
from tests.cluster.node.images import BASE
from tests.cluster.node.place import Place
from tests.cluster.node.shell import NodeError


@dataclass(frozen=True)
class Tools:
    """The cluster, the programs that speak to it, and an image that every pod can have."""

    kubeconfig: Path
    kubectl: Path
    image: str
    """Has a shell, the usual small programs and Python; pull policy IfNotPresent."""
    host_address: str | None
    """Where pods reach servers that the test itself has started; none for a cluster of the user's."""

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
    place = Place(name)
    chosen = os.environ.get("KUBECONFIG")
    if chosen and Path(chosen) != place.kubeconfig:
        kubectl = shutil.which("kubectl")
        image = os.environ.get("CLUSTER_TEST_IMAGE", "python:3.11-slim")
        return Tools(Path(chosen), Path(kubectl) if kubectl else program.ensure() / "kubectl", image, None)
    if not place.kubeconfig.exists():
        raise NodeError(f"no cluster: set KUBECONFIG, or run: python -m tests.cluster.node up --name {name}")
    return Tools(place.kubeconfig, program.ensure() / "kubectl", BASE, place.machine_address)
