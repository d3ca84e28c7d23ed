"""The cable between the machine and a node."""

from pathlib import Path

from tests.cluster.node.enclosure import inside
from tests.cluster.node.place import SERVICE_CIDR, Place
from tests.cluster.node.shell import NodeError, run


def connect(place: Place, pid: int) -> None:
    """Lay a cable from the machine to the node.

    The node has no way to the outside: the service addresses need some route, or the kernel
    refuses to send before kube-proxy's rules have rewritten the packet, so they alone get one.
    A pod that asks for anything else is refused at once, and pods reach servers that a test
    started on the machine under the machine's address.
    """
    disconnect(place)
    run("ip", "link", "add", place.interface, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    try:
        run("ip", "address", "add", f"{place.machine_address}/30", "dev", place.interface)
    except NodeError as error:
        raise NodeError(f"{place.machine_address} is taken: try another --name\n{error}") from error
    run("ip", "link", "set", place.interface, "up")
    script = f"""
        ip link set lo up
        ip address add {place.address}/30 dev eth0
        ip link set eth0 up
        ip route add {SERVICE_CIDR} dev eth0
        echo 1 >/proc/sys/net/ipv4/ip_forward
    """
    run(*inside(pid, "sh", "-ec", script))


def disconnect(place: Place) -> None:
    """The kernel removes the cable with the node, but in its own time."""
    if Path("/sys/class/net", place.interface).exists():
        run("ip", "link", "delete", place.interface, check=False)
