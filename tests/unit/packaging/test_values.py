import json
import re
from collections.abc import Iterator

import pytest

from project_migration.observing.metrics import Metrics
from project_migration.settings import PREFIX, Settings
from tests.unit.packaging.files import CHART, operator, template, values

SCHEMA = json.loads((CHART / "values.schema.json").read_text())

#: Objects that Kubernetes defines, or maps with keys of the user's own.
OPEN = {
    "resources",
    "podSecurityContext",
    "affinity",
    "nodeSelector",
    "podAnnotations",
    "podLabels",
    "annotations",
    "labels",
}

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}


def leaves(node: dict, path: str = "") -> Iterator[tuple[str, dict]]:
    for name, child in node.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from leaves(child, f"{path}.{name}")


def names(node: dict, path: str = "") -> Iterator[tuple[str, object]]:
    for name, child in node.items():
        yield f"{path}.{name}", child
        if isinstance(child, dict) and name not in OPEN:
            yield from names(child, f"{path}.{name}")


def variables(text: str) -> set[str]:
    return set(re.findall(rf"{PREFIX}(\w+)", text))


def test_the_schema_knows_every_value_and_no_other():
    assert {path for path, _ in names(values())} == {path for path, _ in leaves(SCHEMA)} - {".global"}


def test_each_value_has_the_type_that_the_schema_says():
    schema = dict(leaves(SCHEMA))
    for path, value in names(values()):
        kind = schema[path].get("type")
        if kind:
            assert isinstance(value, TYPES[kind]), path
        if "enum" in schema[path]:
            assert value in schema[path]["enum"], path


def test_a_misspelt_value_is_refused():
    assert SCHEMA["additionalProperties"] is False
    for path, node in leaves(SCHEMA):
        if "properties" in node:
            assert node["additionalProperties"] is False, path


def test_every_setting_of_the_operator_is_set_by_the_chart_and_by_the_manifests():
    fields = {field.upper() for field in Settings.model_fields}
    assert variables(template("deployment.yaml")) == fields
    [container] = operator()["containers"]
    assert variables(" ".join(variable["name"] for variable in container["env"])) == fields


def test_the_manifests_settings_are_read_without_complaint():
    [container] = operator()["containers"]
    settings = Settings.from_environment({variable["name"]: variable["value"] for variable in container["env"]})
    assert settings.namespaces == ("project-migration",)
    assert settings.helper_image == container["image"]
    defaults = Settings(helper_image="x").model_dump()
    changed = {name for name, value in settings.model_dump().items() if value != defaults[name]}
    assert changed == {"namespaces", "helper_image", "helper_service_account"}


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("passes", "passes"),
        ("resyncSeconds", "resync_seconds"),
        ("sweepSeconds", "sweep_seconds"),
        ("helperPollSeconds", "helper_poll_seconds"),
        ("maxConcurrentMigrations", "max_concurrent_migrations"),
        ("requestTimeoutSeconds", "request_timeout_seconds"),
    ],
)
def test_the_schema_allows_what_the_operator_takes(value, field):
    bounds = SCHEMA["properties"]["settings"]["properties"][value]
    taken = Settings.model_json_schema()["properties"][field]
    assert (bounds["minimum"], bounds["maximum"]) == (taken["minimum"], taken["maximum"])
    assert values()["settings"][value] == taken["default"]


def test_the_dashboard_shows_series_that_the_operator_has():
    ours = re.compile(r"project_migration_\w+")
    shown = set(ours.findall((CHART / "files/dashboard.json").read_text()))
    metrics = Metrics()
    existing = {
        metric.name + suffix
        for metric in metrics.registry.collect()
        for suffix in {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(metric.type, [""])
    }
    assert shown <= existing
    assert {metric.name for metric in metrics.registry.collect()} <= {
        re.sub("_(total|bucket|count)$", "", s) for s in shown
    }
