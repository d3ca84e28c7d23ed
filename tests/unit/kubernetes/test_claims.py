from __future__ import annotations

from project_migration.backends.kubernetes.claims import pinned_to, quantity
from project_migration.backends.kubernetes.resources import Json


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


def test_a_capacity_in_a_form_that_we_do_not_read_is_unknown() -> None:
    assert quantity("10Gi") == 10 * 2**30
    assert quantity("1e3") is None
    assert quantity(None) is None
