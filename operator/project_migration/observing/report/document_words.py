"""A document as a report tells it: its text, and the digest by which it is known again."""

from __future__ import annotations

import hashlib
import json

import yaml

from project_migration.model.document import Document


def document_text(document: Document | None) -> str:
    """As YAML, without what the document leaves to the defaults."""
    if document is None:
        return ""
    data = document.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    head = {"apiVersion": document.api_version, "kind": document.kind}
    text: str = yaml.safe_dump({**head, **data}, sort_keys=False, allow_unicode=True, width=100)
    return text


def document_digest(document: Document | None) -> str:
    """sha256 of the document with all defaults, as JSON with sorted keys: equal documents have equal digests."""
    if document is None:
        return ""
    data = document.model_dump(mode="json", by_alias=True, exclude_none=True)
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
