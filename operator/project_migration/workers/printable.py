"""File names as text on one line, without loss.

A name is any bytes but ``/`` and NUL. Inside the workers it is a ``str`` as :func:`os.fsdecode` gives it; in
lists, manifests and records it is escaped: a backslash is doubled, and each byte that is not part of a
printable UTF-8 character becomes ``\\xNN``.
"""

from __future__ import annotations

import os
import re

_ESCAPED = re.compile(rb"\\(?:\\|x([0-9a-f]{2}))")


def escape(name: str) -> str:
    """``name`` on one line; :func:`unescape` gives it back."""
    if name.isprintable() and "\\" not in name:  # surrogates are not printable
        return name
    return "".join(_escape_character(character) for character in name)


def _escape_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def unescape(text: str) -> str:
    """The name that :func:`escape` made ``text`` of."""
    raw = text.encode("utf-8", "surrogateescape")
    return os.fsdecode(_ESCAPED.sub(lambda m: bytes.fromhex(m[1].decode()) if m[1] else b"\\", raw))


def shorten(text: str, limit: int = 120) -> str:
    """``text`` with its middle left out when it is longer than ``limit`` characters: both ends tell names apart."""
    if len(text) <= limit:
        return text
    half = (limit - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
