"""MLflow in the cluster: a Deployment of its real server with a claim for artifacts, a Service, and a database."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.kube import Kube
from tests.cluster.servers import Server

SCRIPTS = Path(__file__).parent

PYTHON = "/opt/mlflow/bin/python"
PORT = 5000

#: The password stays in its file until the server has it in its own environment, where its manual wants the address.
START = """
set -e
quote='import sys, urllib.parse; print(urllib.parse.quote(open(sys.argv[1]).read(), safe=""))'
password=$(/opt/mlflow/bin/python -c "$quote" /run/login/password)
export MLFLOW_BACKEND_STORE_URI="postgresql+psycopg://postgres:$password@$HOST/$DATABASE"
exec /opt/mlflow/bin/python -m mlflow server --host 0.0.0.0 --port 5000 --workers 1 --allowed-hosts '*' \
  --serve-artifacts --artifacts-destination /claims/$CLAIM
"""


@dataclass(frozen=True)
class Tracking:
    """One installation; ``name`` is its Deployment's, its Service's, its claim's and its database's."""

    kube: Kube
    name: str
    database: Server

    @property
    def address(self) -> str:
        return f"http://{self.name}.{self.kube.namespace}.svc:{PORT}"

    def make(self, replicas: int = 1) -> None:
        self.database.sql(f"CREATE DATABASE {self.name}", "postgres")
        self.kube.apply(*self.database.secrets(), self._service(), self._deployment(replicas))

    def serve(self) -> None:
        self.kube.ready("deployment", self.name, 1, timeout=300)

    def scale(self, replicas: int) -> None:
        self.kube.kubectl("scale", "deployment", self.name, f"--replicas={replicas}")

    def side(self, *, verified: bool = False, sub_path: str = "") -> dict[str, Any]:
        """As a document names it, with database and files. ``sub_path``: the directory of its own for what comes."""
        artifacts = {"claimName": self.name}
        if sub_path:
            artifacts |= {"subPath": sub_path, "uri": f"mlflow-artifacts:/{sub_path}"}
        return {"backend": self.database.endpoint(self.name, verified=verified), "artifacts": artifacts}

    def client(self, script: str, *arguments: str) -> Any:
        """What a script of this directory, which has MLflow's own client, says as JSON; in the server's pod."""
        text = (SCRIPTS / script).read_text()
        argv = (PYTHON, "-", f"http://127.0.0.1:{PORT}", *arguments)
        said = self.kube.kubectl("exec", "-i", f"deployment/{self.name}", "--", *argv, text=text, timeout=120)
        return json.loads(said.splitlines()[-1])

    def rows(self, statement: str) -> list[list[str]]:
        return [line.split("|") for line in self.database.sql(statement, self.name).splitlines()]

    def _service(self) -> dict[str, Any]:
        spec = {"selector": {"app": self.name}, "ports": [{"port": PORT}]}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": self.name}, "spec": spec}

    def _deployment(self, replicas: int) -> dict[str, Any]:
        environment = {
            "HOST": self.database.host,
            "DATABASE": self.name,
            "CLAIM": self.name,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # nothing runs jobs here, and what would run them costs as much as the server
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        container = {
            "name": "server",
            "image": self.kube.tools.tracking_image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["/bin/sh", "-c", START],
            "env": [{"name": name, "value": value} for name, value in environment.items()],
            "readinessProbe": {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": 1},
            "volumeMounts": [
                {"name": "files", "mountPath": f"/claims/{self.name}"},
                {"name": "login", "mountPath": "/run/login"},
            ],
        }
        pod = {
            "terminationGracePeriodSeconds": 2,
            "containers": [container],
            "volumes": [
                {"name": "files", "persistentVolumeClaim": {"claimName": self.name}},
                {"name": "login", "secret": {"secretName": f"{self.database.name}-login"}},
            ],
        }
        labels = {"app": self.name}
        spec = {
            "replicas": replicas,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": self.name}, "spec": spec}
