"""A workspace like a CML's in the cluster, as the manifests of ``workspace`` have it: its database with services that
hold sessions, its claim of projects, and the Job that brings its schema up to date."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from tests.cluster.kube import Kube, wait
from tests.cluster.servers import a_secret, without_random_words
from tests.local.cdsw.running import text

MANIFESTS = Path(__file__).parent / "workspace"

#: In the manifests, where whoever has a cluster puts an image of his.
IMAGE = "image: postgresql\n"

DATABASE, PROJECTS, SCHEMA_JOB = "sense", "projects-pvc", "db-migrate-2.0.28-b66"

#: Services and their replicas. The last is on nobody's list, and its database stands in a file.
SERVICES = {
    "web": 3,
    "feature-flags": 1,
    "usage-reporter": 1,
    "model-proxy": 1,
    "cron": 1,
    "metering": 1,
    "ds-operator": 1,
}
EXTENSION = "CREATE EXTENSION pg_trgm; GRANT USAGE ON SCHEMA public TO pg_monitor;"
FOLDERS = (
    f"cd /claims/{PROJECTS}; mkdir projects scratch addons cdn output;"
    " for one in addons cdn output; do echo of the workspace > $one/theirs; done; chown -R 8536:8536 ."
)
LOOK = (
    f"cd /claims/{PROJECTS}; find . | sort | xargs -d '\\n' stat -c '%N %F %a %u:%g %s';"
    " find . -type f | sort | xargs -rd '\\n' md5sum"
)
MOST_SECONDS = 120


@dataclass(frozen=True)
class Workspace:
    """``password`` is its own, so whoever has it has it from the Secret."""

    kube: Kube
    password: str = field(default_factory=lambda: f"it's: a\\{secrets.token_hex(12)}", repr=False)

    @property
    def planted(self) -> list[str]:
        """What must be seen nowhere."""
        return [self.password[-24:]]

    def make(self) -> None:
        self.kube.apply(a_secret("db-password", {"password": self.password}))
        self.set_schema(text("schema_job.sql").decode())
        for name in ("database", "projects", "services"):
            self._apply(name)
        self.kube.run("fill-projects", FOLDERS, PROJECTS)
        self.kube.ready("statefulset", "db", 1, MOST_SECONDS)
        for content in (text("schema.sql").decode(), text("target_rows.sql").decode(), EXTENSION):
            self.sql(content)
        self.schema_job()

    def serve(self) -> None:
        """Waits until every service holds its session, and nobody else does."""
        for name, replicas in SERVICES.items():
            self.kube.ready("deployment", name, replicas, MOST_SECONDS)
        wait(lambda: self.sessions() == SERVICES, "every service to hold its session", MOST_SECONDS)

    def schema(self) -> str:
        """What the Job of the schema runs."""
        told = self.kube.kubectl("get", "configmap", "db-migrate", "--output=json")
        return str(json.loads(told)["data"]["schema.sql"])

    def set_schema(self, sql: str) -> None:
        data = {"schema.sql": sql}
        self.kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "db-migrate"}, "data": data})

    def schema_job(self) -> None:
        """As the workspace's installer has left it: completed."""
        self._completed("schema-job", SCHEMA_JOB)

    def another_schema_job(self) -> str:
        """Of an upgrade of the workspace, which left the first one there."""
        name = "db-migrate-2.0.46-b210"
        self._completed("schema-job", name)
        return name

    def _completed(self, manifest: str, name: str) -> None:
        self._apply(manifest, {SCHEMA_JOB: name})
        wait(lambda: self.job(name)["status"].get("succeeded"), f"the Job {name}", MOST_SECONDS)

    def job(self, name: str = SCHEMA_JOB) -> dict[str, Any]:
        return self.kube.get("job", name) or {"status": {}}

    def _apply(self, name: str, changes: Mapping[str, str] = MappingProxyType({})) -> None:
        manifests = (MANIFESTS / f"{name}.yaml").read_text()
        for old, new in {IMAGE: f"image: {self.kube.tools.server_image}\n", **changes}.items():
            manifests = manifests.replace(old, new)
        self.kube.apply(*yaml.safe_load_all(manifests))

    # --- what it holds

    def sql(self, statement: str) -> str:
        """What psql prints, unaligned; over the socket, which asks for no password. Statements come by standard input,
        as they would all be one transaction in an argument."""
        return self._inside("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", DATABASE, text=statement).strip()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Of a query whose columns have different names."""
        told = self.sql(f"SELECT row_to_json(found) FROM ({statement}) AS found")
        return [tuple(json.loads(line).values()) for line in told.splitlines()]

    def value(self, statement: str) -> Any:
        return self.rows(statement)[0][0]

    def _inside(self, program: str, *words: str, text: str | None = None) -> str:
        argv = (f"/usr/lib/postgresql/15/bin/{program}", "-h", "/tmp", "-U", "sense", *words)
        return self.kube.kubectl("exec", "-i", "db-0", "-c", "db", "--", *argv, text=text or "")

    def sessions(self) -> dict[str, int]:
        """How many sessions each client holds, but for this one."""
        return dict(Counter(name for name, _ in self.clients()))

    def clients(self) -> list[tuple[str, str]]:
        """Of each session the client's name and address."""
        query = "SELECT application_name, host(client_addr) FROM pg_stat_activity WHERE datname = current_database()"
        return [(name, address) for name, address in self.rows(f"{query} AND pid <> pg_backend_pid()")]

    def replicas(self) -> dict[str, int]:
        found = {name: self.kube.replicas("deployment", name) for name in SERVICES}
        return {**found, "db": self.kube.replicas("statefulset", "db")}

    def generations(self) -> dict[str, int]:
        """What changes whenever somebody scales one of them, back again or not."""
        return {
            name: int((self.kube.get(kind, name) or {})["metadata"]["generation"])
            for kind, name in (*(("deployment", name) for name in SERVICES), ("statefulset", "db"))
        }

    def held(self) -> dict[str, list[str]]:
        """All that the database and the claim hold, in lines."""
        dumped = without_random_words(self._inside("pg_dump", "--dbname", DATABASE))
        return {"database": dumped.splitlines(), "files": self.files()}

    def files(self) -> list[str]:
        """Entries with what they are, whose they are and what is in them."""
        return self.kube.run("look-projects", LOOK, PROJECTS).splitlines()
