"""The CustomResourceDefinition, generated from the models: ``python -m project_migration.model.crd``.

A structural schema is stricter than JSON Schema: no references, no ``anyOf`` with null, no
``additionalProperties: false`` beside properties. So pydantic's schema is rewritten here, once and mechanically.
Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

import sys
from typing import Any

import yaml

from project_migration.model.document import GROUP, KIND, PLURAL, ROOT_RULES, VERSION, Spec
from project_migration.model.status import Status

Schema = dict[str, Any]

#: What pydantic writes and a structural schema does not take.
_DROPPED = frozenset({"title", "$defs", "propertyNames", "x-local-only", "x-later"})

COLUMNS = (
    ("Phase", "string", ".status.phase", 0, "What it does now"),
    ("Step", "string", ".status.step", 0, "The step at work, of how many"),
    ("Percent", "integer", ".status.progress.percent", 0, "Of the whole migration; 100 once verified"),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0, "Whether it has arrived"),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Since it was applied"),
    ("Bytes", "integer", ".status.progress.bytesDone", 1, "Bytes copied"),
    ("Rate", "integer", ".status.progress.bytesPerSecond", 1, "Bytes a second"),
    ("ETA", "integer", ".status.progress.etaSeconds", 1, "Seconds left in this step"),
    ("Message", "string", '.status.conditions[?(@.type=="Ready")].message', 1, "In words"),
)


def definition() -> Schema:
    """The whole CustomResourceDefinition as a mapping."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["pmig"],
                "categories": ["all"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": root_schema()},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*column) for column in COLUMNS],
                }
            ],
        },
    }


def _column(name: str, kind: str, path: str, priority: int, description: str) -> Schema:
    column: Schema = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return {**column, "priority": priority} if priority else column


def root_schema() -> Schema:
    return {
        "type": "object",
        "description": "Moves a machine-learning project from one platform installation to another.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(Spec.model_json_schema(by_alias=True)),
            "status": structural(Status.model_json_schema(by_alias=True)),
        },
        "x-kubernetes-validations": list(ROOT_RULES),
    }


def structural(schema: Schema) -> Schema:
    """Pydantic's JSON schema of a model as a structural schema."""
    return _rewrite(schema, schema.get("$defs", {}))


def _rewrite(schema: Schema, definitions: Schema) -> Schema:
    schema = _resolved(schema, definitions)
    if schema.get("x-later"):
        return {
            "type": "object",
            "description": schema["description"],
            "maxProperties": schema["maxProperties"],
            "x-kubernetes-preserve-unknown-fields": True,
        }
    result = {key: value for key, value in schema.items() if key not in _DROPPED}
    if result.get("additionalProperties") is False:
        del result["additionalProperties"]
    elif isinstance(result.get("additionalProperties"), dict):
        result["additionalProperties"] = _rewrite(result["additionalProperties"], definitions)
    if "items" in result:
        result["items"] = _rewrite(result["items"], definitions)
    if "properties" in result:
        result["properties"] = {
            name: _rewrite(found, definitions)
            for name, found in result["properties"].items()
            if not found.get("x-local-only")
        }
    if result.get("type") == "integer":
        result["format"] = "int64"
    return _with_plain_default(result)


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    """The schema without ``$ref``, ``allOf`` of one, and the null that stands for "left out"."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    if choices:
        schema = {**choices[0], **{key: value for key, value in schema.items() if key != "anyOf"}}
    if "$ref" in schema:
        target = definitions[schema["$ref"].rsplit("/", 1)[1]]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        return _resolved(schema, definitions)
    return schema


def _with_plain_default(schema: Schema) -> Schema:
    """Defaults without nulls and without what inner defaults say anyway; the API server fills those in."""
    if "default" not in schema:
        return schema
    default = schema.pop("default")
    if default is None:
        return schema
    return {**schema, "default": _bare(default, schema)}


def _bare(default: Any, schema: Schema) -> Any:
    if not isinstance(default, dict):
        return default
    inner = schema.get("properties", {})
    bare = {name: _bare(value, inner.get(name, {})) for name, value in default.items() if value is not None}
    return {name: value for name, value in bare.items() if value != inner.get(name, {}).get("default")}


def render() -> str:
    """The definition as YAML, as it is committed under ``crds/``."""
    head = "# Generated from operator/project_migration/model by `make generate`. Do not edit.\n"
    return head + yaml.dump(definition(), Dumper=_PlainDumper, sort_keys=False, width=120)


class _PlainDumper(yaml.SafeDumper):
    """Without anchors: readers of a CRD and some of its tools do not follow them."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def main() -> None:
    sys.stdout.write(render())


if __name__ == "__main__":
    main()
