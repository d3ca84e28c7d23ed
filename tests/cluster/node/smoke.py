"""A look at whether the cluster does what the tests will ask of it.

It tells a broken cluster from a broken product, before a long test run does.
"""

import json
import secrets
import subprocess

from tests.cluster.node import workloads
from tests.cluster.node.shell import NodeError, run, step, wait_for
from tests.cluster.node.tools import Tools

FETCH = "import urllib.request; urllib.request.urlopen('http://web.{namespace}.svc/', timeout=5)"
RESOLVE_NOTHING = "import socket; socket.gethostbyname('nothing.invalid')"


class Smoke:
    """One namespace, in which everything is tried."""

    def __init__(self, tools: Tools) -> None:
        """Nothing is made yet."""
        self._tools = tools
        self._namespace = f"smoke-{secrets.token_hex(3)}"

    def check(self) -> None:
        """Try everything, and leave nothing."""
        self._apply(workloads.namespace(self._namespace))
        try:
            self._pod_security()
            self._claims_and_job()
            self._service_and_scaling()
            self._volumes_go_with_their_claims()
        finally:
            # Not waited for: Kubernetes itself pauses for 5 s first, and for 8 s more if there are claims.
            self._kubectl("delete", "namespace", self._namespace, "--wait=false")

    def _pod_security(self) -> None:
        with step("a root pod refused"):
            refused = self._try("apply", "-f", "-", stdin=json.dumps(workloads.root_pod(self._tools.image)))
            if refused.returncode == 0 or "violates PodSecurity" not in refused.stderr:
                raise NodeError(f"Pod Security let a root pod pass: {refused.stdout}{refused.stderr}")

    def _claims_and_job(self) -> None:
        with step("a Job wrote to a claim of each storage class"):
            for storage_class in workloads.MOUNTS:
                self._apply(workloads.claim(storage_class))
            self._apply(workloads.writer(self._tools.image))
            self._kubectl("wait", "--for=condition=Complete", "job/writer", "--timeout=60s")
        log = self._kubectl("logs", "job/writer")
        if log.split() != ["kept"] * len(workloads.MOUNTS):
            raise NodeError(f"unexpected log of the Job: {log}")

    def _service_and_scaling(self) -> None:
        with step("a Deployment of two came up"):
            self._apply(workloads.web(self._tools.image))
            self._apply(workloads.service())
            self._kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        with step("its pods reached the Service by name"):
            wait_for("answer of the Service", self._fetch, seconds=10)
            # More often than there are pods, so that a pod has come back to itself.
            if not all(self._fetch() for _ in range(5)):
                raise NodeError("not every pod reaches every other through the Service")
            denied = self._try("exec", "deployment/web", "--", "python3", "-c", RESOLVE_NOTHING)
            if "Name or service not known" not in denied.stderr:
                raise NodeError(f"a name that nobody has: {denied.stderr}")
        with step("scaled to none, its pods gone"):
            self._kubectl("scale", "deployment/web", "--replicas=0")
            self._kubectl("wait", "--for=delete", "pod", "--selector=app=web", "--timeout=60s")

    def _volumes_go_with_their_claims(self) -> None:
        with step("volumes deleted with their claims"):
            self._kubectl("delete", "job/writer", "--cascade=foreground", "--timeout=60s")
            self._kubectl("delete", "persistentvolumeclaims", "--all", "--timeout=60s")
            wait_for("end of the volumes", self._no_volume, seconds=30)

    def _no_volume(self) -> bool:
        claimed = self._kubectl("get", "persistentvolumes", "-o=jsonpath={.items[*].spec.claimRef.namespace}")
        return self._namespace not in claimed.split()

    def _fetch(self) -> bool:
        code = FETCH.format(namespace=self._namespace)
        return self._try("exec", "deployment/web", "--", "python3", "-c", code).returncode == 0

    def _apply(self, document: workloads.Document) -> None:
        self._kubectl("apply", "-f", "-", stdin=json.dumps(document))

    def _kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        done = self._try(*arguments, stdin=stdin)
        if done.returncode != 0:
            raise NodeError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def _try(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        namespace = f"--namespace={self._namespace}"
        return run(
            self._tools.kubectl, namespace, *arguments, stdin=stdin, env=self._tools.env, timeout=90, check=False
        )
