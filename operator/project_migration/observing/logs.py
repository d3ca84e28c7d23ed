"""Logs as JSON lines, each with the migration that it is about.

One form for all of them: our own, kopf's and the client's. A pass names its migration once (:func:`about`); whatever
is logged within carries it. No line ever carries a document, a manifest or a request.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

from project_migration.engine.names import Key

_migration: ContextVar[Mapping[str, str] | None] = ContextVar("migration", default=None)

#: What is too talkative at our own level.
QUIET = {
    "urllib3": logging.WARNING,
    "kubernetes": logging.WARNING,
    "aiohttp": logging.WARNING,
    "kopf": logging.INFO,
    "kopf.objects": logging.WARNING,
    "kopf.activities": logging.WARNING,
}


@contextmanager
def about(key: Key, uid: str = "") -> Iterator[None]:
    """Whatever this thread logs inside is about that migration."""
    token = _migration.set(_reference(key, uid))
    try:
        yield
    finally:
        _migration.reset(token)


def about_uid(uid: str) -> None:
    """From here on, inside of :func:`about`, lines carry the UID too."""
    found = _migration.get()
    if found is not None:
        _migration.set({**found, "uid": uid})


def _reference(key: Key, uid: str = "") -> Mapping[str, str]:
    found = {"namespace": key.namespace, "name": key.name}
    return {**found, "uid": uid} if uid else found


class JsonFormatter(logging.Formatter):
    """``{"time": …, "level": …, "logger": …, "message": …, "migration": {"namespace", "name", "uid"}}``"""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        migration = self._migration(record)
        if migration:
            line["migration"] = migration
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)

    @staticmethod
    def _migration(record: logging.LogRecord) -> Mapping[str, str] | None:
        """What the record says itself, then what kopf says of its object, then what the pass is about."""
        given = getattr(record, "migration", None)
        if isinstance(given, Key):
            return _reference(given)
        reference = getattr(record, "k8s_ref", None)
        if isinstance(reference, Mapping):
            return {part: str(reference[part]) for part in ("namespace", "name", "uid") if reference.get(part)}
        return _migration.get()


def configure(level: str, stream: TextIO | None = None) -> None:
    """Have everything in this process logged as JSON lines, from ``level`` on."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(max(least, root.level))
