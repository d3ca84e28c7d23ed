"""What a database's tables look like, in words that all servers share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from project_migration.workers.mlflow.database.tables import RULES


class Form(StrEnum):
    """What a column's values are, whatever a server calls it."""

    INTEGER = "integer"
    FLOAT = "float"
    SINGLE = "single"
    """A floating point number of 32 bits: what SQLAlchemy's plain Float is on MySQL."""
    BOOLEAN = "boolean"
    TEXT = "text"
    JSON = "json"
    BINARY = "binary"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    form: Form
    length: int | None = None
    """Characters that the server enforces."""
    generated: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that can be written."""
        return tuple(column.name for column in self.columns if not column.generated)


@dataclass(frozen=True, slots=True)
class Schema:
    tables: Mapping[str, Table]
    revision: str

    @property
    def is_mlflow(self) -> bool:
        return bool(self.revision) and {"experiments", "runs", "metrics", "params", "tags"} <= set(self.tables)

    @property
    def bare(self) -> bool:
        """Nothing of MLflow in it: a server that never started there."""
        return not self.revision and not set(self.tables) & set(RULES)


_FORMS = (
    (("bool", "tinyint(1)"), Form.BOOLEAN),
    (("json",), Form.JSON),
    (("double", "real"), Form.FLOAT),
    (("float",), Form.FLOAT),
    (("big", "int", "small", "tiny", "medium", "serial"), Form.INTEGER),
    (("char", "varchar", "text", "enum", "character"), Form.TEXT),
    (("bytea", "binary", "varbinary", "blob"), Form.BINARY),
)
_TEXTS = ("text", "longtext", "mediumtext", "tinytext")
_BLOBS = ("longblob", "mediumblob", "tinyblob")


def form_of(declared: str, *, single_floats: bool = False) -> Form:
    """From the type as a server writes it, such as ``character varying(250)`` or ``tinyint(1)``."""
    text = declared.strip().lower()
    word = re.split(r"[ (]", text, maxsplit=1)[0]
    if word in _TEXTS:
        return Form.TEXT
    if word in _BLOBS:
        return Form.BINARY
    if single_floats and word == "float":
        return Form.SINGLE
    for starts, form in _FORMS:
        if text.startswith(starts):
            return form
    return Form.OTHER


def length_of(declared: str) -> int | None:
    found = re.match(r"(?:character varying|varchar|character|char)\((\d+)\)", declared.strip().lower())
    return int(found[1]) if found else None
