"""What the cluster tests do with a cluster: make things, look at things, wait for things; every wait is bounded."""

from __future__ import annotations

import functools
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from kubernetes import config
from kubernetes.client import Configuration

from project_migration.backends.kubernetes.client import Client, NotThere
from tests.cluster.node.tools import Tools

OPERATOR_NAMESPACE = "project-migration"
RELEASE = "pmig"

#: Kept short, so that a test of a time-out does not take long.
TIMEOUTS = {"quiesce": "60s", "helperStart": "60s", "silence": "60s", "lock": "5m", "resume": "60s"}


#: Where the API server keeps what the tests look at.
KINDS = {
    "pmig": ("/apis/migration.mlops.dev/v1alpha1", "projectmigrations"),
    "deployment": ("/apis/apps/v1", "deployments"),
    "statefulset": ("/apis/apps/v1", "statefulsets"),
    "job": ("/apis/batch/v1", "jobs"),
    "cronjob": ("/apis/batch/v1", "cronjobs"),
    "pod": ("/api/v1", "pods"),
    "event": ("/api/v1", "events"),
    "serviceaccount": ("/api/v1", "serviceaccounts"),
    "service": ("/api/v1", "services"),
    "lease": ("/apis/coordination.k8s.io/v1", "leases"),
}


@functools.cache
def _client(kubeconfig: Path) -> Client:
    found = Configuration()
    config.load_kube_config(config_file=str(kubeconfig), client_configuration=found)  # type: ignore[no-untyped-call]
    return Client(found)


@dataclass(eq=False)
class Refused(Exception):
    """The API server said no. Not frozen: who handles an exception gives it another traceback."""

    message: str


