"""PostgreSQL in the cluster: a StatefulSet with a claim of its own, a Service, and the Secrets by which to reach it.

15 is Debian's, whose tools the operator's image has, and speaks TLS. 18 is the wheel's, which is built without;
its tools need an image of their own.
"""

from __future__ import annotations

import secrets
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.cluster.kube import Kube, a_claim

#: The user of the image, tests/cluster/node/postgres/servers.Containerfile.
SERVER_USER = 5432

DATABASE = "shop"

START = """
set -e
export PATH=/usr/lib/postgresql/$MAJOR/bin:$PATH PGDATA=/claims/data/pg
if [ ! -f $PGDATA/ready ]; then
  initdb --username=postgres --pwfile=/run/login/password --auth-local=trust --auth-host=scram-sha-256 \
    --encoding=UTF8 --locale=C.UTF-8 --no-sync > /dev/null
  echo "host all all all scram-sha-256" >> $PGDATA/pg_hba.conf
  touch $PGDATA/ready
fi
if [ -f /run/tls/tls.key ]; then install -m 600 /run/tls/tls.* $PGDATA; tls="-c ssl=on"; fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp -c fsync=off $tls \
  -c ssl_cert_file=tls.crt -c ssl_key_file=tls.key
"""


@dataclass(frozen=True)
class Server:
    """One server. Its words are made up for it alone, so that whoever has them has them from its Secrets."""

    kube: Kube
    name: str
    major: int
    tls: bool = False
    password: str = field(default_factory=lambda: f"it's: a\\{secrets.token_hex(12)}", repr=False)

    @property
    def host(self) -> str:
        return f"{self.name}.{self.kube.namespace}.svc"

    @cached_property
    def certificate(self) -> tuple[str, str]:
        """Signed by itself, for this host: the certificate and its key."""
        with tempfile.TemporaryDirectory() as place:
            crt, key = Path(place, "crt"), Path(place, "key")
            subject = ("-subj", f"/CN={self.name}", "-addext", f"subjectAltName=DNS:{self.host}")
            argv = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject)
            subprocess.run((*argv, "-keyout", key, "-out", crt), check=True, capture_output=True, timeout=60)
            return crt.read_text(), key.read_text()

    def make(self) -> None:
        self.kube.apply(self._login(), *([self._tls()] if self.tls else []), a_claim(f"{self.name}-data"))
        self.kube.apply(self._service(), self._set())

    def serve(self) -> None:
        """Waits until it answers, and makes the database that tests use."""
        self.kube.ready("statefulset", self.name, 1, timeout=120)

    def sql(self, statement: str, database: str = DATABASE) -> str:
        """What psql prints, unaligned; over the socket, which asks for no password."""
        return self._inside("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement).strip()

    def content(self, database: str = DATABASE, *words: str) -> str:
        """All of a database in the tool's own text, unless more ``words`` say otherwise. Newer tools put a random word
        around it."""
        return without_random_words(self.dump(database, *words))

    def dump(self, database: str, *words: str) -> str:
        """All that the server's own tool says."""
        return self._inside("pg_dump", "--dbname", database, *words)

    def _inside(self, program: str, *words: str) -> str:
        path = f"/usr/lib/postgresql/{self.major}/bin/{program}"
        return self.kube.kubectl("exec", f"{self.name}-0", "--", path, "-h", "/tmp", "-U", "postgres", *words)

    def endpoint(self, database: str = DATABASE, *, verified: bool = False) -> dict[str, Any]:
        """As a document names it; with the Secrets that :meth:`secrets` makes."""
        ca = {"caRef": {"name": f"{self.name}-ca"}} if verified else {}
        postgres = {"host": self.host, "database": database}
        return {"postgres": postgres, "credentialsRef": {"name": f"{self.name}-login"}, **ca}

    def secrets(self) -> list[dict[str, Any]]:
        """For a migration's namespace. The authority's Secret has its key beside it, which no helper needs."""
        crt, key = self.certificate if self.tls else ("", "")
        authority = a_secret(f"{self.name}-ca", {"ca.crt": crt, "ca.key": key})
        return [self._login(), *([authority] if self.tls else [])]

    def planted(self) -> list[str]:
        """What must be seen nowhere: the odd part of the password, and a line of the key."""
        return [self.password[-24:], *(self.certificate[1].splitlines()[3:4] if self.tls else [])]

    def _login(self) -> dict[str, Any]:
        return a_secret(f"{self.name}-login", {"username": "postgres", "password": self.password})

    def _tls(self) -> dict[str, Any]:
        crt, key = self.certificate
        return a_secret(f"{self.name}-tls", {"tls.crt": crt, "tls.key": key})

    def _service(self) -> dict[str, Any]:
        spec = {"selector": {"app": self.name}, "ports": [{"port": 5432}]}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": self.name}, "spec": spec}

    def _set(self) -> dict[str, Any]:
        files = {"login": f"{self.name}-login", **({"tls": f"{self.name}-tls"} if self.tls else {})}
        ready = {"exec": {"command": ["/usr/lib/postgresql/18/bin/pg_isready", "-h", "/tmp"]}, "periodSeconds": 1}
        container = {
            "name": "server",
            "image": self.kube.tools.server_image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["/bin/sh", "-c", START],
            "env": [{"name": "MAJOR", "value": str(self.major)}],
            "readinessProbe": ready,
            "volumeMounts": [
                {"name": "data", "mountPath": "/claims/data"},
                *({"name": name, "mountPath": f"/run/{name}"} for name in files),
            ],
        }
        pod = {
            "terminationGracePeriodSeconds": 5,
            "securityContext": {"runAsUser": SERVER_USER, "runAsGroup": SERVER_USER},
            "containers": [container],
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": f"{self.name}-data"}},
                *({"name": name, "secret": {"secretName": secret}} for name, secret in files.items()),
            ],
        }
        labels = {"app": self.name}
        spec = {
            "serviceName": self.name,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }
        return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": self.name}, "spec": spec}


def without_random_words(dump: str) -> str:
    return "\n".join(line for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


def a_secret(name: str, values: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


#: Users of a database and of a directory, who write down every sale in both.
SELLING = """
trap 'over=1' TERM
SALE="INSERT INTO sale DEFAULT VALUES RETURNING id"
export PGPASSFILE=/tmp/pgpass PGUSER=postgres PGHOST=$HOST PGDATABASE=$DATABASE
(umask 077; printf '*:*:*:*:%s' "$(sed 's/[\\\\:]/\\\\&/g' /run/login/password)" > $PGPASSFILE)
while [ -z "$over" ]; do
  id=$(/usr/lib/postgresql/18/bin/psql -XAtq -c "$SALE") && touch /claims/old/sale-$id
  sleep 0.2
done
"""


def sellers(server: Server, kube: Kube, database: str = DATABASE) -> dict[str, Any]:
    """A Deployment whose pod writes to the claim ``old`` and to the server, a sale in each."""
    labels = {"app": "sellers"}
    container = {
        "name": "main",
        "image": kube.tools.server_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", SELLING],
        "env": [{"name": "HOST", "value": server.host}, {"name": "DATABASE", "value": database}],
        "volumeMounts": [{"name": "old", "mountPath": "/claims/old"}, {"name": "login", "mountPath": "/run/login"}],
    }
    pod = {
        "terminationGracePeriodSeconds": 10,
        "containers": [container],
        "volumes": [
            {"name": "old", "persistentVolumeClaim": {"claimName": "old"}},
            {"name": "login", "secret": {"secretName": f"{server.name}-login"}},
        ],
    }
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "sellers"}, "spec": spec}
