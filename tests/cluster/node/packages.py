"""What the node takes from Debian: the programs that are no part of Kubernetes."""

import os
import shutil

from tests.cluster.node.shell import NodeError, run, step

# A program of each package, by which it is known to be there, however it was installed.
PACKAGES = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "iptables": "iptables",
    "ip": "iproute2",
    "conntrack": "conntrack",
    "ethtool": "ethtool",
    "socat": "socat",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "mount": "mount",
    "debootstrap": "debootstrap",
    "buildah": "buildah",
}


def ensure(*programs: str) -> None:
    """Install what is missing of these programs, or of all."""
    if os.geteuid() != 0:
        raise NodeError("a node needs root: it makes namespaces, mounts and network devices")
    # Debian keeps some of them where only root looks.
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [PACKAGES[program] for program in programs or PACKAGES if not shutil.which(program)]
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise NodeError(f"not installed, and there is no apt-get to do it: {' '.join(missing)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing {' '.join(missing)}", slow="up to a minute"):
        run("apt-get", "update", timeout=300, env=env)
        run("apt-get", "install", "--yes", "--no-install-recommends", *missing, timeout=600, env=env)
