"""A search that finds nothing proves something only if it would have found it."""

from __future__ import annotations

import base64
import gzip

import pytest

from tests.planted import places_of

WORD = "0f1e2d3c4b5a69788796a5b4"


@pytest.mark.parametrize("lead", ["", "a", "ab", "abc"])
def test_a_secret_is_found_in_base64_at_any_offset(lead: str) -> None:
    text = base64.b64encode(f"{lead}{WORD} and more".encode())
    assert places_of([WORD], [("here", text), ("there", b"nothing")]) == ["here"]


def test_a_secret_is_found_plain_and_packed() -> None:
    texts = [("plain", f"a {WORD}".encode()), ("packed", gzip.compress(WORD.encode())), ("other", b"no")]
    assert places_of(["something else", WORD], texts) == ["plain", "packed"]
