"""Which entries of a tree are taken: gitignore patterns, as pathspec reads them (``GitIgnoreSpec``).

An entry is left out when it matches ``exclude`` (the source's ignore file first, then the request's patterns, the
last match deciding), or when there is an ``include`` that it neither matches nor lies under. A directory that is
not taken itself is still entered when something below it could be, and is made on the target once something is.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

#: An ignore file beyond this is no list of patterns that a person wrote.
IGNORE_FILE_LIMIT = 1 << 20

_WILD = re.compile(r"[*?\[\\]")


class Verdict(IntEnum):
    """What becomes of a directory entry."""

    LEAVE = 0
    ENTER = 1  # a directory that is made only if something below it is taken
    TAKE = 2


class _Rule(NamedTuple):
    match: re.Pattern[str]
    takes: bool
    prefix: str | None
    """What every path that matches begins with; None when it can match anywhere."""


@dataclass(frozen=True, slots=True)
class Patterns:
    """Patterns of one kind, compiled. ``GitIgnoreSpec.match_file`` says the same, an order of magnitude slower."""

    rules: tuple[_Rule, ...]
    any_of: re.Pattern[str] | None
    """All rules at once, where none negates."""

    def matches(self, path: str) -> bool:
        """``path`` from the root, with a slash at its end for a directory."""
        if self.any_of is not None:
            return self.any_of.search(path) is not None
        best, taken = 0, False
        for rule in reversed(self.rules):
            found = rule.match.search(path)
            if found is None:
                continue
            # by the directory above it, or by itself: the latter is the stronger word (pathspec, SimpleGiBackend)
            weight = 1 if found.groupdict().get("ps_d") else 2
            if weight > best:
                best, taken = weight, rule.takes
            if weight == 2:
                break
        return taken

    def may_match_below(self, directory: str, *, takes: bool) -> bool:
        """Whether some path below ``directory`` (with its slash) could match a rule of that kind."""
        return any(
            rule.prefix is None or rule.prefix.startswith(directory) or directory.startswith(rule.prefix)
            for rule in self.rules
            if rule.takes is takes
        )


def check(patterns: Iterable[str]) -> None:
    """Raises ``ValueError`` naming the first pattern that is none."""
    compiled(tuple(patterns))


@lru_cache(maxsize=64)
def compiled(lines: tuple[str, ...]) -> Patterns:
    """Raises ``ValueError`` naming the first pattern that is none."""
    rules = tuple(rule for line in lines for rule in _rules(line))
    any_of = None
    if rules and all(rule.takes for rule in rules):
        any_of = re.compile("|".join(rule.match.pattern.replace("(?P<ps_d>/)", "/") for rule in rules), re.DOTALL)
    return Patterns(rules, any_of)


def _rules(line: str) -> list[_Rule]:
    """One, or none for a comment or a blank line."""
    from pathspec import GitIgnoreSpec  # most migrations have no patterns, and need not wait for it

    try:
        found = GitIgnoreSpec.from_lines([line]).patterns
    except ValueError as error:
        raise ValueError(f"{line!r} is not a gitignore pattern: {error}") from error
    return [
        _Rule(re.compile(_whole(pattern.regex.pattern), re.DOTALL), bool(pattern.include), _prefix(line))
        for pattern in found
        if pattern.include is not None and pattern.regex is not None
    ]


def _whole(regex: str) -> str:
    """A name may end with a newline, and ``$`` matches before it; pathspec ends its expressions in one of these."""
    if regex.endswith("|$)"):
        return regex[:-2] + r"\Z)"
    return regex[:-1] + r"\Z" if regex.endswith("$") else regex


def _prefix(line: str) -> str | None:
    """What every match of a pattern begins with; a pattern without an inner slash matches anywhere."""
    body = line.removeprefix("!").rstrip()
    anchored = "/" in body.removesuffix("/")
    if not anchored:
        return None
    segments: list[str] = []
    for segment in body.strip("/").split("/"):
        if _WILD.search(segment):
            return "/".join(segments) + "/" if segments else ""
        segments.append(segment)
    return "/".join(segments)


@dataclass(frozen=True, slots=True)
class Selection:
    """The filter of one request. Empty patterns cost nothing."""

    include: Patterns | None
    exclude: Patterns | None

    @property
    def takes_all(self) -> bool:
        return self.include is None and self.exclude is None

    def judge(self, path: str, is_directory: bool) -> Verdict:
        """``path`` from the root of the tree, without a slash at its end."""
        subject = f"{path}/" if is_directory else path
        if self.exclude is not None and self.exclude.matches(subject):
            if is_directory and self.exclude.may_match_below(subject, takes=False):
                return Verdict.ENTER
            return Verdict.LEAVE
        if self.include is None or self.include.matches(subject):
            return Verdict.TAKE
        if is_directory and self.include.may_match_below(subject, takes=True):
            return Verdict.ENTER
        return Verdict.LEAVE


def selection(include: Sequence[str], exclude: Sequence[str], ignored: Sequence[str] = ()) -> Selection:
    """``ignored``: the lines of the tree's own ignore file. Raises ``ValueError`` for what is no pattern."""
    included, excluded = compiled(tuple(include)), compiled((*ignored, *exclude))
    return Selection(included if included.rules else None, excluded if excluded.rules else None)


def ignore_lines(root: int, name: str) -> tuple[str, ...]:
    """The lines of the ignore file in a tree's root, given as a descriptor; none when there is no such file.

    Only a regular file counts: a link could point out of the tree.
    """
    if not name:
        return ()
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=root)
    except OSError:
        return ()
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ()
        data = stream.read(IGNORE_FILE_LIMIT + 1)
    if len(data) > IGNORE_FILE_LIMIT:
        raise ValueError(f"{name} in the source is longer than {IGNORE_FILE_LIMIT} bytes")
    return tuple(os.fsdecode(data).splitlines())
