"""The command lines of the components."""

from tests.cluster.node.place import POD_CIDR, SERVICE_CIDR, Place


def etcd(place: Place) -> list[str]:
    """Nothing in a test cluster is worth the wait for the disk."""
    return [f"--data-dir={place.run}/etcd", "--unsafe-no-fsync", "--log-level=warn"]


def apiserver(place: Place) -> list[str]:
    """Users prove themselves with certificates, and may do what their roles say."""
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


def controller_manager(place: Place) -> list[str]:
    """It also makes the service accounts' tokens, and signs what is asked for by CertificateSigningRequest."""
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


def scheduler(place: Place) -> list[str]:
    """There is but one, so there is nothing to elect."""
    return [f"--kubeconfig={place.keys}/kube-scheduler.kubeconfig", "--leader-elect=false"]


def kubelet(place: Place) -> list[str]:
    """The rest is in its configuration file."""
    return [
        f"--config={place.run}/settings/kubelet.json",
        f"--kubeconfig={place.keys}/kubelet.kubeconfig",
        f"--hostname-override={place.name}",
        f"--node-ip={place.address}",
    ]


def proxy(place: Place) -> list[str]:
    """Services by packet rules inside the node's own network."""
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


def provisioner(place: Place) -> list[str]:
    """See provisioner.go."""
    return [
        f"--kubeconfig={place.keys}/provisioner.kubeconfig",
        f"--root={place.volumes}",
        f"--node={place.name}",
    ]


def coredns(place: Place) -> list[str]:
    """All of it is in its configuration file."""
    return ["-conf", f"{place.run}/settings/Corefile"]
