from __future__ import annotations

from typing import Any

import pytest

from project_migration.backends.kubernetes.migrations import parse, parse_status
from project_migration.backends.kubernetes.resources import Json
from project_migration.engine.names import Key
from project_migration.model.errors import PassingError
from project_migration.model.labels import FINALIZER

KEY = Key("ml", "vision")


def stored(status: Json | None = None, spec: Json | None = None, **meta: Any) -> Json:
    pair = {"name": "data", "source": {"claimName": "old"}, "target": {"claimName": "new"}}
    return {
        "apiVersion": "migration.mlops.dev/v1alpha1",
        "kind": "ProjectMigration",
        "metadata": {
            "name": "vision",
            "namespace": "ml",
            "uid": "u",
            "resourceVersion": "7",
            "generation": 2,
            "managedFields": [],
            **meta,
        },
        "spec": spec or {"volumes": {"pairs": [pair]}, "workspace": {"claimName": "work"}},
        **({"status": status} if status is not None else {}),
    }


def test_an_object_becomes_a_migration() -> None:
    found = parse(stored(finalizers=[FINALIZER], annotations={"a": "b"}, deletionTimestamp="2026-01-01T00:00:00Z"))
    assert found.key == KEY
    assert (found.uid, found.version, found.generation) == ("u", "7", 2)
    assert found.finalizer
    assert found.annotations == {"a": "b"}
    assert found.deleting_since is not None
    assert found.deleting_since.year == 2026
    assert found.document is not None


def test_what_is_wrong_with_a_document_names_the_field() -> None:
    pair = {"name": "Data!", "source": {"claimName": "old"}, "target": {"claimName": "new", "path": "/srv"}}
    found = parse(stored(spec={"volumes": {"pairs": [pair]}, "workspace": {"claimName": "work"}, "speed": 1}))
    assert found.document is None
    assert any(problem.startswith("spec.volumes.pairs[0].name:") for problem in found.problems)
    assert any(problem.startswith("spec.speed:") for problem in found.problems)


def test_a_path_never_reaches_a_cluster() -> None:
    pair = {"name": "data", "source": {"path": "/etc"}, "target": {"claimName": "new"}}
    found = parse(stored(spec={"volumes": {"pairs": [pair]}, "workspace": {"claimName": "work"}}))
    assert found.document is None


def test_what_only_people_read_may_be_unreadable() -> None:
    status = parse_status(KEY, {"progress": {"percent": 1000}, "phase": 7, "firstWriteAt": "2026-01-01T00:00:00Z"})
    assert status.progress.percent == 0
    assert status.phase == "Pending"
    assert status.first_write_at == "2026-01-01T00:00:00Z"


def test_fields_of_a_newer_operator_are_passed_by() -> None:
    assert parse_status(KEY, {"phase": "Copying", "invented": {"later": True}}).phase == "Copying"


@pytest.mark.parametrize(
    "status",
    [
        {"workloads": [{"kind": "Deployment", "name": "web", "side": "Source", "replicas": "three"}]},
        {"workloads": [{"kind": "Rollout", "name": "web", "side": "Source"}]},
        {"steps": [{"id": "copy", "state": "Paused"}]},
        {"firstWriteAt": 7},
    ],
    ids=["a count", "a kind", "a state", "the first write"],
)
def test_memory_that_cannot_be_read_is_never_written_over(status: Json) -> None:
    with pytest.raises(PassingError, match=r"ml/vision: status\.\w+.*cannot be read"):
        parse_status(KEY, status)
