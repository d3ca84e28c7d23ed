"""The configuration files of the components."""

import json
from typing import Any

from tests.cluster.node.images import PAUSE
from tests.cluster.node.place import POD_CIDR, Place

Document = dict[str, Any]

CLUSTER_DOMAIN = "cluster.local"
EVICTION_SIGNALS = ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available")


def write(place: Place) -> None:
    """Write them all to the run folder."""
    folder = place.run / "settings"
    (folder / "cni").mkdir(parents=True)
    (folder / "containerd.toml").write_text(_containerd(place))
    (folder / "cni" / "pods.conflist").write_text(json.dumps(_pod_network(), indent=1))
    (folder / "kubelet.json").write_text(json.dumps(_kubelet(place), indent=1))
    (folder / "Corefile").write_text(_names(place))
    (folder / "resolv.conf").write_text(f"nameserver {place.address}\n")


def _containerd(place: Place) -> str:
    """AppArmor is off so that pods behave the same on machines with and without it.

    Sandboxes are to outlive the rest when memory is short, which root may not ask for everywhere:
    the engine then does without instead of failing.
    """
    return f"""
version = 2
root = "{place.run}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "{place.containerd_socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{place.run}/settings/cni"
"""


def _pod_network() -> Document:
    """A cable for each pod, and not a bridge.

    Over a bridge, the answer of a pod that was asked through a Service goes straight to the pod
    that asked, past the rules that would put the Service's address back into it, unless the
    machine has a kernel module for that.
    """
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": POD_CIDR}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/run/pod-addresses",
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": True, "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _kubelet(place: Place) -> Document:
    """Made for a machine whose control groups and disk belong to others as well."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": place.address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{place.keys}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{place.keys}/kubelet-server.crt",
        "tlsPrivateKeyFile": f"{place.keys}/kubelet-server.key",
        "containerRuntimeEndpoint": f"unix://{place.containerd_socket}",
        "clusterDomain": CLUSTER_DOMAIN,
        "clusterDNS": [place.address],
        "resolvConf": f"{place.run}/settings/resolv.conf",
        "podLogsDir": "/var/log/pods",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        # Version 1 of the control groups is deprecated, and still what many machines have.
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{place.cgroup}",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        # A full disk is the machine's affair; pods evicted for it would be a riddle.
        "evictionHard": dict.fromkeys(EVICTION_SIGNALS, "0%"),
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    }


def _names(place: Place) -> str:
    """CoreDNS: the cluster's names, and a clear no to all others."""
    return f"""
.:53 {{
    errors
    ready {place.address}:8181
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{
        kubeconfig {place.keys}/coredns.kubeconfig
        ttl 1
    }}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
