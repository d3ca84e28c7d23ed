"""Locks between migrations."""

from __future__ import annotations

import pytest

from project_migration.backends.kubernetes import KubernetesBackend
from project_migration.backends.kubernetes.client import Client
from project_migration.backends.kubernetes.resources import (
    MIGRATIONS,
)
from project_migration.engine.effects import (
    DropLease,
    TakeLease,
)
from project_migration.engine.names import Key
from project_migration.engine.world import Migration
from tests.cluster.backend.surroundings import (
    apply,
    document,
    look,
)

pytestmark = pytest.mark.timeout(240)


def test_a_lock_is_taken_once_and_taken_over_only_from_the_dead(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    namespace = migration.key.namespace
    client.create(MIGRATIONS.path(namespace), document(namespace, "other"))
    other = backend.load(Key(namespace, "other"))
    names = frozenset({"target", "free"})
    apply(backend, migration, TakeLease("target", migration.holder, None))
    apply(backend, other, TakeLease("target", other.holder, None))
    leases = look(backend, other, leases=names).leases
    assert set(leases) == {"target"}
    assert (leases["target"].holder, leases["target"].alive) == (migration.holder, True)
    apply(backend, other, DropLease("target", "1"))
    assert "target" in look(backend, other, leases=names).leases

    client.delete(MIGRATIONS.path(*migration.key))
    dead = look(backend, other, leases=names).leases["target"]
    assert not dead.alive
    apply(backend, other, TakeLease("target", other.holder, dead.version))
    taken = look(backend, other, leases=names).leases["target"]
    assert (taken.holder, taken.alive) == (other.holder, True)
    apply(backend, other, DropLease("target", taken.version))
    assert look(backend, other, leases=names).leases == {}
