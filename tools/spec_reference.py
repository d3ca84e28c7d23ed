"""docs/spec.md: the reference of the document and its status, from the schema that the API server gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from project_migration.model.crd import root_schema

Schema = dict[str, Any]

HEAD = """\
# The document

Generated from the model by `make generate`. `kubectl explain pmig.spec` says the same in a terminal.

A document for one machine (`project-migration run`) may give `path`, an absolute directory, wherever a claim is named.

"""


def reference() -> str:
    schema = root_schema()["properties"]
    rules = "\n".join(f"- {rule['message']}" for rule in root_schema()["x-kubernetes-validations"])
    return "".join(
        (
            HEAD,
            "## spec\n\n",
            _table("spec", schema["spec"]),
            "\n### Rules between fields\n\n",
            "\n".join(f"- `{path}`: {message}" for path, message in _rules("spec", schema["spec"])),
            f"\n\nOnce something was written (`status.firstWriteAt`):\n\n{rules}\n",
            "\n## status\n\n",
            _table("status", schema["status"]),
        )
    )


def _table(root: str, schema: Schema) -> str:
    rows = "".join(f"| `{path}` | {kind} | {default} | {text} |\n" for path, kind, default, text in _rows(root, schema))
    return f"| field | type | default | meaning |\n|---|---|---|---|\n{rows}"


def _rows(path: str, schema: Schema) -> Iterator[tuple[str, str, str, str]]:
    required = set(schema.get("required", ()))
    for name, found in schema.get("properties", {}).items():
        inner = found.get("items", found)
        where = f"{path}.{name}" + ("[]" if "items" in found else "")
        default = found.get("default")
        plain = f"`{_plain(default)}`" if default not in (None, "", {}, []) else ""
        yield (
            where,
            _kind(found),
            "**required**" if name in required else plain,
            " ".join(str(found.get("description", "")).split()).replace("|", "\\|"),
        )
        yield from _rows(where, inner)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kind(schema: Schema) -> str:
    if "enum" in schema:
        return " \\| ".join(str(choice) for choice in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_kind(schema['items'])}, at most {schema['maxItems']}"
    limits = [
        f"{word} {schema[key]}"
        for key, word in (("minimum", "from"), ("maximum", "to"), ("maxLength", "at most"))
        if key in schema
    ]
    return f"{schema['type']}{', ' + ' '.join(limits) if limits else ''}"


def _rules(path: str, schema: Schema) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield path + rule.get("fieldPath", ""), rule["message"]
    for name, found in schema.get("properties", {}).items():
        where = f"{path}.{name}" + ("[]" if "items" in found else "")
        yield from _rules(where, found.get("items", found))
