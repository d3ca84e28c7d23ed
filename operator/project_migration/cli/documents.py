"""From a file to a document: YAML of one ProjectMigration, every problem with its place in it."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from project_migration.model.document import Document
from project_migration.model.errors import DocumentError
from project_migration.model.rules import read_document

#: A document is written by a person; anything larger is another file.
LARGEST_BYTES = 1024 * 1024


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice: YAML would silently keep the later one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                continue
            line = key.start_mark.line + 1
            if key.value in seen:
                raise DocumentError((f"line {line}: {key.value} is given twice (first in line {seen[key.value]})",))
            seen[key.value] = line
        return super().construct_mapping(node, deep=deep)


def read_file(name: str) -> Document:
    """The document in a file, or in standard input for ``-``. Raises DocumentError."""
    return read_document(_one(read_text(name)), local=True)


def read_text(name: str) -> str:
    try:
        data = sys.stdin.buffer.read(LARGEST_BYTES + 1) if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise DocumentError((f"{name} cannot be read: {error.strerror}",)) from error
    if len(data) > LARGEST_BYTES:
        raise DocumentError((f"{name} is larger than 1 MiB: that is no ProjectMigration",))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DocumentError((f"{name} is not text in UTF-8 (byte {error.start})",)) from error


def _one(text: str) -> object:
    try:
        found = [document for document in yaml.load_all(text, _Loader) if document is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise DocumentError((f"{where}: not YAML: {error.problem or error.context}",)) from error
    except yaml.YAMLError as error:
        raise DocumentError((f"not YAML: {' '.join(str(error).split())}",)) from error
    if not found:
        raise DocumentError(("the file is empty",))
    if len(found) > 1:
        raise DocumentError((f"the file holds {len(found)} documents: run takes one ProjectMigration a file",))
    return found[0]
