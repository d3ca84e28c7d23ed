"""Which Secret a workload's variable comes from, as its template has it. The Secret itself is never read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from project_migration.backends.kubernetes.client import Client, NotThere
from project_migration.backends.kubernetes.resources import Json
from project_migration.backends.kubernetes.workloads import path_of
from project_migration.engine.names import SecretKey, Variable


def observe_variables(client: Client, namespace: str, variables: Collection[Variable]) -> Mapping[Variable, SecretKey]:
    """Those that come from a Secret, of workloads that exist."""
    found = {}
    for variable in variables:
        try:
            workload = client.get(path_of(namespace, variable.of))
        except NotThere:
            continue
        key = secret_key(workload, variable.name)
        if key is not None:
            found[variable] = key
    return found


def secret_key(workload: Json, name: str) -> SecretKey | None:
    """None where it has a value of its own, or none at all; or where several Secrets might give it."""
    for container in _containers(workload):
        for variable in container.get("env") or ():
            if variable.get("name") == name:
                reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
                return SecretKey(str(reference["name"]), str(reference["key"])) if reference else None
    whole = {key for container in _containers(workload) for key in _whole_secrets(container, name)}
    return whole.pop() if len(whole) == 1 else None


def _containers(workload: Json) -> Iterator[Json]:
    template = (workload.get("spec") or {}).get("template") or {}
    yield from (template.get("spec") or {}).get("containers") or ()


def _whole_secrets(container: Json, name: str) -> Iterator[SecretKey]:
    """Secrets of which every key is a variable: this one may be among them."""
    for source in container.get("envFrom") or ():
        prefix, reference = str(source.get("prefix", "")), source.get("secretRef")
        if reference and name.startswith(prefix):
            yield SecretKey(str(reference["name"]), name.removeprefix(prefix))
