"""Starting the components in their order, and waiting for each to do its work."""

import http.client
import json
import socket
from collections.abc import Callable
from pathlib import Path

from tests.cluster.node import objects
from tests.cluster.node.enclosure import exit_file, start
from tests.cluster.node.place import POD_CIDR, SERVICE_CIDR, Place
from tests.cluster.node.shell import NodeError, TooLateError, run, step, tail, wait_for

ALL = (
    "etcd",
    "containerd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
    "provisioner",
)


def start_containerd(place: Place, pid: int) -> None:
    """The engine, ready to take images."""
    start(place, pid, "containerd", "containerd", "--config", place.run / "settings" / "containerd.toml")
    await_component(place, "containerd", lambda: _answers(place.containerd_socket), seconds=20)


def start_control_plane(place: Place, pid: int, programs: Path) -> None:
    """The API server and what it stands on."""
    # Nothing of a test cluster is worth the wait for the disk.
    start(place, pid, "etcd", "etcd", f"--data-dir={place.run}/etcd", "--unsafe-no-fsync", "--log-level=warn")
    start(place, pid, "kube-apiserver", programs / "kube-apiserver", *_apiserver(place))
    with step("API server"):
        await_component(place, "kube-apiserver", lambda: _answers((place.address, 6443)), seconds=60)
        await_component(place, "kube-apiserver", lambda: _api_ready(place, programs), seconds=60)


def start_node(place: Place, pid: int, programs: Path) -> None:
    """Everything that works for the API server."""
    flags = {
        "kube-controller-manager": _controller_manager(place),
        "kube-scheduler": [f"--kubeconfig={place.keys}/kube-scheduler.kubeconfig", "--leader-elect=false"],
        "kubelet": _kubelet(place),
        "kube-proxy": _proxy(place),
        "coredns": ["-conf", f"{place.run}/settings/Corefile"],
        "provisioner": _provisioner(place),
    }
    with step("node ready"):
        kubectl(place, programs, "create", "-f", "-", stdin=json.dumps(objects.initial()))
        for component, arguments in flags.items():
            start(place, pid, component, programs / component, *arguments)
        await_component(place, "kubelet", lambda: _node_ready(place, programs), seconds=60)
        await_component(place, "coredns", lambda: _names_ready(place), seconds=60)


def _apiserver(place: Place) -> list[str]:
    keys = place.keys
    return [
        f"--advertise-address={place.address}",
        "--etcd-servers=http://127.0.0.1:2379",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--client-ca-file={keys}/ca.crt",
        f"--tls-cert-file={keys}/apiserver.crt",
        f"--tls-private-key-file={keys}/apiserver.key",
        f"--kubelet-certificate-authority={keys}/ca.crt",
        f"--kubelet-client-certificate={keys}/apiserver-kubelet.crt",
        f"--kubelet-client-key={keys}/apiserver-kubelet.key",
        # The node's name is known to nobody outside the cluster.
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={keys}/accounts.key",
        f"--service-account-signing-key-file={keys}/accounts.key",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--allow-privileged=true",
    ]


def _controller_manager(place: Place) -> list[str]:
    keys = place.keys
    return [
        f"--kubeconfig={keys}/kube-controller-manager.kubeconfig",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--root-ca-file={keys}/ca.crt",
        f"--service-account-private-key-file={keys}/accounts.key",
        f"--cluster-signing-cert-file={keys}/ca.crt",
        f"--cluster-signing-key-file={keys}/ca.key",
        # The usual restraint protects large clusters, and costs four seconds at the start of this one.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        # Otherwise a claim that missed its volume's event waits for 15 s.
        "--pvclaimbinder-sync-period=1s",
    ]


def _kubelet(place: Place) -> list[str]:
    return [
        f"--config={place.run}/settings/kubelet.json",
        f"--kubeconfig={place.keys}/kubelet.kubeconfig",
        f"--hostname-override={place.name}",
        f"--node-ip={place.address}",
    ]


def _proxy(place: Place) -> list[str]:
    return [
        f"--kubeconfig={place.keys}/kube-proxy.kubeconfig",
        f"--hostname-override={place.name}",
        "--proxy-mode=iptables",
        # By default a change may wait for a second, which suits a large cluster and no test.
        "--iptables-min-sync-period=100ms",
        f"--cluster-cidr={POD_CIDR}",
        f"--bind-address={place.address}",
        # The table of connections belongs to the machine: its limits are not ours to set.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    ]


def _provisioner(place: Place) -> list[str]:
    return [
        f"--kubeconfig={place.keys}/provisioner.kubeconfig",
        f"--root={place.volumes}",
        f"--node={place.name}",
    ]


def await_component(place: Place, component: str, probe: Callable[[], bool], *, seconds: float) -> None:
    """Wait for a component's work, but not when one that it may depend on has ended."""

    def done() -> bool:
        for other, code in ended(place).items():
            raise NodeError(f"{other} ended with exit code {code}; its last words:\n{last_words(place, other)}")
        return probe()

    try:
        wait_for(f"{component} at work", done, seconds=seconds)
    except TooLateError as error:
        raise NodeError(f"{error}; its last words:\n{last_words(place, component)}") from error


def ended(place: Place) -> dict[str, str]:
    """The components that are no longer alive, with their exit codes."""
    files = {component: exit_file(place, component) for component in ALL}
    return {component: file.read_text().strip() for component, file in files.items() if file.exists()}


def last_words(place: Place, component: str) -> str:
    """The end of its log."""
    log = place.logs / f"{component}.log"
    return tail(log.read_text(errors="replace")) if log.exists() else "    (no log)"


def kubectl(place: Place, programs: Path, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
    """Ask the cluster as its administrator."""
    return run(programs / "kubectl", f"--kubeconfig={place.kubeconfig}", *arguments, stdin=stdin, check=check).stdout


def healthy(place: Place, programs: Path) -> bool:
    """All components alive and the node ready to take pods."""
    return not ended(place) and _node_ready(place, programs) and _names_ready(place)


def _answers(address: tuple[str, int] | Path) -> bool:
    """Something listens there."""
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(address) if isinstance(address, Path) else address)
        except OSError:
            return False
    return True


def _api_ready(place: Place, programs: Path) -> bool:
    return kubectl(place, programs, "get", "--raw=/readyz", check=False) == "ok"


def _node_ready(place: Place, programs: Path) -> bool:
    condition = "-o=jsonpath={.status.conditions[?(@.type=='Ready')].status}{.spec.taints}"
    return kubectl(place, programs, "get", "node", place.name, condition, check=False) == "True"


def _names_ready(place: Place) -> bool:
    """CoreDNS has read the cluster's Services; it says so over HTTP."""
    connection = http.client.HTTPConnection(place.address, 8181, timeout=1)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
