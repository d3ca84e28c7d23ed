"""Migrations as an API server keeps them."""

from __future__ import annotations

import pytest

from project_migration.backends.kubernetes import KubernetesBackend
from project_migration.backends.kubernetes.client import Client
from project_migration.backends.kubernetes.resources import (
    EVENTS,
    MIGRATIONS,
)
from project_migration.engine.effects import (
    Announce,
    DropFinalizer,
    EnsureFinalizer,
)
from project_migration.engine.names import Key
from project_migration.engine.world import Migration
from project_migration.model.document import WorkloadKind
from project_migration.model.errors import Conflict, Gone
from project_migration.model.labels import FINALIZER
from project_migration.model.status import Status, WorkloadStatus
from project_migration.settings import Settings
from tests.cluster.backend.surroundings import (
    BASE,
    apply,
    document,
)

pytestmark = pytest.mark.timeout(240)


def test_a_stored_document_is_loaded_with_its_identity(migration: Migration, namespace: str) -> None:
    assert migration.document is not None
    assert migration.document.spec.platform == "volumes"
    assert migration.holder == f"{namespace}/vision/{migration.uid}"
    assert not migration.finalizer
    assert migration.status == Status()


def test_a_document_that_this_release_cannot_carry_out_says_so(
    client: Client, backend: KubernetesBackend, namespace: str
) -> None:
    body = document(namespace, "later")
    body["spec"] = {"cml": {"anything": 1}, "workspace": {"claimName": "work"}}
    client.create(MIGRATIONS.path(namespace), body)
    found = backend.load(Key(namespace, "later"))
    assert found.document is None
    assert any("spec.cml" in problem and "NotSupportedYet" in problem for problem in found.problems)


def test_of_two_operators_the_second_to_save_is_refused(backend: KubernetesBackend, migration: Migration) -> None:
    saved = backend.save(migration, Status(phase="First"))
    with pytest.raises(Conflict):
        backend.save(migration, Status(phase="Second"))
    assert backend.load(migration.key).status.phase == "First"
    assert backend.save(saved, Status(phase="Third")).status.phase == "Third"


def test_a_saved_status_replaces_the_one_before_as_a_whole(backend: KubernetesBackend, migration: Migration) -> None:
    record = WorkloadStatus(kind=WorkloadKind.DEPLOYMENT, name="web", side="Source", replicas=3)
    saved = backend.save(migration, Status(workloads=(record,), first_write_at="2026-01-01T00:00:00Z"))
    assert saved.status.workloads == (record,)
    saved = backend.save(saved, Status(phase="Later"))
    assert saved.status.workloads == ()
    assert saved.status.first_write_at is None


def test_a_change_of_the_document_refuses_a_status_decided_before(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    client.patch(MIGRATIONS.path(*migration.key), {"spec": {"suspend": True}})
    with pytest.raises(Conflict):
        backend.save(migration, Status(phase="Late"))


def test_what_was_deleted_is_gone_for_load_and_save(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    client.delete(MIGRATIONS.path(*migration.key))
    with pytest.raises(Gone):
        backend.load(migration.key)
    with pytest.raises((Gone, Conflict)):
        backend.save(migration, Status())


def test_the_finalizer_holds_the_object_until_it_is_dropped(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    apply(backend, migration, EnsureFinalizer(), EnsureFinalizer())
    held = backend.load(migration.key)
    assert held.finalizer
    client.delete(MIGRATIONS.path(*migration.key))
    dying = backend.load(migration.key)
    assert dying.deleting_since is not None
    apply(backend, held, DropFinalizer())  # decided before the deletion was seen: late
    assert backend.load(migration.key).finalizer
    apply(backend, dying, DropFinalizer())
    with pytest.raises(Gone):
        backend.load(migration.key)


def test_other_finalizers_are_left_alone(client: Client, backend: KubernetesBackend, migration: Migration) -> None:
    client.patch(MIGRATIONS.path(*migration.key), {"metadata": {"finalizers": ["example.com/other"]}})
    apply(backend, migration, EnsureFinalizer())
    stored = client.get(MIGRATIONS.path(*migration.key))
    assert stored["metadata"]["finalizers"] == ["example.com/other", FINALIZER]
    apply(backend, backend.load(migration.key), DropFinalizer())
    assert client.get(MIGRATIONS.path(*migration.key))["metadata"]["finalizers"] == ["example.com/other"]


def test_keys_are_those_of_the_watched_namespaces(
    backend: KubernetesBackend, migration: Migration, client: Client
) -> None:
    assert backend.keys() == [migration.key]
    everywhere = KubernetesBackend(Settings(helper_image=BASE), client)
    assert migration.key in everywhere.keys()  # noqa: SIM118 - not a mapping


def test_an_announcement_applied_twice_is_one_event(
    client: Client, backend: KubernetesBackend, migration: Migration
) -> None:
    told = Announce("StepBegun", "copy")
    apply(backend, migration, told, told, Announce("Failed", "no", warning=True))
    events = client.items(EVENTS.path(migration.key.namespace), fieldSelector=f"involvedObject.uid={migration.uid}")
    assert sorted((event["reason"], event["type"]) for event in events) == [
        ("Failed", "Warning"),
        ("StepBegun", "Normal"),
    ]
