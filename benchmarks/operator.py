"""The operator on a node of this machine: start of the node, apply → first helper pod, memory with 50 migrations."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from tests.cluster import node
from tests.cluster.conftest import install
from tests.cluster.kube import OPERATOR_NAMESPACE, TIMEOUTS, Kube, Namespaces, a_migration, a_pair, wait
from tests.cluster.node import lifecycle
from tests.cluster.node.place import Place, chosen_by_environment

NODE = "pmig-bench"
OPERATOR = "app.kubernetes.io/name=project-migration-operator"
HELPERS = "app.kubernetes.io/managed-by=project-migration-operator"
ROUNDS = 5
MANY = 50


def main() -> int:
    if chosen_by_environment() is not None:
        print("unset KUBECONFIG: this measures a node of its own", file=sys.stderr)
        return 2
    try:
        node.cluster(NODE, operator_image=True)  # builds whatever is missing, so that the next start is from the cache
        lifecycle.down(Place(NODE))
        began = time.monotonic()
        tools = node.cluster(NODE, operator_image=True)
        print(f"node from the cache, with the image: {time.monotonic() - began:6.1f} s")
        install(tools)
        namespaces = Namespaces(tools)
        first_pod(namespaces)
        many(namespaces)
    finally:
        lifecycle.down(Place(NODE))
    return 0


def a_namespace(namespaces: Namespaces, name: str) -> Kube:
    return namespaces.make(name, **{"migration.mlops.dev/privileged-helpers": "true"})


def first_pod(namespaces: Namespaces) -> None:
    """Seconds from the end of ``kubectl create`` until a helper's pod is there."""
    seconds = []
    for number in range(ROUNDS):
        kube = a_namespace(namespaces, f"soon-{number}")
        kube.claims("old", "new", "work")
        kube.create(a_migration())
        began = time.monotonic()
        wait(lambda kube=kube: kube.list("pods", HELPERS), "the first helper pod", 30, every=0.02)
        seconds.append(time.monotonic() - began)
        kube.ended("files")
    print(f"apply → first helper pod, {ROUNDS} rounds:    {statistics.median(seconds):6.2f} s (median)")


def many(namespaces: Namespaces) -> None:
    kube = a_namespace(namespaces, "many")
    kube.claims("work", *(f"from-{n}" for n in range(MANY)), *(f"to-{n}" for n in range(MANY)))
    slow_node = {**TIMEOUTS, "helperStart": "10m"}
    pairs = [a_pair("data", f"from-{n}", f"to-{n}") for n in range(MANY)]
    began = time.monotonic()
    kube.create(*(a_migration(f"m-{n}", pair, timeouts=slow_node) for n, pair in enumerate(pairs)))
    wait(lambda: all(phase(m) == "Succeeded" for m in kube.list("pmig")), f"{MANY} migrations", 900, every=2)
    print(f"{MANY} migrations, applied at once, ended:   {time.monotonic() - began:6.1f} s")
    operator = Kube(kube.tools, OPERATOR_NAMESPACE)
    pod = operator.list("pods", OPERATOR)[0]["metadata"]["name"]
    script = "print(*[l for l in open('/proc/1/status') if l.startswith(('VmHWM', 'VmRSS'))])"
    print(f"memory of the operator with them:\n{operator.kubectl('exec', pod, '--', 'python', '-c', script)}")


def phase(migration: dict[str, object]) -> str:
    status = migration.get("status")
    return str(status.get("phase", "")) if isinstance(status, dict) else ""


if __name__ == "__main__":
    assert Path("helm").is_dir(), "run it from the project's root"
    sys.exit(main())
