"""Where a node keeps its things and which addresses it has: all of it follows from its name.

So two checkouts, or two test runs, only need two names to stay out of each other's way.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.cluster.node.shell import NodeError

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]

# Inside a node's own network, so every node has the same ones.
POD_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
FIRST_SERVICE = "10.96.0.1"


def cache() -> Path:
    """What takes long to make and may be kept; safe to delete while no node is up."""
    base = os.environ.get("XDG_CACHE_HOME")
    root = Path(base) if base else Path.home() / ".cache"
    return root / "project-migration-node"


def chosen_by_environment() -> Path | None:
    """The cluster that KUBECONFIG names, unless it is a node of ours."""
    chosen = os.environ.get("KUBECONFIG")
    if not chosen or Path(chosen).is_relative_to(cache() / "nodes"):
        return None
    return Path(chosen)


@dataclass(frozen=True)
class Place:
    """The places and addresses of one node."""

    name: str

    def __post_init__(self) -> None:
        """Refuse names that are no DNS label: the node's own name in the cluster is this one."""
        if not re.fullmatch(r"[a-z]([-a-z0-9]{0,18}[a-z0-9])?", self.name):
            raise NodeError(f"{self.name!r}: a name has 1 to 20 small letters, digits and dashes")

    @property
    def run(self) -> Path:
        """All files of the running node.

        Beside the cache and not under /run: it holds the pods' data, which may be large, and
        has to be on one file system with the cached images, which are linked into it.
        """
        return cache() / "nodes" / self.name

    @property
    def logs(self) -> Path:
        """One file a component."""
        return self.run / "logs"

    @property
    def keys(self) -> Path:
        """Certificates, keys and kubeconfigs."""
        return self.run / "keys"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.keys / "admin.kubeconfig"

    @property
    def volumes(self) -> Path:
        """The data of the pods' claims, a folder each."""
        return self.run / "volumes"

    @property
    def containerd_socket(self) -> Path:
        """Under the run folder, so that ctr reaches it from outside the node."""
        return self.run / "containerd.sock"

    @property
    def cgroup(self) -> str:
        """Where the kubelet puts its pods, apart from everybody else's."""
        return f"project-migration-node-{self.name}"

    @property
    def interface(self) -> str:
        """The machine's end of the cable to the node; at most 15 characters."""
        return "pmnode" + self._digest.hex()[:8]

    @property
    def machine_address(self) -> str:
        """The machine, as the node and its pods see it."""
        return self._address(1)

    @property
    def address(self) -> str:
        """The node, as the machine sees it."""
        return self._address(2)

    @property
    def server(self) -> str:
        """The API server."""
        return f"https://{self.address}:6443"

    @cached_property
    def _digest(self) -> bytes:
        return hashlib.sha256(self.name.encode()).digest()

    def _address(self, host: int) -> str:
        """One of the two addresses of a /30 network picked by the name.

        From 198.18.0.0/15, set aside for tests between devices: no company network and no
        container engine uses it.
        """
        block = int.from_bytes(self._digest[:2], "big")
        number = block * 4 + host
        return f"198.{18 + (number >> 16 & 1)}.{number >> 8 & 255}.{number & 255}"
