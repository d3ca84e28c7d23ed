"""Whether a table's rows may travel in COPY's binary format, decided by the types of its columns.

Binary is faster and exact, and goes wrong in known ways (manual, COPY, "Binary Format"; ``array_recv`` and
``record_recv`` in the server's sources):

- arrays and composites carry the OIDs of their element types, which differ for types that users made;
- ``reg*`` types carry the OID of an object, which is another object on the target;
- ``aclitem`` has no binary form; ``xml`` gains an encoding declaration;
- a type of an extension has the form of the extension's version.

Everything else that is built in has kept its form since PostgreSQL 10, enums travel by label, domains as what they
are made of, ranges as their bounds. Text is right for the rest.
"""

from __future__ import annotations

from collections.abc import Mapping

from project_migration.workers.postgres.catalog import Table, Type

#: FirstNormalObjectId of ``src/include/access/transam.h``: what users and extensions make comes after it.
FIRST_OF_USERS = 16384
OLDEST_SAME_FORM = 10

_AS_NAMES = frozenset(
    {
        "regproc",
        "regprocedure",
        "regoper",
        "regoperator",
        "regclass",
        "regtype",
        "regconfig",
        "regdictionary",
        "regnamespace",
        "regrole",
        "regcollation",
        "regdatabase",
    }
)
_TEXT_ONLY = _AS_NAMES | {"aclitem", "xml"}


def binary_is_safe(table: Table, types: Mapping[int, Type], source_major: int) -> bool:
    if not table.columns or source_major < OLDEST_SAME_FORM:
        return False
    return all(_safe(types[column.type_oid], types) for column in table.columns)


def names_objects(table: Table, types: Mapping[int, Type]) -> bool:
    """Whether a column holds names of objects, which must be there when the row arrives: such a table goes last."""
    return any(_holds_names(types[column.type_oid], types) for column in table.columns)


def _safe(kind: Type, types: Mapping[int, Type]) -> bool:
    safe = False
    match kind.kind:
        case "d":
            safe = _safe(types[kind.base], types)
        case "e":
            safe = True
        case "r" | "m":
            safe = _safe(types[kind.subtype], types)
        case "b" if kind.element:
            safe = kind.element < FIRST_OF_USERS and _safe(types[kind.element], types)
        case "b":
            safe = kind.oid < FIRST_OF_USERS and kind.name not in _TEXT_ONLY
    return safe and kind.sends


def _holds_names(kind: Type, types: Mapping[int, Type]) -> bool:
    inner = kind.base or kind.element or kind.subtype
    return kind.name in _AS_NAMES or (inner in types and _holds_names(types[inner], types))
