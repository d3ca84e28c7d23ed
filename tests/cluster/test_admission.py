"""What the API server itself refuses, in its own words: the schema and its CEL rules."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.cluster.kube import Kube, Refused, a_migration, a_pair, wait


def refused(kube: Kube, document: dict[str, Any]) -> str:
    with pytest.raises(Refused) as caught:
        kube.create(document)
    return caught.value.message


def a_database(source: str, **more: Any) -> dict[str, Any]:
    def endpoint(host: str) -> dict[str, Any]:
        return {"postgres": {"host": host, "database": "shop"}, "credentialsRef": {"name": "db"}}

    return {"name": "shop", "source": endpoint(source), "target": endpoint("new"), **more}


def an_address(host: str) -> dict[str, Any]:
    return {"trackingUri": f"http://{host}:5000"}


AN_ARCHIVE = {"archive": {"claimName": "archive", "subPath": "cml-migration.tar.gz"}}
ADMIN = {"username": "admin"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"volumes": None}, "spec: Invalid value: give exactly one platform: clearml, cdsw, cml, mlflow, volumes"),
        ({"cml": {}}, "spec: Invalid value: give exactly one platform: clearml, cdsw, cml, mlflow, volumes"),
        (
            {"volumes": None, "mlflow": {"source": an_address("me:pw@old"), "target": an_address("new")}},
            "spec.mlflow.source.trackingUri: Invalid value: give the plain name, no URI",
        ),
        (
            {"volumes": None, "mlflow": {"source": an_address("old"), "target": {}}},
            "spec.mlflow.target: Invalid value: give trackingUri, backend or both; or archive alone",
        ),
        (
            {"volumes": None, "mlflow": {"source": {"backend": {}}, "target": an_address("new")}},
            "spec.mlflow.source.backend: Invalid value: give exactly one of postgres, mysql, sqlite",
        ),
        (
            {"volumes": None, "mlflow": {"via": "Database", "source": an_address("old"), "target": an_address("new")}},
            "spec.mlflow.via: Invalid value: via Database needs backend on both sides",
        ),
        (
            {"volumes": None, "cdsw": {"source": {}, "target": {"namespace": "mlx"}}},
            "spec.cdsw.source: Invalid value: give archive, or database and projects",
        ),
        (
            {"volumes": None, "cdsw": {"source": {"archive": {"claimName": "a"}}, "target": {}}},
            "spec.cdsw.source.archive.subPath: Invalid value: name the archive's file in subPath",
        ),
        (
            {"volumes": None, "cdsw": {"source": AN_ARCHIVE, "target": {"namespace": "mlx"}}},
            "spec.cdsw.administrator: Invalid value: name an administrator of the target",
        ),
        (
            {"volumes": None, "cdsw": {"source": AN_ARCHIVE, "target": {"namespace": "mlx"}, "administrator": ADMIN}},
            "spec.backup: Invalid value: a workspace that a CDSW moves into needs backup: its database is replaced",
        ),
        ({"workspace": None}, "spec.workspace: Invalid value: name the workspace claim, or a size for one to be made"),
        (
            {"workspace": {"claimName": "w", "size": "1Gi"}},
            "spec.workspace: Invalid value: give either claimName, or size for a claim to be made",
        ),
        ({"ownership": {"mode": "Set"}}, "spec.ownership.uid: Invalid value: mode Set needs uid and gid"),
        (
            {"ownership": {"mode": "Helper", "uid": 0}},
            "spec.ownership.uid: Invalid value: a helper never runs as user 0 in mode Helper",
        ),
        ({"transfer": {"workers": -1}}, "spec.transfer.workers in body should be greater than or equal to 1"),
        ({"transfer": {"workers": 65}}, "spec.transfer.workers in body should be less than or equal to 64"),
        ({"transfer": {"bandwidth": "fast"}}, "spec.transfer.bandwidth in body should match"),
        ({"retries": -1}, "spec.retries in body should be greater than or equal to 0"),
        ({"timeouts": {"quiesce": "soon"}}, "spec.timeouts.quiesce in body should match"),
        ({"mode": "Try"}, 'spec.mode: Unsupported value: "Try": supported values: "Migrate", "Plan"'),
        ({"wrkspace": {}}, 'unknown field "spec.wrkspace"'),
        ({"backup": {}}, "give either claimName, or waive with the reason in words"),
        (
            {"volumes": {"pairs": [a_pair(target="old")]}},
            "spec.volumes.pairs[0].target: Invalid value: source and target must be different places,"
            " neither inside the other",
        ),
        (
            {
                "volumes": {
                    "pairs": [
                        {
                            "name": "data",
                            "source": {"claimName": "c", "subPath": "a"},
                            "target": {"claimName": "c", "subPath": "a/b"},
                        }
                    ]
                }
            },
            "neither inside the other",
        ),
        (
            {"volumes": {"pairs": [{"name": "data", "source": {"path": "/etc"}, "target": {"claimName": "c"}}]}},
            'unknown field "spec.volumes.pairs[0].source.path"',
        ),
        ({"volumes": {"pairs": [a_pair(name="Not-A-Label")]}}, "spec.volumes.pairs[0].name in body should match"),
        ({"volumes": {"pairs": [a_pair(), a_pair(source="x", target="y")]}}, "Duplicate value"),
        (
            {"volumes": {"databases": [a_database("postgres://me:hunter2@old/shop")]}},
            "spec.volumes.databases[0].source.postgres.host: Invalid value: give the plain name, no URI",
        ),
        (
            {"volumes": {"databases": [a_database("old:5432")]}},
            "spec.volumes.databases[0].source.postgres.host: Invalid value: give a host name or an address",
        ),
        (
            {"volumes": {"databases": [a_database("new")]}},
            "spec.volumes.databases[0].target: Invalid value: source and target must be different databases",
        ),
        (
            {"volumes": {"databases": [a_database("old", replace=True)]}},
            "spec.backup: Invalid value: a database with replace needs backup",
        ),
        ({"volumes": {"pairs": []}}, "spec.volumes: Invalid value: name at least one pair or database"),
    ],
)
def test_a_wrong_document_is_refused_with_its_field(kube: Kube, spec: dict[str, Any], message: str) -> None:
    document = a_migration(**spec)
    document["spec"] = {key: value for key, value in document["spec"].items() if value is not None}
    assert message in refused(kube, document)


def test_a_sub_path_that_leaves_its_claim_is_refused(kube: Kube) -> None:
    document = a_migration()
    document["spec"]["volumes"]["pairs"][0]["source"]["subPath"] = "a/../../b"
    assert "subPath must stay inside the claim: no '..'" in refused(kube, document)


def test_the_time_that_a_backup_is_kept_may_change_and_its_place_may_not(kube: Kube) -> None:
    kube.create(a_migration(suspend=True, backup={"claimName": "vault", "keepFor": "168h"}))
    wait(lambda: kube.status("files").get("phase"), "the operator to have seen it", 30)
    kube.patch("pmig", "files", {"status": {"firstWriteAt": "2026-01-01T00:00:00Z"}}, "--subresource=status")
    with pytest.raises(Refused, match="backup cannot change any more"):
        kube.patch("pmig", "files", {"spec": {"backup": {"claimName": "elsewhere"}}})
    kube.patch("pmig", "files", {"spec": {"backup": {"keepFor": "24h"}}})
    kube.patch("pmig", "files", {"spec": {"backup": {"keepFor": None}}})


def test_keeping_needs_something_that_is_kept(kube: Kube) -> None:
    message = refused(kube, a_migration(backup={"waive": "nobody needs it", "keepFor": "24h"}))
    assert "keepFor needs a backup: name its claim" in message


def test_cancel_and_mode_go_one_way(kube: Kube) -> None:
    kube.create(a_migration(mode="Plan", suspend=True))
    kube.patch("pmig", "files", {"spec": {"mode": "Migrate", "cancel": True}})
    with pytest.raises(Refused, match="mode may go from Plan to Migrate, never back"):
        kube.patch("pmig", "files", {"spec": {"mode": "Plan"}})
    with pytest.raises(Refused, match="cancel goes from false to true only"):
        kube.patch("pmig", "files", {"spec": {"cancel": False}})


def test_what_moves_cannot_change_once_something_was_written(kube: Kube) -> None:
    document = a_migration(suspend=True)
    kube.create(document)
    mended = copy.deepcopy(document)
    mended["spec"]["volumes"]["pairs"][0]["exclude"] = ["scratch/"]
    kube.apply(mended)  # nothing is written yet: a typo can be mended
    wait(lambda: kube.status("files").get("phase"), "the operator to have seen it", 30)
    kube.patch("pmig", "files", {"status": {"firstWriteAt": "2026-01-01T00:00:00Z"}}, "--subresource=status")
    for field, change in {
        "volumes": {"pairs": [a_pair(source="elsewhere")]},
        "workspace": {"claimName": "other"},
        "ownership": {"mode": "Helper"},
        "quiesce": {"discover": True},
    }.items():
        with pytest.raises(Refused, match=f"{field} cannot change any more"):
            kube.patch("pmig", "files", {"spec": {field: change}})
    kube.patch("pmig", "files", {"spec": {"retries": 5, "transfer": {"workers": 2, "bandwidth": "10Mi"}}})
