"""Where the statements of a dump end, told as the server tells it, and which commands of a client it holds.

The rules are those of the manual's chapter "Lexical Structure" with ``standard_conforming_strings`` on, and psql's own
for bodies in standard SQL (``BEGIN ATOMIC``), whose semicolons end no statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from project_migration.workers.cdsw import failures

#: A statement is held in memory. The largest of a dump are pieces of large objects and definitions of functions.
LARGEST = 64 << 20

_TOKEN = re.compile(
    rb"(?P<escaped>[eE]')|(?P<quote>['\"])|(?P<line>--)|(?P<block>/\*)"
    rb"|(?P<dollar>\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$)"
    rb"|(?P<word>[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*|[0-9][A-Za-z0-9_.$]*)|(?P<end>;)|(?P<client>\\)|(?P<other>[^\s])"
)
_BLOCK_COMMENT = re.compile(rb"/\*|\*/")
_ESCAPED_END = re.compile(rb"(?:[^'\\]|\\.|'')*?'(?!')", re.DOTALL)


class Statements:
    """Fed line by line; gives whole statements without comments that stand before them."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._quote = b""
        """What ends the present quotation; ``e'`` for one in which a backslash hides the next character."""
        self._comments = 0
        self._words: list[bytes] = []
        self._depth = 0
        """Of BEGIN ATOMIC and CASE within a function's body."""

    @property
    def at_rest(self) -> bool:
        """Between two statements."""
        return not self._text and not self._quote and not self._comments

    def feed(self, line: bytes) -> Iterator[bytes]:
        """``line`` with its end. Raises ``Refused`` (DumpUnusable) for a command of a client, or too much text."""
        at = begun = 0
        while at < len(line):
            if self._quote or self._comments:
                at = self._skip(line, at)
                continue
            match = _TOKEN.search(line, at)
            if match is None:
                break
            at, kind, token = match.end(), match.lastgroup, match.group()
            if kind == "line":
                self._keep(line[begun : match.start()])
                begun = at = line.index(b"\n", at) if b"\n" in line[at:] else len(line)
            elif kind == "end" and not self._depth:
                self._keep(line[begun:at])
                begun = at
                yield self._finish()
            elif kind == "client" and self.at_rest and not line[begun : match.start()].strip():
                raise failures.unusable(f"it holds a command of psql: {line.strip()[:60].decode(errors='replace')}")
            else:
                self._token(kind, token)
        self._keep(line[begun:])

    def _token(self, kind: str | None, token: bytes) -> None:
        match kind:
            case "escaped":
                self._quote = b"e'"
            case "quote" | "dollar":
                self._quote = token
            case "block":
                self._comments = 1
            case "word":
                self._word(token.upper())

    def _word(self, word: bytes) -> None:
        if len(self._words) < 4:
            self._words.append(word)
        if word == b"ATOMIC" or (word == b"CASE" and self._depth):
            self._depth += self._words[:1] == [b"CREATE"]
        elif word == b"END" and self._depth:
            self._depth -= 1

    def _skip(self, line: bytes, at: int) -> int:
        """The place behind what is quoted or commented, or the line's end."""
        if self._comments:
            match = _BLOCK_COMMENT.search(line, at)
            if match is None:
                return len(line)
            self._comments += 1 if match.group() == b"/*" else -1
            return match.end()
        if self._quote == b"e'":
            match = _ESCAPED_END.match(line, at)
            end = match.end() if match else -1
        else:
            found = line.find(self._quote, at)
            end = found + len(self._quote) if found >= 0 else -1
        if end < 0:
            return len(line)
        self._quote = b""
        return end

    def _keep(self, text: bytes) -> None:
        if self._text or text.strip():
            self._text += text
            if len(self._text) > LARGEST:
                raise failures.unusable(f"it holds a statement of more than {LARGEST >> 20} MiB")

    def _finish(self) -> bytes:
        statement = bytes(self._text)
        self._text.clear()
        self._words, self._depth = [], 0
        return statement.strip()
