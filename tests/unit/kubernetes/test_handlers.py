from __future__ import annotations

import kopf
import pytest

from project_migration.controller import Controller
from project_migration.engine.names import Key
from project_migration.engine.world import Migration, Questions, World
from project_migration.handlers import configure, migration_of, register, signature
from project_migration.model.errors import Gone, PassingError
from project_migration.model.labels import NAME
from project_migration.observing.metrics import Metrics
from tests.unit.kubernetes.objects import MOMENT, a_migration, some_settings

BODY = {
    "metadata": {
        "name": "vision",
        "namespace": "ml",
        "uid": "u",
        "generation": 1,
        "resourceVersion": "7",
        "annotations": {"a": "1", "b": "2"},
    },
    "status": {"phase": "Copying"},
}


def changed(**meta: object) -> dict:
    return {**BODY, "metadata": {**BODY["metadata"], **meta}}


def test_our_own_writes_to_the_status_wake_nobody() -> None:
    assert signature(BODY) == signature({**changed(resourceVersion="8"), "status": {"phase": "Verifying"}})
    assert signature(BODY) == signature(changed(annotations={"b": "2", "a": "1"}))


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 2},
        {"annotations": {"migration.mlops.dev/retry": "2"}},
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        {"uid": "another"},
        {"finalizers": []},
    ],
)
def test_whatever_a_person_changes_wakes(change: dict) -> None:
    assert signature(BODY) != signature(changed(**change))


def test_a_helper_wakes_its_migration_by_its_whole_name() -> None:
    name = "v" * 200
    assert migration_of(changed(annotations={NAME: name})) == Key("ml", name)
    owner = {"kind": "ProjectMigration", "name": "vision"}
    assert migration_of(changed(annotations=None, ownerReferences=[owner])) == Key("ml", "vision")
    assert migration_of(changed(annotations=None)) is None


def test_kopf_writes_nothing_and_sees_helpers_only() -> None:
    settings = kopf.OperatorSettings()
    configure(settings, some_settings())
    assert not settings.posting.enabled
    assert settings.scanning.disabled
    assert len(settings.watching.label_selectors) == 2


def test_no_handler_is_one_that_kopf_would_keep_state_for() -> None:
    registry = kopf.OperatorRegistry()
    register(Controller(some_settings(), lambda _: Backend(), Metrics()), registry)
    assert not registry._changing._handlers
    assert not registry._spawning._handlers
    assert {handler.id for handler in registry._watching._handlers} == {"migration", "job", "pod"}


class Backend:
    """No cluster at all, or one with a single migration."""

    def __init__(self, *found: Migration) -> None:
        self.found = {migration.key: migration for migration in found}
        self.answers = True

    def keys(self) -> list[Key]:
        if not self.answers:
            raise PassingError("no answer")
        return list(self.found)

    def load(self, key: Key) -> Migration:
        if key not in self.found:
            raise Gone(str(key))
        return self.found[key]

    def observe(self, migration: Migration, questions: Questions) -> World:
        return World(now=MOMENT)

    def save(self, migration: Migration, status: object) -> Migration:
        return migration

    def apply(self, migration: Migration, effects: object) -> None:
        pass

    def restore_orphans(self) -> list[str]:
        return []

    def close(self) -> None:
        pass


def test_the_operator_waits_for_the_crd_and_then_looks_at_everything() -> None:
    backend = Backend(a_migration())
    backend.answers = False
    controller = Controller(some_settings(), lambda _: backend, Metrics())
    assert not controller.begin()
    backend.answers = True
    assert controller.begin()
    assert controller.alive()
    assert controller._scheduler.known() == (a_migration().key,)
    controller.stop()


def test_a_migration_whose_deletion_was_not_seen_is_forgotten_by_its_next_pass() -> None:
    metrics = Metrics()
    controller = Controller(some_settings(), lambda _: Backend(), metrics)
    key = Key("ml", "gone")
    metrics.observe_phase(key, "Copying")
    controller.changed(key, "seen")
    assert controller._pass(key) is None
    assert controller._scheduler.known() == ()
    assert metrics.registry.get_sample_value("project_migration_migrations", {"phase": "Copying"}) == 0


def test_an_object_seen_again_unchanged_wakes_nobody() -> None:
    controller = Controller(some_settings(), lambda _: Backend(), Metrics())
    woken: list[Key] = []
    controller._scheduler.wake = woken.append  # type: ignore[method-assign]
    key = Key("ml", "vision")
    for seen in ("one", "one", "two", "two"):
        controller.changed(key, seen)
    assert woken == [key, key]
