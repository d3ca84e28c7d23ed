"""Migrations as they are stored: the object into a document and a status, and the status back.

The status goes back as a whole, to the subresource, with the resource version that was loaded. A merge patch without
a version would let two operators mix their halves.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError

from project_migration.backends.kubernetes.client import Client, NotThere, fence
from project_migration.backends.kubernetes.resources import (
    MIGRATIONS,
    Json,
    annotations_of,
    metadata,
    name_of,
    time_of,
    uid_of,
    version_of,
)
from project_migration.engine.names import Key
from project_migration.engine.world import Migration
from project_migration.model.document import Document
from project_migration.model.errors import Conflict, DocumentError, Gone, PassingError
from project_migration.model.labels import FINALIZER
from project_migration.model.rules import field_path, read_document
from project_migration.model.status import Status

#: Parts of a status that people read and the operator makes anew. What is not here is memory: a status in which that
#: cannot be read is left alone, because to write it back would be to forget, for instance, replica counts.
REMADE = frozenset(
    {
        "phase",
        "conditions",
        "step",
        "progress",
        "plan",
        "result",
        "failure",
        "failureReason",
        "observedGeneration",
        "check",
    }
)


class Migrations:
    """The migrations of some namespaces, or of all of them when there are none."""

    def __init__(self, client: Client, namespaces: Iterable[str]) -> None:
        self._client = client
        self._namespaces = tuple(namespaces)

    def keys(self) -> list[Key]:
        found = []
        for namespace in self._namespaces or (None,):
            for item in self._client.items(MIGRATIONS.path(namespace), metadata_only=True):
                found.append(Key(str(metadata(item).get("namespace")), name_of(item)))
        return found

    def load(self, key: Key) -> Migration:
        try:
            return parse(self._client.get(MIGRATIONS.path(key.namespace, key.name)))
        except NotThere as missing:
            raise _gone(missing) from missing

    def save(self, migration: Migration, status: Status) -> Migration:
        key = migration.key
        body: Json = {
            "apiVersion": MIGRATIONS.api_version,
            "kind": MIGRATIONS.kind,
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "uid": migration.uid,
                "resourceVersion": fence(migration.version),
            },
            "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        try:
            return parse(self._client.replace(MIGRATIONS.path(key.namespace, key.name, "status"), body))
        except NotThere as missing:
            raise _gone(missing) from missing

    def ensure_finalizer(self, migration: Migration) -> None:
        """Adding it never harms, so it is added to whatever is stored now."""
        stored = self._stored(migration)
        finalizers = list(metadata(stored).get("finalizers") or ())
        if FINALIZER not in finalizers and not metadata(stored).get("deletionTimestamp"):
            self._set_finalizers(migration, version_of(stored), [*finalizers, FINALIZER])

    def drop_finalizer(self, migration: Migration) -> None:
        """Taking it away lets the object go, so that is done to the object that was decided on, and no later one."""
        stored = self._stored(migration)
        if version_of(stored) != migration.version:
            raise Conflict(f"{migration.holder} was changed since it was decided to let it go")
        finalizers = list(metadata(stored).get("finalizers") or ())
        if FINALIZER in finalizers:
            kept = [finalizer for finalizer in finalizers if finalizer != FINALIZER]
            self._set_finalizers(migration, migration.version, kept)

    def _stored(self, migration: Migration) -> Json:
        stored = self._client.get(MIGRATIONS.path(migration.key.namespace, migration.key.name))
        if uid_of(stored) != migration.uid:
            raise Conflict(f"{migration.key} is another object by now")
        return stored

    def _set_finalizers(self, migration: Migration, version: str, finalizers: list[str]) -> None:
        body = {"metadata": {"resourceVersion": fence(version), "finalizers": finalizers}}
        self._client.patch(MIGRATIONS.path(migration.key.namespace, migration.key.name), body)


def _gone(missing: NotThere) -> Gone | NotThere:
    """Gone is the object only; when its kind is not served, that passes."""
    return Gone(missing.message) if missing.named else missing


def parse(stored: Json) -> Migration:
    """Raises PassingError for a status whose memory cannot be read: a newer operator wrote it, or a person did."""
    meta = metadata(stored)
    document: Document | None = None
    problems: tuple[str, ...] = ()
    try:
        document = read_document(stored, local=False)
    except DocumentError as error:
        problems = error.problems
    key = Key(str(meta.get("namespace")), name_of(stored))
    return Migration(
        key=key,
        uid=uid_of(stored),
        version=version_of(stored),
        document=document,
        status=parse_status(key, stored.get("status") or {}),
        problems=problems,
        generation=int(meta.get("generation", 1)),
        annotations=annotations_of(stored),
        finalizer=FINALIZER in (meta.get("finalizers") or ()),
        deleting_since=time_of(meta.get("deletionTimestamp")),
    )


def parse_status(key: Key, stored: Json) -> Status:
    """The status, without those parts that are only for people and cannot be read."""
    try:
        return Status.model_validate(stored)
    except ValidationError as error:
        wrong = {str(found["loc"][0]) for found in error.errors(include_url=False)}
        if not wrong <= REMADE:
            first = next(e for e in error.errors(include_url=False) if str(e["loc"][0]) not in REMADE)
            where = field_path(("status", *first["loc"]))
            raise PassingError(
                f"{key.namespace}/{key.name}: {where} cannot be read ({first['msg']});"
                " it is left as it is until an operator that can read it comes"
            ) from error
        return Status.model_validate({field: value for field, value in stored.items() if field not in wrong})
