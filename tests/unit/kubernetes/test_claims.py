from __future__ import annotations

from typing import Any

import pytest

from project_migration.backends.kubernetes.claims import ClaimReader, pinned_to, quantity
from project_migration.backends.kubernetes.client import NotThere
from project_migration.backends.kubernetes.pods import NamespacePods
from project_migration.backends.kubernetes.resources import Json
from project_migration.engine.world import ClaimFacts
from tests.unit.kubernetes.objects import UID, a_pod


def volume(*terms: Json) -> Json:
    return {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": list(terms)}}}}


def hosts(*names: str, operator: str = "In") -> Json:
    return {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": operator, "values": list(names)}]}


def zone(name: str) -> Json:
    return {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": [name]}]}


def test_a_disk_of_one_machine_names_its_machine() -> None:
    assert pinned_to(volume(hosts("n1"))) == ("n1",)
    assert pinned_to(volume(hosts("n1"), hosts("n2"))) == ("n1", "n2")


def test_a_volume_that_is_limited_otherwise_is_not_pinned_to_named_machines() -> None:
    assert pinned_to(volume(zone("a"))) == ()
    assert pinned_to(volume(hosts("n1"), zone("a"))) == ()
    assert pinned_to(volume(hosts("n1", operator="NotIn"))) == ()
    assert pinned_to({"spec": {}}) == ()


class OneClaim:
    """A namespace with the claim ``new``, if that is given."""

    def __init__(self, claim: Json | None) -> None:
        self.claim = claim

    def get(self, path: str) -> Json:
        if self.claim is None or not path.endswith("/new"):
            raise NotThere(404, "not found")
        return self.claim

    def items(self, path: str, **query: Any) -> list[Json]:
        return []


def facts_of(claim: Json | None, *pods: Json) -> ClaimFacts:
    client: Any = OneClaim(claim)
    return ClaimReader(client).observe("ml", ["new"], NamespacePods(pods, {}), UID)["new"]


OURS = {"app.kubernetes.io/managed-by": "project-migration-operator", "migration.mlops.dev/uid": UID}


@pytest.mark.parametrize(
    ("labels", "made_for"),
    [(OURS, UID), ({"migration.mlops.dev/uid": UID}, ""), ({}, "")],
    ids=["ours", "half a label", "anybody's"],
)
def test_a_claim_says_what_it_asks_for_and_for_whom_it_was_made(labels: dict[str, str], made_for: str) -> None:
    spec = {"storageClassName": "fast", "resources": {"requests": {"storage": "8Gi"}}, "accessModes": ["ReadWriteMany"]}
    status = {"phase": "Bound", "capacity": {"storage": "10Gi"}}
    found = facts_of({"metadata": {"name": "new", "uid": "u", "labels": labels}, "spec": spec, "status": status})
    assert (found.requested, found.capacity, found.storage_class) == (8 * 2**30, 10 * 2**30, "fast")
    assert (found.access_modes, found.made_for) == (("ReadWriteMany",), made_for)


def test_pods_that_wait_for_a_claim_which_is_not_there_are_its_users() -> None:
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "new"}}
    found = facts_of(None, a_pod("store-0", phase="Pending", spec={"volumes": [volume]}))
    assert (found.exists, [pod.name for pod in found.mounters]) == (False, ["store-0"])


def test_a_capacity_in_a_form_that_we_do_not_read_is_unknown() -> None:
    assert quantity("10Gi") == 10 * 2**30
    assert quantity("1e3") is None
    assert quantity(None) is None
