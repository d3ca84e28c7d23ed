"""Locks between migrations, as Leases without a term: held until given back, or until the holder's object is gone.

They have no owner reference. The garbage collector would delete a lease after its first holder, even when another
migration has taken it over meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from project_migration.backends.kubernetes.client import Client, NotThere, Refused, fence, read_named
from project_migration.backends.kubernetes.resources import (
    LEASES,
    MIGRATIONS,
    Json,
    metadata,
    name_of,
    uid_of,
    version_of,
)
from project_migration.engine.effects import DropLease, TakeLease
from project_migration.engine.names import Key
from project_migration.engine.world import LeaseFacts, Migration
from project_migration.model.errors import Conflict
from project_migration.model.labels import MANAGED_BY, OPERATOR


def parse_holder(holder: str) -> tuple[Key, str] | None:
    """``namespace/name/uid``, as :attr:`Migration.holder` writes it; None for anything else."""
    parts = holder.split("/")
    if len(parts) != 3 or not all(parts):
        return None
    return Key(parts[0], parts[1]), parts[2]


def holder_exists(client: Client, holder: str) -> bool:
    """Whether that very migration still exists. In doubt it does: nothing is taken from one that we cannot see.

    An API server that does not serve the CRD at the moment says "not found" too, but names no object.
    """
    parsed = parse_holder(holder)
    if parsed is None:
        return True
    key, uid = parsed
    try:
        return uid_of(client.get(MIGRATIONS.path(key.namespace, key.name))) == uid
    except NotThere as missing:
        return not missing.named
    except Refused:
        return True


def observe_leases(client: Client, migration: Migration, names: Collection[str]) -> Mapping[str, LeaseFacts]:
    """Those leases that exist."""
    found = read_named(client, LEASES, migration.key.namespace, names)
    alive = {migration.holder: True}
    facts = {}
    for name, lease in found.items():
        holder = holder_of(lease)
        if holder not in alive:
            alive[holder] = bool(holder) and holder_exists(client, holder)
        facts[name] = LeaseFacts(holder=holder, version=version_of(lease), alive=alive[holder])
    return facts


def holder_of(lease: Json) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")


def take(client: Client, namespace: str, effect: TakeLease) -> None:
    """Raises Conflict when somebody else was first."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    lease: Json = {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"name": effect.name, "namespace": namespace, "labels": {MANAGED_BY: OPERATOR}},
        "spec": {"holderIdentity": effect.holder, "acquireTime": now, "renewTime": now},
    }
    if effect.version is None:
        client.create(LEASES.path(namespace), lease)
        return
    lease["metadata"]["resourceVersion"] = fence(effect.version)
    client.replace(LEASES.path(namespace, effect.name), lease)


def drop(client: Client, namespace: str, effect: DropLease) -> None:
    client.delete(LEASES.path(namespace, effect.name), version=fence(effect.version))


def drop_abandoned(client: Client, namespace: str | None) -> Iterator[str]:
    """Remove leases whose holder is gone; their names as they go."""
    for lease in client.items(LEASES.path(namespace), labelSelector=f"{MANAGED_BY}={OPERATOR}"):
        holder, home = holder_of(lease), str(metadata(lease)["namespace"])
        if holder and not holder_exists(client, holder):
            with suppress(NotThere, Conflict):
                client.delete(LEASES.path(home, name_of(lease)), version=version_of(lease))
                yield f"{home}/{name_of(lease)}"
