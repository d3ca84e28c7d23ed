"""Which pods name a server in what can be read of them: their containers' commands and environment.

What comes from a Secret cannot be seen, as the operator has no right to read any; nor what a program finds out itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from project_migration.backends.kubernetes.resources import Json

_DOMAIN, _SERVICE = ".cluster.local", ".svc"


def names_server(pod: Json, host: str, namespace: str) -> bool:
    """``host`` as a document of this namespace has it; a Service is known by its other names too
    (https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/)."""
    full, short = _patterns(host, namespace)
    for name, text in _texts(pod):
        if full.search(text) or (short and (short.search(text) or (_is_host(name) and short.match(f"@{text}")))):
            return True
    return False


def _texts(pod: Json) -> Iterator[tuple[str, str]]:
    """Names of variables, empty for words of a command, and what they hold."""
    spec = pod.get("spec") or {}
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or ():
            for word in (*(container.get("command") or ()), *(container.get("args") or ())):
                yield "", str(word)
            for variable in container.get("env") or ():
                yield str(variable.get("name", "")), str(variable.get("value") or "")


def _is_host(variable: str) -> bool:
    return variable.upper().endswith(("HOST", "SERVER", "ADDRESS"))


def _patterns(host: str, namespace: str) -> tuple[re.Pattern[str], re.Pattern[str] | None]:
    """One for whole names, and one for a name without dots, which is a word like others unless it stands in an URI."""
    stem = host.lower().rstrip(".").removesuffix(_DOMAIN).removesuffix(_SERVICE)
    label, _, rest = stem.partition(".")
    stem = stem if rest else f"{label}.{namespace}"
    names = {host.lower(), stem, f"{stem}{_SERVICE}", f"{stem}{_SERVICE}{_DOMAIN}"}
    whole = "|".join(sorted(re.escape(name) for name in names if "." in name))
    full = re.compile(rf"(?:^|[@/=,\s'\"])(?:{whole})(?:$|[:/?,\s'\"])", re.IGNORECASE)
    if stem != f"{label}.{namespace}":
        return full, None
    return full, re.compile(rf"(?:@|//){re.escape(label)}(?:$|[:/?])", re.IGNORECASE)
