"""What wakes a pass: the only module with kopf's decorators.

kopf watches, and does nothing else for us. Its change handlers would keep a copy of the spec in an annotation and
write ``status.kopf``; its errors would become events. So there are event handlers only, and each of them does no more
than to tell the scheduler that something happened to a migration. What is to be done is decided from what is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import kopf

from project_migration.controller import Controller
from project_migration.engine.names import Key
from project_migration.model.document import GROUP, KIND, PLURAL, VERSION
from project_migration.model.labels import MANAGED_BY, NAME, OPERATOR
from project_migration.settings import Settings

OURS = {MANAGED_BY: OPERATOR}

#: Watches are renewed before proxies cut them, and a connection that died unnoticed is given up.
WATCH_SECONDS = 290
SILENT_WATCH_SECONDS = 330
CONNECT_SECONDS = 10

#: Between attempts to reach an API server, or to find the CRD there, at start.
START_SECONDS = 5.0


def watch(controller: Controller) -> None:
    """Watches until a signal ends the process."""
    settings = controller.settings
    registry = kopf.OperatorRegistry()
    register(controller, registry)
    kopf.run(
        registry=registry,
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
        liveness_endpoint=f"http://0.0.0.0:{settings.liveness_port}/healthz" if settings.liveness_port else None,
    )


def register(controller: Controller, registry: kopf.OperatorRegistry) -> None:
    """Put the operator's handlers into a registry. Called once a process."""

    @kopf.on.startup(registry=registry, id="begin")
    async def begin(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings, controller.settings)
        while not await asyncio.to_thread(controller.begin):
            await asyncio.sleep(START_SECONDS)

    @kopf.on.cleanup(registry=registry, id="end")
    def end(**_: Any) -> None:
        controller.stop()

    @kopf.on.login(registry=registry, id="login")
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_via_client(**kwargs)

    @kopf.on.probe(registry=registry, id="scheduler")
    def probe(**_: Any) -> str:
        """Answers, or has the endpoint answer with an error, upon which the kubelet starts us anew."""
        if not controller.alive():
            raise kopf.PermanentError("passes are stuck")
        return "alive"

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry, id="migration")
    def migration_changed(event: kopf.RawEvent, body: kopf.Body, **_: Any) -> None:
        key = Key(str(body.metadata.namespace), str(body.metadata.name))
        if event["type"] == "DELETED":
            controller.gone(key)
        else:
            controller.changed(key, signature(body))

    @kopf.on.event("batch", "v1", "jobs", labels=OURS, registry=registry, id="job")
    @kopf.on.event("", "v1", "pods", labels=OURS, registry=registry, id="pod")
    def helper_changed(body: kopf.Body, **_: Any) -> None:
        key = migration_of(body)
        if key is not None:
            controller.wake(key)


def configure(settings: kopf.OperatorSettings, ours: Settings) -> None:
    """kopf as a watcher only."""
    settings.posting.enabled = False
    # the CRD is there before we start (see begin() above), and namespaces are named in our settings
    settings.scanning.disabled = True
    settings.watching.server_timeout = WATCH_SECONDS
    settings.watching.client_timeout = SILENT_WATCH_SECONDS
    settings.watching.connect_timeout = CONNECT_SECONDS
    settings.networking.request_timeout = ours.request_timeout_seconds
    for resource in (("", "v1", "pods"), ("batch", "v1", "jobs")):
        # without it every pod of the namespaces would come over the wire to be ignored
        settings.watching.label_selectors[resource] = f"{MANAGED_BY}={OPERATOR}"


def signature(body: Mapping[str, Any]) -> str:
    """What of a migration calls for a pass when it changes. Its status does not: we wrote it ourselves."""
    meta = body.get("metadata") or {}
    parts = ("uid", "generation", "deletionTimestamp", "annotations", "finalizers")
    return repr([_plain(meta.get(part)) for part in parts])


def _plain(value: Any) -> Any:
    return sorted(value.items()) if isinstance(value, Mapping) else value


def migration_of(body: Mapping[str, Any]) -> Key | None:
    """Whose helper it is: the annotation has the whole name, where a label may hold its beginning only."""
    meta = body.get("metadata") or {}
    name = (meta.get("annotations") or {}).get(NAME)
    if name is None:
        owners = [owner for owner in meta.get("ownerReferences") or () if owner.get("kind") == KIND]
        name = owners[0]["name"] if owners else None
    return Key(str(meta["namespace"]), str(name)) if name else None
