"""What these tests make in a cluster, and how they wait for it.

Helpers run a small program of our own here (:data:`STUB`), which does what its request's params say, so that the
backend is tested by itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from project_migration.backends.kubernetes import KubernetesBackend
from project_migration.backends.kubernetes.client import Client
from project_migration.backends.kubernetes.resources import (
    CLAIMS,
    DEPLOYMENTS,
    MIGRATIONS,
    STORAGE_CLASSES,
    Json,
    Resource,
    name_of,
)
from project_migration.engine.effects import Effect, HelperSpec, Mount, PrepareHelper, Rights, StartHelper
from project_migration.engine.units import helper_name
from project_migration.engine.world import HelperFacts, HelperPhase, Migration, Questions, World
from project_migration.model.records import Request
from project_migration.settings import Settings
from tests.cluster.node import images
from tests.cluster.node.place import chosen_by_environment

#: A shell and Python, for workloads and helpers alike.
BASE = os.environ.get("WORKLOAD_IMAGE", "python:3.11-slim" if chosen_by_environment() else images.BASE)

ACCOUNTS = Resource("v1", "serviceaccounts", "ServiceAccount")
CRDS = Resource("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition")
QUOTAS = Resource("v1", "resourcequotas", "ResourceQuota")

#: Pod Security, as an administrator sets it on a namespace.
ENFORCE = "pod-security.kubernetes.io/enforce"

STUB = """
import json, os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
request = json.load(open("/etc/project-migration/request.json"))
do = request["params"]["do"]
print(json.dumps({"progress": {"bytesDone": 5, "bytesTotal": 9, "itemsDone": 1, "itemsTotal": 2}}), flush=True)
print("a line for people", flush=True)
def leave(**facts):
    text = json.dumps({"version": 1, "requestDigest": "", "outcome": "Succeeded", "reason": "", "message": "",
        "passing": False, "counts": {"files": 1}, "digest": "", "names": {}, "lists": {}, "facts": facts,
        "seconds": 0.1})
    open("/dev/termination-log", "w").write(text)
if do == "sleep":
    time.sleep(600)
elif do == "crash":
    print("Traceback: it broke", flush=True); sys.exit(3)
elif do == "memory":
    hoard = [bytearray(1 << 20) for _ in range(1 << 12)]
elif do == "look":
    found = {"uid": os.getuid(), "gid": os.getgid(), "roots": request["roots"]}
    for root, path in request["roots"].items():
        try:
            os.makedirs(path, exist_ok=True)
            open(os.path.join(path, "probe"), "w").write("x")
            found[root] = "written"
        except OSError as error:
            found[root] = error.strerror
    try:
        open("/probe", "w"); found["image"] = "written"
    except OSError as error:
        found["image"] = error.strerror
    found["token"] = os.path.exists("/var/run/secrets/kubernetes.io")
    leave(found=found)
"""


def wait_until(holds: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
    """What ``holds`` returns once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = holds()
        if found:
            return found
        time.sleep(0.3)
    raise AssertionError(f"not within {seconds:.0f}s: {what}")


def settings(namespace: str, **changes: Any) -> Settings:
    return Settings(namespaces=(namespace,), helper_image=BASE, helper_pull_policy="IfNotPresent", **changes)


def class_with(client: Client, binding_mode: str) -> str:
    """A storage class that binds its claims so; the test is skipped where there is none."""
    found = [c for c in client.items(STORAGE_CLASSES.path()) if c.get("volumeBindingMode") == binding_mode]
    return name_of(found[0]) if found else pytest.skip(f"no storage class binds claims {binding_mode}")


def claim(client: Client, namespace: str, name: str, storage_class: str | None = None) -> str:
    spec: Json = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    client.create(CLAIMS.path(namespace), {"metadata": {"name": name}, "spec": spec})
    return name


def document(namespace: str, name: str = "vision") -> Json:
    pair = {"name": "data", "source": {"claimName": "old", "subPath": "in"}, "target": {"claimName": "new"}}
    return {
        "apiVersion": MIGRATIONS.api_version,
        "kind": MIGRATIONS.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"volumes": {"pairs": [pair]}, "workspace": {"claimName": "work"}},
    }


def helper(migration: Migration, do: str, *mounts: Mount, step: str = "copy", **changes: Any) -> HelperSpec:
    request = Request("copy_tree", migration.uid, "vision", migration.key.namespace, step, "data", params={"do": do})
    spec = HelperSpec(
        name=helper_name(step, "data", 1, migration.uid), request=request, mounts=mounts, rights=Rights.NONE
    )
    return replace(spec, **changes)


def apply(backend: KubernetesBackend, migration: Migration, *effects: Effect) -> None:
    backend.apply(migration, effects)


def look(backend: KubernetesBackend, migration: Migration, **questions: Any) -> World:
    return backend.observe(migration, Questions(**questions))


def facts_of(backend: KubernetesBackend, migration: Migration) -> HelperFacts | None:
    return next(iter(look(backend, migration).helpers.values()), None)


def in_phase(backend: KubernetesBackend, migration: Migration, phase: HelperPhase, seconds: float = 90) -> HelperFacts:
    def found() -> HelperFacts | None:
        facts = facts_of(backend, migration)
        return facts if facts is not None and facts.phase is phase else None

    result: HelperFacts = wait_until(found, f"the helper is {phase}", seconds)
    return result


def start(backend: KubernetesBackend, migration: Migration, spec: HelperSpec) -> None:
    """Prepare and start, as the engine does: again, when the version was old by then."""
    apply(backend, migration, PrepareHelper(spec))

    def started() -> bool:
        facts = facts_of(backend, migration)
        if facts is not None and facts.phase is HelperPhase.PREPARED:
            apply(backend, migration, StartHelper(facts.name, facts.uid, facts.version))
        return facts is not None and facts.phase is not HelperPhase.PREPARED

    wait_until(started, "the helper is started")


def pod_spec(**changes: Any) -> Json:
    container = {"name": "main", "image": BASE, "command": ["sleep", "600"]}
    return {"terminationGracePeriodSeconds": 0, "containers": [container], **changes}


def mounting(spec: Json, claim_name: str) -> Json:
    spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}]
    spec["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    return spec


def workload(resource: Resource, name: str, spec: Json, **changes: Any) -> Json:
    labels = {"app": name}
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, **changes},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
            **({"replicas": 2} if resource is DEPLOYMENTS else {"replicas": 1, "serviceName": name}),
        },
    }
