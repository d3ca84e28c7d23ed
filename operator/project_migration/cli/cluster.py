"""What the command line asks of a cluster: look at a migration, and set what people may set on it.

Imported only by commands that speak to one: the client library takes longer to load than most commands to run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from project_migration.backends.kubernetes.client import Client, load_configuration
from project_migration.backends.kubernetes.migrations import Migrations
from project_migration.backends.kubernetes.resources import MIGRATIONS
from project_migration.engine.names import Key
from project_migration.engine.world import Migration


class Cluster:
    """The cluster that kubectl would speak to. Raises PassingError when none is configured or it does not answer."""

    def __init__(self, context: str | None = None) -> None:
        self._client = Client(load_configuration(context))
        self._migrations = Migrations(self._client, ())

    def load(self, key: Key) -> Migration:
        return self._migrations.load(key)

    def set_spec(self, key: Key, fields: Mapping[str, Any]) -> None:
        self._client.patch(MIGRATIONS.path(key.namespace, key.name), {"spec": dict(fields)})

    def annotate(self, key: Key, annotations: Mapping[str, str]) -> None:
        self._client.patch(MIGRATIONS.path(key.namespace, key.name), {"metadata": {"annotations": dict(annotations)}})


def current_namespace(context: str | None = None, environ: Mapping[str, str] = os.environ) -> str:
    """The namespace of that context of the kubeconfig, or of the current one, as kubectl takes it."""
    files = environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    contexts: dict[str, str] = {}
    current = ""
    for name in filter(None, files.split(os.pathsep)):
        try:
            found = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError):
            continue
        if not isinstance(found, dict):
            continue
        current = current or str(found.get("current-context") or "")
        for entry in found.get("contexts") or ():
            contexts.setdefault(str(entry.get("name")), str((entry.get("context") or {}).get("namespace") or ""))
    return contexts.get(context or current) or "default"
