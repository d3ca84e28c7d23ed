"""Spans as MLflow's client writes them to ``traces.json``, and as OTLP's JSON has them.

The client writes each attribute as a JSON text (``mlflow/entities/span.py``), OTLP as a typed value.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

_INT64 = range(-(2**63), 2**63)


def to_file(span: Json) -> dict[str, Any]:
    """From OTLP."""
    status = span.get("status") or {}
    return {
        "trace_id": span["trace_id"],
        "span_id": span["span_id"],
        "parent_span_id": span.get("parent_span_id") or None,
        "name": span.get("name", ""),
        "start_time_unix_nano": int(span["start_time_unix_nano"]),
        "end_time_unix_nano": int(span["end_time_unix_nano"]) if span.get("end_time_unix_nano") else None,
        "events": [_event_to_file(event) for event in span.get("events", ())],
        "status": {"code": status.get("code", "STATUS_CODE_UNSET"), "message": status.get("message", "")},
        "attributes": {one["key"]: json.dumps(_plain(one["value"])) for one in span.get("attributes", ())},
        "links": [_link(link, _attributes_plain(link.get("attributes", ()))) for link in span.get("links", ())],
    }


def from_file(span: Json) -> dict[str, Any]:
    """To OTLP. A span of an older client has hexadecimal ids in ``context`` and times under other names."""
    status = span.get("status") or {}
    code = status.get("code") or status.get("status_code") or "STATUS_CODE_UNSET"
    found: dict[str, Any] = {
        "trace_id": _id(span, "trace_id"),
        "span_id": _id(span, "span_id"),
        "name": span.get("name", ""),
        "start_time_unix_nano": int(span.get("start_time_unix_nano") or span.get("start_time") or 0),
        "status": {"code": code if str(code).startswith("STATUS_CODE_") else f"STATUS_CODE_{code}"},
        "attributes": [
            {"key": key, "value": _value(_loaded(text))} for key, text in (span.get("attributes") or {}).items()
        ],
        "events": [_event_from_file(event) for event in span.get("events") or ()],
    }
    parent = span.get("parent_span_id") or span.get("parent_id")
    if parent:
        found["parent_span_id"] = _base64(parent)
    end = span.get("end_time_unix_nano") or span.get("end_time")
    if end:
        found["end_time_unix_nano"] = int(end)
    if status.get("message") or status.get("description"):
        found["status"]["message"] = status.get("message") or status.get("description")
    return found


def _id(span: Json, name: str) -> str:
    found = span.get(name) or (span.get("context") or {}).get(name) or ""
    return _base64(found)


def _base64(text: str) -> str:
    """Ids are base64 in newer files, and hex digits with or without a prefix in older ones."""
    digits = text.removeprefix("0x")
    if len(digits) in (16, 32):
        try:
            return base64.b64encode(bytes.fromhex(digits)).decode()
        except ValueError:
            return text
    return text


def _event_to_file(event: Json) -> dict[str, Any]:
    return {
        "name": event.get("name", ""),
        "time_unix_nano": int(event.get("time_unix_nano", 0)),
        "attributes": _attributes_plain(event.get("attributes", ())),
    }


def _event_from_file(event: Json) -> dict[str, Any]:
    attributes = event.get("attributes") or {}
    return {
        "name": event.get("name", ""),
        "time_unix_nano": int(event.get("time_unix_nano") or event.get("timestamp") or 0),
        "attributes": [{"key": key, "value": _value(value)} for key, value in attributes.items()],
    }


def _link(link: Json, attributes: dict[str, Any]) -> dict[str, Any]:
    return {"trace_id": link.get("trace_id", ""), "span_id": link.get("span_id", ""), "attributes": attributes}


def _attributes_plain(found: Any) -> dict[str, Any]:
    return {one["key"]: _plain(one["value"]) for one in found}


def _plain(value: Json) -> Any:
    """OTLP's ``AnyValue`` as a plain one."""
    for kind, found in value.items():
        match kind:
            case "string_value" | "bool_value" | "bytes_value":
                return found
            case "int_value":
                return int(found)
            case "double_value":
                return float(found)
            case "array_value":
                return [_plain(one) for one in found.get("values", ())]
            case "kvlist_value":
                return _attributes_plain(found.get("values", ()))
    return None


def _value(found: Any) -> dict[str, Any]:
    """The opposite of :func:`_plain`; a number beyond 64 bits becomes text, as MLflow's own client does it."""
    value: dict[str, Any] = {}
    match found:
        case bool():
            value = {"bool_value": found}
        case int():
            value = {"int_value": str(found)} if found in _INT64 else {"string_value": str(found)}
        case float():
            value = {"double_value": found}
        case str():
            value = {"string_value": found}
        case list():
            value = {"array_value": {"values": [_value(one) for one in found]}}
        case dict():
            value = {"kvlist_value": {"values": [{"key": key, "value": _value(one)} for key, one in found.items()]}}
    return value


def _loaded(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
