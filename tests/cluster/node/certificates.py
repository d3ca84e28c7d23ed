"""Keys and certificates of one node, made anew for each run with the openssl program."""

import base64
import json
from pathlib import Path

from tests.cluster.node.place import FIRST_SERVICE, Place
from tests.cluster.node.shell import run

# A component, its user and its group, as the roles that Kubernetes brings along expect them.
CLIENTS = (
    ("admin", "admin", "system:masters"),
    ("apiserver-kubelet", "kube-apiserver", "system:masters"),
    ("kube-controller-manager", "system:kube-controller-manager", ""),
    ("kube-scheduler", "system:kube-scheduler", ""),
    ("kube-proxy", "system:kube-proxy", ""),
    ("coredns", "system:coredns", ""),
    ("provisioner", "system:provisioner", ""),
)
DAYS = "3650"
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")


def make(place: Place) -> None:
    """Everything the components need to know each other."""
    place.keys.mkdir(mode=0o700)
    # openssl's own configuration would make an authority of every certificate.
    (place.keys / "openssl.cnf").write_text("[req]\ndistinguished_name=dn\n[dn]\n")
    _authority(place)
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", place.keys / "accounts.key")
    names = [f"kubernetes{rest}" for rest in ("", ".default", ".default.svc", ".default.svc.cluster.local")]
    _server(place, "apiserver", [*names, "localhost"], [FIRST_SERVICE, place.address, "127.0.0.1"])
    _server(place, "kubelet-server", [place.name], [place.address])
    for component, user, group in (*CLIENTS, ("kubelet", f"system:node:{place.name}", "system:nodes")):
        _sign(place, component, f"/O={group}/CN={user}" if group else f"/CN={user}", "extendedKeyUsage=clientAuth")
        _kubeconfig(place, component)


def _authority(place: Place) -> None:
    run(
        "openssl", "req", "-config", place.keys / "openssl.cnf", "-x509", *CURVE, "-days", DAYS,
        "-subj", f"/CN={place.name}", "-addext", "basicConstraints=critical,CA:TRUE",
        "-addext", "keyUsage=critical,digitalSignature,keyCertSign,cRLSign",
        "-addext", "subjectKeyIdentifier=hash",
        "-keyout", place.keys / "ca.key", "-out", place.keys / "ca.crt",
    )  # fmt: skip


def _server(place: Place, name: str, hosts: list[str], addresses: list[str]) -> None:
    others = ",".join([*(f"DNS:{host}" for host in hosts), *(f"IP:{address}" for address in addresses)])
    _sign(place, name, f"/CN={hosts[0]}", "extendedKeyUsage=serverAuth", f"subjectAltName={others}")


def _sign(place: Place, name: str, subject: str, *extensions: str) -> None:
    # Clients that check strictly, such as Python's, ask for the two key identifiers.
    identifiers = ("subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid")
    all_extensions = (*extensions, "keyUsage=critical,digitalSignature", *identifiers)
    run(
        "openssl", "req", "-config", place.keys / "openssl.cnf", "-x509", *CURVE, "-days", DAYS, "-subj", subject,
        "-CA", place.keys / "ca.crt", "-CAkey", place.keys / "ca.key",
        *(word for extension in all_extensions for word in ("-addext", extension)),
        "-keyout", place.keys / f"{name}.key", "-out", place.keys / f"{name}.crt",
    )  # fmt: skip


def _kubeconfig(place: Place, user: str) -> None:
    """In JSON, which is YAML too."""
    cluster = {"server": place.server, "certificate-authority-data": _text(place.keys / "ca.crt")}
    proof = {
        "client-certificate-data": _text(place.keys / f"{user}.crt"),
        "client-key-data": _text(place.keys / f"{user}.key"),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": place.name, "cluster": cluster}],
        "users": [{"name": user, "user": proof}],
        "contexts": [{"name": place.name, "context": {"cluster": place.name, "user": user}}],
        "current-context": place.name,
    }
    (place.keys / f"{user}.kubeconfig").write_text(json.dumps(document, indent=1))


def _text(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
