"""The objects of the smoke check."""

from typing import Any

Document = dict[str, Any]

MOUNTS = {"standard": "/standard", "disk": "/disk", "wait-for-first-consumer": "/waiting"}

# What the Pod Security standard "restricted" asks of a container, and of its pod.
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
ORDINARY_USER = {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000}


def namespace(name: str) -> Document:
    """With the strictest of the Pod Security standards enforced."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def claim(storage_class: str) -> Document:
    """A claim named after its class."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": storage_class},
        "spec": {
            "storageClassName": storage_class,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }


def writer(image: str) -> Document:
    """A Job that writes to each claim as an ordinary user."""
    script = "\n".join(f"echo kept > {mount}/file && cat {mount}/file" for mount in MOUNTS.values())
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in MOUNTS]
    mounts = [{"name": name, "mountPath": mount} for name, mount in MOUNTS.items()]
    pod = _pod(image, ["sh", "-ec", script], restartPolicy="Never", volumes=volumes)
    pod["containers"][0]["volumeMounts"] = mounts
    spec = {"backoffLimit": 0, "template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "writer"}, "spec": spec}


def web(image: str) -> Document:
    """A Deployment of two pods that answer over HTTP."""
    pod = _pod(image, ["python3", "-m", "http.server", "8080"], terminationGracePeriodSeconds=1)
    pod["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def service() -> Document:
    """The address of the Deployment."""
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}


def root_pod(image: str) -> Document:
    """A pod that the namespace must refuse."""
    spec = {"containers": [{"name": "main", "image": image, "securityContext": {"runAsUser": 0}}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "root"}, "spec": spec}


def _pod(image: str, command: list[str], **rest: object) -> Document:
    container = {"name": "main", "image": image, "command": command, "securityContext": RESTRICTED}
    return {"securityContext": ORDINARY_USER, "containers": [container], **rest}
