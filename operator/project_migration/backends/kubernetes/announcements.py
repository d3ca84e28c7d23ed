"""Events for people, on the migration's object.

An event's name is made of what it says and of the version it was decided on, so that the same announcement applied
twice is one event.
"""

from __future__ import annotations

import hashlib
import socket
from datetime import UTC, datetime

from project_migration.backends.kubernetes.client import Client
from project_migration.backends.kubernetes.resources import EVENTS, MIGRATIONS, Json
from project_migration.engine.effects import Announce
from project_migration.engine.world import Migration
from project_migration.model.labels import OPERATOR

#: kubernetes/pkg/apis/core/validation/events.go refuses longer notes; core/v1 takes them, but clients cut them.
MESSAGE_LIMIT = 1024


def event(effect: Announce, migration: Migration, *, now: datetime | None = None, instance: str = "") -> Json:
    moment = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    said = "\n".join((migration.uid, migration.version, effect.reason, effect.message))
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"name": f"{migration.key.name[:236]}.{digest}", "namespace": migration.key.namespace},
        "involvedObject": {
            "apiVersion": MIGRATIONS.api_version,
            "kind": MIGRATIONS.kind,
            "namespace": migration.key.namespace,
            "name": migration.key.name,
            "uid": migration.uid,
            "resourceVersion": migration.version,
        },
        "reason": effect.reason,
        "message": _short(effect.message),
        "type": "Warning" if effect.warning else "Normal",
        "count": 1,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "source": {"component": OPERATOR},
        "reportingComponent": OPERATOR,
        "reportingInstance": instance or socket.gethostname(),
    }


def _short(message: str) -> str:
    encoded = message.encode()
    return message if len(encoded) <= MESSAGE_LIMIT else encoded[: MESSAGE_LIMIT - 3].decode(errors="ignore") + "…"


def announce(client: Client, effect: Announce, migration: Migration) -> None:
    client.create(EVENTS.path(migration.key.namespace), event(effect, migration))
