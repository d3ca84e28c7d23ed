"""Artifact URIs: which root they lie below, and what they become where that root is called otherwise.

Shapes (``mlflow/store/artifact/utils``, ``…/artifact_repository_registry.py``): an experiment's artifacts lie in
``<root>/<experiment id>``, or in ``<root>/workspaces/<name>/<experiment id>`` on a server with workspaces. A directory
follows its experiment's number, because a server with authentication takes rights from that number in the path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

#: MLflow 3.17, artifact_repository_registry.py.
KNOWN_SCHEMES = frozenset(
    {
        *("", "file", "s3", "r2", "b2", "gs", "wasbs", "abfss", "ftp", "sftp", "dbfs", "hdfs", "viewfs"),
        *("http", "https", "mlflow-artifacts", "runs", "models"),
    }
)
#: What stands for a thing that the server resolves itself.
_REFERENCES = ("runs:/", "models:/")
#: What MLflow writes where a prompt, or a version that was deleted, has no artifacts.
_NOTHING = frozenset({"", "dummy-source", "prompt-template", "REDACTED-SOURCE-PATH"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)


class Standing(Enum):
    """How a text in a column for locations stands to the artifact root."""

    INSIDE = "inside"
    OUTSIDE = "outside"
    REFERENCE = "reference"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class _Parts:
    scheme: str
    authority: str
    path: str
    rest: str
    """The query, with its question mark."""

    @classmethod
    def of(cls, uri: str) -> _Parts:
        base, mark, query = uri.partition("?")
        found = _SCHEME.match(base)
        scheme, path = (found[1].lower(), found[2]) if found else ("", base)
        authority = ""
        if scheme and path.startswith("//"):
            authority, slash, path = path[2:].partition("/")
            path = slash + path
        if scheme in {"", "file"}:
            authority = "" if authority in {"", "localhost"} else authority
            # a directory is named by a URI or by its path
            scheme = "file" if path.startswith("/") else scheme
            path = path.removeprefix("./")
        return cls(scheme, authority, path, mark + query)


@dataclass(frozen=True, slots=True)
class Root:
    """One place for artifacts, and what it is called on the target."""

    source: str
    target: str


@dataclass(frozen=True)
class Rewriter:
    """Rewrites what lies below the longest root that fits, at the end of a name and never within one."""

    roots: tuple[Root, ...] = ()
    experiments: Mapping[int, int] = field(default_factory=dict)
    """Numbers of experiments that change."""

    @property
    def changes(self) -> bool:
        return any(root.source.rstrip("/") != root.target.rstrip("/") or self.experiments for root in self.roots)

    def of(self, uri: str) -> str:
        """What a location becomes; itself where it lies below no root."""
        found = self._place(uri)
        if found is None:
            return uri
        root, below, rest = found
        if not below:
            return root.target + rest
        head = root.target.rstrip("/")
        return f"{head}/{self._moved(below)}{rest}"

    def standing(self, uri: str) -> Standing:
        if uri in _NOTHING:
            return Standing.NOTHING
        if uri.startswith(_REFERENCES):
            return Standing.REFERENCE
        return Standing.INSIDE if self._place(uri) else Standing.OUTSIDE

    def below(self, uri: str) -> str | None:
        """The path below the source's root; None for what lies elsewhere."""
        found = self._place(uri)
        return found[1] if found else None

    def _place(self, uri: str) -> tuple[Root, str, str] | None:
        parts = _Parts.of(uri)
        best: tuple[Root, str, str] | None = None
        for root in self.roots:
            below = _below(parts, _Parts.of(root.source))
            if below is not None and (best is None or len(below) < len(best[1])):
                best = root, below, parts.rest
        return best

    def _moved(self, below: str) -> str:
        directory, number = directory_of(below)
        if number is None or number not in self.experiments:
            return below
        new = directory.removesuffix(str(number)) + str(self.experiments[number])
        return new + below[len(directory) :]


def _below(parts: _Parts, root: _Parts) -> str | None:
    if (parts.scheme, parts.authority) != (root.scheme, root.authority):
        return None
    head = root.path.rstrip("/")
    if parts.path.rstrip("/") == head:
        return ""
    return parts.path[len(head) + 1 :] if parts.path.startswith(head + "/") else None


def directory_of(below: str) -> tuple[str, int | None]:
    """The directory of an experiment that a path below the root begins with, and the experiment's number."""
    steps = below.split("/")
    if len(steps) > 2 and steps[0] == "workspaces" and _is_number(steps[2]):
        return "/".join(steps[:3]), int(steps[2])
    return (steps[0], int(steps[0])) if _is_number(steps[0]) else (steps[0], None)


def _is_number(step: str) -> bool:
    return step.isascii() and step.isdigit() and (step == "0" or step[0] != "0")


def scheme_of(uri: str) -> str:
    return _Parts.of(uri).scheme
