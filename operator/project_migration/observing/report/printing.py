"""The files of a report, packed so that a helper can be handed them (``workers/report.py``)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from project_migration.engine import retention
from project_migration.engine.world import Migration
from project_migration.observing.report.account import account
from project_migration.observing.report.page import render
from project_migration.observing.report.proof import proof
from project_migration.workers.report import packed

log = logging.getLogger(__name__)

#: Characters of all files together. A request is an annotation of a pod, and an object's annotations have 256 KiB
#: together: https://kubernetes.io/docs/reference/kubernetes-api/, ObjectMeta; apimachinery, TotalAnnotationSizeLimitB.
LIMIT = 160 * 1024


def printed(migration: Migration) -> Mapping[str, str]:
    """With fewer names where all of them would be too much; empty when it cannot be made, which the log explains.

    It never raises: a migration must not fail because its report does.
    """
    try:
        for names in (20, 5, 0):
            files = _files(_with_names(migration, names))
            if sum(map(len, files.values())) <= LIMIT:
                return files
        log.warning("the report is too large for a helper, even without names")
    except Exception:
        log.exception("the report cannot be made")
    return {}


def _files(migration: Migration) -> Mapping[str, str]:
    told = account(migration)
    return {"report.html": packed(render(migration)), "report.json": packed(proof(told).to_json())}


def _with_names(migration: Migration, most: int) -> Migration:
    status = retention.dated(migration, migration.status)
    steps = tuple(
        step.model_copy(
            update={
                "units": tuple(
                    unit.model_copy(update={"names": {kind: found[:most] for kind, found in unit.names.items()}})
                    for unit in step.units
                )
            }
        )
        for step in status.steps
    )
    return replace(migration, status=status.model_copy(update={"steps": steps}))
