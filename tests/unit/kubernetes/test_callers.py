from __future__ import annotations

import pytest

from project_migration.backends.kubernetes.callers import names_server
from project_migration.backends.kubernetes.pods import NamespacePods
from project_migration.backends.kubernetes.resources import Json
from project_migration.engine.names import WorkloadRef
from project_migration.model.document import WorkloadKind
from tests.unit.kubernetes.objects import a_pod, owned_by

URI = "postgresql://mlflow@{}:5432/mlflow"


def with_variable(value: str, name: str = "BACKEND_STORE_URI") -> Json:
    return a_pod("tracker-1", spec={"containers": [{"name": "main", "env": [{"name": name, "value": value}]}]})


def with_words(*words: str) -> Json:
    return a_pod(
        "tracker-1", spec={"containers": [{"name": "main", "command": ["mlflow", "server"], "args": [*words]}]}
    )


@pytest.mark.parametrize("called", ["db.ml", "db.ml.svc", "db.ml.svc.cluster.local", "DB.ml.svc"])
@pytest.mark.parametrize("named", ["db.ml", "db.ml.svc", "db.ml.svc.cluster.local"])
def test_a_service_is_known_by_each_of_its_names(called: str, named: str) -> None:
    for pod in (
        with_variable(URI.format(called)),
        with_variable(called, "HOST"),
        with_words("--backend-store-uri", URI.format(called)),
        with_words(f"--host={called}"),
    ):
        assert names_server(pod, named, "other")


def test_a_name_without_dots_is_one_of_the_own_namespace_and_counts_only_where_a_host_stands() -> None:
    assert names_server(with_variable(URI.format("postgres")), "postgres", "ml")
    assert names_server(with_variable("postgres", "PGHOST"), "postgres.ml.svc", "ml")
    assert names_server(with_variable(URI.format("postgres.ml.svc")), "postgres", "ml")
    assert not names_server(with_variable(URI.format("postgres")), "postgres.old.svc", "ml")
    assert not names_server(with_variable("postgres", "PGUSER"), "postgres", "ml")
    assert not names_server(with_words("postgres"), "postgres", "ml")


@pytest.mark.parametrize("other", ["mydb.ml.svc", "db.ml.svc.example.org", "db.mlflow", "db-ml", "xdb.ml", "db.ml-2"])
def test_another_server_s_name_that_looks_alike_does_not_count(other: str) -> None:
    assert not names_server(with_variable(URI.format(other)), "db.ml.svc", "ml")


def test_an_address_is_a_name_too_and_its_dots_are_dots() -> None:
    assert names_server(with_variable(URI.format("10.0.0.7")), "10.0.0.7", "ml")
    assert not names_server(with_variable(URI.format("10a0.0.7")), "10.0.0.7", "ml")


def test_callers_are_told_with_the_workload_that_a_person_scales() -> None:
    stateful = owned_by("apps/v1", "StatefulSet", "tracker", "uid")
    caller = a_pod("tracker-0", owner=stateful, spec=with_variable(URI.format("db.ml"))["spec"])
    ended = a_pod("tracker-9", phase="Succeeded", spec=caller["spec"])
    found = NamespacePods([caller, ended, a_pod("other")], {}).callers("db.ml", "ml", "uid-1")
    assert [(pod.name, pod.owner) for pod in found] == [
        ("tracker-0", WorkloadRef(WorkloadKind.STATEFUL_SET, "tracker"))
    ]