@dataclass(frozen=True)
class Kube:
    """kubectl, for one namespace."""

    tools: Tools
    namespace: str

    def kubectl(self, *words: str, text: str | None = None, timeout: float = 60, check: bool = True) -> str:
        done = subprocess.run(
            (str(self.tools.kubectl), "--namespace", self.namespace, *words),
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.tools.env,
            check=False,
        )
        if check and done.returncode != 0:
            raise Refused(done.stderr.strip())
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=yaml.safe_dump_all(objects))

    def create(self, *objects: dict[str, Any]) -> None:
        """As a person does it: strict about unknown fields."""
        self.kubectl("create", "-f", "-", text=yaml.safe_dump_all(objects))

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Without kubectl, whose start costs more than what is waited for here."""
        try:
            return dict(_client(self.tools.kubeconfig).get(f"{self._path(kind)}/{name}"))
        except NotThere:
            return None

    def list(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        query = {"labelSelector": selector} if selector else {}
        return list(_client(self.tools.kubeconfig).items(self._path(kind), **query))

    def _path(self, kind: str) -> str:
        if kind == "namespace":
            return "/api/v1/namespaces"
        group, plural = KINDS[kind.removesuffix("s")]
        return f"{group}/namespaces/{self.namespace}/{plural}"

    def patch(self, kind: str, name: str, change: dict[str, Any], *words: str) -> None:
        self.kubectl("patch", kind, name, "--type=merge", "-p", json.dumps(change), *words)

    def delete(self, kind: str, name: str, *words: str) -> None:
        self.kubectl("delete", kind, name, "--ignore-not-found", "--wait=false", *words)

    # --- what migrations are about

    def claims(self, *names: str, size: str = "1Gi") -> None:
        self.apply(*(a_claim(name, size) for name in names))

    def run(self, name: str, script: str, *claims: str, timeout: float = 90) -> str:
        """Runs a shell script in an independent pod with the claims at /claims/NAME, as root; what it printed."""
        self.apply(self.a_pod(name, script, claims))
        try:
            phase = wait(lambda: self._ended(name), f"pod {name} to end", timeout)
            output = self.kubectl("logs", name)
            assert phase == "Succeeded", f"pod {name}: {output}"
            return output
        finally:
            self.delete("pod", name, "--grace-period=0", "--force")
            wait(lambda: self.get("pod", name) is None, f"pod {name} to be gone", 30)

    def _ended(self, name: str) -> str | None:
        phase = (self.get("pod", name) or {}).get("status", {}).get("phase")
        return phase if phase in ("Succeeded", "Failed") else None

    def a_pod(self, name: str, script: str, claims: tuple[str, ...]) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"restartPolicy": "Never", **self.pod_spec(script, claims)},
        }

    def pod_spec(self, script: str, claims: tuple[str, ...]) -> dict[str, Any]:
        return {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "main",
                    "image": self.tools.image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/bin/sh", "-c", script],
                    "volumeMounts": [{"name": claim, "mountPath": f"/claims/{claim}"} for claim in claims],
                }
            ],
            "volumes": [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims],
        }

    def deployment(self, name: str, replicas: int, *claims: str, kind: str = "Deployment") -> None:
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": self.pod_spec("trap exit TERM; sleep 1000 & wait", claims)}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        more = {"serviceName": name} if kind == "StatefulSet" else {}
        self.apply(
            {
                "apiVersion": "apps/v1",
                "kind": kind,
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {**spec, **more},
            }
        )

    def cron_job(self, name: str, *claims: str) -> None:
        pod = {**self.pod_spec("true", claims), "restartPolicy": "Never"}
        self.apply(
            {
                "apiVersion": "batch/v1",
                "kind": "CronJob",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": pod}}}},
            }
        )

    def replicas(self, kind: str, name: str) -> int:
        return int((self.get(kind, name) or {})["spec"]["replicas"])

    def ready(self, kind: str, name: str, count: int, timeout: float = 60) -> None:
        wait(
            lambda: ((self.get(kind, name) or {}).get("status") or {}).get("readyReplicas", 0) == count,
            f"{kind} {name} to have {count} ready pods",
            timeout,
        )

    def status(self, name: str) -> dict[str, Any]:
        return ((self.get("pmig", name) or {}).get("status")) or {}

    def ended(self, name: str, timeout: float = 150) -> dict[str, Any]:
        """The status of the migration when it has come to its end."""

        def look() -> dict[str, Any] | None:
            status = self.status(name)
            return status if status.get("finishedAt") else None

        try:
            return wait(look, f"migration {name} to end", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}: {describe(self.status(name))}") from None

    def phase(self, name: str, *phases: str, timeout: float = 90) -> dict[str, Any]:
        """The status of the migration when it has come to one of the phases."""

        def look() -> dict[str, Any] | None:
            status = self.status(name)
            return status if status.get("phase") in phases else None

        return wait(look, f"migration {name} to be {' or '.join(phases)}", timeout, every=0.1)

    def helpers(self) -> list[str]:
        selector = "app.kubernetes.io/managed-by=project-migration-operator"
        return [job["metadata"]["name"] for job in self.list("jobs", selector)]


def describe(status: dict[str, Any]) -> str:
    steps = "; ".join(f"{s['id']} {s['state']} {s.get('message', '')}" for s in status.get("steps", []))
    return f"{status.get('phase')}: {status.get('failure', '')} [{steps}]"


def wait(look: Callable[[], Any], what: str, timeout: float, every: float = 0.3) -> Any:
    """What ``look`` gives, once it gives something. Fails after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:.0f}s for {what}")
        time.sleep(every)


def a_claim(name: str, size: str = "1Gi") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": size}}},
    }


def a_pair(name: str = "data", source: str = "old", target: str = "new", **more: Any) -> dict[str, Any]:
    return {"name": name, "source": {"claimName": source}, "target": {"claimName": target}, **more}


def a_migration(name: str = "files", *pairs: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "migration.mlops.dev/v1alpha1",
        "kind": "ProjectMigration",
        "metadata": {"name": name},
        "spec": {
            "volumes": {"pairs": list(pairs) or [a_pair()]},
            "workspace": {"claimName": "work"},
            "timeouts": TIMEOUTS,
            **spec,
        },
    }


@dataclass
class Namespaces:
    """Namespaces of one test, numbered."""

    tools: Tools
    made: list[str] = field(default_factory=list)

    def make(self, name: str, **labels: str) -> Kube:
        kube = Kube(self.tools, name)
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        self.made.append(name)
        wait(lambda: kube.get("serviceaccount", "default"), f"namespace {name} to be usable", 30)
        return kube
