"""Objects as an API server sends them, as far as these tests need them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from project_migration.backends.kubernetes.resources import Json
from project_migration.engine.effects import HelperSpec, Mount, Rights
from project_migration.engine.names import Key
from project_migration.engine.world import Migration
from project_migration.model.endpoints import Volume
from project_migration.model.records import Request
from project_migration.model.rules import read_document
from project_migration.model.status import Status
from project_migration.settings import Settings

UID = "3f9a1c22-0000-4000-8000-000000000000"
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def a_migration(name: str = "vision", namespace: str = "ml") -> Migration:
    pair = {"name": "data", "source": {"claimName": "old"}, "target": {"claimName": "new"}}
    document = read_document(
        {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"volumes": {"pairs": [pair]}, "workspace": {"claimName": "work"}},
        },
        local=False,
    )
    return Migration(Key(namespace, name), UID, "7", document, Status())


def some_settings(**changes: Any) -> Settings:
    return Settings(helper_image="registry.example/operator@sha256:1", **changes)


def a_helper(**changes: Any) -> HelperSpec:
    request = Request("copy_tree", UID, "vision", "ml", "copy", "data", params={"exclude": ["*.tmp"]})
    given: dict[str, Any] = {
        "name": "copy-data-1-3f9a1c22",
        "request": request,
        "mounts": (
            Mount("source", Volume(claim_name="old", sub_path="in/side/"), read_only=True),
            Mount("target", Volume(claim_name="new"), read_only=False),
        ),
        "rights": Rights.NONE,
        "workspace": Volume(claim_name="work"),
    }
    return HelperSpec(**(given | changes))


def a_pod(name: str = "web-1", *, phase: str = "Running", owner: Json | None = None, **parts: Any) -> Json:
    """``parts``: labels, annotations, deletionTimestamp go to the metadata; spec and status are merged in."""
    meta = {
        key: parts[key]
        for key in ("labels", "annotations", "deletionTimestamp", "creationTimestamp", "uid")
        if key in parts
    }
    if owner:
        meta["ownerReferences"] = [owner]
    return {
        "metadata": {"name": name, "namespace": "ml", **meta},
        "spec": parts.get("spec", {}),
        "status": {"phase": phase, **parts.get("status", {})},
    }


def owned_by(api_version: str, kind: str, name: str, uid: str) -> Json:
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}


def container(state: Json, **parts: Any) -> Json:
    return {"name": "helper", "image": "localhost/base:1", "state": state, **parts}


def with_containers(*statuses: Json, **status: Any) -> Json:
    return {"containerStatuses": list(statuses), **status}
