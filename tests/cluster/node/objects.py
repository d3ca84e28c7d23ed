"""What a cluster's installer puts into the cluster."""

from typing import Any

Document = dict[str, Any]

RBAC = "rbac.authorization.k8s.io"
PROVISIONER = "project-migration.test/folder"


def initial() -> Document:
    """Storage classes, and leave for the components that are no part of Kubernetes proper."""
    items = [
        _storage_class("standard", shared=True, default=True),
        _storage_class("wait-for-first-consumer", shared=True, binding="WaitForFirstConsumer"),
        _storage_class("disk", shared=False),
        _names_reader(),
        _binding("system:coredns", "system:coredns"),
        _binding("system:provisioner", "system:persistent-volume-provisioner"),
    ]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _storage_class(name: str, *, shared: bool, binding: str = "Immediate", default: bool = False) -> Document:
    """See provisioner.go for what ``shared`` means."""
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": annotations},
        "provisioner": PROVISIONER,
        "parameters": {"shared": str(shared).lower()},
        "volumeBindingMode": binding,
        "reclaimPolicy": "Delete",
    }


def _names_reader() -> Document:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:coredns"},
        "rules": [
            {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ],
    }


def _binding(user: str, role: str) -> Document:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": user},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
    }
