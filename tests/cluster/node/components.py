"""Starting the components in their order, and waiting for each to do its work."""

import http.client
import json
import socket
from collections.abc import Callable
from pathlib import Path

from tests.cluster.node import flags, objects
from tests.cluster.node.enclosure import exit_file, start
from tests.cluster.node.place import Place
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

# Of a single question to an API server that may be stuck.
PATIENCE = "--request-timeout=5s"


def start_containerd(place: Place, pid: int) -> None:
    """The engine, ready to take images."""
    start(place, pid, "containerd", "containerd", "--config", place.run / "settings" / "containerd.toml")
    await_component(place, "containerd", lambda: _answers(place.containerd_socket), seconds=20)


def start_control_plane(place: Place, pid: int, programs: Path) -> None:
    """The API server and what it stands on."""
    start(place, pid, "etcd", "etcd", *flags.etcd(place))
    start(place, pid, "kube-apiserver", programs / "kube-apiserver", *flags.apiserver(place))
    with step("API server"):
        await_component(place, "kube-apiserver", lambda: _answers((place.address, 6443)), seconds=60)
        await_component(place, "kube-apiserver", lambda: _api_ready(place, programs), seconds=60)


def start_node(place: Place, pid: int, programs: Path) -> None:
    """Everything that works for the API server."""
    commands = {
        "kube-controller-manager": flags.controller_manager(place),
        "kube-scheduler": flags.scheduler(place),
        "kubelet": flags.kubelet(place),
        "kube-proxy": flags.proxy(place),
        "coredns": flags.coredns(place),
        "provisioner": flags.provisioner(place),
    }
    with step("node ready"):
        kubectl(place, programs, "create", "-f", "-", stdin=json.dumps(objects.initial()))
        for component, arguments in commands.items():
            start(place, pid, component, programs / component, *arguments)
        await_component(place, "kubelet", lambda: _node_ready(place, programs), seconds=60)
        await_component(place, "coredns", lambda: _names_ready(place), seconds=60)


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
    return kubectl(place, programs, "get", "--raw=/readyz", PATIENCE, check=False) == "ok"


def _node_ready(place: Place, programs: Path) -> bool:
    condition = "-o=jsonpath={.status.conditions[?(@.type=='Ready')].status}{.spec.taints}"
    return kubectl(place, programs, "get", "node", place.name, condition, PATIENCE, check=False) == "True"


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
