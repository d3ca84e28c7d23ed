"""The generated schema: structural, bounded, described, and without what exists on one machine only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from project_migration.model.crd import definition, root_schema


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, found in schema.get("properties", {}).items():
        yield from nodes(found, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


def test_every_field_of_the_spec_is_described() -> None:
    pods_own = (".helper.tolerations[]",)  # as in a pod: Kubernetes describes them
    bare = [
        path
        for path, node in nodes(root_schema()["properties"]["spec"])
        if path and not path.endswith("[]") and not node.get("description") and not path.startswith(pods_own)
    ]
    assert bare == []


def test_every_list_map_and_string_has_a_maximum() -> None:
    limits = {"array": "maxItems", "string": "maxLength"}
    unbounded = [
        path
        for path, node in nodes(root_schema()["properties"]["spec"])
        if node.get("type") in limits
        and limits[node["type"]] not in node
        and "enum" not in node
        and "pattern" not in node
    ]
    assert unbounded == []


def test_nothing_that_a_structural_schema_refuses_is_left() -> None:
    for path, node in nodes(root_schema()):
        assert not {"$ref", "$defs", "anyOf", "title"} & set(node), path
        assert "type" in node, path
        assert not ("properties" in node and "additionalProperties" in node), path


def test_a_path_exists_on_one_machine_only() -> None:
    assert not [path for path, _ in nodes(root_schema()["properties"]["spec"]) if path.endswith(".path")]


def test_people_see_phase_step_percent_and_age() -> None:
    (version,) = definition()["spec"]["versions"]
    shown = [column["name"] for column in version["additionalPrinterColumns"] if not column.get("priority")]
    assert shown == ["Phase", "Step", "Percent", "Ready", "Age"]
    assert version["subresources"] == {"status": {}}
